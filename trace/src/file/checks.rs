//! What a reader takes for sound: no recorder writes anything else, so whatever a file says, what is made of it has bounds.

use crate::event::Event;
use crate::file::{Definition, Header};
use crate::ftrace::{CPUS_MAX, FIELDS_MAX, FRAME_MAX, NAME_MAX, TASK_NAME_MAX};
use crate::guest::GuestEvent;

/// Guest-physical addresses have at most so many bits (Intel SDM, volume 1, 3.3.1).
const PHYSICAL_BITS: u32 = 52;
/// A guest event takes at most so many bytes of memory: a page of the guest's whose text is no UTF-8, three bytes for one.
const EVENT_BYTES: usize = 4 * FRAME_MAX;
/// Functions on a bus, settings that are told, and the bytes of each text of theirs.
const FUNCTIONS_MAX: usize = 256;
/// Engines of a function.
const ENGINES_MAX: usize = 64;
const COSTS_MAX: usize = 64;
/// Counters of one function.
const COUNTERS_MAX: usize = 256;
const TEXT_MAX: usize = 1024;

/// Whether a machine can have recorded this.
pub(super) fn is_sound(event: &Event) -> bool {
    match event {
        Event::DmaRead { iova, gpa, len, .. } | Event::DmaWrite { iova, gpa, len, .. } => {
            let in_memory = gpa.checked_add(*len).is_some_and(|end| end <= 1 << PHYSICAL_BITS);
            in_memory && iova.checked_add(*len).is_some()
        }
        Event::DescriptorFetch { iova, len, .. } => iova.checked_add(*len).is_some(),
        Event::Guest(event) => is_sound_guest(event),
        _ => true,
    }
}

fn is_sound_guest(event: &GuestEvent) -> bool {
    event.cpu < u32::from(CPUS_MAX) && event.values.len() <= FIELDS_MAX && event.bytes() <= EVENT_BYTES
}

/// Whether a definition is one that a recorder passes on.
pub(super) fn defines(definition: &Definition) -> bool {
    let name = |name: &String| name.len() <= NAME_MAX;
    match definition {
        Definition::Format(format) => {
            let fields = format.fields.len() <= FIELDS_MAX && format.fields.iter().all(name);
            fields && name(&format.system) && name(&format.name)
        }
        Definition::Task { name, .. } => name.len() <= TASK_NAME_MAX,
    }
}

/// Whether a header is one that a machine has.
pub(super) fn heads(header: &Header) -> bool {
    let text = |text: &String| text.len() <= TEXT_MAX;
    header.functions.len() <= FUNCTIONS_MAX
        && header.functions.iter().all(|function| {
            let engines = &function.engines;
            text(&function.name)
                && engines.len() <= ENGINES_MAX
                && engines.iter().all(|engine| text(&engine.name))
        })
        && header.counters.len() <= FUNCTIONS_MAX
        && header
            .counters
            .iter()
            .all(|set| text(&set.of) && set.names.len() <= COUNTERS_MAX && set.names.iter().all(text))
        && header.costs.len() <= COSTS_MAX
        && header.costs.iter().all(|(name, cost)| text(name) && text(cost))
        && header.categories.len() <= COSTS_MAX
}
