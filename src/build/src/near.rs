//! The name that was probably meant. Pure.

/// The known name that differs least from `wanted`, if it does so little.
pub(crate) fn nearest<'a>(wanted: &str, known: &[&'a str]) -> Option<&'a str> {
    let wanted = wanted.to_ascii_lowercase();
    let measured = known.iter().map(|name| (distance(&wanted, &name.to_ascii_lowercase()), *name));
    let (distance, name) = measured.min_by_key(|(distance, _)| *distance)?;
    (distance <= 1 + wanted.len() / 4).then_some(name)
}

/// How many letters have to be changed, added, left out or exchanged with a neighbour.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(40).collect(), b.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let change = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = change.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}
