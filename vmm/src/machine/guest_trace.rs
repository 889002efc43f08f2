//! The trace port: what the guest's agent says of its own kernel, put beside what the machine sees of its devices.

use fencepost_firmware::layout::TRACE_WANTED;
use fencepost_trace::ftrace::{Decoder, News};
use fencepost_trace::{Event, Stamp};

use super::Machine;

/// The port's other side.
#[derive(Debug)]
pub(super) struct GuestTrace {
    decoder: Decoder,
    /// Events with a time that has not come yet.
    ahead: u64,
}

/// What of the guest's trace was left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GuestRefused {
    /// Frames, pages and events that made no sense.
    pub senseless: u64,
    /// Events with a time that had not come yet.
    pub ahead: u64,
}

impl Machine {
    /// Has the trace port ask for the guest's trace.
    pub fn trace_guest(&mut self) {
        self.guest_trace = Some(GuestTrace { decoder: Decoder::new(), ahead: 0 });
    }

    /// How much of what the guest wrote to the trace port was left out.
    pub fn guest_trace_refused(&self) -> GuestRefused {
        let refused =
            |trace: &GuestTrace| GuestRefused { senseless: trace.decoder.refused(), ahead: trace.ahead };
        self.guest_trace.as_ref().map(refused).unwrap_or_default()
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
        let Some(GuestTrace { decoder, ahead }) = &mut self.guest_trace else { return };
        let (time, log) = (self.time, &mut self.log);
        decoder.push(data, &mut |news| match news {
            News::Event(cycles, _) if cycles > time.now().cycles => *ahead = ahead.saturating_add(1),
            News::Event(cycles, event) => {
                log.push(Stamp { cycles, ns: time.ns_at(cycles) }, Event::Guest(Box::new(event)));
            }
            News::Definition(definition) => log.define(definition),
            News::Lost(events) => log.guest_lost(events),
        });
    }
}
