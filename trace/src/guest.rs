//! What the guest's kernel traces of itself: its tracepoints as typed fields, whatever their driver.

use serde::{Deserialize, Serialize};

/// One field's value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Value {
    /// An unsigned number or a pointer.
    Unsigned(u64),
    /// A signed number.
    Signed(i64),
    /// A string.
    Text(String),
    /// Anything else, as its bytes.
    Bytes(Vec<u8>),
}

impl Value {
    /// The value as an unsigned number, if it is a number that fits.
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Value::Unsigned(value) => Some(*value),
            Value::Signed(value) => u64::try_from(*value).ok(),
            Value::Text(_) | Value::Bytes(_) => None,
        }
    }

    /// The value as text, if it is text.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// A tracepoint's layout: what its events' values are called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestFormat {
    /// The kernel's id of the event.
    pub id: u32,
    /// Its system (`dma_fence`).
    pub system: String,
    /// Its name (`dma_fence_signaled`).
    pub name: String,
    /// The names of its fields, without the common ones, in the order of [`GuestEvent::values`].
    pub fields: Vec<String>,
}

/// One time that a tracepoint fired.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestEvent {
    /// [`GuestFormat::id`].
    pub format: u32,
    /// The CPU it fired on.
    pub cpu: u32,
    /// The thread that ran there.
    pub pid: u32,
    /// Its fields' values.
    pub values: Vec<Value>,
}

impl GuestEvent {
    /// Bytes of memory that it takes.
    pub fn bytes(&self) -> usize {
        let data = self.values.iter().map(|value| match value {
            Value::Text(text) => text.capacity(),
            Value::Bytes(bytes) => bytes.capacity(),
            Value::Unsigned(_) | Value::Signed(_) => 0,
        });
        let values = self.values.capacity().saturating_mul(size_of::<Value>());
        data.fold(values.saturating_add(size_of::<GuestEvent>()), usize::saturating_add)
    }
}

/// Bytes of a name of the guest's that are shown. The kernel's own are a few dozen.
const LABEL_BYTES: usize = 256;

/// A guest event together with its layout.
#[derive(Clone, Copy, Debug)]
pub struct GuestView<'a> {
    /// The layout.
    pub format: &'a GuestFormat,
    /// The event.
    pub event: &'a GuestEvent,
}

impl<'a> GuestView<'a> {
    /// Whether it is this tracepoint.
    pub fn is(&self, system: &str, name: &str) -> bool {
        self.format.system == system && self.format.name == name
    }

    /// A field's value by name.
    pub fn field(&self, name: &str) -> Option<&'a Value> {
        let at = self.format.fields.iter().position(|field| field == name)?;
        self.event.values.get(at)
    }

    /// A field as an unsigned number.
    pub fn u64(&self, name: &str) -> Option<u64> {
        self.field(name)?.as_u64()
    }

    /// A field that names something, cut where no name is so long: many events show it.
    pub fn label(&self, name: &str) -> Option<&'a str> {
        let text = self.text(name)?;
        let end = (0..=LABEL_BYTES.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
        text.get(..end?)
    }

    /// A field as text.
    pub fn text(&self, name: &str) -> Option<&'a str> {
        self.field(name)?.as_str()
    }
}
