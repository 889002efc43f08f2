//! From lines to tests: a stack of levels, one for each indentation at which results stand.

use std::collections::BTreeSet;

use super::line::{Found, Kind, Line, read};
use super::{Ktap, Problem, ProblemKind, Test};
use crate::text::{at_most, one_line};

/// Results that are kept.
const TESTS_MAX: usize = 65_536;
/// Problems that are kept.
const PROBLEMS_MAX: usize = 1024;
/// Levels of nesting.
const DEPTH_MAX: usize = 16;
/// Bytes of a line that are looked at.
const LINE_MAX_BYTES: usize = 4096;
/// Bytes kept of a name or a reason.
const NAME_MAX_BYTES: usize = 512;
/// Lines of diagnostics kept for a test, and bytes of each.
const NOTES_MAX: usize = 40;
const NOTE_MAX_BYTES: usize = 400;

/// Reads a text. Never fails: what is wrong is in [`Ktap::problems`].
pub fn parse(text: &str) -> Ktap {
    let mut parser = Parser::default();
    for (at, line) in text.lines().enumerate() {
        parser.at = at + 1;
        if !parser.line(at_most(line, LINE_MAX_BYTES)) {
            break;
        }
    }
    parser.finish()
}

/// The tests at one indentation.
#[derive(Default)]
struct Level {
    column: usize,
    /// Of the test that they belong to, as `# Subtest:` says.
    name: Option<String>,
    /// Its lines begin with `# `.
    hashed: bool,
    /// A version line of its own says that it is TAP, which needs a plan.
    tap: bool,
    /// It is TAP's or within that, where a result needs no number.
    numberless: bool,
    /// It has a version line of its own.
    versioned: bool,
    plan: Option<u32>,
    bailed: bool,
    /// Results since the last version line, and their numbers.
    came: u32,
    numbers: BTreeSet<u32>,
    last: Option<u32>,
    tests: Vec<Test>,
    problems: Vec<Problem>,
}

impl Level {
    fn problem(&mut self, line: usize, kind: ProblemKind) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(Problem { path: Vec::new(), line, kind });
        }
    }

    /// A version line, or the end: what was planned must have come.
    fn end_document(&mut self, line: usize) {
        if !self.bailed {
            match self.plan {
                Some(planned) if planned != self.came => {
                    self.problem(line, ProblemKind::Count { planned, came: self.came });
                }
                None if self.tap && self.came > 0 => self.problem(line, ProblemKind::NoPlan),
                _ => {}
            }
        }
        (self.plan, self.came, self.last) = (None, 0, None);
        self.numbers.clear();
    }

    /// Whether all came that were planned, in a text whose beginning nothing marks: the next may be another text's.
    fn is_whole(&self) -> bool {
        !self.versioned && self.plan == Some(self.came)
    }

    /// A result's number: the next unless the line has one. Where there is no plan the first may be any, as kunit's modules count on.
    fn number(&mut self, found: &Found, line: usize) -> u32 {
        let next = self.last.map_or(1, |last| last.saturating_add(1));
        let number = found.number.unwrap_or(next);
        if !self.numbers.insert(number) {
            self.problem(line, ProblemKind::Duplicate(number));
        } else if number != next && (self.last.is_some() || self.plan.is_some()) {
            self.problem(line, ProblemKind::Order { expected: next, came: number });
        }
        self.last = Some(number);
        self.came = self.came.saturating_add(1);
        number
    }

    /// Puts a name before the paths of what is in it.
    fn within(&mut self, name: &str) {
        let paths = self.tests.iter_mut().map(|test| &mut test.path);
        for path in paths.chain(self.problems.iter_mut().map(|problem| &mut problem.path)) {
            path.insert(0, name.to_owned());
        }
    }
}

#[derive(Default)]
struct Parser {
    /// The line, counted from 1.
    at: usize,
    levels: Vec<Level>,
    /// Of a `# Subtest:` that stands before the subtests' indentation, as in TAP 14.
    next_name: Option<String>,
    /// Lines since the last result.
    notes: Vec<String>,
    /// The indentation of the YAML block that is being read.
    yaml: Option<usize>,
    /// The last line was a result, behind which a YAML block may follow.
    after_result: bool,
    tests: usize,
    skipped: Option<String>,
    too_much: Option<&'static str>,
}

impl Parser {
    /// Takes a line; false when no more can be taken.
    fn line(&mut self, text: &str) -> bool {
        let Some(line) = read(text) else { return true };
        if self.is_yaml(text) {
            return true;
        }
        self.after_result = false;
        match self.accepted(&line) {
            true => self.statement(line),
            false => self.note(text),
        }
        self.too_much.is_none()
    }

    /// Whether a statement is one here, and not the words of a program.
    fn accepted(&self, line: &Line) -> bool {
        let open = !self.levels.is_empty();
        let level = self.levels.iter().find(|level| level.column == line.column);
        match &line.kind {
            Kind::Text { .. } => false,
            Kind::Subtest(_) | Kind::Version { .. } => true,
            Kind::Plan { .. } => open || !line.hashed && line.column == 0,
            Kind::Bail(_) => open || !line.hashed,
            Kind::Result(found) if line.hashed => {
                found.number.is_some() && level.is_some_and(|level| level.hashed)
            }
            Kind::Result(found) if found.number.is_none() => {
                let begun =
                    self.levels.last().filter(|top| top.column < line.column && self.next_name.is_some());
                level.or(begun).is_some_and(|level| level.numberless)
            }
            Kind::Result(_) => open || line.column == 0,
        }
    }

    fn statement(&mut self, line: Line) {
        let column = line.column;
        match line.kind {
            Kind::Subtest(name) => self.subtest(column, name),
            Kind::Version { ktap } => {
                self.close_above(column);
                let at = self.at;
                if let Some(level) = self.level(column) {
                    level.end_document(at);
                    (level.tap, level.numberless, level.versioned) = (!ktap, !ktap, true);
                    (level.hashed, level.bailed) = (line.hashed, false);
                }
            }
            Kind::Plan { count, skipped } => self.plan(column, line.hashed, count, skipped),
            Kind::Bail(why) => {
                let (why, at) = (kept(why), self.at);
                let column = self.levels.last().map_or(column, |level| level.column);
                if let Some(level) = self.level(column) {
                    level.problem(at, ProblemKind::Bail(why));
                }
                self.levels.iter_mut().for_each(|level| level.bailed = true);
            }
            Kind::Result(found) => self.result(column, found),
            Kind::Text { .. } => {}
        }
    }

    /// The name of subtests: kunit has it at their indentation, TAP 14 at that of their test.
    fn subtest(&mut self, column: usize, name: &str) {
        let name = kept(name);
        let top = self.levels.last().map(|level| (level.column, level.came, level.name.is_none()));
        match top {
            Some((top, 0, true)) if top == column && self.levels.len() > 1 => {
                if let Some(level) = self.levels.last_mut() {
                    level.name = Some(name);
                }
            }
            Some((top, ..)) if top >= column => self.next_name = Some(name),
            Some(_) if self.next_name.is_some() => {
                self.level(column);
                self.next_name = Some(name);
            }
            None if column == 0 => self.next_name = Some(name),
            _ => {
                self.next_name = Some(name);
                self.level(column);
            }
        }
    }

    fn plan(&mut self, column: usize, hashed: bool, count: u32, skipped: Option<&str>) {
        self.close_above(column);
        if let Some(why) = skipped.filter(|_| column == 0) {
            self.skipped.get_or_insert_with(|| kept(why));
        }
        let at = self.at;
        if let Some(level) = self.level(column) {
            if level.is_whole() {
                level.end_document(at);
            }
            level.hashed = hashed;
            match level.plan {
                Some(_) => level.problem(at, ProblemKind::SecondPlan),
                None => level.plan = Some(count),
            }
        }
    }

    fn result(&mut self, column: usize, found: Found) {
        let mut children = self.take_above(column);
        let notes = std::mem::take(&mut self.notes);
        let (at, total) = (self.at, self.tests);
        let Some(level) = self.level(column) else { return };
        if found.number == Some(1) && level.is_whole() {
            level.end_document(at);
        }
        let number = level.number(&found, at);
        let name = kept(&found.name);
        let name = if name.is_empty() { format!("test {number}") } else { name };
        children.within(&name);
        let subtests = children.tests.len();
        level.tests.append(&mut children.tests);
        level.problems.append(&mut children.problems);
        if total >= TESTS_MAX {
            self.too_much = Some("65536 results");
            return;
        }
        level.tests.push(Test {
            path: vec![name],
            number: found.number,
            ok: found.ok,
            directive: found.directive,
            reason: kept(found.reason),
            diagnostics: notes,
            line: at,
            subtests,
        });
        self.tests += 1;
        self.after_result = true;
        self.next_name = None;
    }

    /// The level at a column, which is opened if it is not there; `None` if it would be too deep. What is deeper must be closed.
    fn level(&mut self, column: usize) -> Option<&mut Level> {
        if self.levels.last().is_none_or(|level| level.column < column) {
            if self.levels.len() == DEPTH_MAX {
                self.too_much = Some("16 levels of nesting");
                return None;
            }
            let name = self.next_name.take();
            let numberless = self.levels.last().is_some_and(|level| level.numberless);
            self.levels.push(Level { column, name, numberless, ..Level::default() });
        }
        self.levels.last_mut()
    }

    /// Closes what is deeper than a column, and gives it to the result that stands there.
    fn take_above(&mut self, column: usize) -> Level {
        let mut above: Vec<Level> = Vec::new();
        while self.levels.last().is_some_and(|level| level.column > column) {
            above.extend(self.levels.pop());
        }
        let mut taken = Level::default();
        // The innermost first: only the outermost of them has the result for its test.
        for mut level in above {
            level.end_document(self.at);
            if !taken.tests.is_empty() || !taken.problems.is_empty() {
                let mut inner = std::mem::take(&mut taken);
                unfinished(&mut inner, self.at);
                level.tests.append(&mut inner.tests);
                level.problems.append(&mut inner.problems);
            }
            taken = level;
        }
        taken
    }

    /// Closes what is deeper than a column, where no result stands for it.
    fn close_above(&mut self, column: usize) {
        let mut above = self.take_above(column);
        if above.tests.is_empty() && above.problems.is_empty() {
            return;
        }
        // Without a level beneath, and without a name, this is a text that is indented as a whole.
        if !self.levels.is_empty() || above.name.is_some() {
            unfinished(&mut above, self.at);
        }
        if let Some(level) = self.level(column) {
            level.tests.append(&mut above.tests);
            level.problems.append(&mut above.problems);
        }
    }

    /// TAP's YAML block, which belongs to the result before it.
    fn is_yaml(&mut self, text: &str) -> bool {
        let text = crate::printk::message(text);
        let (column, words) = (text.len() - text.trim_start().len(), text.trim());
        let begins = self.levels.last().is_some_and(|level| column > level.column);
        match self.yaml {
            None if self.after_result && words == "---" && begins => self.yaml = Some(column),
            Some(least) if column >= least && words == "..." => self.yaml = None,
            Some(least) if column >= least => {
                let test = self.levels.last_mut().and_then(|level| level.tests.last_mut());
                if let Some(test) = test.filter(|test| test.diagnostics.len() < NOTES_MAX) {
                    test.diagnostics.push(one_line(at_most(words, NOTE_MAX_BYTES)));
                }
            }
            _ => {
                self.yaml = None;
                return false;
            }
        }
        true
    }

    fn note(&mut self, text: &str) {
        let text = crate::printk::message(text).trim().trim_start_matches("# ");
        if self.notes.len() == NOTES_MAX {
            self.notes.remove(0);
        }
        self.notes.push(one_line(at_most(text, NOTE_MAX_BYTES)));
    }

    fn finish(mut self) -> Ktap {
        let column = self.levels.first().map_or(0, |level| level.column);
        self.close_above(column);
        let mut last = self.levels.pop().unwrap_or_default();
        last.end_document(self.at);
        if last.name.is_some() && last.column > 0 {
            unfinished(&mut last, self.at);
        }
        if let Some(limit) = self.too_much {
            last.problem(self.at, ProblemKind::TooMuch(limit));
        }
        if last.tests.is_empty() && last.problems.is_empty() && self.skipped.is_none() {
            last.problem(self.at, ProblemKind::Nothing);
        }
        // What follows the last result: a program's words about it, or its end.
        if let Some(test) = last.tests.last_mut() {
            let free = NOTES_MAX.saturating_sub(test.diagnostics.len());
            test.diagnostics.extend(self.notes.into_iter().take(free));
        }
        last.problems.truncate(PROBLEMS_MAX);
        Ktap { tests: last.tests, problems: last.problems, skipped: self.skipped }
    }
}

/// Names a level whose test has no result.
fn unfinished(level: &mut Level, at: usize) {
    let name = level.name.clone().unwrap_or_else(|| "(no name)".into());
    if !level.bailed {
        level.problem(at, ProblemKind::Unfinished);
    }
    level.within(&name);
}

fn kept(text: &str) -> String {
    one_line(at_most(text.trim(), NAME_MAX_BYTES))
}
