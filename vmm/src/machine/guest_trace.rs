//! The trace port: what the guest's agent says of its own kernel, put beside what the machine sees of its devices.

use fencepost_firmware::layout::TRACE_WANTED;
use fencepost_trace::Event;
use fencepost_trace::ftrace::{Decoder, News};

use serde::{Deserialize, Serialize};

use super::Machine;

/// The port's other side.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct GuestTrace {
    decoder: Decoder,
    /// Events with a time at which the guest's counter did not read that.
    misplaced: u64,
}

/// What of the guest's trace was left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GuestRefused {
    /// Frames, pages and events that made no sense.
    pub senseless: u64,
    /// Events with a time that had not come yet, or at which the guest's counter read something else.
    pub misplaced: u64,
}

impl Machine {
    /// Has the trace port ask for the guest's trace.
    pub fn trace_guest(&mut self) {
        self.guest_trace.get_or_insert_with(|| GuestTrace { decoder: Decoder::new(), misplaced: 0 });
    }

    /// How much of what the guest wrote to the trace port was left out.
    pub fn guest_trace_refused(&self) -> GuestRefused {
        let refused = |trace: &GuestTrace| GuestRefused {
            senseless: trace.decoder.refused(),
            misplaced: trace.misplaced,
        };
        self.guest_trace.as_ref().map(refused).unwrap_or_default()
    }

    /// Tells the trace's file of what the guest's events refer to that was said before it began.
    pub(super) fn announce_definitions(&mut self) {
        let Some(trace) = &self.guest_trace else { return };
        for definition in trace.decoder.definitions() {
            self.log.define(definition);
        }
    }

    /// A byte of what says whether the guest's trace is wanted. Reading the first begins the stream anew.
    pub(super) fn read_trace_port(&mut self, offset: u16) -> u8 {
        let Some(trace) = &mut self.guest_trace else { return 0 };
        if offset == 0 {
            trace.decoder.restart();
        }
        TRACE_WANTED.to_le_bytes().get(usize::from(offset)).copied().unwrap_or(0)
    }

    /// Takes a piece of the guest's trace. Its events get the stamps that the guest gave them.
    pub(super) fn write_trace_port(&mut self, data: &[u8]) {
        let Some(GuestTrace { decoder, misplaced }) = &mut self.guest_trace else { return };
        let (time, counter, log) = (self.time, &self.guest_counter, &mut self.log);
        decoder.push(data, &mut |news| match news {
            News::Event(tsc, event) => match counter.cycles_of(tsc, time.cycles()) {
                Some(cycles) => log.push(time.stamp(cycles), Event::Guest(Box::new(event))),
                None => *misplaced = misplaced.saturating_add(1),
            },
            News::Definition(definition) => log.define(definition),
            News::Lost(events) => log.guest_lost(events),
        });
    }
}
