//! `fencepost trace convert`.

use std::io::{self, Write};
use std::path::Path;

use fencepost_trace::file::TraceFile;
use fencepost_trace::journey::Journeys;
use fencepost_trace::report::{self, Converted};
use fencepost_trace::{html, perfetto, svg};

use super::output::write_file;
use super::screen::Form;
use super::{print, print_json, read};
use crate::cli::trace::{ConvertArgs, Output};
use crate::error::HostError;
use crate::files::{is_standard_output, same_file};

/// Writes a trace as something else. Gives the exit status.
pub(super) fn convert(args: &ConvertArgs) -> Result<i32, HostError> {
    refuse(args)?;
    let (trace, journeys) = read(&args.file)?;
    let frame = match args.to {
        Output::Svg => {
            svg::choose(&journeys, args.frame).map_err(|error| HostError::Input(error.to_string()))?
        }
        _ => 0,
    };
    let write = |out: &mut dyn Write| write_as(args.to, &trace, &journeys, frame, out);
    if to_standard_output(args) {
        print(if args.to == Output::Jsonl { Form::Json } else { Form::Raw }, write)?;
        return Ok(0);
    }
    let fix = "give a path that can be written with -o";
    let bytes = write_file(&args.output, write)
        .map_err(|error| HostError::file("the output", &args.output, &error, fix))?;
    if args.json {
        let written = (args.output.display().to_string(), bytes);
        let converted = Converted::new(&trace, &journeys, args.to.name(), written);
        let frame = (args.to == Output::Svg).then_some(frame);
        print_json(&Converted { frame, ..converted })?;
    }
    Ok(0)
}

fn to_standard_output(args: &ConvertArgs) -> bool {
    args.output == Path::new("-")
}

/// What cannot be meant.
fn refuse(args: &ConvertArgs) -> Result<(), HostError> {
    if args.frame.is_some() && args.to != Output::Svg {
        return Err(HostError::input("--frame is for one frame's picture", "use it with --to svg"));
    }
    if args.json && (to_standard_output(args) || is_standard_output(&args.output)) {
        let both = "--json and the output would both go to standard output";
        return Err(HostError::input(both, "name a file with -o"));
    }
    if same_file(&args.file, &args.output) {
        let itself = format!("the output {} is the trace itself", args.output.display());
        return Err(HostError::input(itself, "name another file with -o"));
    }
    Ok(())
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
