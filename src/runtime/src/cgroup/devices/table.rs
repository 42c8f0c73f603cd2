//! Device rules in the form cgroup v1 keeps them: a default and a set of exceptions.
//!
//! [`Table::from_rules`] folds rules; [`Table::parse`] reads `devices.list`; [`transition`] gives
//! the fewest writes from one to the other, so that an update never takes away, even for a moment,
//! what stays allowed.

use std::collections::BTreeMap;

use super::{ALL, Error, Kind, MKNOD, READ, Rule, WRITE};
use crate::cgroup::field_error;

type Key = (Kind, Option<u32>, Option<u32>);

/// The state of the v1 devices controller for one cgroup.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::cgroup) struct Table {
    allow_by_default: bool,
    exceptions: BTreeMap<Key, u8>,
}

impl Table {
    /// Folds `rules` over "deny all".
    ///
    /// # Errors
    /// [`Error::Field`] for a rule that v1 cannot express: one that takes a part out of a wider
    /// exception.
    pub(in crate::cgroup) fn from_rules(rules: &[Rule]) -> Result<Table, Error> {
        let mut table = Table::default();
        for rule in rules {
            table.add(rule)?;
        }
        Ok(table)
    }

    fn add(&mut self, rule: &Rule) -> Result<(), Error> {
        if rule.is_total() {
            *self = Table { allow_by_default: rule.allow, exceptions: BTreeMap::new() };
            return Ok(());
        }
        let both = [Kind::Block, Kind::Char];
        for kind in both.into_iter().filter(|k| rule.kind.is_none_or(|wanted| wanted == *k)) {
            let key = (kind, rule.major, rule.minor);
            if rule.allow != self.allow_by_default {
                *self.exceptions.entry(key).or_default() |= rule.access;
            } else {
                self.take_out(key, rule)?;
            }
        }
        Ok(())
    }

    fn take_out(&mut self, key: Key, rule: &Rule) -> Result<(), Error> {
        // A wider rule takes its narrower exceptions with it.
        self.exceptions.retain(|have, access| {
            if covers(key, *have) {
                *access &= !rule.access;
            }
            *access != 0
        });
        let wider = self.exceptions.iter().find(|(have, access)| {
            *have != &key && covers(**have, key) && **access & rule.access != 0
        });
        match wider {
            None => Ok(()),
            Some((have, access)) => Err(field_error(
                "linux.resources.devices",
                format!(
                    "cgroup v1 cannot take \"{}\" out of the wider \"{}\"; list the devices singly",
                    line(key, rule.access),
                    line(*have, *access)
                ),
            )),
        }
    }

    /// Reads `devices.list`: "a *:* rwm" is allow all, else the allowed ones.
    pub(in crate::cgroup) fn parse(list: &str) -> Table {
        let mut table = Table::default();
        for text in list.lines() {
            let mut words = text.split([' ', ':']);
            let (Some(kind), Some(major), Some(minor), Some(access)) =
                (words.next(), words.next(), words.next(), words.next())
            else {
                continue;
            };
            let kind = match kind {
                "b" => Kind::Block,
                "c" => Kind::Char,
                _ => return Table { allow_by_default: true, exceptions: BTreeMap::new() },
            };
            let bits = super::access_bits(access).unwrap_or(ALL);
            *table.exceptions.entry((kind, major.parse().ok(), minor.parse().ok())).or_default() |=
                bits;
        }
        table
    }
}

/// The writes that lead from `now` to `wanted`: (file, line).
pub(in crate::cgroup) fn transition(now: &Table, wanted: &Table) -> Vec<(&'static str, String)> {
    let mut out = Vec::new();
    let (opposite, same) = match wanted.allow_by_default {
        true => ("devices.deny", "devices.allow"),
        false => ("devices.allow", "devices.deny"),
    };
    // What allow-all excepts cannot be read back, so an allow-all table is always set afresh.
    let afresh = now.allow_by_default || wanted.allow_by_default;
    let none = BTreeMap::new();
    let have = if afresh { &none } else { &now.exceptions };
    if afresh {
        out.push((same, "a".to_owned()));
    }
    for (key, access) in &wanted.exceptions {
        let missing = access & !have.get(key).copied().unwrap_or(0);
        if missing != 0 {
            out.push((opposite, line(*key, missing)));
        }
    }
    for (key, access) in have {
        let extra = access & !wanted.exceptions.get(key).copied().unwrap_or(0);
        if extra != 0 {
            out.push((same, line(*key, extra)));
        }
    }
    out
}

fn covers(wide: Key, narrow: Key) -> bool {
    let within = |w: Option<u32>, n: Option<u32>| w.is_none() || w == n;
    wide.0 == narrow.0 && within(wide.1, narrow.1) && within(wide.2, narrow.2)
}

fn line((kind, major, minor): Key, access: u8) -> String {
    let number = |n: Option<u32>| n.map_or_else(|| "*".to_owned(), |n| n.to_string());
    let letters: String = [(READ, 'r'), (WRITE, 'w'), (MKNOD, 'm')]
        .into_iter()
        .filter(|(bit, _)| access & bit != 0)
        .map(|(_, letter)| letter)
        .collect();
    let kind = if kind == Kind::Block { 'b' } else { 'c' };
    format!("{kind} {}:{} {letters}", number(major), number(minor))
}
