//! Device rules as an eBPF program of type CGROUP_DEVICE.
//!
//! The rules are walked from the last to the first with the set of accesses still undecided in a
//! register: a deny that meets one ends with 0, an allow that covers the rest ends with 1. So each
//! access is decided by the last rule that matches it, as `devices.allow`/`deny` would. Neighbours
//! that allow all of single devices, as the default ones are, share the test of the kind and take
//! one comparison each: the kernel follows every path of a program before it takes it, which is
//! most of what a container's devices cost. Where there are more rules than a jump can pass over,
//! each is a block of its own. No loops, no maps, no calls, and no instruction that
//! the verifier could find unreachable.

use super::{ALL, Rule};

const LOAD_WORD: u8 = 0x61; // BPF_LDX | BPF_MEM | BPF_W
const MOVE: u8 = 0xb7; // BPF_ALU64 | BPF_MOV | BPF_K
const MOVE_REG: u8 = 0xbf; // BPF_ALU64 | BPF_MOV | BPF_X
const AND32: u8 = 0x54; // BPF_ALU | BPF_AND | BPF_K
const RIGHT32: u8 = 0x74; // BPF_ALU | BPF_RSH | BPF_K
const LEFT32: u8 = 0x64; // BPF_ALU | BPF_LSH | BPF_K
const OR32_REG: u8 = 0x4c; // BPF_ALU | BPF_OR | BPF_X
const JUMP32_EQ: u8 = 0x16; // BPF_JMP32 | BPF_JEQ | BPF_K
const JUMP_EQ: u8 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const JUMP_NE: u8 = 0x55; // BPF_JMP | BPF_JNE | BPF_K
const EXIT: u8 = 0x95; // BPF_JMP | BPF_EXIT

const RESULT: u8 = 0;
const CONTEXT: u8 = 1;
const KIND: u8 = 2;
const LEFT: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;
/// The major number above the minor one's 20 bits.
const DEVICE: u8 = 6;
const MINOR_BITS: u32 = 20;
const MAJOR_BITS: u32 = 12;
/// Most rules that are joined: a rule is nine instructions at most, and a jump has 15 bits.
const JOINED_MAX: usize = 3_600;
const SCRATCH: u8 = 1; // the context pointer is not needed after the prologue

fn op(code: u8, dst: u8, src: u8, offset: i16, value: i32) -> [u8; 8] {
    let (o, v) = (offset.to_ne_bytes(), value.to_ne_bytes());
    // Registers share a byte: the destination is its low half on little-endian machines.
    let registers = if cfg!(target_endian = "little") { dst | src << 4 } else { dst << 4 | src };
    [code, registers, o[0], o[1], v[0], v[1], v[2], v[3]]
}

fn answer(out: &mut Vec<[u8; 8]>, allow: bool) {
    out.push(op(MOVE, RESULT, 0, 0, i32::from(allow)));
    out.push(op(EXIT, 0, 0, 0, 0));
}

/// Compiles `rules`, in order of precedence from weak to strong.
pub(in crate::cgroup) fn program(rules: &[Rule]) -> Vec<[u8; 8]> {
    // struct bpf_cgroup_dev_ctx { u32 access_type; /* access << 16 | type */ u32 major, minor; }
    let mut out = vec![
        op(LOAD_WORD, KIND, CONTEXT, 0, 0),
        op(MOVE_REG, LEFT, KIND, 0, 0),
        op(AND32, KIND, 0, 0, 0xffff),
        op(RIGHT32, LEFT, 0, 0, 16),
        op(LOAD_WORD, MAJOR, CONTEXT, 4, 0),
        op(LOAD_WORD, MINOR, CONTEXT, 8, 0),
    ];
    let strong_first: Vec<Rule> = rules.iter().rev().copied().collect();
    let mut allowing = Vec::new();
    let mut named = false;
    let end = strong_first.iter().position(Rule::is_total).unwrap_or(strong_first.len());
    let (walked, last) = strong_first.split_at(end);
    let joins = |rule: &Rule| walked.len() <= JOINED_MAX && single(rule);
    for same in walked.chunk_by(|a, b| joins(a) && joins(b) && a.kind == b.kind) {
        match same {
            [rule, ..] if joins(rule) => {
                if !std::mem::replace(&mut named, true) {
                    out.push(op(MOVE_REG, DEVICE, MAJOR, 0, 0));
                    out.push(op(LEFT32, DEVICE, 0, 0, MINOR_BITS.cast_signed()));
                    out.push(op(OR32_REG, DEVICE, MINOR, 0, 0));
                }
                devices(same, &mut out, &mut allowing);
            }
            others => others.iter().for_each(|rule| rule_block(rule, &mut out)),
        }
    }
    answer(&mut out, last.first().is_some_and(|rule| rule.allow));
    if !allowing.is_empty() {
        let end = out.len();
        allowing.iter().for_each(|at| lead(&mut out, *at, end));
        answer(&mut out, true);
    }
    out
}

/// Allows all of one device, or of all devices of a major number.
fn single(rule: &Rule) -> bool {
    let fits = |number: Option<u32>, bits: u32| number.is_none_or(|n| n >> bits == 0);
    let named = rule.kind.is_some() && rule.major.is_some();
    named
        && rule.allow
        && rule.access == ALL
        && fits(rule.major, MAJOR_BITS)
        && fits(rule.minor, MINOR_BITS)
}

/// One test of the kind, and a comparison a device; where they jump to is put in later.
fn devices(same: &[Rule], out: &mut Vec<[u8; 8]>, allowing: &mut Vec<usize>) {
    let start = out.len();
    let kind = same.first().and_then(|rule| rule.kind).map_or(0, |kind| kind as i32);
    out.push(op(JUMP_NE, KIND, 0, 0, kind));
    for rule in same {
        let major = rule.major.unwrap_or_default();
        let (register, wanted) = match rule.minor {
            Some(minor) => (DEVICE, major << MINOR_BITS | minor),
            None => (MAJOR, major),
        };
        allowing.push(out.len());
        out.push(op(JUMP32_EQ, register, 0, 0, wanted.cast_signed()));
    }
    let end = out.len();
    lead(out, start, end);
}

/// Makes the instruction at `from` jump to `to`.
fn lead(out: &mut [[u8; 8]], from: usize, to: usize) {
    let offset = i16::try_from(to.saturating_sub(from + 1)).unwrap_or(i16::MAX).to_ne_bytes();
    if let Some([_, _, low, high, ..]) = out.get_mut(from) {
        [*low, *high] = offset;
    }
}

fn rule_block(rule: &Rule, out: &mut Vec<[u8; 8]>) {
    let start = out.len();
    let tests = [(KIND, rule.kind.map(|k| k as u32)), (MAJOR, rule.major), (MINOR, rule.minor)];
    for (register, wanted) in tests {
        if let Some(wanted) = wanted {
            // The immediate is sign-extended to 64 bits and device numbers fit in 20 of them.
            out.push(op(JUMP_NE, register, 0, 0, wanted.cast_signed()));
        }
    }
    let access = i32::from(rule.access);
    if rule.allow {
        out.push(op(AND32, LEFT, 0, 0, !access & 0xff));
        out.push(op(JUMP_NE, LEFT, 0, 0, 0));
        answer(out, true);
    } else {
        out.push(op(MOVE_REG, SCRATCH, LEFT, 0, 0));
        out.push(op(AND32, SCRATCH, 0, 0, access));
        out.push(op(JUMP_EQ, SCRATCH, 0, 0, 0));
        answer(out, false);
    }
    // Every jump of the block leads past its end: at most eight instructions.
    let end = out.len();
    for at in start..end {
        if out.get(at).is_some_and(|code| matches!(code[0], JUMP_EQ | JUMP_NE)) {
            lead(out, at, end);
        }
    }
}
