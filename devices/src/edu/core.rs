//! The device: registers, factorial, interrupts and DMA.

use fencepost_trace::{EngineSpec, Event, JobKind, Role};

use super::config::EduConfig;
use super::registers::{
    BAR_BYTES, BUFFER, BUFFER_BYTES, COMPUTING, FACTORIAL_DONE, ID_VALUE, INTERRUPT_AT_END,
    INTERRUPT_WHEN_DONE, Id, MAP, START, TO_MEMORY, TRANSFER_DONE, WIDE_FROM,
};
use super::state::EduState;
use crate::function::{
    AsIssued, Bar, Counter, Doorbell, Function, Identity, Ids, Inbox, Interrupts, Pin, Registers,
};
use crate::ports::{DmaExt, DmaFault, Iova, Ports};
use crate::registers::{Access, Place};
use crate::state::{SavedState, pack};

const TIMER_FACTORIAL: u32 = 0;
const TIMER_TRANSFER: u32 = 1;
/// The engine that moves data, in [`Identity::engines`].
const DMA_ENGINE: u8 = 0;
/// The first factorial that is a multiple of 2^32.
const FACTORIAL_ZERO_FROM: u32 = 34;

/// The device core.
#[derive(Debug)]
pub struct Edu {
    pub(super) config: EduConfig,
    pub(super) state: EduState,
}

/// Part of the buffer, and how far it reaches.
type Window = std::ops::Range<usize>;

impl Edu {
    /// A device after power-on.
    pub fn new(config: EduConfig) -> Self {
        Edu { config, state: EduState::default() }
    }

    fn value(&self, register: Id) -> u64 {
        let state = &self.state;
        match register {
            Id::Identification => ID_VALUE,
            Id::Liveness => state.liveness.into(),
            Id::Factorial => state.factorial.into(),
            Id::Status => {
                let computing = if state.factorial_due_ns.is_some() { COMPUTING } else { 0 };
                computing | if state.interrupt_when_done { INTERRUPT_WHEN_DONE } else { 0 }
            }
            Id::InterruptStatus => state.interrupt_status.into(),
            Id::InterruptRaise | Id::InterruptAcknowledge => 0,
            Id::Source => state.source,
            Id::Destination => state.destination,
            Id::Count => state.count,
            Id::Command => state.command,
        }
    }

    fn set(&mut self, register: Id, value: u64, ports: &mut Ports<'_>) {
        let word = value as u32;
        match register {
            Id::Liveness => self.state.liveness = !word,
            Id::Factorial => self.compute(word, ports),
            Id::Status => self.state.interrupt_when_done = value & INTERRUPT_WHEN_DONE != 0,
            Id::InterruptRaise => self.interrupt(word, ports),
            Id::InterruptAcknowledge => {
                self.state.interrupt_status &= !word;
                ports.msi.set_line(self.state.interrupt_status != 0);
            }
            Id::Source => self.state.source = value,
            Id::Destination => self.state.destination = value,
            Id::Count => self.state.count = value,
            Id::Command => self.command(value, ports),
            Id::Identification | Id::InterruptStatus => {}
        }
    }

    fn interrupt(&mut self, reasons: u32, ports: &mut Ports<'_>) {
        self.state.interrupt_status |= reasons;
        if self.state.interrupt_status != 0 {
            ports.msi.raise(0);
            ports.msi.set_line(true);
        }
    }

    /// Begins the factorial of `value`; ignored while another is being computed.
    fn compute(&mut self, value: u32, ports: &mut Ports<'_>) {
        if self.state.factorial_due_ns.is_none() {
            self.state.factorial = value;
            self.state.factorial_due_ns = Some(ports.job_end_ns(self.config.factorial_cycles(value)));
            self.rearm(ports);
        }
    }

    fn end_factorial(&mut self, ports: &mut Ports<'_>) {
        self.state.factorial = factorial(self.state.factorial);
        self.state.factorial_due_ns = None;
        self.state.factorials = self.state.factorials.saturating_add(1);
        if self.state.interrupt_when_done {
            self.interrupt(FACTORIAL_DONE, ports);
        }
    }

    /// The command register is written, while no transfer goes on.
    fn command(&mut self, command: u64, ports: &mut Ports<'_>) {
        self.state.command = command;
        if command & START != 0 {
            let (engine, seqno) = (ports.engine(DMA_ENGINE), self.state.transfers);
            ports.trace.record(Event::JobStart { engine, queue: 0, seqno, kind: JobKind::Copy });
            // What cannot be in the buffer is not moved either.
            let bytes = self.state.count.min(BUFFER_BYTES as u64);
            self.state.transfer_due_ns = Some(ports.job_end_ns(self.config.cost().cycles(bytes)));
            self.rearm(ports);
        }
    }

    fn end_transfer(&mut self, ports: &mut Ports<'_>) {
        let ok = self.transfer(ports);
        let (engine, seqno) = (ports.engine(DMA_ENGINE), self.state.transfers);
        ports.trace.record(Event::JobEnd { engine, queue: 0, seqno, ok });
        self.state.transfers = self.state.transfers.saturating_add(1);
        self.state.failures = self.state.failures.saturating_add(u64::from(!ok));
        self.state.transfer_due_ns = None;
        self.state.command &= !START;
        if self.state.command & INTERRUPT_AT_END != 0 {
            self.interrupt(TRANSFER_DONE, ports);
        }
    }

    /// Moves the bytes; false if none were moved.
    fn transfer(&mut self, ports: &mut Ports<'_>) -> bool {
        let to_memory = self.state.command & TO_MEMORY != 0;
        let (inner, outer) = match to_memory {
            true => (self.state.source, self.state.destination),
            false => (self.state.destination, self.state.source),
        };
        let Some(window) = window(inner, self.state.count) else { return false };
        let moved =
            if to_memory { self.store(window, outer, ports) } else { self.load(window, outer, ports) };
        moved.is_ok()
    }

    /// The bus address and the length of the part of `len` bytes at `outer` that lies below the end of what DMA can address;
    /// the rest is at the start of memory, since the address counter has no more bits.
    fn first_part(&self, outer: u64, len: usize) -> (Iova, usize) {
        let mask = self.config.dma_mask();
        let start = outer & mask;
        let room = usize::try_from(mask.saturating_sub(start).saturating_add(1)).unwrap_or(usize::MAX);
        (Iova(start), len.min(room))
    }

    fn load(&mut self, window: Window, outer: u64, ports: &mut Ports<'_>) -> Result<(), DmaFault> {
        let mut bytes = vec![0; window.len()];
        let (start, room) = self.first_part(outer, bytes.len());
        let (first, rest) = bytes.split_at_mut(room);
        ports.dma.read(start, first)?;
        ports.dma.read(Iova(0), rest)?;
        if let Some(place) = self.state.buffer.get_mut(window) {
            place.copy_from_slice(&bytes);
        }
        Ok(())
    }

    fn store(&self, window: Window, outer: u64, ports: &mut Ports<'_>) -> Result<(), DmaFault> {
        let bytes = self.state.buffer.get(window).unwrap_or_default();
        let (start, room) = self.first_part(outer, bytes.len());
        let (first, rest) = bytes.split_at(room);
        ports.dma.write(start, first)?;
        ports.dma.write(Iova(0), rest)
    }

    /// The register that an access of `bytes` bytes reaches, if it has a size and a place that registers take.
    fn place(&mut self, bar: u8, offset: u64, bytes: usize) -> Option<Place<Id>> {
        let allowed = bytes == 4 || bytes == 8 && offset >= WIDE_FROM;
        if bar != 0 || !allowed || offset.checked_rem(bytes as u64) != Some(0) {
            self.state.bad_accesses = self.state.bad_accesses.saturating_add(1);
            return None;
        }
        MAP.at(u32::try_from(offset).ok()?)
    }
}

/// The part of the buffer that `count` bytes at the device's own address `inner` are, if they are inside.
fn window(inner: u64, count: u64) -> Option<Window> {
    let start = inner.checked_sub(BUFFER)?;
    let end = start.checked_add(count).filter(|&end| end <= BUFFER_BYTES as u64)?;
    Some(start as usize..end as usize)
}

/// `value`!, its low 32 bits.
fn factorial(value: u32) -> u32 {
    if value >= FACTORIAL_ZERO_FROM { 0 } else { (1..=value).fold(1, u32::wrapping_mul) }
}

impl AsIssued for Edu {
    fn read(&mut self, bar: u8, offset: u64, data: &mut [u8], _ports: &mut Ports<'_>) {
        let value = self.place(bar, offset, data.len()).map_or(0, |place| {
            let value = self.value(place.register.id);
            if data.len() == 8 { value } else { place.read(value).into() }
        });
        data.iter_mut().zip(value.to_le_bytes()).for_each(|(to, from)| *to = from);
    }

    fn write(&mut self, bar: u8, offset: u64, data: &[u8], ports: &mut Ports<'_>) {
        let Some(Place { register, half, .. }) = self.place(bar, offset, data.len()) else { return };
        let busy = self.state.transfer_due_ns.is_some();
        if register.access == Access::ReadOnly || register.access == Access::Locked && busy {
            return;
        }
        let mut bytes = [0; 8];
        bytes.iter_mut().zip(data).for_each(|(to, from)| *to = *from);
        let written = u64::from_le_bytes(bytes);
        let value = match data.len() {
            8 => written,
            _ => half.put(self.value(register.id), written as u32),
        };
        self.set(register.id, value & register.writable, ports);
    }
}

impl Function for Edu {
    fn identity(&self) -> Identity {
        let none = Bar::None;
        Identity {
            name: "edu",
            ids: Ids { vendor: 0x1234, device: 0x11e8, subsystem_vendor: 0x1234, subsystem: 0x11e8 },
            class: 0x00_ff_00,
            revision: 0x10,
            bars: [Bar::Memory32 { bytes: BAR_BYTES, prefetchable: false }, none, none, none, none, none],
            interrupts: Interrupts { msix: None, msi: 1, pin: Some(Pin::A) },
            express: false,
            vendor_capabilities: &[],
            engines: &[EngineSpec { name: "edu-dma", role: Role::Other }],
        }
    }

    fn registers(&mut self) -> Registers<'_> {
        Registers::AsIssued(self)
    }

    fn doorbells(&self) -> Vec<Doorbell> {
        Vec::new()
    }

    fn inbox(&mut self) -> Option<&mut dyn Inbox> {
        None
    }

    fn timer(&mut self, token: u32, ports: &mut Ports<'_>) {
        match token {
            TIMER_FACTORIAL => self.end_factorial(ports),
            TIMER_TRANSFER => self.end_transfer(ports),
            _ => {}
        }
    }

    fn reset(&mut self, ports: &mut Ports<'_>) {
        ports.clock.cancel(TIMER_FACTORIAL);
        ports.clock.cancel(TIMER_TRANSFER);
        ports.msi.set_line(false);
        self.state = EduState::default();
    }

    fn save_state(&self) -> SavedState {
        pack(self)
    }

    fn rearm(&self, ports: &mut Ports<'_>) {
        let calls =
            [(TIMER_FACTORIAL, self.state.factorial_due_ns), (TIMER_TRANSFER, self.state.transfer_due_ns)];
        for (token, due_ns) in calls {
            if let Some(due_ns) = due_ns {
                ports.clock.call_at(due_ns, token);
            }
        }
    }

    fn counters(&self) -> Vec<Counter> {
        let state = &self.state;
        vec![
            Counter { name: "factorials", value: state.factorials },
            Counter { name: "transfers", value: state.transfers },
            Counter { name: "failures", value: state.failures },
            Counter { name: "bad-accesses", value: state.bad_accesses },
        ]
    }

    fn as_any(&mut self) -> &mut dyn std::any::Any {
        self
    }
}
