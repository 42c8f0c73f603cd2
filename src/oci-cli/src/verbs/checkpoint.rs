//! `checkpoint` and `restore`: a container's processes into files, and out of them again.

use std::fs::File;
use std::path::PathBuf;

use runtime::{
    CgroupsMode, CheckpointOptions, CreateOptions, CriuOptions, NetworkLock, RestoreOptions,
};

use super::create::{BUNDLE, CONSOLE, NO_PIVOT, NO_SUBREAPER, PID_FILE, block, bundle, console};
use super::{Verb, id, open};
use crate::args::{Flag, Given, Words};
use crate::report::Failure;

/// Options of both.
const SHARED: [Flag; 12] = [
    Flag::value("image-path", 0, "DIR", "folder of the images (default ./checkpoint)"),
    Flag::value("work-path", 0, "DIR", "folder of criu's logs (default: the images')"),
    Flag::switch("tcp-established", 0, "established TCP connections, too"),
    Flag::switch("ext-unix-sk", 0, "unix sockets of others, too"),
    Flag::switch("shell-job", 0, "it has a terminal of the caller's session"),
    Flag::switch("file-locks", 0, "locks on files, too"),
    Flag::switch("lazy-pages", 0, "memory when it is needed, by criu lazy-pages"),
    Flag::switch("auto-dedup", 0, "keep memory of parents once"),
    Flag::value("manage-cgroups-mode", 0, "MODE", "soft (default), full, strict or ignore"),
    Flag::value("empty-ns", 0, "KIND", "network: make the namespace and leave it empty"),
    Flag::value("network-lock", 0, "HOW", "iptables (default, if there), nftables or skip"),
    NO_SUBREAPER,
];

/// Options of `checkpoint` alone.
const OWN: [Flag; 7] = [
    Flag::value("parent-path", 0, "DIR", "images of a pre-dump, relative to the images"),
    Flag::switch("leave-running", 0, "the container goes on"),
    Flag::switch("pre-dump", 0, "memory alone; the container goes on"),
    Flag::switch("tcp-skip-in-flight", 0, "leave out connections that are being made"),
    Flag::switch("link-remap", 0, "link removed files that are in use for the time"),
    Flag::value("page-server", 0, "ADDRESS:PORT", "send memory to a criu page-server"),
    Flag::value("status-fd", 0, "N", "write a NUL there when lazy pages can be asked for"),
];

/// Options of `restore` alone.
const ANEW: [Flag; 8] = [
    BUNDLE,
    CONSOLE,
    PID_FILE,
    NO_PIVOT,
    Flag::switch("detach", b'd', "do not wait"),
    Flag::value("lsm-profile", 0, "TYPE:NAME", "another profile, apparmor:NAME or selinux:LABEL"),
    Flag::value("lsm-mount-context", 0, "LABEL", "another SELinux context of mounts"),
    Flag::switch("tcp-close", 0, "close the TCP connections that were established"),
];

const fn joined<const ALL: usize>(own: &[Flag]) -> [Flag; ALL] {
    let mut all = [NO_SUBREAPER; ALL];
    let mut at = 0;
    while at < ALL {
        all[at] = if at < SHARED.len() { SHARED[at] } else { own[at - SHARED.len()] };
        at += 1;
    }
    all
}

/// `checkpoint ID`.
pub(super) const CHECKPOINT: Verb = Verb {
    name: "checkpoint",
    help: "write a container's processes into files, by criu",
    arguments: "ID",
    flags: &const { joined::<{ SHARED.len() + OWN.len() }>(&OWN) },
    words: Words::Anywhere,
    least: 1,
    most: 1,
    hidden: false,
    examples: ["checkpoint --image-path /var/tmp/web web", "checkpoint --leave-running web"],
    run: checkpoint,
};

/// `restore ID`.
pub(super) const RESTORE: Verb = Verb {
    name: "restore",
    help: "make a container anew from what checkpoint has written",
    flags: &const { joined::<{ SHARED.len() + ANEW.len() }>(&ANEW) },
    examples: [
        "restore --image-path /var/tmp/web --bundle /containers/web web",
        "restore --detach --pid-file /run/web.pid web",
    ],
    run: restore,
    ..CHECKPOINT
};

fn checkpoint(globals: &Given, given: &Given) -> Result<u8, Failure> {
    let status = match given.number("status-fd")? {
        None => None,
        Some(number) => {
            let path = format!("/proc/self/fd/{number}");
            let file = File::options().write(true).open(path);
            Some(file.map_err(|e| Failure::new(format!("--status-fd {number}: {e}")))?)
        }
    };
    let options = CheckpointOptions {
        criu: shared(globals, given)?,
        parent: given.path("parent-path"),
        leave_running: given.has("leave-running"),
        pre_dump: given.has("pre-dump"),
        tcp_skip_in_flight: given.has("tcp-skip-in-flight"),
        link_remap: given.has("link-remap"),
        page_server: given.text("page-server")?.map(server).transpose()?,
        status,
    };
    open(globals)?.checkpoint(id(given)?, options)?;
    Ok(0)
}

fn restore(globals: &Given, given: &Given) -> Result<u8, Failure> {
    let ((bundle, terminal), id, detach) = (bundle(given)?, id(given)?, given.has("detach"));
    let console = console(terminal, given.path("console-socket"), detach)?;
    let options = RestoreOptions {
        criu: shared(globals, given)?,
        lsm_profile: given.text("lsm-profile")?.map(str::to_owned),
        lsm_mount_context: given.text("lsm-mount-context")?.map(str::to_owned),
        tcp_close: given.has("tcp-close"),
    };
    let create = CreateOptions {
        console,
        no_pivot: given.has("no-pivot"),
        pid_file: given.path("pid-file"),
        ..CreateOptions::default()
    };
    let runtime = open(globals)?;
    let signals = if detach { None } else { Some(block()?) };
    let created = runtime.restore(id, &bundle, create, &options)?;
    let Some(signals) = signals else { return Ok(0) };
    super::create::stay(&runtime, (id, false), (created, None), &signals)
}

fn shared(globals: &Given, given: &Given) -> Result<CriuOptions, Failure> {
    let cgroups = match given.text("manage-cgroups-mode")? {
        None | Some("" | "soft") => CgroupsMode::Soft,
        Some("full") => CgroupsMode::Full,
        Some("strict") => CgroupsMode::Strict,
        Some("ignore") => CgroupsMode::Ignore,
        Some(other) => return Err(unknown("manage-cgroups-mode", other)),
    };
    let empty_network = match given.text("empty-ns")? {
        None => false,
        Some("network") => true,
        Some(other) => return Err(unknown("empty-ns", other)),
    };
    let network_lock = match given.text("network-lock")? {
        None => None,
        Some("iptables") => Some(NetworkLock::Iptables),
        Some("nftables") => Some(NetworkLock::Nftables),
        Some("skip") => Some(NetworkLock::Skip),
        Some(other) => return Err(unknown("network-lock", other)),
    };
    Ok(CriuOptions {
        program: globals.path("criu").filter(|path| !path.as_os_str().is_empty()),
        images: given.path("image-path").unwrap_or_else(|| PathBuf::from("checkpoint")),
        work: given.path("work-path"),
        tcp_established: given.has("tcp-established"),
        ext_unix_sk: given.has("ext-unix-sk"),
        shell_job: given.has("shell-job"),
        file_locks: given.has("file-locks"),
        auto_dedup: given.has("auto-dedup"),
        lazy_pages: given.has("lazy-pages"),
        cgroups,
        empty_network,
        network_lock,
    })
}

fn unknown(option: &str, value: &str) -> Failure {
    Failure {
        text: format!("--{option}: unknown value {value:?}"),
        hint: Some("the verb's --help lists the values".to_owned()),
        code: 1,
    }
}

fn server(text: &str) -> Result<(String, u16), Failure> {
    let parts = text.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
    let (host, port) = parts
        .filter(|(host, _)| !host.is_empty())
        .ok_or_else(|| Failure::new(format!("--page-server {text:?}: want ADDRESS:PORT")))?;
    Ok((host.to_owned(), port))
}
