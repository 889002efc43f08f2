//! A trace as one JSON object a line.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::{Map, Value as Json};

use crate::Record;
use crate::event::Event;
use crate::file::TraceFile;
use crate::guest::Value;
use crate::report::Losses;

/// One record. Of `event` and the guest's fields one is there.
#[derive(Clone, Debug, Serialize)]
pub struct Line<'a> {
    /// Guest cycles.
    pub cycles: u64,
    /// Nanoseconds.
    pub ns: u64,
    /// The category's name.
    pub category: &'static str,
    /// A device's event: its name and its fields.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub event: Option<Host<'a>>,
    /// A guest's tracepoint.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub guest: Option<Guest<'a>>,
}

/// A device's event.
#[derive(Clone, Debug, Serialize)]
pub struct Host<'a> {
    event: &'a Event,
}

/// A guest's event with the names of its fields.
#[derive(Clone, Debug, Serialize)]
pub struct Guest<'a> {
    system: &'a str,
    name: &'a str,
    cpu: u32,
    pid: u32,
    task: Option<&'a str>,
    fields: Map<String, Json>,
}

impl<'a> Line<'a> {
    /// The line of a record.
    pub fn new(trace: &'a TraceFile, record: &'a Record) -> Line<'a> {
        let guest = match &record.event {
            Event::Guest(event) => {
                let format = trace.formats.get(&event.format);
                let name = |at: usize| {
                    let known = format.and_then(|format| format.fields.get(at));
                    known.map_or_else(|| at.to_string(), Clone::clone)
                };
                Some(Guest {
                    system: format.map_or("", |format| &format.system),
                    name: format.map_or("", |format| &format.name),
                    cpu: event.cpu,
                    pid: event.pid,
                    task: trace.tasks.get(&event.pid).map(String::as_str),
                    fields: event.values.iter().enumerate().map(|(at, v)| (name(at), json(v))).collect(),
                })
            }
            _ => None,
        };
        Line {
            cycles: record.stamp.cycles,
            ns: record.stamp.ns,
            category: record.event.category().name(),
            event: guest.is_none().then_some(Host { event: &record.event }),
            guest,
        }
    }
}

fn json(value: &Value) -> Json {
    match value {
        Value::Unsigned(number) => Json::from(*number),
        Value::Signed(number) => Json::from(*number),
        Value::Text(text) => Json::from(text.as_str()),
        Value::Bytes(bytes) => Json::from(bytes.as_slice()),
    }
}

/// Writes the header as the first line, under `header`, then a line for each record.
pub fn write(trace: &TraceFile, mut out: impl Write) -> io::Result<()> {
    #[derive(Serialize)]
    struct First<'a> {
        schema: &'static str,
        stamps: String,
        lost: Losses,
        header: &'a crate::file::Header,
    }
    let first = First {
        schema: "fencepost-trace-events/2",
        stamps: trace.stamps(),
        lost: Losses::of(trace),
        header: &trace.header,
    };
    serde_json::to_writer(&mut out, &first)?;
    writeln!(out)?;
    for record in &trace.records {
        serde_json::to_writer(&mut out, &Line::new(trace, record))?;
        writeln!(out)?;
    }
    Ok(())
}
