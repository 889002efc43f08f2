//! An event in words.

use std::fmt::Write;

use serde_json::Value as Json;

use crate::Record;
use crate::engine::EngineId;
use crate::event::Event;
use crate::file::TraceFile;
use crate::guest::Value;
use crate::outputs::plain_text;

/// The event's name: a guest's as `system:name`, a device's as in the source.
pub fn event_name(trace: &TraceFile, record: &Record) -> String {
    if let Some(view) = trace.guest(record) {
        return format!("{}:{}", view.format.system, view.format.name);
    }
    match &record.event {
        Event::Guest(event) => format!("unknown tracepoint {}", event.format),
        event => fields(event).0,
    }
}

/// The event in one line: its name and its fields. Addresses are hexadecimal. Nothing in it has power over a terminal.
pub fn describe(trace: &TraceFile, record: &Record) -> String {
    let mut line = event_name(trace, record);
    match &record.event {
        Event::Guest(event) => {
            let names = trace.formats.get(&event.format).map_or(&[][..], |format| &format.fields);
            for (at, value) in event.values.iter().enumerate() {
                let name = names.get(at).map_or("?", String::as_str);
                let _ = write!(line, " {name}={}", guest_value(name, value));
            }
            let task = trace.tasks.get(&event.pid).map_or("", String::as_str);
            let _ = write!(line, " [{task}-{} cpu {}]", event.pid, event.cpu);
        }
        event => {
            for (name, value) in fields(event).1 {
                let _ = match who(trace, &name, &value) {
                    Some(who) => write!(line, " {who}"),
                    None => write!(line, " {name}={}", host_value(&name, &value)),
                };
            }
        }
    }
    plain_text(&line)
}

/// What the header calls the function or the engine that a field names.
fn who(trace: &TraceFile, name: &str, value: &Json) -> Option<String> {
    match name {
        "rid" => {
            let rid = value.as_u64().and_then(|rid| u16::try_from(rid).ok())?;
            let known = trace.header.functions.iter().any(|function| function.rid == rid);
            known.then(|| trace.header.function_label(rid))
        }
        "engine" => {
            let id: EngineId = serde_json::from_value(value.clone()).ok()?;
            Some(trace.header.engine_label(id))
        }
        _ => None,
    }
}

/// A device's event as its name and its fields.
fn fields(event: &Event) -> (String, Vec<(String, Json)>) {
    match serde_json::to_value(event) {
        Ok(Json::Object(map)) => match map.into_iter().next() {
            Some((name, Json::Object(fields))) => (name, fields.into_iter().collect()),
            Some((name, other)) => (name, vec![("value".to_string(), other)]),
            None => Default::default(),
        },
        Ok(Json::String(name)) => (name, Vec::new()),
        _ => Default::default(),
    }
}

fn is_address(name: &str) -> bool {
    matches!(
        name,
        "iova" | "gpa" | "offset" | "address" | "crc" | "paddr" | "fence" | "attach" | "owner" | "entity"
    )
}

fn host_value(name: &str, value: &Json) -> String {
    match value {
        Json::Number(number) if is_address(name) => {
            number.as_u64().map_or_else(|| number.to_string(), |number| format!("{number:#x}"))
        }
        Json::String(text) => text.clone(),
        Json::Null => "-".to_string(),
        other => other.to_string(),
    }
}

fn guest_value(name: &str, value: &Value) -> String {
    match value {
        Value::Unsigned(number) if is_address(name) => format!("{number:#x}"),
        Value::Unsigned(number) => number.to_string(),
        Value::Signed(number) => number.to_string(),
        Value::Text(text) => text.escape_debug().to_string(),
        Value::Bytes(bytes) => bytes.iter().fold(String::from("0x"), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        }),
    }
}
