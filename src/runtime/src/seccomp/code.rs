//! Decisions to classic BPF.
//!
//! A program is written from its end to its start: every jump goes forward, so its target exists
//! when the jump is made. A conditional jump reaches 255 instructions; a target beyond it gets a
//! copy of its answer, or one unconditional jump, close by.

use std::collections::BTreeMap;

use super::abi::{Abi, X32_BIT};
use super::rules::{Answer, Compare, Condition, Decision, NO_SUCH_CALL, Policy, Table};

/// The kernel's BPF_MAXINSNS.
pub(super) const INSTRUCTIONS_MAX: usize = 4096;

const LOAD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
const AND: u16 = 0x54; // BPF_ALU | BPF_AND | BPF_K
const JUMP: u16 = 0x05; // BPF_JMP | BPF_JA
const JUMP_EQ: u16 = 0x15;
const JUMP_GT: u16 = 0x25;
const JUMP_GE: u16 = 0x35;
const RETURN: u16 = 0x06;

/// Offsets in `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;
const ARGUMENTS: u32 = 16;

const KILL_PROCESS: Answer = 0x8000_0000;

/// A place in the program, counted from its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Label(usize);

/// The program so far, last instruction first.
#[derive(Default)]
struct Writer {
    reversed: Vec<(u16, u8, u8, u32)>,
    /// Where each answer was last written.
    answers: BTreeMap<Answer, Label>,
    /// Where a list of alternatives stands already: many calls share one rule.
    checks: BTreeMap<(bool, Alternatives), Label>,
}

/// As in [`Decision::Check`].
type Alternatives = Vec<(Vec<Condition>, Answer)>;

impl Writer {
    fn put(&mut self, code: u16, if_true: u8, if_false: u8, value: u32) -> Label {
        self.reversed.push((code, if_true, if_false, value));
        Label(self.reversed.len() - 1)
    }

    /// Instructions between the next one to be written and `label`.
    fn distance(&self, label: Label) -> usize {
        self.reversed.len() - label.0 - 1
    }

    /// A label within reach of a conditional jump that has `room` instructions written before it.
    fn near(&mut self, label: Label, room: usize) -> Label {
        if self.distance(label) + room <= usize::from(u8::MAX) {
            return label;
        }
        match self.reversed[label.0] {
            (RETURN, _, _, value) => self.put(RETURN, 0, 0, value),
            _ => {
                let distance = u32::try_from(self.distance(label)).unwrap_or(u32::MAX);
                self.put(JUMP, 0, 0, distance)
            }
        }
    }

    fn answer(&mut self, answer: Answer) -> Label {
        match self.answers.get(&answer) {
            Some(label) if self.distance(*label) < 200 => *label,
            _ => {
                let label = self.put(RETURN, 0, 0, answer);
                self.answers.insert(answer, label);
                label
            }
        }
    }

    fn branch(&mut self, code: u16, value: u32, if_true: Label, if_false: Label) -> Label {
        if if_true == if_false {
            return if_true;
        }
        let if_true = self.near(if_true, 2);
        let if_false = self.near(if_false, 1);
        let offset = |w: &Writer, l| u8::try_from(w.distance(l)).unwrap_or(u8::MAX);
        let (jt, jf) = (offset(self, if_true), offset(self, if_false));
        self.put(code, jt, jf, value)
    }

    /// Makes `label` the very next instruction in program order, as code that falls through needs.
    fn follow(&mut self, label: Label) {
        if label.0 + 1 != self.reversed.len() {
            match self.reversed[label.0] {
                (RETURN, _, _, value) => self.put(RETURN, 0, 0, value),
                _ => {
                    let distance = u32::try_from(self.distance(label)).unwrap_or(u32::MAX);
                    self.put(JUMP, 0, 0, distance)
                }
            };
        }
    }

    fn load(&mut self, offset: u32, then: Label) -> Label {
        self.follow(then);
        self.put(LOAD, 0, 0, offset)
    }
}

/// The whole program for `policy`.
pub(super) fn assemble(policy: &Policy) -> Vec<[u8; 8]> {
    let mut w = Writer::default();
    let mut next = w.answer(KILL_PROCESS);
    let of = |abi: Abi| policy.tables.iter().find(|t| t.abi == abi);
    for abi in [Abi::I386, Abi::Aarch64] {
        if let Some(table) = of(abi) {
            let body = search(&mut w, table, policy.default);
            let body = unless_skipped(&mut w, policy.default, body);
            let body = w.load(NUMBER, body);
            next = w.branch(JUMP_EQ, abi.token(), body, next);
        }
    }
    if let Some(table) = of(Abi::X86_64) {
        let x32 = match of(Abi::X32) {
            Some(x32) => search(&mut w, x32, policy.default),
            None => w.answer(KILL_PROCESS),
        };
        let body = search(&mut w, table, policy.default);
        let split = w.branch(JUMP_GE, X32_BIT, x32, body);
        let split = unless_skipped(&mut w, policy.default, split);
        let split = w.load(NUMBER, split);
        next = w.branch(JUMP_EQ, table.abi.token(), split, next);
    }
    w.load(ARCH, next);
    w.reversed.iter().rev().map(encode).collect()
}

/// A tracer's "skip this call" (-1) is neither an x32 call nor one newer than the profile.
fn unless_skipped(w: &mut Writer, default: Answer, then: Label) -> Label {
    let skipped = w.answer(default);
    w.branch(JUMP_EQ, u32::MAX, skipped, then)
}

fn encode(&(code, jt, jf, value): &(u16, u8, u8, u32)) -> [u8; 8] {
    let (c, v) = (code.to_ne_bytes(), value.to_ne_bytes());
    [c[0], c[1], jt, jf, v[0], v[1], v[2], v[3]]
}

/// Ranges of call numbers with one outcome each: (first number, what happens from there on).
fn ranges<'a>(table: &'a Table, fallback: &'a Decision) -> Vec<(u32, &'a Decision)> {
    let mut out: Vec<(u32, &Decision)> = vec![(0, fallback)];
    let mut push = |first: u32, what: &'a Decision| match out.last_mut() {
        Some(last) if last.0 == first => last.1 = what,
        Some(last) if last.1 == what => {}
        _ => out.push((first, what)),
    };
    for (number, decision) in &table.calls {
        push(*number, decision);
        push(number + 1, fallback);
    }
    out
}

/// Code that, with the call's number in the accumulator, ends in an answer.
fn search(w: &mut Writer, table: &Table, default: Answer) -> Label {
    let fallback = Decision::Always(default);
    let ranges = merge(ranges(table, &fallback));
    let tree = subtree(w, table, &ranges, default);
    match table.newest {
        Some(newest) => {
            let newer = w.answer(NO_SUCH_CALL);
            w.branch(JUMP_GT, newest, newer, tree)
        }
        None => tree,
    }
}

/// Joins neighbours that became equal when a later push replaced one of them.
fn merge(ranges: Vec<(u32, &Decision)>) -> Vec<(u32, &Decision)> {
    let mut out: Vec<(u32, &Decision)> = Vec::with_capacity(ranges.len());
    for (first, what) in ranges {
        if out.last().is_none_or(|last| last.1 != what) {
            out.push((first, what));
        }
    }
    out
}

fn subtree(w: &mut Writer, table: &Table, ranges: &[(u32, &Decision)], default: Answer) -> Label {
    match ranges {
        [] => w.answer(default),
        [(_, Decision::Always(answer))] => w.answer(*answer),
        [(_, Decision::Check(alternatives))] => check(w, table.abi.narrow(), alternatives, default),
        many => {
            let (low, high) = many.split_at(many.len() / 2);
            let if_high = subtree(w, table, high, default);
            let if_low = subtree(w, table, low, default);
            w.branch(JUMP_GE, high[0].0, if_high, if_low)
        }
    }
}

fn check(w: &mut Writer, narrow: bool, list: &Alternatives, default: Answer) -> Label {
    let key = (narrow, list.clone());
    if let Some(label) = w.checks.get(&key) {
        return *label;
    }
    let mut next = w.answer(default);
    for (conditions, answer) in list.iter().rev() {
        let mut matched = w.answer(*answer);
        for condition in conditions.iter().rev() {
            matched = compare(w, narrow, *condition, matched, next);
        }
        next = matched;
    }
    w.checks.insert(key, next);
    next
}

fn compare(w: &mut Writer, narrow: bool, c: Condition, yes: Label, no: Label) -> Label {
    match c.compare {
        Compare::Equal(v) => equal(w, narrow, c.argument, v, (yes, no)),
        Compare::NotEqual(v) => equal(w, narrow, c.argument, v, (no, yes)),
        Compare::GreaterEqual(v) => order(w, narrow, c.argument, (JUMP_GE, v), (yes, no)),
        Compare::Less(v) => order(w, narrow, c.argument, (JUMP_GE, v), (no, yes)),
        Compare::Greater(v) => order(w, narrow, c.argument, (JUMP_GT, v), (yes, no)),
        Compare::LessEqual(v) => order(w, narrow, c.argument, (JUMP_GT, v), (no, yes)),
        Compare::Masked { mask, value } => {
            let low = masked_half(w, low_of(c.argument), (low(mask), low(value)), yes, no);
            if narrow {
                return low;
            }
            masked_half(w, high_of(c.argument), (high(mask), high(value)), low, no)
        }
    }
}

fn equal(w: &mut Writer, narrow: bool, arg: u32, v: u64, (yes, no): (Label, Label)) -> Label {
    let test = w.branch(JUMP_EQ, low(v), yes, no);
    let lower = w.load(low_of(arg), test);
    if narrow {
        return lower;
    }
    let test = w.branch(JUMP_EQ, high(v), lower, no);
    w.load(high_of(arg), test)
}

/// GT and GE alike: a greater high half decides, an equal one leaves it to the low half.
fn order(
    w: &mut Writer,
    narrow: bool,
    arg: u32,
    (code, v): (u16, u64),
    (yes, no): (Label, Label),
) -> Label {
    let test = w.branch(code, low(v), yes, no);
    let lower = w.load(low_of(arg), test);
    if narrow {
        return lower;
    }
    let same = w.branch(JUMP_EQ, high(v), lower, no);
    let test = w.branch(JUMP_GT, high(v), yes, same);
    w.load(high_of(arg), test)
}

fn masked_half(
    w: &mut Writer,
    offset: u32,
    (mask, value): (u32, u32),
    yes: Label,
    no: Label,
) -> Label {
    if mask == 0 {
        return yes;
    }
    let test = w.branch(JUMP_EQ, value, yes, no);
    w.follow(test);
    let masked = if mask == u32::MAX { test } else { w.put(AND, 0, 0, mask) };
    w.load(offset, masked)
}

fn low(value: u64) -> u32 {
    (value & 0xffff_ffff) as u32
}

fn high(value: u64) -> u32 {
    (value >> 32) as u32
}

/// Offset of an argument's low half; both known machines are little-endian.
fn low_of(argument: u32) -> u32 {
    ARGUMENTS + argument * 8
}

fn high_of(argument: u32) -> u32 {
    low_of(argument) + 4
}
