//! One turn a row: what is, and what follows from it.

use super::*;

/// `(containers, policy, listing before, listing now, actions now, phase, state of the first)`.
/// Both turns are at the same time; the first shows what came before.
type Row =
    (&'static str, &'static str, &'static str, &'static str, &'static str, Phase, &'static str);

use Phase::{Failed, Pending, Running, Succeeded};

const ROWS: &[Row] = &[
    // A pod of one, from nothing.
    ("a", "Always", "", "", "+a0", Pending, "ContainerCreating"),
    ("a", "Always", "", "a0+", "", Running, "Running"),
    ("a", "Always", "", "a0-0", "+a1 ~a0", Running, "Completed"),
    ("a", "Always", "", "a0-1", "+a1 ~a0", Running, "Error"),
    ("a", "Always", "", "a0!", "+a1 ~a0", Running, "OOMKilled"),
    ("a", "OnFailure", "", "a0-0", "~a0", Succeeded, "Completed"),
    ("a", "OnFailure", "", "a0-1", "+a1 ~a0", Running, "Error"),
    ("a", "OnFailure", "", "a0!", "+a1 ~a0", Running, "OOMKilled"),
    ("a", "OnFailure", "", "a0-143", "+a1 ~a0", Running, "Error"),
    ("a", "Never", "", "a0-0", "~a0", Succeeded, "Completed"),
    ("a", "Never", "", "a0-1", "~a0", Failed, "Error"),
    ("a", "Never", "", "a0!", "~a0", Failed, "OOMKilled"),
    // The end was recorded, the record is gone.
    ("a", "Always", "a0-1", "", "+a1", Running, "Error"),
    ("a", "OnFailure", "a0-0", "", "S-", Succeeded, "Completed"),
    ("a", "Never", "a0-1", "", "S-", Failed, "Error"),
    // The end was recorded, the record is still there: not counted again.
    ("a", "Always", "a0-1", "a0-1", "+a1 ~a0", Running, "Error"),
    ("a", "Never", "a0-1", "a0-1", "~a0", Failed, "Error"),
    // A second end waits.
    ("a", "Always", "a0-1", "a1-1", "~a1", Running, "CrashLoopBackOff"),
    ("a", "Always", "a0-0", "a1-0", "~a1", Running, "CrashLoopBackOff"),
    ("a", "OnFailure", "a0-1", "a1-0", "~a1", Succeeded, "Completed"),
    ("a", "OnFailure", "a0-1", "a1-1", "~a1", Running, "CrashLoopBackOff"),
    ("a", "Always", "a0-1", "a1+", "", Running, "Running"),
    ("a", "Always", "a0-1", "a0-1 a1+", "~a0", Running, "Running"),
    // It was listed, and is gone without an end.
    ("a", "Always", "a0+", "", "+a1", Running, "ContainerStatusUnknown"),
    ("a", "OnFailure", "a0+", "", "+a1", Running, "ContainerStatusUnknown"),
    ("a", "Never", "a0+", "", "S-", Failed, "ContainerStatusUnknown"),
    // The memory is gone, the containers are not.
    ("a", "Always", "", "a7+", "", Running, "Running"),
    ("a", "Always", "", "a7-1", "+a8 ~a7", Running, "Error"),
    ("a", "Always", "", "a6+ a7+", "xa6", Running, "Running"),
    ("a", "Always", "", "a6-1 a7+", "~a6", Running, "Running"),
    // Two main containers: in order, one start at a time.
    ("a,b", "Always", "", "", "+a0", Pending, "ContainerCreating"),
    ("a,b", "Always", "", "a0+", "+b0", Pending, "Running"),
    ("a,b", "Always", "", "b0+", "+a0", Pending, "ContainerCreating"),
    ("a,b", "Always", "", "a0+ b0+", "", Running, "Running"),
    ("a,b", "Always", "a0+ b0+", "a0-1 b0+", "+a1 ~a0", Running, "Error"),
    ("a,b", "Always", "a0+ b0+", "a0+ b0-1", "+b1 ~b0", Running, "Running"),
    ("a,b", "Never", "", "a0-0 b0+", "~a0", Running, "Completed"),
    ("a,b", "Never", "", "a0-0 b0-0", "~a0 ~b0", Succeeded, "Completed"),
    ("a,b", "Never", "", "a0-0 b0-1", "~a0 ~b0", Failed, "Completed"),
    ("a,b", "Never", "", "a0-1 b0+", "~a0", Running, "Error"),
    ("a,b", "Never", "", "a0-1 b0-0", "~a0 ~b0", Failed, "Error"),
    ("a,b", "OnFailure", "", "a0-0 b0-1", "+b1 ~a0 ~b0", Running, "Completed"),
    ("a,b", "OnFailure", "a0-0 b0+", "b0-0", "~b0", Succeeded, "Completed"),
    ("a,b", "Always", "a0-1 b0-1", "a1-1 b1-1", "~a1 ~b1", Running, "CrashLoopBackOff"),
    ("a,b", "Always", "a0-1 b0+", "a1-1 b0-1", "+b1 ~a1 ~b0", Running, "CrashLoopBackOff"),
    // Init containers one by one.
    ("a|i", "Always", "", "", "+i0", Pending, "PodInitializing"),
    ("a|i", "Always", "", "i0+", "", Pending, "PodInitializing"),
    ("a|i", "Always", "i0+", "i0-0", "+a0 ~i0", Pending, "ContainerCreating"),
    ("a|i", "Always", "i0-0", "", "+a0", Pending, "ContainerCreating"),
    ("a|i", "Always", "i0-0", "a0+", "", Running, "Running"),
    ("a|i", "Always", "i0-0 a0+", "a0-1", "+a1 ~a0", Running, "Error"),
    ("a|i", "Always", "", "i0-1", "+i1 ~i0", Pending, "PodInitializing"),
    ("a|i", "OnFailure", "", "i0-1", "+i1 ~i0", Pending, "PodInitializing"),
    ("a|i", "Never", "", "i0-1", "~i0", Failed, "PodInitializing"),
    ("a|i", "Never", "", "i0!", "~i0", Failed, "PodInitializing"),
    ("a|i", "Never", "", "i0-0", "+a0 ~i0", Pending, "ContainerCreating"),
    ("a|i", "Always", "i0-1", "i1-1", "~i1", Pending, "PodInitializing"),
    ("a|i,j", "Always", "", "i0+", "", Pending, "PodInitializing"),
    ("a|i,j", "Always", "", "i0-0", "+j0 ~i0", Pending, "PodInitializing"),
    ("a|i,j", "Always", "i0-0", "j0+", "", Pending, "PodInitializing"),
    ("a|i,j", "Always", "i0-0 j0+", "j0-0", "+a0 ~j0", Pending, "ContainerCreating"),
    ("a|i,j", "Always", "i0-0", "j0-1", "+j1 ~j0", Pending, "PodInitializing"),
    ("a|i,j", "Never", "i0-0", "j0-1", "~j0", Failed, "PodInitializing"),
    // A main container runs: init containers do not, whatever the memory says.
    ("a|i", "Always", "", "a0+", "", Running, "Running"),
    ("a|i,s*", "Always", "", "a0+", "+s0", Running, "Running"),
    // Sidecars.
    ("a|s*", "Always", "", "", "+s0", Pending, "PodInitializing"),
    ("a|s*", "Always", "", "s0+", "+a0", Pending, "ContainerCreating"),
    ("a|s*", "Always", "s0+", "s0+ a0+", "", Running, "Running"),
    ("a|s*", "Always", "s0+ a0+", "s0-1 a0+", "+s1 ~s0", Running, "Running"),
    ("a|s*", "Never", "s0+ a0+", "s0-0 a0+", "+s1 ~s0", Running, "Running"),
    ("a|s*", "Never", "s0+ a0+", "s0+ a0-0", ".s0 ~a0", Running, "Completed"),
    ("a|s*", "Never", "s0+ a0-0", "s0-143", "~s0", Succeeded, "Completed"),
    ("a|s*", "Never", "s0+ a0-1", "s0-0", "~s0", Failed, "Error"),
    ("a|s*", "Never", "s0+ a0-0", "", "S-", Succeeded, "Completed"),
    ("a|s*", "Always", "s0+ a0+", "s0+ a0-0", "+a1 ~a0", Running, "Completed"),
    ("a|s*,i", "Always", "", "s0+", "+i0", Pending, "PodInitializing"),
    ("a|s*,i", "Always", "s0+", "s0+ i0-0", "+a0 ~i0", Pending, "ContainerCreating"),
    ("a|s*,i", "Always", "s0+ i0+", "s0-1 i0+", "+s1 ~s0", Pending, "PodInitializing"),
    ("a|s*,i", "Never", "s0+ i0+", "s0+ i0-1", ".s0 ~i0", Pending, "PodInitializing"),
    ("a|s*,i", "Never", "s0+ i0-1", "s0-143", "~s0", Failed, "PodInitializing"),
    ("a|s*,t*", "Never", "s0+ t0+ a0+", "s0+ t0+ a0-0", ".t0 ~a0", Running, "Completed"),
    ("a|s*,t*", "Never", "s0+ t0+ a0-0", "s0+ t0-0", ".s0 ~t0", Running, "Completed"),
    // Containers the spec does not know.
    ("a", "Always", "", "a0+ z0+", ".z0", Running, "Running"),
    ("a", "Always", "", "a0+ z0-1", "~z0", Running, "Running"),
];

#[test]
fn one_turn() {
    for (containers, policy, before, now, actions, phase, state) in ROWS {
        let mut wanted = spec(containers);
        wanted["restartPolicy"] = (*policy).into();
        let mut life = Life::new(wanted);
        let row = format!("{containers} {policy}: {before:?} then {now:?}");
        if !before.is_empty() {
            life.turn(before);
        }
        assert_eq!(life.turn(now), *actions, "{row}");
        assert_eq!(life.phase(), *phase, "{row}");
        let first = life.pod.spec.containers[0].name.clone();
        assert_eq!(life.state(&first), *state, "{row}");
        assert!(!life.decision().finished, "{row}");
    }
}

/// `(containers, sandbox, listing before, listing now, actions)`.
const SANDBOX: &[(&str, &str, &str, &str, &str)] = &[
    ("a", "absent", "", "", "S+"),
    ("a", "broken", "", "", "S-"),
    ("a", "broken", "a0+", "a0+", ".a0"),
    ("a", "broken", "a0+", "", "S-"),
    ("a", "broken", "a0+", "a0-1", "S- ~a0"),
    ("a", "absent", "a0+", "", "S+"),
    ("a|s*", "broken", "s0+ a0+", "s0+ a0+", ".a0"),
    ("a|s*", "broken", "s0+ a0+", "s0+", ".s0"),
];

#[test]
fn one_turn_without_a_sandbox() {
    for (containers, sandbox, before, now, actions) in SANDBOX {
        let mut life = Life::new(spec(containers));
        if !before.is_empty() {
            life.turn(before);
        }
        life.sandbox = match *sandbox {
            "absent" => SandboxState::Absent,
            _ => SandboxState::Broken { reason: "gone".to_owned() },
        };
        assert_eq!(life.turn(now), *actions, "{containers} {sandbox} {before:?} {now:?}");
    }
}

/// `(containers, listing, sandbox there, actions, finished)` of a pod that is deleted.
const DELETED: &[(&str, &str, bool, &str, bool)] = &[
    ("a", "", false, "", true),
    ("a", "", true, "S-", false),
    ("a", "a0+", true, ".a0", false),
    ("a", "a0-0", true, "~a0", false),
    ("a", "a0-1", false, "~a0", false),
    ("a,b", "a0+ b0+", true, ".a0 .b0", false),
    ("a,b", "a0-0 b0+", true, ".b0 ~a0", false),
    ("a|i", "i0+", true, ".i0", false),
    ("a|s*", "s0+ a0+", true, ".a0", false),
    ("a|s*", "s0+", true, ".s0", false),
    ("a|s*,i", "s0+ i0+", true, ".i0", false),
    ("a|s*,t*", "s0+ t0+ a0+", true, ".a0", false),
    ("a|s*,t*", "s0+ t0+", true, ".t0", false),
    ("a|s*,t*", "s0+ t0-0", true, ".s0 ~t0", false),
    ("a", "a0+ z0+", true, ".a0 .z0", false),
];

#[test]
fn one_turn_of_a_deleted_pod() {
    for (containers, listing, sandbox, actions, finished) in DELETED {
        let mut life = Life::new(spec(containers));
        if !sandbox {
            life.sandbox = SandboxState::Absent;
        }
        request_delete(&mut life.memory, None, life.now);
        assert_eq!(life.turn(listing), *actions, "{containers} {listing:?}");
        assert_eq!(life.decision().finished, *finished, "{containers} {listing:?}");
    }
}

/// `(containers, listing, in flight, actions)`: what is in flight is not handed out again, and
/// holds back what must wait for it.
const IN_FLIGHT: &[(&str, &str, &str, &str)] = &[
    ("a", "", "+a0", ""),
    ("a,b", "", "+a0", ""),
    ("a,b", "a0+", "+b0", ""),
    ("a|i", "", "+i0", ""),
    ("a|s*", "s0+", "+a0", ""),
    ("a|s*", "a0+", "+s0", ""),
    ("a", "a0-1", "~a0", "+a1"),
    ("a", "a0-1", "+a1 ~a0", ""),
    ("a", "a0-1", "+a1", "~a0"),
];

#[test]
fn one_turn_with_actions_in_flight() {
    for (containers, listing, flying, actions) in IN_FLIGHT {
        let mut life = Life::new(spec(containers));
        life.in_flight = flying.split_whitespace().map(parse_action).collect();
        assert_eq!(life.turn(listing), *actions, "{containers} {listing:?} {flying}");
    }
}

/// `(now, stop, signalled at, killed at, action)`: decided at 10 s, deadline at 40 s.
const STOPS: &[(Millis, Option<Millis>, Option<Millis>, &str)] = &[
    (10_000, None, None, ".a0"),
    (39_999, None, None, ".a0"),
    (40_000, None, None, ".a0"),
    (49_999, None, None, ".a0"),
    (50_000, None, None, "xa0"),
    (10_000, Some(10_000), None, ""),
    (39_999, Some(10_000), None, ""),
    (40_000, Some(10_000), None, "xa0"),
    (40_000, Some(39_000), None, ""),
    (41_000, Some(39_000), None, "xa0"),
    (40_001, Some(10_000), Some(40_000), ""),
    (45_000, Some(10_000), Some(40_000), "xa0"),
];

#[test]
fn one_turn_of_a_stop() {
    for (now, signalled_at, killed_at, action) in STOPS {
        let mut life = Life::new(spec("a"));
        life.turn("a0+");
        let memory = life.memory.containers.get_mut("a").expect("memory");
        let told = stop(0, StopCause::Replaced, 10_000, 40_000);
        memory.stop = Some(Stop { signalled_at: *signalled_at, killed_at: *killed_at, ..told });
        let row = format!("{now} {signalled_at:?} {killed_at:?}");
        assert_eq!(life.at(*now, "a0+"), *action, "{row}");
        assert!(life.wake().is_some() || action.starts_with('x'), "{row}");
    }
}
