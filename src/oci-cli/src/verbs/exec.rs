//! `exec`: one more process in a running container.

use std::os::fd::AsFd;
use std::path::Path;

use oci::runtime::{Capabilities, Capability, LinuxCapabilities, Process, User};
use runtime::ExecOptions;

use super::create::{PIDFD, block, console};
use super::{Verb, id, open};
use crate::args::{Flag, Given, Words};
use crate::report::{Failure, log};

/// `exec ID COMMAND`.
pub(super) const EXEC: Verb = Verb {
    name: "exec",
    help: "run a command in a running container",
    arguments: "ID COMMAND [ARGUMENTS] | --process FILE ID",
    flags: &[
        Flag::value("console-socket", 0, "SOCKET", "unix socket that gets the pty's master"),
        Flag::value("cwd", 0, "DIR", "working directory inside"),
        Flag::value("env", b'e', "NAME=VALUE", "set a variable; may be repeated"),
        Flag::switch("tty", b't', "allocate a terminal"),
        Flag::value("user", b'u', "UID[:GID]", "user and group, as numbers"),
        Flag::value("additional-gids", b'g', "GID", "one more group; may be repeated"),
        Flag::value("process", b'p', "FILE", "read the process from a JSON file"),
        Flag::switch("detach", b'd', "do not wait"),
        Flag::value("pid-file", 0, "FILE", "write the process's pid to FILE"),
        PIDFD,
        Flag::value("process-label", 0, "LABEL", "SELinux label of the process"),
        Flag::value("apparmor", 0, "PROFILE", "AppArmor profile of the process"),
        Flag::switch("no-new-privs", 0, "forbid gaining privileges"),
        Flag::value("cap", b'c', "CAP", "add a capability; may be repeated"),
        Flag::value("preserve-fds", 0, "N", "pass N descriptors from 3 on"),
        Flag::value("cgroup", 0, "[CONTROLLER:]PATH", "sub-cgroup of the container to run in"),
        Flag::switch("ignore-paused", 0, "also in a paused container"),
    ],
    words: Words::Command,
    least: 1,
    most: usize::MAX,
    hidden: false,
    examples: ["exec web ls -l /", "exec --tty --user 1000:1000 web sh"],
    run: |globals, given| {
        exec(globals, given)
            .map_err(|failure| Failure { code: 255, ..failure.within("exec failed") })
    },
};

fn exec(globals: &Given, given: &Given) -> Result<u8, Failure> {
    let (runtime, id, detach) = (open(globals)?, id(given)?, given.has("detach"));
    let process = match given.path("process") {
        Some(path) => from_file(&path)?,
        None => from_flags(runtime.process(id)?, given)?,
    };
    let terminal = process.terminal() == Some(true);
    let console = console(terminal, given.path("console-socket"), detach)?;
    let options = ExecOptions {
        console,
        preserve_fds: given.number("preserve-fds")?.unwrap_or(0),
        pid_file: given.path("pid-file"),
        pidfd_socket: given.path("pidfd-socket"),
        cgroups: given.all("cgroup")?,
        ignore_paused: given.has("ignore-paused"),
        ..ExecOptions::default()
    };
    let signals = if detach { None } else { Some(block()?) };
    let created = runtime.exec(id, &process, options)?;
    let Some(signals) = signals else { return Ok(0) };
    let pass = |signal| {
        // It may end just now; its exit is what counts then.
        let _ = sys::teardown::signal_process(created.pidfd.as_fd(), signal);
    };
    crate::foreground::wait(&signals, created.pidfd.as_fd(), created.console, None, pass)
        .map_err(|e| Failure::new(format!("wait for the process: {e}")))
}

fn from_file(path: &Path) -> Result<Process, Failure> {
    let text = runtime::read_document(path).map_err(|e| Failure::from(e).within("process"))?;
    oci::document::process_telling(&text, unknown)
        .map_err(|e| Failure::new(format!("process {}: {e}", path.display())))
}

/// The container's own process, with another command and what the options change.
fn from_flags(mut process: Process, given: &Given) -> Result<Process, Failure> {
    let args: Option<Vec<String>> =
        given.words[1..].iter().map(|w| w.to_str().map(str::to_owned)).collect();
    let args = args.ok_or_else(|| Failure::new("the command is not valid UTF-8"))?;
    if args.is_empty() {
        return Err(Failure::new("process args cannot be empty"));
    }
    process.set_args(Some(args)).set_command_line(None);
    if let Some(cwd) = given.path("cwd") {
        process.set_cwd(cwd);
    }
    if let Some(profile) = given.text("apparmor")? {
        process.set_apparmor_profile(Some(profile.to_owned()));
    }
    if let Some(label) = given.text("process-label")? {
        process.set_selinux_label(Some(label.to_owned()));
    }
    process.set_terminal(Some(given.has("tty")));
    if given.has("no-new-privs") {
        process.set_no_new_privileges(Some(true));
    }
    let mut env = process.env().clone().unwrap_or_default();
    env.extend(given.all("env")?);
    process.set_env(Some(env));
    let mut user = process.user().clone();
    if let Some(text) = given.text("user")? {
        set_user(&mut user, text)?;
    }
    let gids = given.all("additional-gids")?;
    if !gids.is_empty() {
        let mut all = user.additional_gids().clone().unwrap_or_default();
        for gid in gids {
            all.push(number("additional-gids", &gid)?);
        }
        user.set_additional_gids(Some(all));
    }
    process.set_user(user);
    let added = given.all("cap")?;
    if !added.is_empty() {
        let set = process.capabilities().clone().unwrap_or_default();
        process.set_capabilities(Some(add_capabilities(set, &added)));
    }
    Ok(process)
}

/// `UID[:GID]`, strictly numbers: a name or an overflow must never turn into 0.
fn set_user(user: &mut User, text: &str) -> Result<(), Failure> {
    let (uid, gid) = match text.split_once(':') {
        Some((uid, gid)) => (uid, Some(gid)),
        None => (text, None),
    };
    user.set_uid(number("uid", uid)?);
    if let Some(gid) = gid {
        user.set_gid(number("gid", gid)?);
    }
    Ok(())
}

fn number(what: &str, text: &str) -> Result<u32, Failure> {
    text.bytes()
        .all(|b| b.is_ascii_digit())
        .then(|| text.parse().ok())
        .flatten()
        // 4294967295 is (uid_t)-1: "leave it as it is" to the kernel.
        .filter(|n| *n != u32::MAX)
        .ok_or_else(|| Failure {
            text: format!("parsing {text:?} as int for {what} failed"),
            hint: Some("give a number from 0 to 4294967294".to_owned()),
            code: 255,
        })
}

/// As for one of config.json.
fn unknown(name: &str) {
    log().warn(&oci::document::unknown_capability(name));
}

/// Into the bounding, effective and permitted sets; ambient only where inheritable is in use.
fn add_capabilities(mut sets: LinuxCapabilities, names: &[String]) -> LinuxCapabilities {
    for name in names {
        let Ok(capability) = serde_json::from_value::<Capability>(name.as_str().into()) else {
            unknown(name);
            continue;
        };
        let with = |set: &Option<Capabilities>| {
            let mut set = set.clone().unwrap_or_default();
            set.insert(capability);
            Some(set)
        };
        sets.set_bounding(with(sets.bounding()));
        sets.set_effective(with(sets.effective()));
        sets.set_permitted(with(sets.permitted()));
        if sets.inheritable().as_ref().is_some_and(|s| !s.is_empty()) {
            sets.set_ambient(with(sets.ambient()));
        }
    }
    sets
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsString;

    fn read(line: &str) -> Result<Process, Failure> {
        let mut args = line.split_whitespace().map(OsString::from);
        let given = Given::parse(&mut args, EXEC.flags, EXEC.words)?;
        from_flags(Process::default(), &given)
    }

    #[test]
    fn options_change_the_containers_process() {
        let got =
            read("-e A=1 --cwd /tmp -u 5:6 -g 7 -t --cap CAP_NET_RAW id ls -l").expect("reads");
        assert_eq!(got.args().as_deref(), Some(&["ls".to_owned(), "-l".to_owned()][..]));
        assert_eq!(got.cwd(), Path::new("/tmp"));
        assert_eq!((got.user().uid(), got.user().gid()), (5, 6));
        assert_eq!(got.user().additional_gids().as_deref(), Some(&[7][..]));
        assert_eq!(got.terminal(), Some(true));
        assert!(got.env().as_ref().is_some_and(|e| e.contains(&"A=1".to_owned())));
    }

    /// Red when `number` takes what it cannot read for 0, or a number beyond 32 bits.
    #[test]
    fn a_user_is_a_number_of_32_bits() {
        for text in ["root", "4294967296", "-1", "4294967295", "0x1", "", " 1", "+1", "1:wheel"] {
            let given = Given::parse(
                &mut ["--user", text, "id", "ls"].map(OsString::from).into_iter(),
                EXEC.flags,
                EXEC.words,
            )
            .expect("parses");
            assert!(from_flags(Process::default(), &given).is_err(), "{text:?}");
        }
    }

    fuzz::targets![user];

    /// What is taken for a user is its very digits, and never a wrapped number.
    fn user(text: &[u8]) {
        let Ok(text) = std::str::from_utf8(text) else { return };
        let mut user = User::default();
        if set_user(&mut user, text).is_err() {
            return;
        }
        let (uid, gid) = text.split_once(':').map_or((text, None), |(u, g)| (u, Some(g)));
        let same = |number: u32, digits: &str| {
            let value: String = digits.trim_start_matches('0').to_owned();
            let value = if value.is_empty() { "0".to_owned() } else { value };
            assert!(!digits.is_empty() && number.to_string() == value, "{text:?} is {number}");
        };
        same(user.uid(), uid);
        gid.into_iter().for_each(|gid| same(user.gid(), gid));
    }
}
