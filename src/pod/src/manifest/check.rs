//! What concerns more than one field: unique names, references, combinations that Kubernetes
//! refuses (apis/core/validation) or that could not work.

use super::container::{Container, Protocol, ResourceList, RestartPolicy};
use super::decode::Reader;
use super::deployment::{Deployment, StrategyType};
use super::mixed::{IntOrPercent, PortRef};
use super::pod::{Pod, PodSpec};
use super::probe::{Probe, Scheme};
use super::secret::Secret;
use super::security::{SeccompProfile, SeccompType};
use super::tree::Node;
use super::volume::{Medium, Volume};
use std::collections::BTreeSet;

/// Collects findings below one document.
struct Checker<'c> {
    root: &'c Node,
    reader: &'c mut Reader,
}

impl Checker<'_> {
    fn add(&mut self, path: &str, problem: impl Into<String>, hint: Option<&str>) {
        self.reader.error_at(self.root, path, problem.into(), hint.map(str::to_owned));
    }

    fn unique<'n>(&mut self, path: &str, names: impl Iterator<Item = (String, &'n str)>) {
        let mut seen = BTreeSet::new();
        for (at, name) in names.filter(|(_, name)| !name.is_empty()) {
            if !seen.insert(name) {
                self.add(&format!("{path}{at}"), format!("{name:?} is used twice"), None);
            }
        }
    }
}

/// Checks a pod.
pub(super) fn pod(pod: &Pod, root: &Node, reader: &mut Reader) {
    let mut checker = Checker { root, reader };
    if pod.metadata.name.is_empty() && root.get("metadata").is_some() {
        named(&mut checker);
    }
    spec(&pod.spec, "spec", &mut checker);
}

/// Checks a Secret.
pub(super) fn secret(secret: &Secret, root: &Node, reader: &mut Reader) {
    let mut checker = Checker { root, reader };
    if secret.metadata.name.is_empty() && root.get("metadata").is_some() {
        named(&mut checker);
    }
    for (path, problem) in secret.problems() {
        checker.add(&path, problem, None);
    }
}

fn named(checker: &mut Checker<'_>) {
    let has = checker.root.get("metadata").and_then(|m| m.get("name")).is_some();
    if !has {
        checker.add("metadata.name", "required field \"name\" is missing", None);
    }
}

/// Checks a Deployment and its template.
pub(super) fn deployment(deployment: &Deployment, root: &Node, reader: &mut Reader) {
    let mut checker = Checker { root, reader };
    if deployment.metadata.name.is_empty() && root.get("metadata").is_some() {
        named(&mut checker);
    }
    let wanted = &deployment.spec;
    let labels = &wanted.template.metadata.labels;
    for (key, value) in &wanted.selector.match_labels {
        if labels.get(key) != Some(value) {
            checker.add(
                "spec.selector.matchLabels",
                format!("the template's labels have no {key}={value}"),
                Some("the selector must match spec.template.metadata.labels"),
            );
        }
    }
    if wanted.selector.match_labels.is_empty() && root.get("spec").is_some() {
        let given = root.get("spec").and_then(|s| s.get("selector"));
        if given.is_some_and(|s| s.get("matchLabels").is_some()) {
            checker.add("spec.selector.matchLabels", "must not be empty", None);
        }
    }
    strategy(deployment, &mut checker);
    let policy = wanted.template.spec.restart_policy();
    if policy != RestartPolicy::Always {
        checker.add(
            "spec.template.spec.restartPolicy",
            format!("{} cannot be used in a Deployment", policy.as_str()),
            Some("Always, or leave it out"),
        );
    }
    if wanted.template.spec.active_deadline_seconds.is_some() {
        let path = "spec.template.spec.activeDeadlineSeconds";
        checker.add(path, "cannot be used in a Deployment", None);
    }
    let (progress, ready) =
        (wanted.progress_deadline_seconds.unwrap_or(600), wanted.min_ready_seconds.unwrap_or(0));
    if progress <= ready {
        checker.add("spec.progressDeadlineSeconds", "must be above minReadySeconds", None);
    }
    spec(&wanted.template.spec, "spec.template.spec", &mut checker);
}

fn strategy(deployment: &Deployment, checker: &mut Checker<'_>) {
    let Some(strategy) = &deployment.spec.strategy else { return };
    let Some(rolling) = &strategy.rolling_update else { return };
    let path = "spec.strategy.rollingUpdate";
    if deployment.spec.strategy_type() == StrategyType::Recreate {
        checker.add(path, "cannot be used with type Recreate", None);
    }
    let zero = |value: Option<IntOrPercent>| {
        matches!(value, Some(IntOrPercent::Int(0) | IntOrPercent::Percent(0)))
    };
    if zero(rolling.max_surge) && zero(rolling.max_unavailable) {
        let problem = "maxSurge and maxUnavailable cannot both be 0";
        checker.add(path, problem, Some("a roll-out needs one of them to move"));
    }
    if matches!(rolling.max_unavailable, Some(IntOrPercent::Percent(p)) if p > 100) {
        checker.add(&format!("{path}.maxUnavailable"), "must not be above 100%", None);
    }
}

fn spec(spec: &PodSpec, path: &str, checker: &mut Checker<'_>) {
    let names = |list: &'static str, containers: &[Container]| -> Vec<(String, String)> {
        let at = |(i, c): (usize, &Container)| (format!(".{list}[{i}].name"), c.name.clone());
        containers.iter().enumerate().map(at).collect()
    };
    let mut all = names("initContainers", &spec.init_containers);
    all.extend(names("containers", &spec.containers));
    checker.unique(path, all.iter().map(|(at, name)| (at.clone(), name.as_str())));
    let volumes = spec.volumes.iter().enumerate();
    let volume_names = volumes.map(|(i, v)| (format!(".volumes[{i}].name"), v.name.as_str()));
    checker.unique(path, volume_names);
    for (index, volume) in spec.volumes.iter().enumerate() {
        source(volume, &format!("{path}.volumes[{index}]"), checker);
    }
    if let Some(context) = &spec.security_context {
        let path = format!("{path}.securityContext");
        seccomp(context.seccomp_profile.as_ref(), &path, checker);
        if spec.host_network == Some(true) {
            for (index, sysctl) in context.sysctls.iter().enumerate() {
                if sysctl.name.starts_with("net") {
                    let at = format!("{path}.sysctls[{index}].name");
                    checker.add(&at, "would change the host, the pod has hostNetwork", None);
                }
            }
        }
    }
    if spec.host_users == Some(false) && spec.host_network == Some(true) {
        let hint = "a pod whose users are not the host's has no rights on the host's network";
        checker.add(
            &format!("{path}.hostUsers"),
            "false cannot be used with hostNetwork",
            Some(hint),
        );
    }
    host_ports(spec, path, checker);
    for (index, container) in spec.containers.iter().enumerate() {
        one(container, spec, &format!("{path}.containers[{index}]"), checker);
    }
    for (index, container) in spec.init_containers.iter().enumerate() {
        let path = format!("{path}.initContainers[{index}]");
        one(container, spec, &path, checker);
        init(container, &path, checker);
    }
}

fn init(container: &Container, path: &str, checker: &mut Checker<'_>) {
    if container.restart_policy == Some(RestartPolicy::Always) {
        return;
    }
    for (key, probe) in probes(container) {
        if probe.is_some() {
            let hint = "only a sidecar (restartPolicy: Always) may have probes";
            let problem = "an init container cannot have it";
            checker.add(&format!("{path}.{key}"), problem, Some(hint));
        }
    }
}

fn source(volume: &Volume, path: &str, checker: &mut Checker<'_>) {
    let count = u8::from(volume.empty_dir.is_some()) + u8::from(volume.host_path.is_some());
    // With a source that is not supported the reader has said so already.
    let bare = checker.reader.findings.iter().any(|f| f.path.starts_with(path));
    if count == 0 && !bare {
        checker.add(path, "has no source", Some("as in emptyDir: {}"));
    } else if count > 1 {
        checker.add(path, "has more than one source", None);
    }
    let disk = |d: &super::volume::EmptyDirVolumeSource| d.medium != Some(Medium::Memory);
    if volume.empty_dir.as_ref().is_some_and(|d| disk(d) && d.size_limit.is_some()) {
        let path = format!("{path}.emptyDir.sizeLimit");
        let hint = "with medium: Memory it is the size of the tmpfs";
        checker.add(&path, "a limit on disk is not supported yet", Some(hint));
    }
}

fn seccomp(profile: Option<&SeccompProfile>, path: &str, checker: &mut Checker<'_>) {
    let Some(profile) = profile else { return };
    let path = format!("{path}.seccompProfile.localhostProfile");
    match (profile.kind, &profile.localhost_profile) {
        (SeccompType::Localhost, None) => {
            checker.add(&path, "is required with type Localhost", None);
        }
        (SeccompType::RuntimeDefault | SeccompType::Unconfined, Some(_)) => {
            checker.add(&path, "needs type Localhost", None);
        }
        _ => {}
    }
}

fn host_ports(spec: &PodSpec, path: &str, checker: &mut Checker<'_>) {
    let mut seen: BTreeSet<(u16, Protocol, String)> = BTreeSet::new();
    for (index, container) in spec.containers.iter().enumerate() {
        for (at, port) in container.ports.iter().enumerate() {
            let path = format!("{path}.containers[{index}].ports[{at}].hostPort");
            let Some(host) = port.host_port else { continue };
            let address = port.host_ip.clone().unwrap_or_default();
            if !seen.insert((host, port.protocol(), address)) {
                checker.add(&path, format!("host port {host} is used twice"), None);
            }
            if spec.host_network == Some(true) && host != port.container_port {
                checker.add(&path, "must equal containerPort with hostNetwork", None);
            }
        }
    }
}

fn one(container: &Container, spec: &PodSpec, path: &str, checker: &mut Checker<'_>) {
    let ports = container.ports.iter().enumerate();
    let named = ports.map(|(i, p)| (format!(".ports[{i}].name"), p.name.as_deref().unwrap_or("")));
    checker.unique(path, named);
    let mounts = container.volume_mounts.iter().enumerate();
    let places =
        mounts.map(|(i, m)| (format!(".volumeMounts[{i}].mountPath"), m.mount_path.as_str()));
    checker.unique(path, places);
    for (index, mount) in container.volume_mounts.iter().enumerate() {
        if !mount.name.is_empty() && !spec.volumes.iter().any(|v| v.name == mount.name) {
            let names = spec.volumes.iter().map(|v| v.name.as_str());
            let near = super::nearest(&mount.name, names).map(|n| format!("did you mean {n:?}?"));
            let at = format!("{path}.volumeMounts[{index}].name");
            checker.add(&at, format!("the pod has no volume {:?}", mount.name), near.as_deref());
        }
    }
    for (index, variable) in container.env.iter().enumerate() {
        let at = format!("{path}.env[{index}]");
        let filled = variable.value.as_deref().is_some_and(|v| !v.is_empty());
        match &variable.value_from {
            Some(_) if filled => checker.add(&at, "has both value and valueFrom", None),
            Some(from) if from.field_ref.is_none() => {
                let said = checker.reader.findings.iter().any(|f| f.path.starts_with(&at));
                if !said {
                    checker.add(&format!("{at}.valueFrom"), "has no source", Some("fieldRef"));
                }
            }
            _ => {}
        }
    }
    for (key, probe) in probes(container) {
        if let Some(probe) = probe {
            probe_rules(probe, key, container, &format!("{path}.{key}"), checker);
        }
    }
    if let Some(resources) = &container.resources {
        let path = format!("{path}.resources");
        memory_limit(resources.limits.as_ref(), &path, checker);
        requests(resources.requests.as_ref(), resources.limits.as_ref(), &path, checker);
    }
    context(container, path, checker);
}

fn probes(container: &Container) -> [(&'static str, Option<&Probe>); 3] {
    [
        ("livenessProbe", container.liveness_probe.as_ref()),
        ("readinessProbe", container.readiness_probe.as_ref()),
        ("startupProbe", container.startup_probe.as_ref()),
    ]
}

fn probe_rules(
    probe: &Probe,
    key: &str,
    container: &Container,
    path: &str,
    checker: &mut Checker<'_>,
) {
    let handlers = u8::from(probe.exec.is_some())
        + u8::from(probe.http_get.is_some())
        + u8::from(probe.tcp_socket.is_some());
    let said = checker.reader.findings.iter().any(|f| f.path.starts_with(path));
    if handlers == 0 && !said {
        checker.add(path, "has no handler", Some("one of exec, httpGet, tcpSocket"));
    } else if handlers > 1 {
        checker.add(path, "has more than one handler", None);
    }
    if key != "readinessProbe" && probe.success_threshold() != 1 {
        checker.add(&format!("{path}.successThreshold"), "must be 1 here", None);
    }
    if key == "readinessProbe" && probe.termination_grace_period_seconds.is_some() {
        let path = format!("{path}.terminationGracePeriodSeconds");
        checker.add(&path, "a readiness probe stops nothing", None);
    }
    if probe.http_get.as_ref().is_some_and(|get| get.scheme == Some(Scheme::Https)) {
        let hint =
            "tcpSocket tells whether somebody listens; exec can ask with a program of the image";
        let problem = "HTTPS probes are not supported yet";
        checker.add(&format!("{path}.httpGet.scheme"), problem, Some(hint));
    }
    let http = probe.http_get.as_ref().map(|h| ("httpGet", &h.port));
    let tcp = probe.tcp_socket.as_ref().map(|t| ("tcpSocket", &t.port));
    for (handler, port) in [http, tcp].into_iter().flatten() {
        if let PortRef::Name(name) = port
            && container.port(port).is_none()
        {
            let names = container.ports.iter().filter_map(|p| p.name.as_deref());
            let near = super::nearest(name, names).map(|n| format!("did you mean {n:?}?"));
            let problem = format!("the container has no port named {name:?}");
            checker.add(&format!("{path}.{handler}.port"), problem, near.as_deref());
        }
    }
}

/// Below this no process can be made: its kernel stack and page tables count, too.
const MEMORY_MIN: i64 = 64 << 10;

fn memory_limit(limits: Option<&ResourceList>, path: &str, checker: &mut Checker<'_>) {
    let Some(limit) = limits.and_then(|limits| limits.memory.as_ref()) else { return };
    if (1..MEMORY_MIN).contains(&limit.value()) {
        let hint = match limit.as_str().ends_with('m') {
            true => "m means thousandths: write Mi or M",
            false => "a few Mi at least, as in 16Mi",
        };
        let problem = format!("{limit} is too little for any process");
        checker.add(&format!("{path}.limits.memory"), problem, Some(hint));
    }
}

fn requests(
    requests: Option<&ResourceList>,
    limits: Option<&ResourceList>,
    path: &str,
    checker: &mut Checker<'_>,
) {
    let (Some(requests), Some(limits)) = (requests, limits) else { return };
    let pairs = [("cpu", &requests.cpu, &limits.cpu), ("memory", &requests.memory, &limits.memory)];
    for (name, request, limit) in pairs {
        if let (Some(request), Some(limit)) = (request, limit)
            && request.nano() > limit.nano()
        {
            let problem = format!("request {request} is above the limit {limit}");
            checker.add(&format!("{path}.requests.{name}"), problem, None);
        }
    }
}

fn context(container: &Container, path: &str, checker: &mut Checker<'_>) {
    let Some(context) = &container.security_context else { return };
    let path = format!("{path}.securityContext");
    seccomp(context.seccomp_profile.as_ref(), &path, checker);
    let admin = context
        .capabilities
        .as_ref()
        .is_some_and(|c| c.add.iter().any(|name| name.trim_start_matches("CAP_") == "SYS_ADMIN"));
    let escalation = context.allow_privilege_escalation == Some(false);
    if escalation && (admin || context.privileged == Some(true)) {
        let path = format!("{path}.allowPrivilegeEscalation");
        checker.add(&path, "cannot be false with privileged or CAP_SYS_ADMIN", None);
    }
}
