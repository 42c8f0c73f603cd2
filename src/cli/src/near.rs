//! Near names: what somebody may have meant. Pure.

/// The nearest of `names` to `given`, when one is near enough to be worth a word.
#[must_use]
pub fn nearest<'a>(given: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (given.chars().count() / 3).clamp(1, 4);
    let scored = names.into_iter().map(|name| {
        let begins = !given.is_empty() && name.starts_with(given);
        (if begins { 1 } else { distance(given, name) }, name)
    });
    scored.filter(|(d, _)| *d <= limit).min().map(|(_, name)| name)
}

/// Edits (insert, delete, replace, swap of neighbours) from one text to the other.
#[must_use]
pub fn distance(from: &str, to: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
    let mut rows = vec![vec![0usize; b.len() + 1]; a.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    for (j, cell) in rows[0].iter_mut().enumerate() {
        *cell = j;
    }
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let replace = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replace.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_found_and_far_ones_are_not() {
        let names = ["web", "web-7k2fd", "database", "busybox:latest"];
        for (given, want) in [
            ("wbe", Some("web")),
            ("databse", Some("database")),
            ("data", Some("database")),
            ("busybx:latest", Some("busybox:latest")),
            ("nobody", None),
            ("", None),
        ] {
            assert_eq!(nearest(given, names), want, "{given}");
        }
    }
}
