//! A page of docs/ and the tables on it, for tests that compare it with the model.

// A page that is not as expected ends the test.
#![allow(clippy::arithmetic_side_effects)]

use crate::registers::{Access, Register, all};

/// The columns of every register table.
pub const COLUMNS: [&str; 6] = ["offset", "bytes", "name", "access", "reset", "meaning"];

/// The page's text.
pub fn page(name: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A table: its columns' names and its rows.
#[derive(Debug)]
pub struct Table {
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
}

fn cells(line: &str) -> Vec<String> {
    let inner = line.trim().trim_start_matches('|').trim_end_matches('|').replace("\\|", "\u{1}");
    inner.split('|').map(|cell| cell.replace('\u{1}', "|").trim().to_owned()).collect()
}

impl Table {
    /// The first table behind the line that is `heading`.
    pub fn after(page: &str, heading: &str) -> Table {
        let lines = page.lines().skip_while(|line| *line != heading).skip(1);
        let mut lines =
            lines.skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
        let columns = cells(lines.next().unwrap_or_else(|| panic!("no table behind \"{heading}\"")));
        let rows: Vec<_> = lines.skip(1).map(cells).collect();
        assert!(rows.iter().all(|row| row.len() == columns.len()), "{heading}: {rows:?}");
        Table { columns, rows }
    }

    /// The tables that have exactly these columns.
    pub fn with_columns(page: &str, columns: &[&str]) -> Vec<Table> {
        let mut tables = Vec::new();
        let mut lines = page.lines();
        while let Some(line) = lines.next() {
            if !line.starts_with('|') {
                continue;
            }
            let rows = lines.by_ref().skip(1).take_while(|line| line.starts_with('|')).map(cells).collect();
            let table = Table { columns: cells(line), rows };
            if table.columns == columns {
                assert!(table.rows.iter().all(|row| row.len() == columns.len()), "{table:?}");
                tables.push(table);
            }
        }
        tables
    }

    /// The rows, each with its cells by the column's name.
    pub fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.rows.iter().map(|cells| Row { columns: &self.columns, cells })
    }
}

/// One row.
#[derive(Clone, Copy)]
pub struct Row<'a> {
    columns: &'a [String],
    cells: &'a [String],
}

impl<'a> Row<'a> {
    /// The cell under `column`, without the marks that make it code.
    pub fn cell(&self, column: &str) -> String {
        self.raw(column).replace('`', "")
    }

    /// Whether the table has a column of this name.
    pub fn has(&self, column: &str) -> bool {
        self.columns.iter().any(|name| name == column)
    }

    /// The cell under `column` as it stands.
    pub fn raw(&self, column: &str) -> &'a str {
        let at = self.columns.iter().position(|name| name == column);
        &self.cells[at.unwrap_or_else(|| panic!("no column {column} in {:?}", self.columns))]
    }
}

/// A number, decimal or with 0x; underscores are allowed.
pub fn number(text: &str) -> Option<u64> {
    let text = text.trim().trim_matches('`').replace('_', "");
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

/// The first number behind `words` on the page.
pub fn number_after(page: &str, words: &str) -> u64 {
    let at = page.find(words).unwrap_or_else(|| panic!("the page does not say \"{words}\""));
    let rest = page[at + words.len()..].trim_start_matches([' ', '`', '(', '\n']);
    let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
    number(&rest[..end]).unwrap_or_else(|| panic!("no number behind \"{words}\": {}", &rest[..end]))
}

/// `0x100`, `0x100 + 16n, n < 8` or `0x100 + 0x1000h + 16n, h < 2, n < 8`: the offset and, for registers (n) and for sets of them (h, one
/// for each head of a display), distance and number.
fn places(cell: &str) -> (usize, [(usize, usize); 2]) {
    let value = |text: &str| number(text).unwrap_or_else(|| panic!("{text} in {cell}")) as usize;
    let (sum, bounds) = cell.split_once(", ").unwrap_or((cell, ""));
    let terms: Vec<&str> = sum.split(" + ").collect();
    let bounds: Vec<&str> = bounds.split(", ").filter(|bound| !bound.is_empty()).collect();
    assert_eq!(terms.len(), bounds.len() + 1, "{cell}: a bound for each distance");
    let mut found = [(0, 1); 2];
    for (term, bound) in terms[1..].iter().zip(bounds) {
        let (letter, count) =
            bound.split_once(" < ").unwrap_or_else(|| panic!("{bound} in {cell} is no bound"));
        let stride =
            term.strip_suffix(letter).unwrap_or_else(|| panic!("{term} in {cell} is not of {letter}"));
        let at = ["n", "h"].iter().position(|known| *known == letter);
        found[at.unwrap_or_else(|| panic!("{letter} in {cell}"))] = (value(stride), value(count));
    }
    (value(terms[0]), found)
}

/// A row of a register table.
fn register(row: &Row<'_>) -> Register {
    let (offset, [(stride, count), (set_stride, sets)]) = places(&row.cell("offset"));
    let (name, width, access) = (row.cell("name"), row.cell("bytes"), row.cell("access"));
    let width = number(&width).unwrap_or_else(|| panic!("{name}: {width} bytes")) as usize;
    let (kind, bits) = match access.split_once(" 0x") {
        Some((kind, digits)) => {
            (kind, u64::from_str_radix(digits, 16).unwrap_or_else(|_| panic!("{access}")))
        }
        None => (access.as_str(), all(width)),
    };
    let (access, writable, clear) = match kind {
        "RO" => (Access::ReadOnly, 0, 0),
        "RW" => (Access::ReadWrite, bits, 0),
        "RW, acts" => (Access::Acting, bits, 0),
        "RW, locked" => (Access::Locked, bits, 0),
        "WO" => (Access::WriteOnly, bits, 0),
        "W1C" => (Access::ClearByOnes, 0, bits),
        other => panic!("{name}: unknown access {other}"),
    };
    let (name, reset) = (name.leak(), number(&row.cell("reset")));
    Register { id: (), name, offset, width, count, stride, sets, set_stride, access, reset, writable, clear }
}

/// The registers of a page's register tables, those with [`COLUMNS`], to be compared with a model's own. `access` is `RO`, `RW`, `WO`, `W1C`,
/// `RW, acts` or `RW, locked`, and the bits if they are not all.
pub fn registers(page: &str) -> Vec<Register> {
    registers_and_resets(page).into_iter().map(|(register, _)| register).collect()
}

/// The same, with what each row states of the value after reset.
pub fn registers_and_resets(page: &str) -> Vec<(Register, String)> {
    let tables = Table::with_columns(page, &COLUMNS);
    tables.iter().flat_map(Table::rows).map(|row| (register(&row), row.cell("reset"))).collect()
}
