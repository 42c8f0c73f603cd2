//! A container tells that it is ready, and the caller's service manager hears it: sd_notify(3). The
//! test is the manager, and says the container's words through its root.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::thread;

use crate::trial::{Trial, WITHIN};

/// A manager's socket at a path of the scope, and the trial whose verbs know it.
fn managed(test: &str, args: &[&str]) -> Option<(Trial, UnixDatagram)> {
    let trial = Trial::new(scope::enter(test)?, args).with_manager("manager");
    let manager = UnixDatagram::bind(trial.path("manager")).expect("bind");
    manager.set_read_timeout(Some(WITHIN / 2)).expect("time-out");
    Some((trial, manager))
}

fn next(manager: &UnixDatagram) -> String {
    let mut message = [0; 256];
    let length = manager.recv(&mut message).expect("a message");
    String::from_utf8_lossy(&message[..length]).into_owned()
}

/// The container's first process, once its pid is written.
fn pid(trial: &Trial) -> String {
    let read = || fs::read_to_string(trial.path("pid"));
    trial.wait_for("a pid", || read().is_ok());
    read().expect("read")
}

/// Says it where the container would.
fn say(trial: &Trial, pid: &str, words: &[&str]) -> std::io::Result<()> {
    let place = trial.path("manager/notify");
    let path = format!("/proc/{pid}/root{}", place.display());
    let socket = UnixDatagram::unbound().expect("socket");
    words.iter().try_for_each(|word| socket.send_to(word.as_bytes(), &path).map(drop))
}

/// Red when `foreground::wait` does not look at the socket.
#[test]
fn who_stays_passes_it_on() {
    let name = "readiness::who_stays_passes_it_on";
    let Some((trial, manager)) = managed(name, &["sleep", "100"]) else { return };
    let before = trial.traces();
    thread::scope(|threads| {
        let run =
            threads.spawn(|| trial.oci(&["run", "--bundle", "AT/b", "--pid-file", "AT/pid", "c"]));
        let pid = pid(&trial);
        say(&trial, &pid, &["STATUS=half\nREADY=0", "STATUS=up\nREADY=1"]).expect("say");
        assert_eq!(next(&manager), "READY=1");
        // Nobody may be there any more.
        let _ = say(&trial, &pid, &["READY=1"]);
        manager.set_nonblocking(true).expect("non-blocking");
        assert!(manager.recv(&mut [0; 8]).is_err(), "told once");
        trial.oci(&["kill", "c", "KILL"]).ok();
        assert_eq!(run.join().expect("run").code, 137);
    });
    trial.clean(&before, "a container that told that it is ready");
}

/// Red when `start` and `run --detach` do not wait for it, and when what is put into the folder
/// keeps it from being removed.
#[test]
fn who_leaves_waits_for_it_and_names_the_process() {
    let name = "readiness::who_leaves_waits_for_it_and_names_the_process";
    let Some((trial, manager)) = managed(name, &["sleep", "100"]) else { return };
    let before = trial.traces();
    for verbs in [&["create", "start"][..], &["run"]] {
        let first = [verbs[0], "--bundle", "AT/b", "--pid-file", "AT/pid", "c", "--detach"];
        let first = &first[..if verbs.len() == 1 { 7 } else { 6 }];
        if verbs.len() > 1 {
            trial.oci(first).ok();
        }
        let last = if verbs.len() > 1 { &["start", "c"][..] } else { first };
        thread::scope(|threads| {
            let started = threads.spawn(|| trial.oci(last));
            let pid = pid(&trial);
            let socket = trial.path("state/c/notify/notify");
            trial.wait_for("a socket", || socket.exists());
            say(&trial, &pid, &["READY=0"]).expect("say");
            assert!(!started.is_finished(), "{last:?} does not wait");
            say(&trial, &pid, &["READY=1"]).expect("say");
            assert_eq!(next(&manager), format!("MAINPID={pid}\nREADY=1"));
            assert!(!started.is_finished(), "{last:?} is gone before it was heard");
            assert_eq!(next(&manager), "BARRIER=1");
            started.join().expect("start").ok();
        });
        fs::write(trial.path("state/c/notify/more"), "").expect("write");
        trial.oci(&["delete", "--force", "c"]).ok();
        fs::remove_file(trial.path("pid")).expect("remove");
        trial.clean(&before, "a container that told that it is ready");
    }
}

/// Red when `readiness::wait` does not look at the process.
#[test]
fn an_end_without_it_ends_the_wait() {
    let name = "readiness::an_end_without_it_ends_the_wait";
    let Some((trial, _manager)) = managed(name, &["true"]) else { return };
    let before = trial.traces();
    trial.oci(&["run", "--bundle", "AT/b", "--detach", "c"]).ok();
    trial.oci(&["delete", "c"]).ok();
    trial.clean(&before, "a container that told nothing");
}
