//! The small files of a pod that containers see: /etc/hosts, resolv.conf and hostname, and the
//! termination message of each attempt.
//!
//! Invariants: a file is replaced whole, and left alone when it says the same already; at most
//! [`MESSAGE_MAX_BYTES`] of a termination message are read, whatever the container wrote.
//! Not here: where they are mounted (`bundle`).

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use pod::manifest::{Container, TerminationMessagePolicy};

const ETC: &str = "etc";
const TERMINATION: &str = "termination";

/// Most bytes of a termination message (kubelet: MaxContainerTerminationMessageLength).
const MESSAGE_MAX_BYTES: u64 = 4096;
/// Most bytes and lines of a log that stand in for a message.
const LOG_MAX_BYTES: usize = 2048;
const LOG_MAX_LINES: usize = 80;
/// Bytes of a log file that surely hold those, time stamps included.
const LOG_TAIL_BYTES: u64 = 16 * 1024;

/// Longest host name, in bytes.
const HOSTNAME_MAX: usize = 63;

const LOCAL_HOSTS: &str = "\
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::0\tip6-localnet
fe00::0\tip6-mcastprefix
fe00::1\tip6-allnodes
fe00::2\tip6-allrouters
";

/// Where systemd-resolved says what it asks itself.
const RESOLVED: &str = "/run/systemd/resolve/resolv.conf";

/// Files of a pod, below its folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PodFiles {
    /// For /etc/hosts.
    pub(crate) hosts: PathBuf,
    /// For /etc/resolv.conf.
    pub(crate) resolv_conf: PathBuf,
    /// For /etc/hostname.
    pub(crate) hostname: PathBuf,
}

/// The pod's host name: its own or its name, cut to 63 characters; with hostNetwork the node's, as
/// in Kubernetes.
pub(crate) fn hostname(pod: &pod::Pod, node_name: &str) -> String {
    if pod.spec.host_network == Some(true) {
        return node_name.to_owned();
    }
    let own = pod.spec.hostname.as_deref().filter(|name| !name.is_empty());
    let full = own.unwrap_or(&pod.metadata.name);
    let cut: String = full.chars().take(HOSTNAME_MAX).collect();
    cut.trim_end_matches(['-', '.']).to_owned()
}

/// Writes what is missing or has changed.
///
/// # Errors
/// The disk's.
pub(crate) fn write(
    pod: &pod::Pod,
    pod_dir: &Path,
    ip: Option<Ipv4Addr>,
    node_name: &str,
) -> io::Result<PodFiles> {
    let folder = pod_dir.join(ETC);
    DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
    let hostname = hostname(pod, node_name);
    let of_host = pod.spec.host_network == Some(true);
    let hosts = if of_host { text_of("/etc/hosts")? } else { None };
    let hosts = hosts.unwrap_or_else(|| hosts_file(&hostname, ip));
    let resolv_conf = text_of("/etc/resolv.conf")?.unwrap_or_default();
    let resolv_conf = match of_host {
        true => resolv_conf,
        false => resolv_file(&resolv_conf, || text_of(RESOLVED).ok().flatten()),
    };
    let files = PodFiles {
        hosts: folder.join("hosts"),
        resolv_conf: folder.join("resolv.conf"),
        hostname: folder.join("hostname"),
    };
    replace(&files.hosts, &hosts)?;
    replace(&files.resolv_conf, &resolv_conf)?;
    replace(&files.hostname, &format!("{hostname}\n"))?;
    Ok(files)
}

fn hosts_file(hostname: &str, ip: Option<Ipv4Addr>) -> String {
    match ip {
        Some(ip) => format!("{LOCAL_HOSTS}{ip}\t{hostname}\n"),
        None => format!("{LOCAL_HOSTS}127.0.1.1\t{hostname}\n"),
    }
}

/// The host's resolver for a pod with a network of its own: a name server on the host's loopback
/// cannot be reached from there, so what `resolved` names takes its place.
fn resolv_file(host: &str, resolved: impl FnOnce() -> Option<String>) -> String {
    let reachable = |text: &str| -> String {
        let lines = text.lines().filter(|line| !is_loopback(line));
        lines.map(|line| format!("{line}\n")).collect()
    };
    let kept = reachable(host);
    let has_server = |text: &str| text.lines().any(|line| name_server(line).is_some());
    if !has_server(&kept)
        && has_server(host)
        && let Some(other) = resolved().map(|text| reachable(&text)).filter(|t| has_server(t))
    {
        return other;
    }
    kept
}

fn name_server(line: &str) -> Option<&str> {
    let mut words = line.split_whitespace();
    words.next().filter(|word| *word == "nameserver")?;
    words.next()
}

fn is_loopback(line: &str) -> bool {
    let address = name_server(line).and_then(|address| address.parse::<IpAddr>().ok());
    address.is_some_and(|address| address.is_loopback())
}

fn text_of(path: &str) -> io::Result<Option<String>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// A running container has the old file bound: it is replaced only when it has to be.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    if fs::read(path).is_ok_and(|old| old == text.as_bytes()) {
        return Ok(());
    }
    let fresh = path.with_extension("new");
    let mut file = File::create(&fresh)?;
    file.write_all(text.as_bytes())?;
    file.set_permissions(Permissions::from_mode(0o644))?;
    fs::rename(&fresh, path)
}

/// The file that is an attempt's termination log; see [`make_termination_log`].
pub(crate) fn termination_log(pod_dir: &Path, container: &str, attempt: u32) -> PathBuf {
    pod_dir.join(TERMINATION).join(format!("{container}.{attempt}"))
}

/// Makes an attempt's termination log, empty, which any user of the container may write.
///
/// # Errors
/// The disk's.
pub(crate) fn make_termination_log(
    pod_dir: &Path,
    container: &str,
    attempt: u32,
) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(pod_dir.join(TERMINATION))?;
    let path = termination_log(pod_dir, container, attempt);
    let file = OpenOptions::new().write(true).create(true).truncate(true).open(path)?;
    file.set_permissions(Permissions::from_mode(0o666))
}

/// An attempt that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct End {
    /// Which.
    pub(crate) attempt: u32,
    /// With another exit code than 0.
    pub(crate) failed: bool,
}

/// What an ended attempt says of its end: the last 4096 bytes of its file, or, where the container
/// asks for it, the tail of its log. `log_dir` is the pod's.
pub(crate) fn read_termination_message(
    pod_dir: &Path,
    log_dir: &Path,
    container: &Container,
    end: &End,
) -> Option<String> {
    let path = termination_log(pod_dir, &container.name, end.attempt);
    // One that cannot be read says nothing; the end itself is what matters.
    let message = tail(&path, MESSAGE_MAX_BYTES).unwrap_or_default();
    if !message.is_empty() {
        return Some(String::from_utf8_lossy(&message).into_owned());
    }
    let by_log = container.termination_message_policy
        == Some(TerminationMessagePolicy::FallbackToLogsOnError);
    if !(by_log && end.failed) {
        return None;
    }
    let log = log_dir.join(&container.name).join(format!("{}.log", end.attempt));
    let text = log_tail(&tail(&log, LOG_TAIL_BYTES).ok()?);
    (!text.is_empty()).then_some(text)
}

fn tail(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(most)))?;
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The last lines of a log in CRI format, `<time> <stream> <F|P> <text>`, without their heads.
fn log_tail(bytes: &[u8]) -> String {
    let mut text = String::new();
    for line in String::from_utf8_lossy(bytes).lines() {
        let mut words = line.splitn(4, ' ');
        let (Some(_), Some("stdout" | "stderr"), Some(tag)) =
            (words.next(), words.next(), words.next())
        else {
            continue;
        };
        text.push_str(words.next().unwrap_or_default());
        if tag.starts_with('F') {
            text.push('\n');
        }
    }
    let mut from = text.len().saturating_sub(LOG_MAX_BYTES);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    let lines: Vec<&str> = text[from..].split_inclusive('\n').collect();
    lines[lines.len().saturating_sub(LOG_MAX_LINES)..].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(name: &str, more: &str) -> pod::Pod {
        let text = format!(
            "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}}}, spec: {{{more} \
             containers: [{{name: a, image: 'x:1'}}]}}}}"
        );
        let parsed = pod::manifest::parse("test", &text, pod::Strictness::Strict).unwrap();
        let Some(pod::Object::Pod(pod)) = parsed.into_iter().next() else { panic!("a pod") };
        pod
    }

    #[test]
    fn hostnames_are_cut() {
        assert_eq!(hostname(&pod("web", ""), "node"), "web");
        assert_eq!(hostname(&pod("web", "hostname: db,"), "node"), "db");
        let long = format!("{}-{}", "a".repeat(62), "b".repeat(9));
        assert_eq!(hostname(&pod(&long, ""), "node"), "a".repeat(62));
    }

    #[test]
    fn files_are_written_once_and_anew_when_the_address_changes() {
        let dir = scope::Folder::new("files");
        let pod = pod("web", "");
        let files = write(&pod, &dir, Some(Ipv4Addr::new(10, 77, 0, 2)), "node").unwrap();
        let hosts = fs::read_to_string(&files.hosts).unwrap();
        assert!(hosts.contains("127.0.0.1\tlocalhost\n"), "{hosts}");
        assert!(hosts.ends_with("10.77.0.2\tweb\n"), "{hosts}");
        assert_eq!(fs::read_to_string(&files.hostname).unwrap(), "web\n");
        assert!(files.resolv_conf.exists());
        let inode = |path: &Path| {
            use std::os::unix::fs::MetadataExt;
            fs::metadata(path).unwrap().ino()
        };
        assert_eq!(fs::metadata(&files.hosts).unwrap().permissions().mode() & 0o777, 0o644);
        let before = inode(&files.hosts);
        write(&pod, &dir, Some(Ipv4Addr::new(10, 77, 0, 2)), "node").unwrap();
        assert_eq!(inode(&files.hosts), before, "running containers keep their file");
        write(&pod, &dir, Some(Ipv4Addr::new(10, 77, 0, 3)), "node").unwrap();
        assert!(fs::read_to_string(&files.hosts).unwrap().contains("10.77.0.3"));
        assert_eq!(fs::read_dir(dir.join(ETC)).unwrap().count(), 3, "nothing half-made is left");
    }

    #[test]
    fn with_the_hosts_network_the_hosts_files_are_shown() {
        let dir = scope::Folder::new("host-files");
        let files =
            write(&pod("web", "hostNetwork: true,"), &dir, None, "node.example.org").unwrap();
        for (ours, theirs) in
            [(&files.hosts, "/etc/hosts"), (&files.resolv_conf, "/etc/resolv.conf")]
        {
            if let Ok(text) = fs::read_to_string(theirs) {
                assert_eq!(fs::read_to_string(ours).unwrap(), text);
            }
        }
        assert_eq!(fs::read_to_string(&files.hostname).unwrap(), "node.example.org\n");
    }

    #[test]
    fn a_resolver_on_the_hosts_loopback_is_replaced() {
        let none = || None;
        let resolved = || Some("nameserver 9.9.9.9\nsearch x\n".to_owned());
        let stub = "nameserver 127.0.0.53\noptions edns0\n";
        assert_eq!(resolv_file("nameserver 10.0.0.1\n", none), "nameserver 10.0.0.1\n");
        assert_eq!(resolv_file(stub, resolved), "nameserver 9.9.9.9\nsearch x\n");
        assert_eq!(resolv_file(stub, none), "options edns0\n");
        let mixed = "nameserver ::1\nnameserver 10.0.0.1\n";
        assert_eq!(resolv_file(mixed, resolved), "nameserver 10.0.0.1\n");
        assert_eq!(resolv_file("", resolved), "");
    }

    fn container(policy: &str) -> Container {
        let text = format!("{{name: a, image: 'x:1', terminationMessagePolicy: {policy}}}");
        let text = format!(
            "{{apiVersion: v1, kind: Pod, metadata: {{name: x}}, spec: {{containers: [{text}]}}}}"
        );
        let parsed = pod::manifest::parse("test", &text, pod::Strictness::Strict).unwrap();
        let Some(pod::Object::Pod(pod)) = parsed.into_iter().next() else { panic!("a pod") };
        pod.spec.containers[0].clone()
    }

    #[test]
    fn messages_are_the_tail_of_the_file_or_of_the_log() {
        let dir = scope::Folder::new("messages");
        make_termination_log(&dir, "a", 2).unwrap();
        let path = termination_log(&dir, "a", 2);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o666);
        fs::create_dir(dir.join("a")).unwrap();
        fs::write(dir.join("a/2.log"), "T stdout F one\nT stderr P t\nT stderr F wo\n").unwrap();
        let read = |policy: &str, failed| {
            let end = End { attempt: 2, failed };
            read_termination_message(&dir, &dir, &container(policy), &end)
        };
        assert_eq!(read("File", true), None);
        assert_eq!(read("FallbackToLogsOnError", true).as_deref(), Some("one\ntwo\n"));
        assert_eq!(read("FallbackToLogsOnError", false), None);
        fs::write(&path, format!("{}end", "x".repeat(9000))).unwrap();
        let message = read("FallbackToLogsOnError", true).unwrap();
        assert!(message.len() == 4096 && message.ends_with("xend"), "{message}");
        make_termination_log(&dir, "a", 2).unwrap();
        assert_eq!(read("File", true), None, "a new start begins empty");
        fs::remove_dir_all(&dir).unwrap();
        assert_eq!(read("File", true), None);
    }

    #[test]
    fn the_tail_of_a_log_is_bounded() {
        let lines: String = (0..200).map(|n| format!("T stdout F line {n}\n")).collect();
        let tail = log_tail(lines.as_bytes());
        assert_eq!(tail.lines().count(), LOG_MAX_LINES);
        assert!(tail.ends_with("line 199\n"));
        let long = format!("T stdout F {}\n", "ä".repeat(3000));
        assert!(log_tail(long.as_bytes()).len() <= LOG_MAX_BYTES);
        assert_eq!(log_tail(b"cut off\nT stdout F whole\n"), "whole\n");
    }
}
