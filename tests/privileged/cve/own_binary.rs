//! The runtime's own program, seen from a container.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::json;

/// A process of the container, root with CAP_SYS_PTRACE, takes hold of the program that `exec`
/// comes in as, and writes to it as soon as nobody executes it any more: it is the child's own, in
/// memory, never the runtime's file.
/// Red when the clone of `child::depart` works in the parent's program, without an execve.
#[test]
fn cve_2019_5736_the_own_program_is_not_overwritten() {
    let Some((trial, bundle)) =
        trial!(cve_2019_5736_the_own_program_is_not_overwritten, "/grab", "/result")
    else {
        return;
    };
    let trial = trial.with_own_copy();
    let original = fs::read(trial.program()).expect("program");
    fs::copy(trial.tool("grab"), trial.path("b/rootfs/grab")).expect("grab");
    let script = trial.path("b/rootfs/script");
    fs::write(&script, "#!/proc/self/exe\n").expect("script");
    fs::set_permissions(script, fs::Permissions::from_mode(0o755)).expect("chmod");
    trial.change(|config| {
        config["root"]["readonly"] = json!(false);
        let all = json!(["CAP_SYS_PTRACE", "CAP_DAC_OVERRIDE", "CAP_SYS_ADMIN"]);
        for set in ["bounding", "effective", "permitted"] {
            config["process"]["capabilities"][set] = all.clone();
        }
    });
    let result = trial.path("b/rootfs/result");
    trial.oci(&["run", "-d", "--bundle", &bundle, "c"]).ok();
    for command in ["/script", "/proc/self/exe", "/bin/true"].iter().cycle().take(150) {
        if result.exists() {
            break;
        }
        trial.oci(&["exec", "c", command]);
    }
    trial.wait_for("the attacker's result", || {
        fs::read_to_string(&result).is_ok_and(|text| !text.is_empty())
    });
    let text = fs::read_to_string(&result).expect("result");
    assert!(fs::read(trial.program()).expect("program") == original, "the program has changed");
    let (size, done) = text.split_once(' ').expect("a size and words");
    assert!(size.parse::<usize>().expect("size") < original.len() / 10, "{text}");
    assert!(["overwrote", "text file busy to the end"].contains(&done), "{text}");
    trial.oci(&["delete", "--force", "c"]).ok();
}
