//! Device rules: v1's table and the program, both against a plain evaluation of the rules.

use oci::runtime::LinuxDeviceCgroup;
use serde_json::{Value, json};

use super::{ALL, Kind, MKNOD, READ, Rule, Table, WRITE, program, rules, transition};

fn given(value: Value) -> Vec<LinuxDeviceCgroup> {
    serde_json::from_value(value).expect("rules")
}

/// The program's effect, by a small interpreter of the instructions it uses.
fn run(program: &[[u8; 8]], kind: Kind, major: u32, minor: u32, access: u8) -> bool {
    let context = [u32::from(access) << 16 | kind as u32, major, minor];
    let (mut pc, mut registers) = (0usize, [0u64; 7]);
    loop {
        let i = program[pc];
        let (dst, src) = (usize::from(i[1] & 15), usize::from(i[1] >> 4));
        let offset = i16::from_ne_bytes([i[2], i[3]]);
        let value = i32::from_ne_bytes([i[4], i[5], i[6], i[7]]);
        let wide = i64::from(value).cast_unsigned();
        let taken = match i[0] {
            0x61 => {
                registers[dst] = u64::from(context[usize::try_from(offset).expect("offset") / 4]);
                false
            }
            0xb7 => {
                registers[dst] = wide;
                false
            }
            0xbf => {
                registers[dst] = registers[src];
                false
            }
            0x54 => {
                registers[dst] &= u64::from(value.cast_unsigned());
                false
            }
            0x74 => {
                registers[dst] = (registers[dst] & 0xffff_ffff) >> value;
                false
            }
            0x64 => {
                registers[dst] = (registers[dst] << value) & 0xffff_ffff;
                false
            }
            0x4c => {
                registers[dst] = (registers[dst] | registers[src]) & 0xffff_ffff;
                false
            }
            0x16 => registers[dst] & 0xffff_ffff == u64::from(value.cast_unsigned()),
            0x15 => registers[dst] == wide,
            0x55 => registers[dst] != wide,
            0x95 => return registers[0] == 1,
            other => panic!("instruction {other:#x}"),
        };
        pc += 1 + if taken { usize::try_from(offset).expect("forward") } else { 0 };
    }
}

/// Last rule that matches decides, access by access.
fn naive(rules: &[Rule], kind: Kind, major: u32, minor: u32, access: u8) -> bool {
    [MKNOD, READ, WRITE].into_iter().filter(|bit| access & bit != 0).all(|bit| {
        let fits = |r: &&Rule| {
            r.kind.is_none_or(|k| k == kind)
                && r.major.is_none_or(|m| m == major)
                && r.minor.is_none_or(|m| m == minor)
                && r.access & bit != 0
        };
        rules.iter().rev().find(fits).is_some_and(|r| r.allow)
    })
}

/// More than a jump can pass over.
#[test]
fn a_program_of_very_many_rules_decides_as_they_say() {
    let one = |n: u32| Rule {
        allow: true,
        kind: Some(Kind::Char),
        major: Some(n >> 8),
        minor: Some(n & 0xff),
        access: ALL,
    };
    let all: Vec<Rule> = (1..40_000).map(one).collect();
    let code = program(&all);
    for n in [0, 1, 2, 7_000, 20_000, 39_998, 39_999, 40_000] {
        let wanted = (1..40_000).contains(&n);
        for (kind, wanted) in [(Kind::Char, wanted), (Kind::Block, false)] {
            assert_eq!(run(&code, kind, n >> 8, n & 0xff, READ), wanted, "{n} {kind:?}");
        }
    }
}

#[test]
fn programs_decide_as_the_rules_say() {
    let sets = [
        json!([{"allow": false, "access": "rwm"}]),
        json!([]),
        json!([{"allow": true, "access": "rwm"}]),
        json!([{"allow": false}, {"allow": true, "type": "c", "major": 10, "minor": 229, "access": "rw"}]),
        json!([{"allow": false}, {"allow": true, "type": "b", "major": 8, "access": "r"},
            {"allow": true, "type": "b", "major": 8, "minor": 1, "access": "w"}]),
        json!([{"allow": true}, {"allow": false, "type": "c", "major": 1, "minor": 1, "access": "w"},
            {"allow": false, "major": 7, "access": "rwm"}]),
        json!([{"allow": true, "type": "c", "major": -1, "minor": 3, "access": "rwm"}, {"allow": false}]),
        json!([{"allow": false}, {"allow": true, "type": "b", "major": 8, "access": "rwm"},
            {"allow": true, "type": "b", "major": 4104, "minor": 1, "access": "rwm"},
            {"allow": true, "type": "c", "major": 8, "minor": 1048576, "access": "rwm"},
            {"allow": false, "type": "b", "major": 8, "minor": 2, "access": "w"},
            {"allow": true, "type": "b", "major": 10, "minor": 0, "access": "rwm"},
            {"allow": true, "type": "b", "major": 7, "minor": 1, "access": "rwm"}]),
    ];
    for set in sets {
        let rules = rules(&given(set.clone())).expect("valid");
        let program = program(&rules);
        for kind in [Kind::Block, Kind::Char] {
            for major in [0, 1, 5, 7, 8, 10, 136] {
                for minor in [0, 1, 2, 3, 229] {
                    for access in 1..=ALL {
                        assert_eq!(
                            run(&program, kind, major, minor, access),
                            naive(&rules, kind, major, minor, access),
                            "{set} {kind:?} {major}:{minor} {access}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn bad_rules_are_named_by_index() {
    for (rule, words) in [
        (json!({"allow": true, "access": "rx"}), "\"rx\""),
        (json!({"allow": true, "type": "p", "access": "r"}), "fifo"),
        (json!({"allow": true, "type": "c", "major": -2, "access": "r"}), "major -2"),
        (json!({"allow": true, "type": "c", "minor": 4294967296u64, "access": "r"}), "minor"),
    ] {
        let error =
            rules(&given(json!([{"allow": false}, rule]))).expect_err("refused").to_string();
        assert!(error.contains("linux.resources.devices: [1]") && error.contains(words), "{error}");
    }
}

#[test]
fn v1_tables_change_by_the_fewest_writes() {
    let table =
        |value: Value| Table::from_rules(&rules(&given(value)).expect("valid")).expect("table");
    let strict = table(json!([{"allow": false}]));
    let first = transition(&Table::parse("a *:* rwm\n"), &strict);
    assert_eq!(first[0], ("devices.deny", "a".to_owned()));
    assert!(first[1..].iter().all(|(file, _)| *file == "devices.allow"));
    assert!(first.contains(&("devices.allow", "c 1:3 rwm".to_owned())));
    let list: String = first[1..].iter().map(|(_, line)| format!("{line}\n")).collect();
    assert_eq!(Table::parse(&list), strict, "what is written reads back as wanted");
    let more = table(
        json!([{"allow": false}, {"allow": true, "type": "c", "major": 10, "minor": 229, "access": "rw"}]),
    );
    let line = "c 10:229 rw".to_owned();
    assert_eq!(transition(&strict, &more), [("devices.allow", line.clone())]);
    assert_eq!(transition(&more, &strict), [("devices.deny", line)]);
    assert_eq!(
        transition(&strict, &table(json!([{"allow": true}])))[0],
        ("devices.allow", "a".into())
    );
}

#[test]
fn v1_cannot_punch_holes() {
    let holes = json!([{"allow": false}, {"allow": true, "type": "c", "major": 10, "access": "rwm"},
        {"allow": false, "type": "c", "major": 10, "minor": 200, "access": "w"}]);
    let error = Table::from_rules(&rules(&given(holes)).expect("valid")).expect_err("refused");
    assert!(error.to_string().contains("c 10:200 w"), "{error}");
}
