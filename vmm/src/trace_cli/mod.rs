//! `fencepost trace`: what a trace file says. The work is the trace crate's.

mod convert;
mod output;
mod screen;

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write};
use std::path::Path;

use fencepost_trace::file::TraceFile;
use fencepost_trace::journey::Journeys;
use fencepost_trace::report::{self, Diff, Found, Line, QueryHead, Report};

use crate::cli::trace::{DiffArgs, QueryArgs, ReportArgs, TraceArgs, TraceCommand};
use crate::error::{HostError, plain};
use crate::say;
use screen::{Form, Screen};

/// The exit status of a check that fails.
const OBJECTED: i32 = 1;

/// Does what the command line says. Gives the exit status.
pub fn trace(args: &TraceArgs) -> Result<i32, HostError> {
    match &args.command {
        TraceCommand::Report(args) => report(args),
        TraceCommand::Diff(args) => diff(args),
        TraceCommand::Query(args) => query(args),
        TraceCommand::Convert(args) => convert::convert(args),
    }
}

/// Reads a trace, and warns of what cannot be read of it.
fn read(path: &Path) -> Result<(TraceFile, Journeys), HostError> {
    let fix = "give a file that --trace made";
    let file = File::open(path).map_err(|error| HostError::file("the trace", path, &error, fix))?;
    let trace = TraceFile::read(BufReader::new(file))
        .map_err(|error| HostError::input(format!("{}: {}", path.display(), sentence(error)), fix))?;
    for damage in &trace.damage {
        say::line(format_args!("fencepost: warning: {}: {damage}; what is readable is used", path.display()));
    }
    if let Some(totals) = trace.totals
        && !totals.none_lost()
    {
        let (path, beyond) = (path.display(), totals.beyond_limit);
        say::line(format_args!(
            "fencepost: warning: {path}: {} events were lost, {} by the guest, and {beyond} came behind the file's limit; journeys \
             may have gaps",
            totals.lost, totals.guest_lost
        ));
    }
    let journeys = Journeys::build(&trace);
    Ok((trace, journeys))
}

/// A reading error as a part of a sentence.
fn sentence(error: fencepost_trace::file::ReadError) -> String {
    match error {
        fencepost_trace::file::ReadError::Io(error) => plain(&error),
        other => other.to_string(),
    }
}

/// Calls `write` with standard output. A reader that goes away is no error.
fn print(form: Form, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), HostError> {
    let mut out = Screen::new(BufWriter::new(io::stdout().lock()), form);
    match write(&mut out).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            // What is buffered cannot be written either.
            std::mem::forget(out);
            Err(HostError::Input(format!("standard output: {}", plain(&error))))
        }
        Err(_) => {
            std::mem::forget(out);
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

fn print_json(value: &impl serde::Serialize) -> Result<(), HostError> {
    print(Form::Json, |out| {
        serde_json::to_writer_pretty(&mut *out, value)?;
        writeln!(out)
    })
}

/// Says what a check objects to. Gives the exit status.
fn judge(objections: &[String]) -> i32 {
    for objection in objections {
        say::line(format_args!("fencepost: {objection}"));
    }
    if objections.is_empty() { 0 } else { OBJECTED }
}

fn report(args: &ReportArgs) -> Result<i32, HostError> {
    let (trace, journeys) = read(&args.file)?;
    let report = Report::new(&trace, &journeys);
    if args.json {
        print_json(&report)?;
    } else {
        print(Form::Text, |mut out| report.write_text(&mut out))?;
    }
    Ok(if args.check { judge(&report.objections(args.complete)) } else { 0 })
}

fn diff(args: &DiffArgs) -> Result<i32, HostError> {
    let (before, after) = (read(&args.before)?, read(&args.after)?);
    let reports = [&before, &after].map(|(trace, journeys)| Report::new(trace, journeys));
    let diff = Diff::new([&before.0, &after.0], [&reports[0], &reports[1]]);
    if args.json {
        print_json(&diff)?;
    } else {
        print(Form::Text, |mut out| diff.write_markdown(&mut out))?;
    }
    Ok(args.fail_above.map_or(0, |limit| judge(&diff.regressions(limit))))
}

fn query(args: &QueryArgs) -> Result<i32, HostError> {
    let query = args.what.query().ok_or_else(|| HostError::Input("nothing to look for".into()))?;
    let (trace, journeys) = read(&args.file)?;
    let found = report::find(&trace, &journeys, query, &args.categories)
        .map_err(|error| HostError::Input(error.to_string()))?;
    print(if args.json { Form::Json } else { Form::Text }, |out| {
        if args.json {
            let head = QueryHead::new(&trace, query, &args.categories, &found);
            serde_json::to_writer(&mut *out, &head)?;
            writeln!(out)?;
        } else {
            writeln!(out, "Stamps: {}", trace.stamps())?;
        }
        found.iter().try_for_each(|one| show(&trace, one, args.json, out))
    })?;
    Ok(0)
}

/// Writes one event of a query.
fn show(trace: &TraceFile, found: &Found, json: bool, out: &mut dyn Write) -> io::Result<()> {
    let Some(record) = trace.records.get(found.record) else { return Ok(()) };
    if !json {
        let (at, event) = (record.stamp, report::describe(trace, record));
        return writeln!(out, "{:>14} {:>14} ns  {:<28}  {event}", at.cycles, at.ns, found.part);
    }
    #[derive(serde::Serialize)]
    struct Part<'a> {
        record: usize,
        part: &'a str,
        #[serde(flatten)]
        line: Line<'a>,
    }
    let part = Part { record: found.record, part: &found.part, line: Line::new(trace, record) };
    serde_json::to_writer(&mut *out, &part)?;
    writeln!(out)
}
