//! The trace on its way to the file: batches to an outlet's thread, which encodes and writes.
//!
//! Under `soft` the machine waits when the writer is behind, so that what is in the file depends on the guest alone, unless the user
//! would rather lose events. Under `kvm` time runs on, and waiting would show in the guest: there the batch is lost and its events
//! are counted.
//!
//! The writer knows no time. Whoever runs the machine says when all that was recorded is to be written out: under `soft` only
//! where the guest alone decides, so that the file is the same in every run.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use fencepost_trace::file::{Definition, FileWriter, Header, Totals};
use fencepost_trace::{Event, Record};

use crate::control::Control;
use crate::outlet::{Finished, Full, Gate, Items, Load, Outlet};
use crate::sandbox::Role;

/// Records in a batch: about 24 KiB of device events.
const BATCH_RECORDS: usize = 512;
/// Bytes in a batch, as [`Record::bytes`] counts, but for the last record in it: a guest event may take 200 KiB.
const BATCH_BYTES: usize = 96 << 10;
/// Bytes that wait for the writer, those in its hand included: some forty batches of guest events, four times as many of devices'.
const WAITING_BYTES: usize = 4 << 20;
/// What is handed on takes a place, however small it is.
const ITEM_BYTES: usize = 64;
/// A batch is handed on when its first record is this old, in guest time, so that a crash loses little.
const BATCH_NS: u64 = 50_000_000;
/// When nothing was recorded for so long, in guest time, everything is written out.
const SILENCE_NS: u64 = 250_000_000;
/// Definitions go to the writer in parts of at least this size, each handed on as one.
const DEFINITIONS_PART_BYTES: usize = 32 << 10;
/// Definitions that wait for the writer. A guest's all together have some 50 KiB.
const DEFINITIONS_WAITING_BYTES: usize = 1 << 20;

/// The longest wait without a look at the reasons to stop.
const LOOK_AROUND: Duration = Duration::from_millis(10);

enum Item {
    Records(Vec<Record>),
    Definitions(Vec<Definition>),
    Flush,
    End { lost: u64, guest_lost: u64, counted: Vec<Vec<u64>> },
}

/// A trace file that is being written.
pub struct Stream {
    batch: Vec<Record>,
    batch_bytes: usize,
    /// What later records refer to, and how much it is; where nothing may wait for the writer.
    definitions: VecDeque<Definition>,
    definitions_bytes: usize,
    /// A definition was lost: guest events mean nothing from then on.
    undefined: bool,
    full: Full,
    lost: u64,
    /// The writer may keep back records that it was given.
    unwritten: bool,
    /// Something was recorded since the last look for silence, and when the next one is due.
    recorded: bool,
    look_ns: u64,
    /// Absent when the file is ended.
    outlet: Option<Outlet<Item, io::Result<Totals>>>,
}

/// What became of a trace file.
#[derive(Debug)]
pub struct Written {
    /// Events that are not in the file because the writer was behind.
    pub lost: u64,
    /// It took nothing when the run was to end.
    pub given_up: bool,
    /// What its last frame says, or why it is incomplete.
    pub result: io::Result<Totals>,
}

impl Stream {
    /// Begins the file; its header is written when this returns. `full`: whether to wait for the writer or to lose events.
    pub fn begin(file: File, header: Header, full: Full, control: &Arc<Control>) -> io::Result<Stream> {
        let (told, begun) = channel();
        let outlet =
            Outlet::start((Role::Output, "trace"), Gate::new(control, WAITING_BYTES), move |items| {
                let out = FileWriter::new(file, &header);
                // Whoever began it waits, or has left for good.
                let _ = told.send(out.as_ref().map(|_| ()).map_err(copied));
                write_all(out?, items)
            })?;
        loop {
            match begun.recv_timeout(LOOK_AROUND) {
                Ok(begun) => break begun?,
                Err(RecvTimeoutError::Timeout) if control.stop_reason().is_none() => {}
                Err(_) => return Err(io::Error::new(io::ErrorKind::TimedOut, "nobody takes it")),
            }
        }
        Ok(Stream {
            batch: Vec::with_capacity(BATCH_RECORDS),
            batch_bytes: 0,
            definitions: VecDeque::new(),
            definitions_bytes: 0,
            undefined: false,
            full,
            lost: 0,
            unwritten: false,
            recorded: false,
            look_ns: 0,
            outlet: Some(outlet),
        })
    }

    /// What happens from now on when the writer is behind.
    pub fn set_full(&mut self, full: Full) {
        self.full = full;
    }

    /// Adds a record.
    pub fn record(&mut self, record: Record) {
        if self.undefined && matches!(record.event, Event::Guest(_)) {
            self.lost = self.lost.saturating_add(1);
            return;
        }
        self.recorded = true;
        let old =
            self.batch.first().is_some_and(|first| record.stamp.ns.saturating_sub(first.stamp.ns) > BATCH_NS);
        self.batch_bytes = self.batch_bytes.saturating_add(record.bytes());
        self.batch.push(record);
        if old || self.batch.len() >= BATCH_RECORDS || self.batch_bytes >= BATCH_BYTES {
            self.hand_on();
        }
    }

    /// Adds what later guest events refer to. Where nothing may wait for the writer, it goes ahead of the next records; if too
    /// much waits already it is lost and counted, and with it all guest events from then on, which mean nothing without it.
    pub fn define(&mut self, definition: Definition) {
        if self.full == Full::Wait {
            self.hand_on();
            if self.send(Item::Definitions(vec![definition])).is_err() {
                self.undefined = true;
            }
            return;
        }
        let bytes = definition.size();
        if self.definitions_bytes.saturating_add(bytes) > DEFINITIONS_WAITING_BYTES {
            self.hand_on_definitions();
        }
        if self.undefined || self.definitions_bytes.saturating_add(bytes) > DEFINITIONS_WAITING_BYTES {
            self.undefined = true;
            self.lost = self.lost.saturating_add(1);
            return;
        }
        self.definitions_bytes = self.definitions_bytes.saturating_add(bytes);
        self.definitions.push_back(definition);
    }

    /// Has everything so far written out if nothing was recorded for a while. Says when to come again, in the machine's
    /// nanoseconds; coming earlier changes nothing.
    pub fn look(&mut self, now_ns: u64) -> u64 {
        if now_ns >= self.look_ns {
            if !std::mem::take(&mut self.recorded) {
                self.flush();
            }
            self.look_ns = now_ns.saturating_add(SILENCE_NS);
        }
        self.look_ns
    }

    /// Has everything so far written out. Where nothing may wait for the writer and it is behind, the next call does it.
    pub fn flush(&mut self) {
        self.hand_on();
        if self.unwritten && self.send(Item::Flush).is_ok() {
            self.unwritten = false;
        }
    }

    /// Completes the file. `guest_lost`: events that the guest lost itself. `counted`: in the order of [`Header::counters`].
    pub fn finish(mut self, guest_lost: u64, counted: Vec<Vec<u64>>) -> Written {
        let ended = self.end(Some((guest_lost, counted)));
        let (given_up, result) = match ended {
            Some(Finished::Ended(result)) => (false, result.and_then(|totals| totals)),
            Some(Finished::GivenUp(records)) => {
                let unwritten = records.saturating_add(self.lost);
                (true, Err(io::Error::other(format!("nobody takes it, {unwritten} events were not written"))))
            }
            None => (false, Err(io::Error::other("it was ended before"))),
        };
        Written { lost: self.lost, given_up, result }
    }

    /// Has everything written, and the last frame if what the guest lost and what was counted is given; waits for it. Nothing if that
    /// was done.
    fn end(
        &mut self,
        last: Option<(u64, Vec<Vec<u64>>)>,
    ) -> Option<Finished<io::Result<io::Result<Totals>>>> {
        self.outlet.as_ref()?;
        // The guest is over: waiting shows nowhere any more.
        self.full = Full::Wait;
        self.hand_on();
        if let Some((guest_lost, counted)) = last {
            let _ = self.send(Item::End { lost: self.lost, guest_lost, counted });
        }
        self.outlet.take().map(Outlet::finish)
    }

    /// Gives the writer an item, or gives it back if there is no room. A writer that gave up takes everything: it tells why at the
    /// end.
    fn send(&self, item: Item) -> Result<(), Item> {
        let Some(outlet) = &self.outlet else { return Ok(()) };
        let (bytes, records) = match &item {
            Item::Records(batch) => (batch.iter().map(Record::bytes).sum(), batch.len() as u64),
            Item::Definitions(part) => (part.iter().map(Definition::size).sum(), 0),
            Item::Flush | Item::End { .. } => (0, 0),
        };
        outlet.handle().put(item, Load { bytes: bytes.max(ITEM_BYTES), units: records }, self.full)
    }

    /// The batch goes to the writer, behind the definitions that wait; or, as long as there is no room for both, nowhere.
    fn hand_on(&mut self) {
        self.hand_on_definitions();
        if self.batch.is_empty() {
            return;
        }
        self.batch_bytes = 0;
        let batch = std::mem::replace(&mut self.batch, Vec::with_capacity(BATCH_RECORDS));
        let count = batch.len() as u64;
        if self.definitions.is_empty() && self.send(Item::Records(batch)).is_ok() {
            self.unwritten = true;
        } else {
            self.lost = self.lost.saturating_add(count);
        }
    }

    fn hand_on_definitions(&mut self) {
        while !self.definitions.is_empty() {
            let mut bytes = 0usize;
            let within = |definition: &Definition| {
                let more = bytes < DEFINITIONS_PART_BYTES;
                bytes = bytes.saturating_add(definition.size());
                more
            };
            let count = self.definitions.iter().map(within).take_while(|more| *more).count();
            let part = self.definitions.drain(..count).collect();
            if let Err(Item::Definitions(part)) = self.send(Item::Definitions(part)) {
                part.into_iter().rev().for_each(|definition| self.definitions.push_front(definition));
                break;
            }
        }
        self.definitions_bytes = self.definitions.iter().map(Definition::size).sum();
    }
}

/// A machine that did not finish, because the host failed, leaves all it recorded in an incomplete file.
impl Drop for Stream {
    fn drop(&mut self) {
        // There is nobody to be told.
        let _ = self.end(None);
    }
}

/// The same error again.
fn copied(error: &io::Error) -> io::Error {
    error.raw_os_error().map_or_else(|| io::Error::other(error.to_string()), io::Error::from_raw_os_error)
}

fn write_all(mut out: FileWriter<File>, items: &mut Items<Item>) -> io::Result<Totals> {
    for item in items {
        match item {
            Item::Records(batch) => batch.iter().try_for_each(|record| out.record(record))?,
            Item::Definitions(part) => part.iter().try_for_each(|definition| out.define(definition))?,
            Item::Flush => out.flush()?,
            Item::End { lost, guest_lost, counted } => {
                out.lost(lost, guest_lost);
                out.counted(counted);
                return out.finish();
            }
        }
    }
    out.flush()?;
    Err(io::Error::other("the machine did not finish"))
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
