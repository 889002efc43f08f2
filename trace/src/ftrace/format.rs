//! The layout of a tracepoint's records, from its `format` file in tracefs.
//!
//! Source: the kernel's `Documentation/trace/events.rst`, section 2.2, and `Documentation/trace/ring-buffer-map.rst`.

use serde::{Deserialize, Serialize};

use crate::guest::{GuestFormat, Value};

/// No tracepoint has more fields than this.
pub(crate) const FIELDS_MAX: usize = 128;
/// No name is longer than this, in bytes.
pub(crate) const NAME_MAX: usize = 128;
/// What `__data_loc` fields hold: the low half is the offset of the data, the high half its length.
const DATA_LOC_BYTES: usize = 4;

/// How a field's bytes are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Kind {
    Unsigned,
    Signed,
    /// Characters up to a NUL or the end.
    Text,
    Bytes,
    /// Text or bytes elsewhere in the record: offset and length; from the record's start, or from the field's end.
    Elsewhere {
        text: bool,
        relative: bool,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Field {
    offset: usize,
    size: usize,
    kind: Kind,
}

/// A tracepoint's layout: what others are given of it, and where its fields are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Format {
    /// What later events refer to.
    pub guest: GuestFormat,
    fields: Vec<Field>,
    pid: Field,
}

/// One `field:` line.
struct Line<'a> {
    name: &'a str,
    field: Field,
}

impl Format {
    /// Reads the text of a `format` file of `system`. `None` if it is not one.
    pub fn parse(system: &str, text: &str) -> Option<Format> {
        let mut guest =
            GuestFormat { id: 0, system: short(system)?.into(), name: String::new(), fields: Vec::new() };
        let (mut fields, mut pid) = (Vec::new(), None);
        for line in text.lines().map(str::trim) {
            if let Some(name) = line.strip_prefix("name:") {
                guest.name = short(name.trim())?.into();
            } else if let Some(id) = line.strip_prefix("ID:") {
                guest.id = u32::from(id.trim().parse::<u16>().ok()?);
            } else if let Some(rest) = line.strip_prefix("field:") {
                let line = field_line(rest)?;
                if line.name == "common_pid" {
                    pid = Some(line.field);
                } else if !line.name.starts_with("common_") {
                    guest.fields.push(short(line.name)?.into());
                    fields.push(line.field);
                }
            } else if line.starts_with("print fmt:") {
                break;
            }
            if fields.len() > FIELDS_MAX {
                return None;
            }
        }
        (guest.id != 0 && !guest.name.is_empty()).then_some(Format { guest, fields, pid: pid? })
    }

    /// The thread that a record is of.
    pub fn pid(&self, record: &[u8]) -> Option<u32> {
        match self.pid.read(record)?.0 {
            Value::Signed(pid) => Some(u32::try_from(pid).unwrap_or(0)),
            Value::Unsigned(pid) => u32::try_from(pid).ok(),
            Value::Text(_) | Value::Bytes(_) => None,
        }
    }

    /// A record's values in the order of [`GuestFormat::fields`]; `None` if it is too short for one of them, or for all of them
    /// together: each byte of a record is in one field or in one string. So the values are as many bytes as the guest sent,
    /// whatever its layout says.
    pub fn values(&self, record: &[u8]) -> Option<Vec<Value>> {
        let mut left = record.len();
        let mut read = |field: &Field| {
            // A field of no bytes still takes a place among the values.
            left = left.checked_sub(field.size.max(1))?;
            let (value, elsewhere) = field.read(record)?;
            left = left.checked_sub(elsewhere)?;
            Some(value)
        };
        self.fields.iter().map(&mut read).collect()
    }
}

impl Field {
    /// The value, and how many of the record's bytes outside the field are in it.
    fn read(&self, record: &[u8]) -> Option<(Value, usize)> {
        let end = self.offset.checked_add(self.size)?;
        let bytes = record.get(self.offset..end)?;
        let value = match self.kind {
            Kind::Unsigned => Value::Unsigned(number(bytes)),
            Kind::Signed => Value::Signed(signed(bytes)),
            Kind::Text => text(bytes),
            Kind::Bytes => Value::Bytes(bytes.to_vec()),
            Kind::Elsewhere { text: is_text, relative } => {
                let word = number(bytes);
                let start = usize::from(word as u16);
                let start = if relative { end.checked_add(start)? } else { start };
                let data = record.get(start..start.checked_add(usize::from((word >> 16) as u16))?)?;
                return Some((if is_text { text(data) } else { Value::Bytes(data.to_vec()) }, data.len()));
            }
        };
        Some((value, 0))
    }
}

/// `TYPE NAME; offset:N; size:N; signed:N;`
fn field_line(line: &str) -> Option<Line<'_>> {
    let mut parts = line.split(';').map(str::trim);
    let declaration = parts.next()?;
    let (mut offset, mut size, mut is_signed) = (None, None, false);
    for part in parts {
        match part.split_once(':') {
            Some(("offset", value)) => offset = Some(usize::from(value.parse::<u16>().ok()?)),
            Some(("size", value)) => size = Some(usize::from(value.parse::<u16>().ok()?)),
            Some(("signed", value)) => is_signed = value == "1",
            _ => {}
        }
    }
    let (offset, size) = (offset?, size?);
    let (kind, name) = declared(declaration, size, is_signed)?;
    Some(Line { name, field: Field { offset, size, kind } })
}

/// What a declaration like `__data_loc char[] driver`, `char comm[16]` or `u64 iova` says.
fn declared(declaration: &str, size: usize, is_signed: bool) -> Option<(Kind, &str)> {
    let (kind, word) = declaration.rsplit_once(char::is_whitespace)?;
    let name = word.split('[').next()?.trim_start_matches('*');
    let characters = kind.trim_start_matches("const ").trim_start_matches("__data_loc ");
    let characters = characters.trim_start_matches("__rel_loc ").trim_start_matches("const ");
    let is_text = characters.trim_end_matches("[]").trim() == "char";
    let (data, relative) = (kind.starts_with("__data_loc"), kind.starts_with("__rel_loc"));
    let kind = if data || relative {
        if size != DATA_LOC_BYTES {
            return None;
        }
        Kind::Elsewhere { text: is_text, relative }
    } else if word.contains('[') || kind.ends_with(']') {
        if is_text { Kind::Text } else { Kind::Bytes }
    } else if matches!(size, 1 | 2 | 4 | 8) {
        if is_signed { Kind::Signed } else { Kind::Unsigned }
    } else {
        Kind::Bytes
    };
    Some((kind, name))
}

fn short(name: &str) -> Option<&str> {
    (!name.is_empty() && name.len() <= NAME_MAX).then_some(name)
}

/// A little-endian number of at most 8 bytes.
pub(super) fn number(bytes: &[u8]) -> u64 {
    bytes.iter().take(8).rev().fold(0, |word, &byte| word << 8 | u64::from(byte))
}

/// The same with its sign extended.
fn signed(bytes: &[u8]) -> i64 {
    let unused = 64u32.saturating_sub((bytes.len() as u32).saturating_mul(8)).min(63);
    (number(bytes) << unused) as i64 >> unused
}

fn text(bytes: &[u8]) -> Value {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    Value::Text(String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "name: sample\nID: 77\nformat:\n\
        \tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n\
        \tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;\n\n\
        \tfield:__data_loc char[] driver;\toffset:8;\tsize:4;\tsigned:0;\n\
        \tfield:char comm[4];\toffset:12;\tsize:4;\tsigned:0;\n\
        \tfield:int ret;\toffset:16;\tsize:4;\tsigned:1;\n\
        \tfield:const void * owner;\toffset:24;\tsize:8;\tsigned:0;\n\
        \tfield:u8 mac[2];\toffset:20;\tsize:2;\tsigned:0;\n\
        \tfield:__rel_loc char[] rest;\toffset:32;\tsize:4;\tsigned:0;\n\n\
        print fmt: \"field:no field; offset:9\"\n";

    fn record() -> Vec<u8> {
        let mut record = vec![77, 0, 0, 0, 135, 0, 0, 0];
        record.extend((36u32 | 4 << 16).to_le_bytes());
        record.extend(*b"ab\0d");
        record.extend((-5i32).to_le_bytes());
        record.extend([1, 2, 0, 0]);
        record.extend(0xffff_8880_0000_0001u64.to_le_bytes());
        record.extend((4u32 | 3 << 16).to_le_bytes());
        record.extend(*b"gpu\0xy\0");
        record
    }

    #[test]
    fn every_kind_of_field_is_read() {
        let format = Format::parse("demo", TEXT).expect("a format");
        assert_eq!((format.guest.id, format.guest.name.as_str()), (77, "sample"));
        assert_eq!(format.guest.fields, ["driver", "comm", "ret", "owner", "mac", "rest"]);
        assert_eq!(format.pid(&record()), Some(135));
        let expected = vec![
            Value::Text("gpu".into()),
            Value::Text("ab".into()),
            Value::Signed(-5),
            Value::Unsigned(0xffff_8880_0000_0001),
            Value::Bytes(vec![1, 2]),
            Value::Text("xy".into()),
        ];
        assert_eq!(format.values(&record()), Some(expected));
    }

    #[test]
    fn a_short_record_or_a_string_outside_it_has_no_values() {
        let format = Format::parse("demo", TEXT).expect("a format");
        for length in 0..record().len() {
            assert_eq!(format.values(&record()[..length]), None, "{length}");
        }
        let mut outside = record();
        outside[10] = 200;
        assert_eq!(format.values(&outside), None);
    }

    /// A layout of `count` fields with one declaration, all in the same place behind the common fields.
    fn overlapping(count: usize, declaration: &str, size: usize) -> Format {
        let mut text =
            "name: hostile\nID: 78\nformat:\n\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;\n"
                .to_string();
        for field in 0..count {
            let name = declaration.replace('@', &field.to_string());
            text += &format!("\tfield:{name};\toffset:8;\tsize:{size};\tsigned:0;\n");
        }
        Format::parse("demo", &text).expect("a format")
    }

    #[test]
    fn fields_that_share_bytes_do_not_multiply_them() {
        // 65,000 bytes that 127 fields point at would be 8 MB of text, and 25 MB where they are no UTF-8.
        let mut record = vec![78, 0, 0, 0, 1, 0, 0, 0];
        record.extend((12u32 | 65_000 << 16).to_le_bytes());
        record.resize(12 + 65_000, 0xff);
        for (declaration, size) in [
            ("__data_loc char[] f@", 4),
            ("__data_loc u8[] f@", 4),
            ("char f@[65000]", 65_000),
            ("u8 f@[65000]", 65_000),
        ] {
            assert_eq!(overlapping(127, declaration, size).values(&record), None, "{declaration}");
            assert!(overlapping(1, declaration, size).values(&record).is_some(), "{declaration}");
        }
        // Small records of many numbers, and of many empty arrays.
        let small = &record[..12];
        assert_eq!(overlapping(127, "u32 f@", 4).values(small), None);
        assert_eq!(overlapping(127, "char f@[]", 0).values(small), None);
        assert!(overlapping(3, "u32 f@", 4).values(small).is_some());
    }

    #[test]
    fn a_text_that_is_not_a_format_is_refused() {
        for text in ["", "name: x\nID: 3\n", "ID: 99999\n", &TEXT.replace("size:4", "size:x")] {
            assert_eq!(Format::parse("demo", text), None, "{text}");
        }
        assert_eq!(Format::parse("", TEXT), None);
    }
}
