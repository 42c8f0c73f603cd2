//! Documents that are hostile when they are *run*: users, folders, volumes, variables, commands and
//! labels of a configuration, accounts that are no files. Each has its clear error, or its safe
//! meaning; a canary beside the store is untouched, and nothing is told with signs that a terminal
//! obeys.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::census;
use crate::forge::Forge;
use crate::host::{Host, recipe};
use crate::layout::Layout;

/// What a run must come to.
enum End {
    /// An error with this exit code that holds these words.
    Fails(i32, &'static str),
    /// Success; what the command has written.
    Says(&'static str),
}
use End::{Fails, Says};

struct Trial {
    name: &'static str,
    /// The configuration's `config`.
    config: Value,
    /// A layer upon busybox.
    layer: Option<Vec<u8>>,
    args: &'static [&'static str],
    end: End,
}

const NUMBER: &str = "an id is a number from 0 to 2147483647";
const ID: &[&str] = &["sh", "-c", "id -u; id -g"];

fn config(name: &'static str, config: Value, args: &'static [&'static str], end: End) -> Trial {
    Trial { name, config, layer: None, args, end }
}

fn users(all: &mut Vec<Trial>) {
    let mut user = |user: &'static str, end: End| {
        all.push(config(user, json!({ "User": user }), ID, end));
    };
    user("2147483648", Fails(125, NUMBER));
    user("4294967296", Fails(125, NUMBER));
    user("4294967295", Fails(125, NUMBER));
    user("18446744073709551616", Fails(125, NUMBER));
    user("0:4294967296", Fails(125, NUMBER));
    user("-1", Fails(125, NUMBER));
    user("+5", Fails(125, NUMBER));
    user("0x10", Fails(125, "no such user in the image"));
    user("1e3", Fails(125, "no such user in the image"));
    user("007", Says("7\n0\n"));
    user("\u{ff15}", Fails(125, "no such user in the image"));
    user(" 0", Fails(125, "no such user in the image"));
    user("0\n", Fails(125, "that is no name"));
    user(":", Fails(125, "the group is empty"));
    user(":5", Says("0\n5\n"));
    user("5:", Fails(125, "the group is empty"));
    user("0:0:0", Fails(125, "no group \"0:0\""));
    user("root\u{1b}[2J", Fails(125, "that is no name"));
    user("../../etc/passwd", Fails(125, "no such user in the image"));
}

fn accounts(all: &mut Vec<Trial>, canary: &str) {
    let mut passwd = |name: &'static str, layer: Vec<u8>, user: &str, end: End| {
        let config = json!({ "User": user });
        all.push(Trial { name, config, layer: Some(layer), args: ID, end });
    };
    let forge = || Forge::default().folder("etc");
    passwd(
        "passwd: link to the host",
        forge().link("etc/passwd", canary).end(),
        "spy",
        Fails(125, "no such user"),
    );
    passwd(
        "passwd: link up",
        forge().link("etc/passwd", "../../../../etc/passwd").end(),
        "spy",
        Fails(125, "Too many levels of symbolic links"),
    );
    passwd(
        "passwd: a FIFO",
        forge().node("etc/passwd", b'6', (0, 0)).end(),
        "spy",
        Fails(125, "is no regular file"),
    );
    passwd(
        "passwd: a FIFO, a number",
        forge().node("etc/passwd", b'6', (0, 0)).end(),
        "5",
        Fails(125, "is no regular file"),
    );
    let long = [&b"x:x:1:1::/:/bin/sh\n".repeat(1 << 20)[..], b"spy:x:5:6::/:/\n"].concat();
    let long = forge().with(b"etc/passwd", b'0', &long).end();
    passwd("passwd: 20 MB", long, "spy", Fails(125, "over 1048576"));
    passwd(
        "passwd: a folder",
        forge().folder("etc/passwd").end(),
        "spy",
        Fails(125, "is no regular file"),
    );
}

fn places(all: &mut Vec<Trial>) {
    const PWD: &[&str] = &["pwd"];
    let link = || {
        Some(Forge::default().link("l", "/etc").link("up", "../../..").link("loop", "loop").end())
    };
    for (name, path, end) in [
        ("workdir: a link", "/l/x", Says("/etc/x\n")),
        ("workdir: up", "/../../../x", Says("/x\n")),
        ("workdir: a link up", "/up/up/etc", Says("/etc\n")),
        ("workdir: a loop", "/loop/x", Fails(125, "ELOOP")),
        ("workdir: a file", "/bin/busybox/x", Fails(125, "ENOTDIR")),
        ("workdir: relative", "rel/x", Says("/rel/x\n")),
        ("workdir: a NUL", "/a\0b", Fails(125, "process.cwd: must not contain NUL")),
        ("workdir: escapes", "/\u{1b}[2J", Says("/\u{1b}[2J\n")),
    ] {
        let config = json!({ "WorkingDir": path });
        all.push(Trial { name, config, layer: link(), args: PWD, end });
    }
    let long = "/x".repeat(3000);
    all.push(config(
        "workdir: too long",
        json!({ "WorkingDir": long }),
        PWD,
        Fails(125, "ENAMETOOLONG"),
    ));
    for (name, path) in [
        ("volume: up", "/../../etc"),
        ("volume: a link", "/l"),
        ("volume: the root", "/"),
        ("volume: empty", ""),
        ("volume: relative", "rel"),
        ("volume: a NUL", "/a\0b"),
        ("volume: proc", "/proc/sys"),
        ("volume: escapes", "/\u{1b}[2J"),
    ] {
        let config = json!({ "Volumes": { path: {} } });
        all.push(Trial { name, config, layer: link(), args: &["echo", "ran"], end: Says("ran\n") });
    }
}

fn commands(all: &mut Vec<Trial>) {
    let mut run = |name: &'static str, value: Value, args: &'static [&'static str], end: End| {
        all.push(config(name, value, args, end));
    };
    const SHOW: &[&str] = &["sh", "-c", "echo ran; env | grep -e ^A -e LD_ -e ^=x || :"];
    run(
        "env: a NUL",
        json!({ "Env": ["A=b\0C=d"] }),
        SHOW,
        Fails(125, "process.env[3]: must not contain NUL"),
    );
    run("env: no =", json!({ "Env": ["A"] }), SHOW, Says("ran\n"));
    run("env: no name", json!({ "Env": ["=x", "A=1"] }), SHOW, Says("ran\nA=1\n"));
    run("env: twice", json!({ "Env": ["A=1", "A=2"] }), SHOW, Says("ran\nA=2\n"));
    run(
        "env: LD_PRELOAD",
        json!({ "Env": ["LD_PRELOAD=/evil.so"] }),
        SHOW,
        Says("ran\nLD_PRELOAD=/evil.so\n"),
    );
    run("env: no PATH", json!({ "Env": ["PATH="] }), SHOW, Fails(127, "not found in $PATH"));
    run(
        "env: huge",
        json!({ "Env": [format!("A={}", "x".repeat(200_000))] }),
        SHOW,
        Fails(125, "argument list too long"),
    );
}

fn entry_points(all: &mut Vec<Trial>) {
    let mut run = |name: &'static str, value: Value, args: &'static [&'static str], end: End| {
        all.push(config(name, value, args, end));
    };
    run(
        "entrypoint: nothing",
        json!({ "Entrypoint": [], "Cmd": [] }),
        &[],
        Fails(125, "has no command"),
    );
    run("entrypoint: empty", json!({ "Entrypoint": [""] }), &[], Fails(127, "not found in $PATH"));
    run(
        "entrypoint: a NUL",
        json!({ "Entrypoint": ["/bin/ec\0ho"] }),
        &[],
        Fails(125, "process.args[0]: must not contain NUL"),
    );
    run(
        "entrypoint: up",
        json!({ "Entrypoint": ["/../../../bin/busybox", "echo", "ran"] }),
        &[],
        Says("ran\n"),
    );
    run(
        "entrypoint: a word of 300 kB",
        json!({ "Entrypoint": ["/bin/echo", "x".repeat(300_000)] }),
        &[],
        Fails(125, "argument list too long"),
    );
    let many = vec!["x"; 400_000];
    run(
        "entrypoint: 400,000 words",
        json!({ "Entrypoint": ["/bin/true"], "Cmd": many }),
        &[],
        Fails(125, "argument list too long"),
    );
    run(
        "entrypoint: escapes",
        json!({ "Entrypoint": ["/no\u{1b}[2Jne"] }),
        &[],
        Fails(127, "/no\\u{1b}[2Jne"),
    );
    run("signal: none", json!({ "StopSignal": "SIG\u{1b}[2J" }), &["echo", "ran"], Says("ran\n"));
    run(
        "labels: escapes",
        json!({ "Labels": { "\u{1b}]0;x\u{7}": "\u{1b}[2J" } }),
        &["echo", "ran"],
        Says("ran\n"),
    );
    run(
        "ports: escapes",
        json!({ "ExposedPorts": { "\u{1b}[2J": {} } }),
        &["echo", "ran"],
        Says("ran\n"),
    );
}

/// What is wrong with how a trial ended.
fn judge(host: &Host, trial: &Trial, base: &[u8]) -> Option<String> {
    let mut layers = vec![base.to_vec()];
    layers.extend(trial.layer.clone());
    let mut layout = Layout::of_layers(&layers);
    layout.config["config"] = trial.config.clone();
    let folder = host.path("layout");
    let _ = fs::remove_dir_all(&folder);
    layout.write(&folder);
    let folder = folder.display().to_string();
    let loaded = host.podvisor(&["load", "--name", "h:1", &folder]);
    let done = match loaded.code {
        0 => host.podvisor(&[&["run", "--rm", "h:1"], trial.args].concat()),
        _ => loaded,
    };
    let told = |what: &str| {
        Some(format!("{}: {what}: {} {:?} {}", trial.name, done.code, done.out, done.err))
    };
    let signs = |text: &str| text.chars().any(|c| c.is_control() && c != '\n' && c != '\t');
    if signs(&done.err) {
        return told("unescaped");
    }
    for args in [&["inspect", "h:1"][..], &["images"], &["history", "h:1"], &["diff", "h:1"]] {
        let shown = host.podvisor(args);
        if signs(&shown.out) || signs(&shown.err) {
            return Some(format!("{}: {args:?} shows signs: {:?}", trial.name, shown.out));
        }
    }
    match &trial.end {
        Fails(code, words) if done.code == *code && done.err.contains(words) => None,
        Says(text) if done.code == 0 && done.out == *text => None,
        _ => told("ended"),
    }
}

/// Red where `cli::print::plain` lets signs pass ("entrypoint: escapes"), or an id may be any number.
#[test]
fn hostile_documents_that_are_run() {
    let Some(scope) = scope::enter("running::hostile_documents_that_are_run") else { return };
    let host = Host::with_busybox(scope);
    let canary = host.path("canary");
    fs::create_dir_all(canary.join("below")).unwrap();
    fs::write(canary.join("passwd"), "spy:x:1234:1234::/:/bin/sh\n").unwrap();
    let tar = host.path("busybox.tar");
    assert!(Command::new(recipe("busybox")).arg(&tar).status().unwrap().success());
    let base = fs::read(&tar).unwrap();
    let secret = canary.join("passwd").display().to_string();
    // Others may be at the host's /etc meanwhile: podvisor is shown a copy of it.
    let etc = host.path("etc").display().to_string();
    let mount = format!("cp -a /etc '{etc}' && mount --bind '{etc}' /etc");
    assert!(Command::new("sh").args(["-c", &mount]).status().unwrap().success());
    let before = [census(&canary, true), census(Path::new("/etc"), true)];
    let mut trials = Vec::new();
    users(&mut trials);
    accounts(&mut trials, &secret);
    places(&mut trials);
    commands(&mut trials);
    entry_points(&mut trials);
    let mut wrong = Vec::new();
    for trial in &trials {
        wrong.extend(judge(&host, trial, &base));
        let after = [census(&canary, true), census(Path::new("/etc"), true)];
        if after != before {
            wrong.push(format!("{}: the host was touched", trial.name));
        }
    }
    assert!(Command::new("umount").arg("/etc").status().unwrap().success());
    println!("{} documents", trials.len());
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}
