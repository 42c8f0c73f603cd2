//! The first size of a pod's terminals, by annotation: what a program sees that asks before anybody
//! has attached.

use crate::manifest::ObjectMeta;

/// Annotation: rows and columns, as in `24x80`.
pub const SIZE: &str = "podvisor/console-size";

/// The size that a pod's annotations ask for, rows and columns.
pub fn size(metadata: &ObjectMeta) -> Option<(u16, u16)> {
    parse(metadata.annotations.get(SIZE)?)
}

pub(crate) fn parse(text: &str) -> Option<(u16, u16)> {
    let (rows, columns) = text.split_once('x')?;
    let number = |text: &str| text.parse().ok().filter(|number| *number > 0);
    Some((number(rows)?, number(columns)?))
}

#[cfg(test)]
mod tests {
    #[test]
    fn sizes_are_rows_by_columns() {
        assert_eq!(super::parse("24x80"), Some((24, 80)));
        for wrong in ["", "24", "24x", "0x80", "24x80x1", "-1x80", "70000x1"] {
            assert_eq!(super::parse(wrong), None, "{wrong}");
        }
    }
}
