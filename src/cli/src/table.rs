//! Aligned columns. Pure. Widths count characters; escape sequences of colours count nothing.

/// Rows under a heading.
#[derive(Debug, Clone, Default)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these headings.
    #[must_use]
    pub fn new(headings: &[&str]) -> Table {
        Table { rows: vec![headings.iter().map(|h| (*h).to_owned()).collect()] }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// There is nothing but the heading.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.len() < 2
    }

    /// The table, with or without its heading.
    #[must_use]
    pub fn render(&self, heading: bool) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns)
            .map(|c| self.rows.iter().filter_map(|r| r.get(c)).map(|x| width(x)).max().unwrap_or(0))
            .collect();
        let mut out = String::new();
        for row in self.rows.iter().skip(usize::from(!heading)) {
            let mut line = String::new();
            for (cell, wide) in row.iter().zip(&widths) {
                line.push_str(cell);
                line.extend(std::iter::repeat_n(' ', wide - width(cell) + 3));
            }
            out.push_str(line.trim_end());
            out.push('\n');
        }
        out
    }
}

/// Characters that a terminal shows.
#[must_use]
pub fn width(text: &str) -> usize {
    let mut inside = false;
    text.chars()
        .filter(|&c| {
            let shown = !inside && c != '\x1b';
            inside = c == '\x1b' || inside && c != 'm';
            shown
        })
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_nothing_trails() {
        let mut table = Table::new(&["NAME", "STATUS", "AGE"]);
        assert!(table.is_empty());
        table.row(vec!["a".into(), "\x1b[32mRunning\x1b[0m".into(), "5s".into()]);
        table.row(vec!["longer-name".into(), "X".into(), String::new()]);
        let text = table.render(true);
        let want = "NAME          STATUS    AGE\n\
                    a             \x1b[32mRunning\x1b[0m   5s\n\
                    longer-name   X\n";
        assert_eq!(text, want);
        assert!(!table.render(false).contains("NAME"));
    }
}
