//! Longer stories: several turns of one pod.

use super::*;

#[test]
fn back_off_doubles_to_its_maximum_and_counts_from_the_finish() {
    let mut life = Life::new(spec("a"));
    let waits = [0, 10, 20, 40, 80, 160, 300, 300];
    let mut now = 1_000;
    for (attempt, wait) in waits.iter().enumerate() {
        assert!(life.at(now, &format!("a{attempt}-1")).contains(&format!("~a{attempt}")));
        let at = now + wait * 1000;
        if *wait > 0 {
            assert_eq!(life.wake(), Some(at), "after {attempt}");
            assert_eq!(life.at(at - 1, ""), "", "after {attempt}");
            assert_eq!(life.state("a"), "CrashLoopBackOff");
        }
        assert_eq!(life.at(at, ""), format!("+a{}", attempt + 1), "after {attempt}");
        // Runs of this table are short: listed() starts them at SINCE.
        now = at.min(SINCE + 500_000);
    }
}

#[test]
fn a_long_run_forgets_the_back_off() {
    let mut life = Life::new(spec("a"));
    life.at(2_000, "a0-1");
    life.at(2_000, "a1-1");
    assert_eq!(life.at(2_000, ""), "");
    let after = SINCE + 600_001;
    assert_eq!(life.at(after, "a2-1"), "+a3 ~a2");
    assert_eq!(life.memory.containers["a"].crashes, 1);
}

#[test]
fn back_off_is_settable_by_annotation() {
    let mut life = Life::new(spec("a"));
    for (key, value) in [
        (crate::backoff::INITIAL, "1s"),
        (crate::backoff::FACTOR, "3"),
        (crate::backoff::MAXIMUM, "5s"),
    ] {
        life.pod.metadata.annotations.insert(key.to_owned(), value.to_owned());
    }
    life.at(2_000, "a0-1");
    for (attempt, wait) in [(1, 1_000), (2, 3_000), (3, 5_000)] {
        life.at(2_000, &format!("a{attempt}-1"));
        assert_eq!(life.wake(), Some(2_000 + wait));
    }
}

#[test]
fn a_clean_exit_under_always_says_what_would_help() {
    let mut life = Life::new(spec("a"));
    life.turn("a0-0");
    life.turn("a1-0");
    let ContainerState::Waiting { reason, message } = &life.decision().status.containers[0].state
    else {
        panic!("not waiting")
    };
    assert_eq!(reason, "CrashLoopBackOff");
    assert!(message.as_deref().is_some_and(|text| text.contains("OnFailure")), "{message:?}");
}

#[test]
fn a_missing_image_is_tried_again_and_at_once_when_loaded() {
    let mut life = Life::new(spec("a"));
    assert_eq!(life.turn(""), "+a0");
    life.fails("+a0", Reason::ErrImageNeverPull);
    assert_eq!(life.turn(""), "");
    assert_eq!((life.state("a").as_str(), life.wake()), ("ErrImageNeverPull", Some(11_000)));
    assert_eq!(life.at(11_000, ""), "+a0");
    life.fails("+a0", Reason::ErrImageNeverPull);
    life.turn("");
    assert_eq!(life.wake(), Some(31_000));
    life.memory.image_arrived();
    assert_eq!(life.turn(""), "+a0");
}

#[test]
fn a_failed_pull_backs_off_by_name() {
    let mut life = Life::new(spec("a"));
    life.fails("+a0", Reason::ErrImagePull);
    life.turn("");
    assert_eq!(life.state("a"), "ErrImagePull");
    life.fails("+a0", Reason::ErrImagePull);
    life.turn("");
    assert_eq!(life.state("a"), "ImagePullBackOff");
}

#[test]
fn a_start_error_is_an_ended_attempt() {
    let mut life = Life::new(spec("a"));
    life.turn("");
    life.fails("+a0", Reason::RunContainerError);
    assert_eq!(life.turn(""), "+a1");
    life.fails("+a1", Reason::StartError);
    assert_eq!(life.turn(""), "");
    let status = &life.decision().status.containers[0];
    assert_eq!(status.restart_count, 1);
    let last = status.last_state.as_ref().expect("last");
    assert_eq!((last.code, last.reason.as_str()), (128, "StartError"));
    let mut never = spec("a");
    never["restartPolicy"] = "Never".into();
    let mut life = Life::new(never);
    life.turn("");
    life.fails("+a0", Reason::StartError);
    assert_eq!(life.turn(""), "S-");
    assert_eq!((life.phase(), life.state("a").as_str()), (Phase::Failed, "StartError"));
}

#[test]
fn late_and_repeated_outcomes_are_dropped() {
    let mut life = Life::new(spec("a"));
    life.turn("a0-1");
    life.turn("a1+");
    let before = life.memory.clone();
    life.fails("+a0", Reason::StartError);
    life.fails("+a1", Reason::StartError);
    life.probed("?La0", false);
    life.ok(".a0");
    assert_eq!(life.memory, before);
}

#[test]
fn a_sandbox_that_cannot_be_made_backs_off() {
    let mut life = Life::new(spec("a"));
    life.sandbox = SandboxState::Absent;
    assert_eq!(life.turn(""), "S+");
    life.fails("S+", Reason::CreatePodSandboxError);
    assert_eq!(life.turn(""), "");
    assert_eq!((life.state("a").as_str(), life.wake()), ("CreatePodSandboxError", Some(11_000)));
    assert_eq!(life.at(11_000, ""), "S+");
    life.sandbox = SandboxState::Ready { ip: None };
    assert_eq!(life.turn(""), "+a0");
}

#[test]
fn a_new_sandbox_runs_init_containers_again() {
    let mut life = Life::new(spec("a|i"));
    life.turn("i0-0");
    life.turn("a0+");
    life.sandbox = SandboxState::Absent;
    assert_eq!(life.turn(""), "S+");
    life.sandbox = SandboxState::Ready { ip: None };
    assert_eq!(life.turn(""), "+i1");
    assert_eq!(life.phase(), Phase::Running);
    assert_eq!(life.turn("i1-0"), "+a1 ~i1");
}

#[test]
fn a_pod_that_never_restarts_gets_no_second_sandbox() {
    let mut never = spec("a");
    never["restartPolicy"] = "Never".into();
    let mut life = Life::new(never);
    life.turn("a0+");
    life.sandbox = SandboxState::Absent;
    assert_eq!(life.turn(""), "");
    assert_eq!((life.phase(), life.state("a").as_str()), (Phase::Failed, "ContainerStatusUnknown"));
}

fn with_probe(kind: &str, extra: Value) -> Life {
    let mut wanted = spec("a");
    let mut probe = json!({ "tcpSocket": { "port": 1 }, "initialDelaySeconds": 5 });
    for (key, value) in extra.as_object().expect("object") {
        probe[key] = value.clone();
    }
    wanted["containers"][0][kind] = probe;
    Life::new(wanted)
}

#[test]
fn probes_come_after_the_delay_and_then_each_period() {
    let mut life = with_probe("readinessProbe", json!({}));
    assert_eq!(life.at(SINCE, "a0+"), "");
    assert_eq!(life.wake(), Some(6_000));
    assert_eq!(life.at(6_000, "a0+"), "?Ra0");
    life.in_flight.insert(parse_action("?Ra0"));
    assert_eq!(life.at(17_000, "a0+"), "", "an attempt is under way");
    life.in_flight.clear();
    life.probed("?Ra0", true);
    assert_eq!(life.at(17_000, "a0+"), "?Ra0");
    assert_eq!(life.wake(), Some(27_000));
}

#[test]
fn readiness_turns_by_thresholds() {
    let thresholds = json!({ "successThreshold": 2, "failureThreshold": 2 });
    let mut life = with_probe("readinessProbe", thresholds);
    life.at(6_000, "a0+");
    let mut ready = Vec::new();
    for success in [true, false, true, true, false, true, false, false] {
        life.probed("?Ra0", success);
        life.turn("a0+");
        ready.push(life.decision().status.is_ready());
    }
    assert_eq!(ready, [false, false, false, true, true, true, true, false]);
    let why = life.decision().status.condition("Ready").expect("Ready").message.clone();
    assert_eq!(why.as_deref(), Some("containers with unready status: [a]"));
}

#[test]
fn a_failed_liveness_probe_restarts_the_container() {
    for (policy, code, restarted) in
        [("Always", 0, true), ("OnFailure", 0, true), ("OnFailure", 143, true), ("Never", 0, false)]
    {
        let grace = json!({ "failureThreshold": 2, "terminationGracePeriodSeconds": 3 });
        let mut life = with_probe("livenessProbe", grace);
        life.pod.spec.restart_policy = serde_json::from_value(policy.into()).expect("policy");
        assert_eq!(life.at(6_000, "a0+"), "?La0");
        life.probed("?La0", false);
        assert_eq!(life.turn("a0+"), "");
        life.probed("?La0", false);
        assert_eq!(life.turn("a0+"), ".a0");
        life.ok(".a0");
        assert_eq!(life.turn("a0+"), "");
        assert_eq!(life.wake(), Some(9_000));
        assert_eq!(life.at(9_000, "a0+"), "xa0");
        let actions = life.turn(&format!("a0-{code}"));
        assert_eq!(actions.contains("+a1"), restarted, "{policy} {code}: {actions}");
    }
}

#[test]
fn startup_gates_the_others_and_stops_after_success() {
    let mut wanted = spec("a");
    for kind in ["startupProbe", "livenessProbe", "readinessProbe"] {
        wanted["containers"][0][kind] = json!({ "tcpSocket": { "port": 1 } });
    }
    let mut life = Life::new(wanted);
    assert_eq!(life.turn("a0+"), "?Sa0");
    assert!(!life.decision().status.containers[0].started);
    life.probed("?Sa0", true);
    assert_eq!(life.turn("a0+"), "?La0 ?Ra0");
    assert!(life.decision().status.containers[0].started);
    assert_eq!(life.at(30_000, "a0+"), "?La0 ?Ra0");
    life.turn("a0-1");
    assert_eq!(life.turn("a1+"), "?Sa1", "a new attempt starts over");
}

#[test]
fn a_failed_startup_probe_restarts_the_container() {
    let mut life = with_probe("startupProbe", json!({ "failureThreshold": 1 }));
    life.at(6_000, "a0+");
    life.probed("?Sa0", false);
    assert_eq!(life.turn("a0+"), ".a0");
    assert_eq!(life.turn("a0-143"), "+a1 ~a0");
}

#[test]
fn a_sidecar_holds_back_what_comes_after_until_started() {
    let mut wanted = spec("a|s*");
    wanted["initContainers"][0]["startupProbe"] = json!({ "tcpSocket": { "port": 1 } });
    let mut life = Life::new(wanted);
    assert_eq!(life.turn("s0+"), "?Ss0");
    life.probed("?Ss0", true);
    assert_eq!(life.turn("s0+"), "+a0");
}

#[test]
fn a_deleted_pod_is_asked_for_readiness_only() {
    let mut wanted = spec("a");
    for kind in ["livenessProbe", "readinessProbe"] {
        wanted["containers"][0][kind] = json!({ "tcpSocket": { "port": 1 } });
    }
    let mut life = Life::new(wanted);
    request_delete(&mut life.memory, None, life.now);
    assert_eq!(life.turn("a0+"), ".a0 ?Ra0");
}

#[test]
fn a_deletion_goes_through_signal_kill_removal() {
    let mut life = Life::new(spec("a|s*"));
    life.turn("s0+ a0+");
    request_delete(&mut life.memory, Some(5_000), life.now);
    assert_eq!(life.turn("s0+ a0+"), ".a0");
    life.ok(".a0");
    assert_eq!(life.turn("s0+ a0+"), "");
    assert_eq!(life.wake(), Some(6_000));
    assert_eq!(life.at(6_000, "s0+ a0+"), "xa0");
    assert_eq!(life.turn("s0+ a0-137"), ".s0 ~a0", "the sidecar comes last");
    life.ok(".s0");
    assert_eq!(life.at(7_999, "s0+"), "", "even without grace it gets two seconds");
    assert_eq!(life.at(8_000, "s0+"), "xs0");
    assert_eq!(life.turn("s0-137"), "~s0");
    assert_eq!(life.turn(""), "S-");
    life.in_flight.insert(Action::RemoveSandbox);
    life.sandbox = SandboxState::Absent;
    life.turn("");
    assert!(!life.decision().finished, "its completion has not come");
    life.in_flight.clear();
    life.turn("");
    assert!(life.decision().finished);
}

#[test]
fn a_later_deletion_only_shortens() {
    let mut memory = PodMemory::default();
    request_delete(&mut memory, Some(30_000), 1_000);
    request_delete(&mut memory, Some(60_000), 2_000);
    assert_eq!(memory.deletion.as_ref().and_then(|d| d.deadline), Some(31_000));
    request_delete(&mut memory, Some(1_000), 3_000);
    assert_eq!(memory.deletion.as_ref().and_then(|d| d.deadline), Some(4_000));
}

#[test]
fn a_start_in_flight_is_awaited_by_a_deletion() {
    let mut life = Life::new(spec("a"));
    life.in_flight.insert(parse_action("+a0"));
    request_delete(&mut life.memory, None, life.now);
    assert_eq!(life.turn(""), "");
    life.in_flight.clear();
    assert_eq!(life.turn("a0+"), ".a0");
}

#[test]
fn the_active_deadline_ends_the_pod() {
    let mut wanted = spec("a");
    wanted["activeDeadlineSeconds"] = 10.into();
    let mut life = Life::new(wanted);
    assert_eq!(life.turn("a0+"), "");
    assert_eq!(life.wake(), Some(11_000));
    assert_eq!(life.at(11_000, "a0+"), ".a0");
    assert_eq!(life.phase(), Phase::Running);
    assert_eq!(life.turn("a0-143"), "~a0");
    let status = &life.decision().status;
    assert_eq!((status.phase, status.reason.as_deref()), (Phase::Failed, Some("DeadlineExceeded")));
}

#[test]
fn a_changed_definition_restarts_at_once() {
    let mut life = Life::new(spec("a"));
    life.turn("a0+");
    life.pod.spec.containers[0].image = "i:2".to_owned();
    assert_eq!(life.turn("a0+"), ".a0");
    life.turn("a0-1");
    assert_eq!(life.turn(""), "+a1");
    assert_eq!(life.memory.containers["a"].crashes, 0);
}

#[test]
fn a_failed_removal_waits() {
    let mut life = Life::new(spec("a"));
    assert_eq!(life.turn("a0-1"), "+a1 ~a0");
    life.fails("~a0", Reason::KillContainerError);
    assert_eq!(life.turn("a0-1 a1+"), "");
    assert_eq!(life.at(6_000, "a0-1 a1+"), "~a0");
}

#[test]
fn a_reboot_ends_everything_and_waits_for_nothing() {
    let mut life = Life::new(spec("a"));
    life.at(900_000, "a0-1");
    life.at(900_000, "a1+");
    life.memory.after_reboot(500);
    life.sandbox = SandboxState::Absent;
    assert_eq!(life.at(500, ""), "S+");
    life.sandbox = SandboxState::Ready { ip: None };
    assert_eq!(life.turn(""), "+a2");
}

#[test]
fn memory_survives_its_stored_form() {
    let mut life = with_probe("livenessProbe", json!({}));
    life.at(6_000, "a0+");
    life.probed("?La0", false);
    request_delete(&mut life.memory, None, 6_000);
    life.turn("a0+");
    let stored = serde_json::to_string(&life.memory).expect("json");
    let read: PodMemory = serde_json::from_str(&stored).expect("memory");
    assert_eq!(read, life.memory);
}

#[test]
fn conditions_keep_the_time_of_their_turn() {
    let mut life = Life::new(spec("a"));
    life.at(1_000, "");
    life.at(2_000, "a0+");
    life.at(9_000, "a0+");
    assert_eq!(life.decision().status.ready_since(), Some(2_000));
}

#[test]
fn the_status_has_the_shape_of_kubernetes() {
    let mut life = Life::new(spec("a"));
    life.at(2_000, "a0-3");
    life.at(2_000, "a1+");
    let facts = status::StatusFacts {
        wall_offset_ms: 1_700_000_000_000,
        uid: "u".to_owned(),
        pod_ip: Some([10, 77, 0, 2].into()),
        ..Default::default()
    };
    let out = status::pod_status_json(&life.decision().status, &facts);
    assert_eq!(out["phase"], "Running");
    assert_eq!(out["podIPs"], json!([{ "ip": "10.77.0.2" }]));
    let a = &out["containerStatuses"][0];
    assert_eq!(a["state"]["running"]["startedAt"], "2023-11-14T22:13:21Z");
    assert_eq!(a["lastState"]["terminated"]["exitCode"], 3);
    assert_eq!((&a["restartCount"], &a["containerID"]), (&json!(1), &json!("podvisor://u.a.1")));
    assert_eq!(out["conditions"][2]["type"], "Ready");
    assert_eq!(out["qosClass"], "BestEffort");
}
