//! Device rules as an eBPF program of type CGROUP_DEVICE.
//!
//! The rules are walked from the last to the first with the set of accesses still undecided in a
//! register: a deny that meets one ends with 0, an allow that covers the rest ends with 1. So each
//! access is decided by the last rule that matches it, as `devices.allow`/`deny` would. No loops,
//! no maps, no calls, and no instruction that the verifier could find unreachable.

use super::Rule;

const LOAD_WORD: u8 = 0x61; // BPF_LDX | BPF_MEM | BPF_W
const MOVE: u8 = 0xb7; // BPF_ALU64 | BPF_MOV | BPF_K
const MOVE_REG: u8 = 0xbf; // BPF_ALU64 | BPF_MOV | BPF_X
const AND32: u8 = 0x54; // BPF_ALU | BPF_AND | BPF_K
const RIGHT32: u8 = 0x74; // BPF_ALU | BPF_RSH | BPF_K
const JUMP_EQ: u8 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const JUMP_NE: u8 = 0x55; // BPF_JMP | BPF_JNE | BPF_K
const EXIT: u8 = 0x95; // BPF_JMP | BPF_EXIT

const RESULT: u8 = 0;
const CONTEXT: u8 = 1;
const KIND: u8 = 2;
const LEFT: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;
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
    for rule in rules.iter().rev() {
        if rule.is_total() {
            answer(&mut out, rule.allow);
            return out;
        }
        rule_block(rule, &mut out);
    }
    answer(&mut out, false);
    out
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
    for (index, instruction) in out.iter_mut().enumerate().skip(start) {
        if matches!(instruction[0], JUMP_EQ | JUMP_NE) {
            let offset = i16::try_from(end - index - 1).unwrap_or(i16::MAX).to_ne_bytes();
            instruction[2..4].copy_from_slice(&offset);
        }
    }
}
