//! The flags of `run` as a pod's manifest. Pure but for the lookup of a user's name in the image.

use std::os::fd::AsFd;

use image::Image;
use serde_json::{Map, Value, json};

use crate::args::RunArgs;
use crate::failure::Failure;
use crate::settings::{Settings, variable};

/// Letters of a generated name: none that make words or look alike.
const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// The pod.
pub(super) fn pod(args: &RunArgs, settings: &Settings, what: &str) -> Result<Value, Failure> {
    let (store, image) = super::check_image(args, settings, what)?;
    let user = match &args.user {
        Some(user) => Some(user_of(&store, &image, user, what)?),
        None => None,
    };
    let mut pod = manifest(args, user, what)?;
    let terminal = Some(std::io::stdin()).filter(|_| args.tty);
    let size = terminal.and_then(|stdin| sys::foreground::window_size(stdin.as_fd()));
    if let Some((rows, columns)) = size.filter(|size| size.0 > 0 && size.1 > 0) {
        let size = format!("{rows}x{columns}");
        pod["metadata"]["annotations"] = json!({pod::console::SIZE: size});
    }
    Ok(pod)
}

/// A user as numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct User {
    uid: u32,
    gid: Option<u32>,
    groups: Vec<u32>,
}

/// Numbers as they are; names by the image's own passwd and group.
fn user_of(store: &image::Store, image: &Image, user: &str, what: &str) -> Result<User, Failure> {
    if let Some(numbers) = numeric(user) {
        return Ok(numbers);
    }
    let failed = |error: &image::Error| super::images::failure(what, error);
    let own = format!("lookup-{}", std::process::id());
    let rootfs = store.prepare(image, &own, None).map_err(|error| failed(&error))?;
    let found = image::user::lookup(&rootfs.lower, user);
    store.release(&own).map_err(|error| failed(&error))?;
    let found = found.map_err(|error| failed(&error))?;
    Ok(User { uid: found.uid, gid: Some(found.gid), groups: found.groups })
}

/// `uid` or `uid:gid`.
fn numeric(user: &str) -> Option<User> {
    let (uid, gid) = match user.split_once(':') {
        Some((uid, gid)) => (uid, Some(gid.parse().ok()?)),
        None => (user, None),
    };
    Some(User { uid: uid.parse().ok()?, gid, groups: Vec::new() })
}

fn manifest(args: &RunArgs, user: Option<User>, what: &str) -> Result<Value, Failure> {
    let name = args.name.clone().unwrap_or_else(|| generated(&args.image));
    let (volumes, mounts) = volumes(args, what)?;
    let mut container = Map::new();
    let mut set = |field: &str, value: Value| {
        let empty = value.is_null()
            || value.as_array().is_some_and(Vec::is_empty)
            || value.as_object().is_some_and(Map::is_empty)
            || value == false;
        if !empty {
            container.insert(field.to_owned(), value);
        }
    };
    set("name", json!("main"));
    set("image", json!(args.image));
    let command: Value = args.command.iter().map(|a| json!(literal(a))).collect();
    match args.entrypoint.as_deref() {
        // An empty one drops the image's: what is given is the whole command.
        Some("") => set("command", command),
        entrypoint => {
            set("command", entrypoint.iter().map(|e| json!(literal(e))).collect());
            set("args", command);
        }
    }
    set("workingDir", json!(args.workdir));
    set("env", environment(args, what)?);
    set("volumeMounts", mounts);
    set("ports", ports(args, what)?);
    set("tty", json!(args.tty));
    set("stdin", json!(args.interactive));
    set("stdinOnce", json!(args.interactive));
    set("resources", limits(args, what)?);
    set("securityContext", security(args, user.as_ref()));
    let mut spec = json!({
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": args.grace_period,
        "containers": [container],
    });
    if args.init {
        spec["shareProcessNamespace"] = json!(true);
    }
    if let Some(hostname) = &args.hostname {
        spec["hostname"] = json!(hostname);
    }
    if let Some(groups) = user.map(|user| user.groups).filter(|groups| !groups.is_empty()) {
        spec["securityContext"] = json!({"supplementalGroups": groups});
    }
    if !volumes.is_empty() {
        spec["volumes"] = json!(volumes);
    }
    let mut meta = json!({"name": name, "namespace": args.namespace});
    if !args.label.is_empty() {
        meta["labels"] = pairs(&args.label, what, "--label")?;
    }
    Ok(json!({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}))
}

fn usage(what: &str, words: String, hint: &str) -> Failure {
    Failure::new(what, words).hint(hint).code(crate::OWN_FAILURE)
}

fn pairs(texts: &[String], what: &str, flag: &str) -> Result<Value, Failure> {
    let pair = |text: &String| {
        let (name, value) = text
            .split_once('=')
            .ok_or_else(|| usage(what, format!("{flag} {text} has no value"), "NAME=VALUE"))?;
        Ok((name.to_owned(), json!(value)))
    };
    Ok(Value::Object(texts.iter().map(pair).collect::<Result<_, Failure>>()?))
}

/// The last part of an image's name and five letters.
fn generated(image: &str) -> String {
    use std::hash::{BuildHasher, RandomState};
    let before_digest = image.split('@').next().unwrap_or_default();
    let last = before_digest.rsplit('/').next().unwrap_or_default();
    let plain: String = super::images::bare(last)
        .to_lowercase()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .take(50)
        .collect();
    let base = plain.trim_matches('-');
    let base = if base.is_empty() { "run" } else { base };
    let mut number = RandomState::new().hash_one(image);
    let mut suffix = String::new();
    for _ in 0..5 {
        let at = usize::try_from(number % LETTERS.len() as u64).unwrap_or(0);
        suffix.push(char::from(LETTERS[at]));
        number /= LETTERS.len() as u64;
    }
    format!("{base}-{suffix}")
}

/// `NAME=VALUE`, or `NAME` with this shell's value; a name that is not set here is left out. `$` is
/// doubled: a manifest would expand it.
fn environment(args: &RunArgs, what: &str) -> Result<Value, Failure> {
    let mut all = Vec::new();
    for text in &args.env {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (text.as_str(), variable(text)),
        };
        if name.is_empty() {
            return Err(usage(what, format!("--env {text} has no name"), "NAME=VALUE"));
        }
        if let Some(value) = value {
            all.push(json!({"name": name, "value": literal(&value)}));
        }
    }
    Ok(json!(all))
}

/// A text in which Kubernetes' expansion finds nothing to replace.
fn literal(text: &str) -> String {
    text.replace('$', "$$")
}

/// Host folders as volumes and where they are mounted.
fn volumes(args: &RunArgs, what: &str) -> Result<(Vec<Value>, Value), Failure> {
    let (mut volumes, mut mounts) = (Vec::new(), Vec::new());
    for (number, text) in args.volume.iter().enumerate() {
        let parts: Vec<&str> = text.split(':').collect();
        let wrong = |words: &str| {
            usage(what, format!("--volume {text}: {words}"), "SOURCE:TARGET or SOURCE:TARGET:ro")
        };
        let (source, target, read_only) = match parts.as_slice() {
            [source, target] => (*source, *target, false),
            [source, target, "ro"] => (*source, *target, true),
            [source, target, "rw"] => (*source, *target, false),
            _ => return Err(wrong("is not understood")),
        };
        if !target.starts_with('/') || source.is_empty() {
            return Err(wrong("the target must be an absolute path"));
        }
        let source = std::path::absolute(source).map_err(|error| Failure::of(what, &error))?;
        if !source.exists() {
            return Err(wrong("the source does not exist"));
        }
        let name = format!("volume-{number}");
        volumes.push(json!({"name": name, "hostPath": {"path": source}}));
        let mut mount = json!({"name": name, "mountPath": target});
        if read_only {
            mount["readOnly"] = json!(true);
        }
        mounts.push(mount);
    }
    Ok((volumes, json!(mounts)))
}

/// `[IP:]HOST:CONTAINER[/udp]`
fn ports(args: &RunArgs, what: &str) -> Result<Value, Failure> {
    let port = |text: &String| {
        let wrong = || {
            let words = format!("--publish {text} is not understood");
            usage(what, words, "8080:80, 127.0.0.1:8080:80 or 5353:53/udp")
        };
        let (place, protocol) = match text.split_once('/') {
            None => (text.as_str(), "TCP"),
            Some((place, "tcp")) => (place, "TCP"),
            Some((place, "udp")) => (place, "UDP"),
            Some(_) => return Err(wrong()),
        };
        let parts: Vec<&str> = place.split(':').collect();
        let (ip, host, container) = match parts.as_slice() {
            [host, container] => (None, *host, *container),
            [ip, host, container] => (Some(*ip), *host, *container),
            _ => return Err(wrong()),
        };
        let number = |text: &str| text.parse::<u16>().ok().filter(|n| *n > 0).ok_or_else(wrong);
        let mut port = json!({
            "containerPort": number(container)?,
            "hostPort": number(host)?,
            "protocol": protocol,
        });
        if let Some(ip) = ip {
            port["hostIP"] = json!(ip);
        }
        Ok(port)
    };
    args.publish.iter().map(port).collect()
}

fn limits(args: &RunArgs, what: &str) -> Result<Value, Failure> {
    let mut limits = Map::new();
    if let Some(memory) = &args.memory {
        limits.insert("memory".into(), json!(quantity(memory, what)?));
    }
    if let Some(cpus) = &args.cpus {
        if !cpus.parse::<f64>().is_ok_and(|n| n > 0.0 && n.is_finite()) {
            return Err(usage(what, format!("--cpus {cpus} is no number above 0"), "0.5"));
        }
        limits.insert("cpu".into(), json!(cpus));
    }
    Ok(if limits.is_empty() { Value::Null } else { json!({"limits": limits}) })
}

/// `512m`, `2g` as people type them for containers: powers of 1024.
fn quantity(text: &str, what: &str) -> Result<String, Failure> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text[digits.len()..].to_lowercase().as_str() {
        "" | "b" => "",
        "k" | "kb" | "ki" | "kib" => "Ki",
        "m" | "mb" | "mi" | "mib" => "Mi",
        "g" | "gb" | "gi" | "gib" => "Gi",
        "t" | "tb" | "ti" | "tib" => "Ti",
        _ => return Err(usage(what, format!("--memory {text} is no size"), "512m, 2g")),
    };
    if digits.parse::<f64>().is_ok_and(|n| n > 0.0 && n.is_finite()) {
        return Ok(format!("{digits}{unit}"));
    }
    Err(usage(what, format!("--memory {text} is no size"), "512m, 2g"))
}

fn security(args: &RunArgs, user: Option<&User>) -> Value {
    let mut context = Map::new();
    if let Some(user) = user {
        context.insert("runAsUser".into(), json!(user.uid));
        if let Some(gid) = user.gid {
            context.insert("runAsGroup".into(), json!(gid));
        }
    }
    if args.read_only {
        context.insert("readOnlyRootFilesystem".into(), json!(true));
    }
    Value::Object(context)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Cli, Verb};
    use clap::Parser;

    fn parse(words: &str) -> RunArgs {
        let words = format!("podvisor run {words}");
        let Verb::Run(args) = Cli::try_parse_from(words.split_whitespace()).unwrap().verb else {
            panic!("run")
        };
        *args
    }

    #[test]
    fn flags_become_a_pod_that_is_valid() {
        let args = parse(
            "-it --rm --name x -e A=1$(B) -v /tmp:/t:ro -m 64m --cpus 0.5 --workdir /w --read-only \
             --init -p 127.0.0.1:8080:80/udp -l app=x busybox:1 sh -c x",
        );
        let user = User { uid: 7, gid: Some(8), groups: vec![9] };
        let pod = manifest(&args, Some(user), "run").unwrap();
        let main = &pod["spec"]["containers"][0];
        assert_eq!(main["args"], json!(["sh", "-c", "x"]));
        assert_eq!(main["env"], json!([{"name": "A", "value": "1$$(B)"}]));
        assert_eq!(main["resources"]["limits"], json!({"memory": "64Mi", "cpu": "0.5"}));
        assert_eq!(main["securityContext"]["runAsUser"], 7);
        assert_eq!(main["ports"][0]["hostIP"], "127.0.0.1");
        assert_eq!(main["volumeMounts"][0]["readOnly"], true);
        assert_eq!(pod["spec"]["shareProcessNamespace"], true);
        let text = pod.to_string();
        let parsed = pod::manifest::parse("run", &text, pod::Strictness::Strict);
        assert_eq!(parsed.map(|objects| objects.len()), Ok(1));
        let plain = manifest(&parse("busybox"), None, "run").unwrap();
        let parsed = pod::manifest::parse("run", &plain.to_string(), pod::Strictness::Strict);
        assert_eq!(parsed.map(|objects| objects.len()), Ok(1));
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for (words, named) in [
            ("-p 80 x", "--publish 80"),
            ("-p 1:2:3:4 x", "--publish 1:2:3:4"),
            ("-p 0:80 x", "--publish 0:80"),
            ("-v /tmp x", "--volume /tmp"),
            ("-v /tmp:relative x", "--volume /tmp:relative"),
            ("-v /no/such:/t x", "does not exist"),
            ("-m 5y x", "--memory 5y"),
            ("--cpus none x", "--cpus none"),
            ("-l app x", "--label app"),
        ] {
            let failure = manifest(&parse(words), None, "run x").unwrap_err();
            assert!(failure.cause.contains(named), "{words}: {failure:?}");
            assert_eq!(failure.code, 125);
        }
    }

    #[test]
    fn a_generated_name_is_one() {
        for image in ["busybox", "registry.example/team/Web_App:1.2", "x@sha256:00", "-"] {
            let name = generated(image);
            let fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            assert!(name.chars().all(fine) && name.len() > 5, "{name}");
        }
        assert!(generated("team/web:1").starts_with("web-"));
    }
}
