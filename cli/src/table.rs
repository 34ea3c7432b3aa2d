//! Tables for people: columns as wide as they must be, numbers to the right.

/// A table. A column whose cells all look like numbers is aligned to the right.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these headings.
    pub(crate) fn new(headings: &[&str]) -> Self {
        Self { rows: vec![headings.iter().map(|heading| (*heading).to_owned()).collect()] }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// The table as text, with a final line break.
    pub(crate) fn render(&self) -> String {
        let columns: Vec<Column> = (0..self.rows.first().map_or(0, Vec::len))
            .map(|column| Column::of(self.rows.iter().filter_map(|row| row.get(column))))
            .collect();
        let mut text = String::new();
        for row in &self.rows {
            let cells: Vec<String> =
                row.iter().zip(&columns).map(|(cell, column)| column.align(cell)).collect();
            text.push_str(cells.join("  ").trim_end());
            text.push('\n');
        }
        text
    }
}

/// So many seconds, in the two largest units.
pub(crate) fn age(seconds: i64) -> String {
    let seconds = seconds.max(0);
    match (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60) {
        (0, 0, 0, seconds) => format!("{seconds}s"),
        (0, 0, minutes, seconds) => format!("{minutes}m{seconds}s"),
        (0, hours, minutes, _) => format!("{hours}h{minutes}m"),
        (days, hours, _, _) => format!("{days}d{hours}h"),
    }
}

struct Column {
    width: usize,
    is_numeric: bool,
}

impl Column {
    fn of<'a>(mut cells: impl Iterator<Item = &'a String> + Clone) -> Self {
        let width = cells.clone().map(|cell| cell.chars().count()).max().unwrap_or(0);
        let is_numeric = cells.by_ref().skip(1).all(|cell| looks_numeric(cell));
        Self { width, is_numeric }
    }

    fn align(&self, cell: &str) -> String {
        let width = self.width;
        if self.is_numeric { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
    }
}

fn looks_numeric(cell: &str) -> bool {
    matches!(cell, "" | "-") || cell.starts_with(|first: char| first.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_told_in_its_two_largest_units() {
        assert_eq!(age(59), "59s");
        assert_eq!(age(61), "1m1s");
        assert_eq!(age(3_660), "1h1m");
        assert_eq!(age(90_000), "1d1h");
    }

    #[test]
    fn words_stand_to_the_left_and_numbers_to_the_right() {
        let mut table = Table::new(&["tenant", "units"]);
        table.row(["org_ua".to_owned(), "5".to_owned()]);
        table.row(["o".to_owned(), "12000".to_owned()]);
        table.row(["none".to_owned(), "-".to_owned()]);
        let expected = "tenant  units\norg_ua      5\no       12000\nnone        -\n";
        assert_eq!(table.render(), expected);
    }
}
