//! `fencepost trace`: what a trace file says. The work is the trace crate's.

pub mod args;

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write};
use std::path::Path;

use fencepost_trace::file::TraceFile;
use fencepost_trace::journey::Journeys;
use fencepost_trace::report::{self, Diff, Found, Line, Report};
use fencepost_trace::{html, perfetto, svg};

use crate::error::{HostError, plain};
use args::{ConvertArgs, DiffArgs, Output, QueryArgs, ReportArgs, TraceArgs, TraceCommand};

/// The exit status of a check that fails.
const OBJECTED: i32 = 1;

/// Does what the command line says. Gives the exit status.
pub fn trace(args: &TraceArgs) -> Result<i32, HostError> {
    match &args.command {
        TraceCommand::Report(args) => report(args),
        TraceCommand::Diff(args) => diff(args),
        TraceCommand::Query(args) => query(args),
        TraceCommand::Convert(args) => convert(args),
    }
}

/// Reads a trace, and warns of what cannot be read of it.
fn read(path: &Path) -> Result<(TraceFile, Journeys), HostError> {
    let mend = "give a file that --trace made";
    let file = File::open(path).map_err(|error| HostError::file("the trace", path, &error, mend))?;
    let trace = TraceFile::read(BufReader::new(file))
        .map_err(|error| HostError::input(format!("{}: {}", path.display(), sentence(error)), mend))?;
    for damage in &trace.damage {
        eprintln!("fencepost: warning: {}: {damage}; what is readable is used", path.display());
    }
    if let Some(totals) = trace.totals
        && (totals.lost > 0 || totals.guest_lost > 0)
    {
        eprintln!(
            "fencepost: warning: {}: {} events were lost, and {} by the guest; journeys may have gaps",
            path.display(),
            totals.lost,
            totals.guest_lost
        );
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

/// Has `write` write to standard output. A reader that goes away is no error.
fn print(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), HostError> {
    let mut out = BufWriter::new(io::stdout().lock());
    match write(&mut out).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            // What is buffered cannot be written either.
            std::mem::forget(out);
            Err(HostError::Host(format!("standard output: {}", plain(&error))))
        }
        Err(_) => {
            std::mem::forget(out);
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

fn print_json(value: &impl serde::Serialize) -> Result<(), HostError> {
    print(|out| {
        serde_json::to_writer_pretty(&mut *out, value)?;
        writeln!(out)
    })
}

/// Says what a check objects to. Gives the exit status.
fn judge(objections: &[String]) -> i32 {
    for objection in objections {
        eprintln!("fencepost: {objection}");
    }
    if objections.is_empty() { 0 } else { OBJECTED }
}

fn report(args: &ReportArgs) -> Result<i32, HostError> {
    let (trace, journeys) = read(&args.file)?;
    let report = Report::new(&trace, &journeys);
    if args.json {
        print_json(&report)?;
    } else {
        print(|mut out| report.write_text(&mut out))?;
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
        print(|mut out| diff.write_markdown(&mut out))?;
    }
    Ok(args.fail_above.map_or(0, |limit| judge(&diff.regressions(limit))))
}

fn query(args: &QueryArgs) -> Result<i32, HostError> {
    let query = args.what.query().ok_or_else(|| HostError::Input("nothing to look for".into()))?;
    let (trace, journeys) = read(&args.file)?;
    let found = report::find(&trace, &journeys, query, &args.categories)
        .map_err(|error| HostError::Input(error.to_string()))?;
    print(|out| {
        if !args.json {
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

fn convert(args: &ConvertArgs) -> Result<i32, HostError> {
    if args.frame.is_some() && args.to != Output::Svg {
        return Err(HostError::input("--frame is for one frame's picture", "use it with --to svg"));
    }
    let (trace, journeys) = read(&args.file)?;
    let frame = match args.to {
        Output::Svg => {
            svg::choose(&journeys, args.frame).map_err(|error| HostError::Input(error.to_string()))?
        }
        _ => 0,
    };
    if args.output == Path::new("-") {
        print(|out| write_as(args.to, &trace, &journeys, frame, out))?;
        return Ok(0);
    }
    let mend = "give a path that can be written with -o";
    let failed = |error: io::Error| HostError::file("the output", &args.output, &error, mend);
    let mut out = BufWriter::new(File::create(&args.output).map_err(failed)?);
    write_as(args.to, &trace, &journeys, frame, &mut out).and_then(|()| out.flush()).map_err(failed)?;
    Ok(0)
}

/// Writes a trace; `frame` is for a picture of one.
fn write_as(
    to: Output,
    trace: &TraceFile,
    journeys: &Journeys,
    frame: usize,
    out: &mut dyn Write,
) -> io::Result<()> {
    match to {
        Output::Jsonl => report::write_jsonl(trace, out),
        Output::Perfetto => perfetto::write(trace, journeys, out),
        Output::Html => html::write(trace, journeys, out),
        Output::Svg => svg::write(trace, journeys, frame, out).map_err(|error| match error {
            svg::SvgError::Io(error) => error,
            other => io::Error::other(other),
        }),
    }
}
