//! The monitor is killed and a new one takes over.

use std::fs;

use monitor::Identity;
use monitor::protocol::{RecordState, Request, Response};

use crate::pod::{Pod, wait_for};

#[test]
fn containers_survive_their_monitor_and_are_adopted() {
    let Some(scope) = scope::enter("adoption::containers_survive_their_monitor_and_are_adopted")
    else {
        return;
    };
    let mut pod = Pod::start(scope.folder());
    let script = "i=0; while [ ! -e /tmp/stop ]; do i=$((i+1)); echo $i; sleep 0.02; done; \
                  echo end; exit 12";
    let id = pod.run("web", script);
    let ended = pod.run("ended", "exit 5");
    pod.wait_exit(&ended);
    pod.wait_log("web", "stdout 5");
    let before = pod.record(&id);
    pod.replace_monitor();
    let after = pod.record(&id);
    assert_eq!((after.pid, after.start_time), (before.pid, before.start_time));
    assert_eq!(after.state, RecordState::Running);
    match pod.record(&ended).state {
        RecordState::Exited(exit) => assert_eq!(exit.code, 5),
        other => panic!("{other:?}"),
    }
    let identity: Identity = monitor::record::read(&pod.dir.join("monitor.json")).unwrap().unwrap();
    assert_eq!(identity.pid, i32::try_from(pod.monitor.id()).unwrap());
    let log = pod.log("web").len();
    wait_for("more output", || pod.log("web").len() > log + 5);
    // A new member joins the namespaces of the old one.
    let same = pod.run("late", "readlink /proc/self/ns/net; hostname");
    assert_eq!(pod.wait_exit(&same).code, 0);
    let net = fs::read_link(format!("/proc/{}/ns/net", before.pid)).unwrap();
    assert_eq!(pod.log("late")[0], format!("stdout {}", net.display()));
    fs::write(scope.folder().join("rootfs/tmp/stop"), "").unwrap();
    let exit = pod.wait_exit(&id);
    assert!(exit.code == 12 || exit.message.is_some(), "{exit:?}");
    let log = pod.log("web");
    assert_eq!(log.last().unwrap(), "stdout end");
    let numbers = log.iter().filter_map(|line| line.strip_prefix("stdout ")?.parse::<u32>().ok());
    let numbers: Vec<u32> = numbers.collect();
    let lost = numbers.windows(2).filter(|pair| pair[1] != pair[0] + 1).count();
    assert!(lost <= 1, "at most what was being written is lost: {numbers:?}");
    pod.end();
}

#[test]
fn an_end_that_nobody_saw_is_told_as_unknown() {
    let Some(scope) = scope::enter("adoption::an_end_that_nobody_saw_is_told_as_unknown") else {
        return;
    };
    let mut pod = Pod::start(scope.folder());
    let id = pod.run("web", "sleep 100");
    let pid = pod.record(&id).pid;
    pod.monitor.kill().unwrap();
    pod.monitor.wait().unwrap();
    assert!(std::process::Command::new("kill").args(["-9", &pid.to_string()]).status().is_ok());
    wait_for("its end", || !fs::exists(format!("/proc/{pid}")).unwrap());
    pod.monitor = crate::pod::spawn_monitor(&pod.dir);
    pod.client = pod.connect();
    let exit = pod.wait_exit(&id);
    assert_eq!(exit.code, 137);
    assert!(exit.message.unwrap().starts_with("ContainerStatusUnknown"));
    assert_eq!(pod.ask(&Request::Remove { id }), Response::Ok);
    pod.end();
}

#[test]
fn a_start_that_was_cut_short_is_cleaned_up() {
    let Some(scope) = scope::enter("adoption::a_start_that_was_cut_short_is_cleaned_up") else {
        return;
    };
    let mut pod = Pod::start(scope.folder());
    let id = pod.run("web", "sleep 100");
    // As if the monitor had died between the start and the second member record.
    let path = monitor::record::member_path(&pod.dir, &id);
    let mut member: monitor::record::Member = monitor::record::read(&path).unwrap().unwrap();
    let pid = member.pid;
    (member.pid, member.start_time) = (0, 0);
    monitor::record::write(&path, &member).unwrap();
    let mut never = member.clone();
    never.request.id = "u1.never.0".into();
    never.request.name = "never".into();
    let never_path = monitor::record::member_path(&pod.dir, "u1.never.0");
    monitor::record::write(&never_path, &never).unwrap();
    fs::write(monitor::record::member_path(&pod.dir, "u1.torn.0"), "{").unwrap();
    pod.replace_monitor();
    assert_eq!(pod.record(&id).pid, pid);
    assert_eq!(pod.list().len(), 1);
    assert!(!never_path.exists());
    pod.end();
}

#[test]
fn the_shared_pid_1_outlives_the_monitor() {
    let Some(scope) = scope::enter("adoption::the_shared_pid_1_outlives_the_monitor") else {
        return;
    };
    let mut pod = Pod::start_with(scope.folder(), |config| config.share_process_namespace = true);
    let read = |pod: &Pod| -> Identity {
        monitor::record::read(&pod.dir.join("monitor.json")).unwrap().unwrap()
    };
    let before = read(&pod).pid1.unwrap();
    let id = pod.run("web", "sleep 100");
    pod.replace_monitor();
    assert_eq!(read(&pod).pid1, Some(before));
    assert_eq!(pod.record(&id).state, RecordState::Running);
    let side = pod.run("side", "cat /proc/1/comm");
    pod.wait_exit(&side);
    assert_eq!(pod.log("side"), ["stdout pod-init"]);
    pod.end();
}
