//! What is written beside an event's name, so that Perfetto keeps all of it.

use crate::guest::Value;
use crate::perfetto::proto::{Annotated, DebugAnnotation};
use crate::timeline::{Detail, Group};

/// The name under which a tracepoint's fields stand: whatever the guest calls one, it is not mistaken for `cycles` or `frame`.
const GUEST: &str = "guest";

/// Annotations of one event in the order in which they came. Of two of one name, Perfetto's `trace_processor` keeps the last: here
/// they become one with a list.
#[derive(Default)]
pub(super) struct Annotations(Vec<DebugAnnotation>);

impl Annotations {
    /// An event's frame and details.
    pub fn of(group: Group, frame: Option<usize>, details: &[Detail]) -> Annotations {
        let mut all = Annotations::default();
        if let Some(frame) = frame {
            all.add("frame", frame as u64);
        }
        let mut named = Annotations::default();
        for (name, value) in details {
            named.add(name, value);
        }
        if group != Group::Guest {
            all.0.append(&mut named.0);
        } else if !named.0.is_empty() {
            let name = Some(GUEST.to_string());
            all.0.push(DebugAnnotation { name, dict_entries: named.0, ..DebugAnnotation::default() });
        }
        all
    }

    /// Adds a value, to those of the same name if there are any.
    pub fn add(&mut self, name: &str, value: impl Into<Annotated>) {
        // Perfetto puts names together with these, and would replace them.
        let name = name.replace(['.', '[', ']'], "_");
        let value = DebugAnnotation { value: Some(value.into()), ..DebugAnnotation::default() };
        match self.0.iter_mut().find(|one| one.name.as_ref() == Some(&name)) {
            Some(one) => {
                let first = one
                    .value
                    .take()
                    .map(|value| DebugAnnotation { value: Some(value), ..DebugAnnotation::default() });
                one.array_values.extend(first.into_iter().chain([value]));
            }
            None => self.0.push(DebugAnnotation { name: Some(name), ..value }),
        }
    }

    /// All of them; no name is there twice.
    pub fn list(self) -> Vec<DebugAnnotation> {
        self.0
    }
}

impl From<u64> for Annotated {
    /// Perfetto's numbers are signed. What would be negative, a kernel's address before all, is written as a pointer, which it shows
    /// as it is.
    fn from(value: u64) -> Annotated {
        if i64::try_from(value).is_ok() { Annotated::Unsigned(value) } else { Annotated::Pointer(value) }
    }
}

impl From<String> for Annotated {
    fn from(text: String) -> Annotated {
        Annotated::Text(text)
    }
}

impl From<&Value> for Annotated {
    fn from(value: &Value) -> Annotated {
        match value {
            Value::Unsigned(value) => Annotated::from(*value),
            Value::Signed(value) => Annotated::Signed(*value),
            Value::Text(text) => Annotated::Text(text.clone()),
            Value::Bytes(bytes) => Annotated::Text(bytes.iter().map(|byte| format!("{byte:02x}")).collect()),
        }
    }
}
