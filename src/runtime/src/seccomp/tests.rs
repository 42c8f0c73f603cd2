//! Compiled programs against a plain evaluation of the profile, instruction by instruction.

use fuzz::Dice;
use oci::runtime::LinuxSeccomp;
use serde_json::{Value, json};

use super::abi::{Abi, X32_BIT};
use super::{Error, Filter, compile, lets_pass};

const ALLOW: u32 = 0x7fff_0000;
const KILL_PROCESS: u32 = 0x8000_0000;
const EPERM: u32 = 0x0005_0001;
const ENOSYS: u32 = 0x0005_0026;
const X86_64: u32 = 0xc000_003e;
const I386: u32 = 0x4000_0003;

/// What the kernel hands to a filter.
#[derive(Debug, Clone, Copy)]
struct Call {
    nr: u32,
    arch: u32,
    args: [u64; 6],
}

impl Call {
    fn new(nr: u32) -> Call {
        Call { nr, arch: X86_64, args: [0; 6] }
    }

    fn word(&self, offset: u32) -> u32 {
        match offset {
            0 => self.nr,
            4 => self.arch,
            16..=60 if offset.is_multiple_of(4) => {
                let arg = self.args[((offset - 16) / 8) as usize];
                if (offset - 16).is_multiple_of(8) { arg as u32 } else { (arg >> 32) as u32 }
            }
            other => panic!("load of offset {other}"),
        }
    }
}

/// The kernel's interpreter, for the instructions it permits to seccomp and we use.
fn interpret(filter: &Filter, call: &Call) -> u32 {
    let (mut pc, mut a) = (0usize, 0u32);
    loop {
        let i = filter.program.get(pc).expect("ran off the end");
        let (code, k) =
            (u16::from_ne_bytes([i[0], i[1]]), u32::from_ne_bytes([i[4], i[5], i[6], i[7]]));
        let jump = |taken: bool| usize::from(if taken { i[2] } else { i[3] });
        pc += 1;
        match code {
            0x20 => a = call.word(k),
            0x54 => a &= k,
            0x05 => pc += k as usize,
            0x15 => pc += jump(a == k),
            0x25 => pc += jump(a > k),
            0x35 => pc += jump(a >= k),
            0x06 => return k,
            other => panic!("instruction {other:#x}"),
        }
    }
}

fn profile(value: Value) -> LinuxSeccomp {
    serde_json::from_value(value).expect("profile")
}

fn filter(value: Value) -> Filter {
    compile(&profile(value)).expect("compiles")
}

fn problem(value: Value) -> String {
    let error = compile(&profile(value)).expect_err("must be refused");
    assert!(matches!(error, Error::Field { .. }), "{error}");
    error.to_string()
}

fn rule(names: &[&str], action: &str) -> Value {
    json!({"names": names, "action": action})
}

#[test]
fn the_answers_are_the_kernels() {
    let table = [
        ("SCMP_ACT_KILL", json!(null), 0),
        ("SCMP_ACT_KILL_THREAD", json!(null), 0),
        ("SCMP_ACT_KILL_PROCESS", json!(null), KILL_PROCESS),
        ("SCMP_ACT_TRAP", json!(null), 0x0003_0000),
        ("SCMP_ACT_ERRNO", json!(null), EPERM),
        ("SCMP_ACT_ERRNO", json!(13), 0x0005_000d),
        ("SCMP_ACT_ERRNO", json!(0), 0x0005_0000),
        ("SCMP_ACT_TRACE", json!(7), 0x7ff0_0007),
        ("SCMP_ACT_LOG", json!(null), 0x7ffc_0000),
        ("SCMP_ACT_NOTIFY", json!(null), 0x7fc0_0000),
    ];
    for (action, errno, expected) in table {
        let mut rule = rule(&["mkdir"], action);
        if !errno.is_null() {
            rule["errnoRet"] = errno;
        }
        let got = filter(json!({"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/run/l",
            "syscalls": [rule]}));
        assert_eq!(interpret(&got, &Call::new(83)), expected, "{action}");
        assert_eq!(interpret(&got, &Call::new(84)), ALLOW);
        assert_eq!(got.notify, action == "SCMP_ACT_NOTIFY");
    }
}

#[test]
fn foreign_abis_are_killed_and_listed_ones_have_their_own_numbers() {
    let rules = json!([rule(&["mkdir"], "SCMP_ACT_ALLOW")]);
    let native = filter(json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules}));
    let call = |nr, arch| Call { nr, arch, args: [0; 6] };
    assert_eq!(interpret(&native, &call(83, X86_64)), ALLOW);
    assert_eq!(interpret(&native, &call(39, I386)), KILL_PROCESS);
    assert_eq!(interpret(&native, &call(83 | X32_BIT, X86_64)), KILL_PROCESS);
    let all = filter(json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules,
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32", "SCMP_ARCH_ARM"]}));
    assert_eq!(interpret(&all, &call(39, I386)), ALLOW);
    assert_eq!(interpret(&all, &call(38, I386)), EPERM);
    assert_eq!(interpret(&all, &call(83 | X32_BIT, X86_64)), ALLOW);
    assert_eq!(interpret(&all, &call(82 | X32_BIT, X86_64)), EPERM);
    assert_eq!(interpret(&all, &call(83, 0xc000_00b7)), KILL_PROCESS);
}

#[test]
fn calls_newer_than_the_profile_do_not_exist() {
    let rules =
        json!([rule(&["mkdir", "openat2"], "SCMP_ACT_ALLOW"), rule(&["clone3"], "SCMP_ACT_ERRNO")]);
    let strict = filter(json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules}));
    assert_eq!(interpret(&strict, &Call::new(437)), ALLOW);
    assert_eq!(interpret(&strict, &Call::new(438)), ENOSYS);
    assert_eq!(interpret(&strict, &Call::new(436)), EPERM);
    // A tracer's "skip this call" must reach the default, not the x32 or ENOSYS branch.
    assert_eq!(interpret(&strict, &Call::new(u32::MAX)), EPERM);
    for lax in ["SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_TRACE"] {
        let got = filter(json!({"defaultAction": lax, "syscalls": rules}));
        assert_ne!(interpret(&got, &Call::new(438)), ENOSYS, "{lax}");
    }
}

#[test]
fn unknown_names_are_skipped_and_unconditional_rules_win() {
    let got = filter(json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
        {"names": ["personality"], "action": "SCMP_ACT_KILL", "args": [{"index": 0, "value": 8, "op": "SCMP_CMP_EQ"}]},
        rule(&["personality", "no_such_call", "arm_fadvise64_64"], "SCMP_ACT_ALLOW")]}));
    let mut call = Call::new(135);
    call.args[0] = 8;
    assert_eq!(interpret(&got, &call), ALLOW);
}

#[test]
fn a_call_passes_where_no_argument_could_stop_it() {
    let some = json!([{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}]);
    let asked = |default: &str, rules: &[(&str, &Value)]| {
        let rule = |(action, args): &(&str, &Value)| json!({"names": ["close"], "action": action, "args": args});
        let rules: Vec<Value> = rules.iter().map(rule).collect();
        lets_pass(&profile(json!({"defaultAction": default, "syscalls": rules})), "close")
    };
    let (allow, errno, none) = ("SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", json!([]));
    assert!(asked(allow, &[]) && asked("SCMP_ACT_LOG", &[]));
    assert!(
        !asked(errno, &[]) && !asked(allow, &[(errno, &none)]) && !asked(allow, &[(errno, &some)])
    );
    assert!(asked(errno, &[(allow, &none)]) && !asked(errno, &[(allow, &some)]));
    assert!(asked(errno, &[(errno, &some), (allow, &none)]));
    assert!(!asked(errno, &[("SCMP_ACT_TRACE", &none), (allow, &none)]));
}

#[test]
fn one_argument_named_twice_means_either() {
    let got =
        filter(json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["personality"],
        "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 0, "op": "SCMP_CMP_EQ"},
        {"index": 0, "value": 8, "op": "SCMP_CMP_EQ"}]}]}));
    for (value, expected) in [(0, ALLOW), (8, ALLOW), (9, EPERM), (1 << 32, EPERM)] {
        let mut call = Call::new(135);
        call.args[0] = value;
        assert_eq!(interpret(&got, &call), expected, "{value}");
    }
}

#[test]
fn what_cannot_be_honoured_is_refused_by_field() {
    let with = |rule: Value| json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]});
    let table = [
        (json!({"defaultAction": "SCMP_ACT_NOTIFY"}), "defaultAction"),
        (json!({"defaultAction": "SCMP_ACT_ALLOW", "defaultErrnoRet": 1}), "defaultErrnoRet"),
        (json!({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 5000}), "4095"),
        (with(json!({"names": ["mkdir"], "action": "SCMP_ACT_KILL", "errnoRet": 1})), "errnoRet"),
        (with(json!({"names": ["write"], "action": "SCMP_ACT_NOTIFY"})), "write"),
        (with(json!({"names": ["sendmsg"], "action": "SCMP_ACT_NOTIFY"})), "sendmsg"),
        (with(json!({"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"})), "listenerPath"),
        (json!({"defaultAction": "SCMP_ACT_ALLOW", "listenerMetadata": "x"}), "listenerMetadata"),
        (
            with(json!({"names": ["mkdir"], "action": "SCMP_ACT_ERRNO",
                "args": [{"index": 6, "value": 0, "op": "SCMP_CMP_EQ"}]})),
            "args[0].index",
        ),
    ];
    for (profile, words) in table {
        let text = problem(profile.clone());
        assert!(text.contains(words), "{profile}: {text}");
    }
}

#[test]
fn flags_become_bits() {
    let flags = |list: Value, action: &str| {
        filter(json!({"defaultAction": "SCMP_ACT_ALLOW", "flags": list, "listenerPath": "/run/l",
            "syscalls": [rule(&["mkdir"], action)]}))
        .flags
    };
    let wait = "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV";
    assert_eq!(
        flags(json!(["SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_LOG"]), "SCMP_ACT_ERRNO"),
        3
    );
    assert_eq!(flags(json!(["SECCOMP_FILTER_FLAG_SPEC_ALLOW", wait]), "SCMP_ACT_ERRNO"), 4);
    assert_eq!(
        flags(json!(["SECCOMP_FILTER_FLAG_TSYNC", wait]), "SCMP_ACT_NOTIFY"),
        1 | 8 | 16 | 32
    );
}

#[test]
fn a_cached_filter_is_the_compiled_one_and_damage_is_mended() {
    let root = scope::Folder::new("seccomp");
    let profile = profile(json!({"defaultAction": "SCMP_ACT_ERRNO",
        "syscalls": [rule(&["mkdir"], "SCMP_ACT_ALLOW")]}));
    let fresh = compile(&profile).expect("compiles");
    for _ in 0..2 {
        assert_eq!(super::compile_cached(&root, &profile).expect("cached"), fresh);
    }
    let folder = root.join("seccomp");
    let files: Vec<_> = std::fs::read_dir(&folder).expect("cache").flatten().collect();
    assert_eq!(files.len(), 1);
    let path = files[0].path();
    let mut bytes = std::fs::read(&path).expect("read");
    for index in 0..bytes.len() {
        bytes[index] ^= 1;
        std::fs::write(&path, &bytes).expect("damage");
        assert_eq!(super::compile_cached(&root, &profile).expect("mended"), fresh, "byte {index}");
        bytes[index] ^= 1;
    }
}

/// One of a list.
fn one_of<T: Clone>(dice: &mut Dice, list: &[T]) -> T {
    list[dice.below(list.len())].clone()
}

/// An argument's value, at an edge or beside one.
fn argument(dice: &mut Dice) -> u64 {
    const EDGES: [u64; 8] =
        [0, 1, 9, 0xffff_ffff, 0x1_0000_0000, 0x1_0000_0009, u64::MAX, 0x8000_0000_0000_0000];
    let edge = one_of(dice, &EDGES);
    one_of(dice, &[edge, edge.wrapping_add(1), edge.wrapping_sub(1), edge ^ 0x10])
}

const OPERATORS: [&str; 7] = [
    "SCMP_CMP_NE",
    "SCMP_CMP_LT",
    "SCMP_CMP_LE",
    "SCMP_CMP_EQ",
    "SCMP_CMP_GE",
    "SCMP_CMP_GT",
    "SCMP_CMP_MASKED_EQ",
];

fn random_profile(dice: &mut Dice) -> Value {
    let names: Vec<&str> = super::syscalls::SYSCALLS.iter().map(|(name, _)| *name).collect();
    let actions = [
        ("SCMP_ACT_ALLOW", false),
        ("SCMP_ACT_ERRNO", true),
        ("SCMP_ACT_KILL", false),
        ("SCMP_ACT_TRACE", true),
    ];
    let mut rules = Vec::new();
    for _ in 0..1 + dice.below(12) {
        let count = 1 + one_of(dice, &[0, 3, 60]);
        let list: Vec<&str> = (0..count).map(|_| one_of(dice, &names)).collect();
        let (action, errno) = one_of(dice, &actions);
        let mut rule = json!({"names": list, "action": action});
        if errno {
            rule["errnoRet"] = json!(1 + dice.below(4000));
        }
        let args: Vec<Value> = (0..one_of(dice, &[0, 0, 1, 2, 3]))
            .map(|_| {
                json!({"index": dice.below(6), "value": argument(dice), "valueTwo": argument(dice),
                    "op": one_of(dice, &OPERATORS)})
            })
            .collect();
        rule["args"] = json!(args);
        rules.push(rule);
    }
    let architectures =
        ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"][..dice.below(4)].to_vec();
    json!({"defaultAction": one_of(dice, &["SCMP_ACT_ERRNO", "SCMP_ACT_ALLOW", "SCMP_ACT_KILL_PROCESS"]),
        "architectures": architectures, "syscalls": rules})
}

fn answer_of(action: &str, errno: &Value) -> u32 {
    let errno = errno.as_u64().unwrap_or(1) as u32;
    match action {
        "SCMP_ACT_ALLOW" => ALLOW,
        "SCMP_ACT_ERRNO" => 0x0005_0000 | errno,
        "SCMP_ACT_KILL" => 0,
        "SCMP_ACT_KILL_PROCESS" => KILL_PROCESS,
        "SCMP_ACT_TRACE" => 0x7ff0_0000 | errno,
        other => panic!("{other}"),
    }
}

fn holds(arg: &Value, call: &Call, narrow: bool) -> bool {
    let cut = |v: u64| if narrow { v & 0xffff_ffff } else { v };
    let number = |key: &str| cut(arg[key].as_u64().expect("number"));
    let have = cut(call.args[arg["index"].as_u64().expect("index") as usize]);
    let value = number("value");
    match arg["op"].as_str().expect("op") {
        "SCMP_CMP_NE" => have != value,
        "SCMP_CMP_LT" => have < value,
        "SCMP_CMP_LE" => have <= value,
        "SCMP_CMP_EQ" => have == value,
        "SCMP_CMP_GE" => have >= value,
        "SCMP_CMP_GT" => have > value,
        _ => have & value == number("valueTwo") & value,
    }
}

/// The profile read from its JSON with no code of the compiler but the table of numbers.
fn naive(profile: &Value, call: &Call) -> u32 {
    let listed = |a: &str| profile["architectures"].as_array().expect("list").contains(&json!(a));
    let skip = call.nr == u32::MAX;
    let abi = match call.arch {
        X86_64 if call.nr & X32_BIT == 0 || skip => Abi::X86_64,
        X86_64 if listed("SCMP_ARCH_X32") => Abi::X32,
        I386 if listed("SCMP_ARCH_X86") => Abi::I386,
        _ => return KILL_PROCESS,
    };
    let default = answer_of(profile["defaultAction"].as_str().expect("action"), &Value::Null);
    let (mut newest, mut matched) = (None, None);
    for rule in profile["syscalls"].as_array().expect("rules") {
        let numbers: Vec<u32> = rule["names"]
            .as_array()
            .expect("names")
            .iter()
            .filter_map(|n| abi.number(n.as_str().expect("name")))
            .collect();
        newest = newest.max(numbers.iter().max().copied());
        let answer = answer_of(rule["action"].as_str().expect("action"), &rule["errnoRet"]);
        if !numbers.contains(&call.nr) || answer == default {
            continue;
        }
        let args = rule["args"].as_array().expect("args");
        let mut indices: Vec<u64> = args.iter().map(|a| a["index"].as_u64().expect("i")).collect();
        indices.sort_unstable();
        let twice = indices.windows(2).any(|w| w[0] == w[1]);
        let narrow = abi == Abi::I386;
        let yes = if twice {
            args.iter().any(|a| holds(a, call, narrow))
        } else {
            args.iter().all(|a| holds(a, call, narrow))
        };
        // Rank: an unconditional rule before a conditional one, then the order of the profile.
        let rank = !args.is_empty();
        if yes && matched.is_none_or(|(best, _)| !rank && best) {
            matched = Some((rank, answer));
        }
    }
    let newer = newest.is_some_and(|n| call.nr > n) && !skip;
    match matched {
        _ if newer && default != ALLOW => ENOSYS,
        Some((_, answer)) => answer,
        None => default,
    }
}

/// A profile and calls, all of the dice's choice: the program answers what the profile says.
fn compiled_as_it_says(dice: &mut Dice, calls: usize) {
    let value = random_profile(dice);
    let compiled = filter(value.clone());
    for _ in 0..calls {
        let nr = dice.below(520) as u32;
        let arch = one_of(dice, &[X86_64, X86_64, I386, 0xc000_00b7]);
        let nr = one_of(dice, &[nr, nr, nr | X32_BIT, u32::MAX]);
        let mut call = Call { nr, arch, args: [0; 6] };
        for arg in &mut call.args {
            *arg = argument(dice);
        }
        if arch == I386 {
            call.args = call.args.map(|a| a & 0xffff_ffff);
        }
        let (got, expected) = (interpret(&compiled, &call), naive(&value, &call));
        assert_eq!(got, expected, "{call:x?}\n{value:#}");
    }
}

#[test]
fn random_profiles_do_what_they_say() {
    for seed in 1..=150 {
        compiled_as_it_says(&mut Dice::Seed(seed), 400);
    }
}

/// As [`random_profiles_do_what_they_say`], chosen by a fuzzer.
pub(crate) fn seccomp_answers(input: &[u8]) {
    compiled_as_it_says(&mut Dice::Input(input), 20);
}
