//! One ring: its registers, and the packet in execution.

use fencepost_trace::{Event, FaultKind};
use serde::{Deserialize, Serialize};
use zerocopy::{FromZeros, IntoBytes};

use super::active::Active;
use super::error::GpuError;
use super::job::Job;
use super::mmu::Mmu;
use super::packet::{Condition, PACKET_BYTES, RawPacket};
use super::progress::Course;
use super::registers;
use super::view::View;
use crate::cost::CostModel;
use crate::faults::Struck;
use crate::ports::{Access, DmaExt, Iova, Ports};
use crate::registers::Half;

/// What a ring needs of the GPU and the world, for one call.
pub struct Context<'a, 'p> {
    /// Which ring it is: its vector, its timer token, and its name in traces.
    pub index: u32,
    /// The cost model.
    pub cost: &'a CostModel,
    /// What translates the addresses of contexts.
    pub mmu: &'a mut Mmu,
    /// The ports.
    pub ports: &'a mut Ports<'p>,
}

/// Its engine's place in [`crate::function::Identity::engines`]: all rings are of one.
const ENGINE: u8 = 0;

/// How many times as long a slow job takes, unless it says so.
const SLOW_FACTOR: u64 = 10;

/// The end of a job that hangs.
pub const NEVER_NS: u64 = u64::MAX;

/// What the other rings must know of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing.
    Quiet,
    /// Semaphore waits must look again.
    LookAgain,
}

/// Why a ring halted, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Halt {
    /// Why.
    pub error: GpuError,
    /// Index of the packet at fault.
    pub packet: u32,
    /// Its context.
    pub context: u32,
}

/// A ring. All fields are what docs/gpu.md calls them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ring {
    pub base: u64,
    pub size: u32,
    pub head: u32,
    pub tail: u32,
    pub enabled: bool,
    pub fence: u64,
    pub tail_address: u64,
    pub seqno: u64,
    pub halt: Option<Halt>,
    pub error_count: u32,
    pub wait_timeout_us: u32,
    pub packets: u64,
    pub active: Option<Active>,
    /// Cycles that the completed packets took, semaphore waits without their waiting.
    pub busy_cycles: u64,
    /// A fence that was passed over, and is written behind the next.
    pub held_fence: Option<u64>,
}

impl Default for Ring {
    fn default() -> Self {
        Ring {
            base: 0,
            size: 0,
            head: 0,
            tail: 0,
            enabled: false,
            fence: 0,
            tail_address: 0,
            seqno: 0,
            halt: None,
            error_count: 0,
            wait_timeout_us: registers::WAIT_TIMEOUT_US,
            packets: 0,
            active: None,
            busy_cycles: 0,
            held_fence: None,
        }
    }
}

impl Ring {
    /// The value of a register.
    pub fn read(&self, register: registers::Ring) -> u64 {
        match register {
            registers::Ring::Base => self.base,
            registers::Ring::Size => self.size.into(),
            registers::Ring::Head => self.head.into(),
            registers::Ring::Tail => self.tail.into(),
            registers::Ring::Control => if self.enabled { registers::RING_ENABLE } else { 0 }.into(),
            registers::Ring::Status => self.status().into(),
            registers::Ring::Fence => self.fence,
            registers::Ring::Seqno => self.seqno,
            registers::Ring::ErrorCode => self.halt.map_or(0, |halt| halt.error.code()).into(),
            registers::Ring::ErrorPacket => self.halt.map_or(0, |halt| halt.packet).into(),
            registers::Ring::ErrorAddress => self.halt.map_or(0, |halt| halt.error.address()),
            registers::Ring::ErrorCount => self.error_count.into(),
            registers::Ring::WaitTimeout => self.wait_timeout_us.into(),
            registers::Ring::Packets => self.packets,
            registers::Ring::TailAddress => self.tail_address,
            registers::Ring::Doorbell => 0,
            registers::Ring::Busy => self.busy_cycles,
            registers::Ring::ErrorContext => self.halt.map_or(0, |halt| halt.context).into(),
        }
    }

    fn status(&self) -> u32 {
        let waiting = self.active.as_ref().is_some_and(|active| active.waiting);
        [
            (self.enabled, registers::STATUS_ENABLED),
            (self.active.is_some(), registers::STATUS_BUSY),
            (waiting, registers::STATUS_WAITING),
            (self.halt.is_some(), registers::STATUS_ERROR),
        ]
        .into_iter()
        .fold(0, |status, (set, bit)| if set { status | bit } else { status })
    }

    /// Writes half of a register.
    pub fn write(
        &mut self,
        register: registers::Ring,
        half: Half,
        value: u32,
        cx: &mut Context<'_, '_>,
    ) -> Outcome {
        match register {
            registers::Ring::Base if !self.enabled => self.base = half.put(self.base, value),
            registers::Ring::Size if !self.enabled => self.size = value,
            registers::Ring::Fence if !self.enabled => self.fence = half.put(self.fence, value),
            registers::Ring::TailAddress if !self.enabled => {
                self.tail_address = half.put(self.tail_address, value);
            }
            registers::Ring::WaitTimeout => self.wait_timeout_us = value,
            registers::Ring::Control => self.control(value, cx),
            registers::Ring::Tail => {
                self.advance(value, cx);
                return Outcome::LookAgain;
            }
            registers::Ring::Doorbell => {
                self.doorbell(cx);
                return Outcome::LookAgain;
            }
            _ => {}
        }
        Outcome::Quiet
    }

    fn control(&mut self, value: u32, cx: &mut Context<'_, '_>) {
        if value & registers::RING_RESET != 0 {
            self.stop(cx);
            self.halt = None;
        }
        if value & registers::RING_ENABLE == 0 {
            self.stop(cx);
        } else if !self.enabled && self.halt.is_none() {
            self.enable(cx);
        }
    }

    /// Whether the ring may be enabled with its base, size, fence and tail addresses.
    pub fn is_valid(&self) -> bool {
        let size_is_right =
            (2..=registers::RING_MAX_PACKETS).contains(&self.size) && self.size.is_power_of_two();
        let bytes = u64::from(self.size).saturating_mul(u64::from(PACKET_BYTES));
        let base_is_right = self.base.trailing_zeros() >= PACKET_BYTES.trailing_zeros()
            && self.base.checked_add(bytes).is_some();
        let fence_is_right = self.fence % 8 == 0;
        let tail_is_right = self.tail_address % 4 == 0;
        size_is_right && base_is_right && fence_is_right && tail_is_right
    }

    fn enable(&mut self, cx: &mut Context<'_, '_>) {
        if self.is_valid() {
            (self.head, self.tail, self.enabled) = (0, 0, true);
        } else {
            self.fail(GpuError::Ring, 0, cx);
        }
    }

    /// Drops the packet in execution, and disables.
    pub fn stop(&mut self, cx: &mut Context<'_, '_>) {
        cx.ports.clock.cancel(cx.index);
        if let Some(active) = self.active.take() {
            cx.job_end(active.seqno, false);
        }
        (self.head, self.tail, self.enabled) = (0, 0, false);
        self.held_fence = None;
    }

    /// `RING_DOORBELL`: the tail is in memory.
    fn doorbell(&mut self, cx: &mut Context<'_, '_>) {
        if !self.listens() || self.tail_address == 0 {
            return;
        }
        match cx.ports.dma.read_u32(Iova(self.tail_address)) {
            Ok(tail) => self.advance(tail, cx),
            Err(fault) => {
                self.abandon(cx);
                self.fail(fault.into(), 0, cx);
            }
        }
    }

    /// Whether doorbells do anything.
    fn listens(&self) -> bool {
        self.enabled && self.halt.is_none()
    }

    /// The packets up to `tail` are there.
    fn advance(&mut self, tail: u32, cx: &mut Context<'_, '_>) {
        if !self.listens() {
            return;
        }
        if tail >= self.size {
            self.abandon(cx);
            self.fail(GpuError::Ring, 0, cx);
            return;
        }
        self.tail = tail;
        let bell =
            Event::Doorbell { engine: cx.ports.engine(ENGINE), queue: cx.index, tail: u64::from(tail) };
        cx.ports.trace.record(bell);
        self.start_next(cx);
    }

    /// Ends the packet in execution without its effects.
    fn abandon(&mut self, cx: &mut Context<'_, '_>) {
        if let Some(active) = self.active.take() {
            cx.ports.clock.cancel(cx.index);
            cx.job_end(active.seqno, false);
        }
    }

    fn fail(&mut self, error: GpuError, context: u32, cx: &mut Context<'_, '_>) {
        self.halt = Some(Halt { error, packet: self.head, context });
        self.error_count = self.error_count.saturating_add(1);
        cx.ports.msi.raise(registers::ERROR_VECTOR);
    }

    /// Starts the packet at the head, if the ring is idle and there is one.
    fn start_next(&mut self, cx: &mut Context<'_, '_>) {
        if !self.listens() || self.active.is_some() || self.head == self.tail {
            return;
        }
        // Enabling checked that the whole ring is inside the address space.
        let at = self.base.saturating_add(u64::from(self.head).saturating_mul(u64::from(PACKET_BYTES)));
        let mut raw = RawPacket::new_zeroed();
        if let Err(fault) = cx.ports.fetch(Iova(at), raw.as_mut_bytes()) {
            self.fail(fault.into(), 0, cx);
            return;
        }
        let (seqno, context) = (raw.seqno.get(), raw.context.get());
        cx.ports.trace.record(Event::JobStart {
            engine: cx.ports.engine(ENGINE),
            queue: cx.index,
            seqno,
            kind: raw.kind(),
        });
        let known = raw.parse_for(cx.index);
        match known.and_then(|packet| Job::fetch(packet, &mut cx.view(context))) {
            Ok(job) => self.activate(seqno, context, job, cx),
            Err(error) => {
                cx.job_end(seqno, false);
                self.fail(error, context, cx);
            }
        }
    }

    fn activate(&mut self, seqno: u64, context: u32, job: Job, cx: &mut Context<'_, '_>) {
        let now_ns = cx.ports.clock.now().ns;
        let timeout_ns = u64::from(self.wait_timeout_us).saturating_mul(1000);
        let waits = matches!(job, Job::SemWait { patient: false, .. }) && timeout_ns > 0;
        let deadline_ns = waits.then(|| now_ns.saturating_add(timeout_ns));
        if cx.fault(FaultKind::Hang).is_some() {
            cx.ports.clock.cancel(cx.index);
            let (due_ns, deadline_ns, course) = (NEVER_NS, None, Course::new(now_ns, NEVER_NS));
            self.active =
                Some(Active { seqno, context, job, due_ns, deadline_ns, waiting: false, cycles: 0, course });
            return;
        }
        let slow = cx.fault(FaultKind::Slow);
        let factor = slow.map_or(1, |struck| struck.spec.number("factor").unwrap_or(SLOW_FACTOR));
        let cycles = cx.ports.clock.vary(cx.cost.cycles(job.bytes()).saturating_mul(factor));
        let course = Course::new(now_ns, now_ns.saturating_add(cx.ports.clock.cycles_to_ns(cycles)));
        let due_ns = course.due_ns(job.parts());
        cx.ports.clock.call_at(due_ns, cx.index);
        self.active =
            Some(Active { seqno, context, job, due_ns, deadline_ns, waiting: false, cycles, course });
    }

    /// The ring's timer: the packet in execution ends, or its wait looks again.
    pub fn timer(&mut self, cx: &mut Context<'_, '_>) -> Outcome {
        let Some(active) = self.active.take() else { return Outcome::Quiet };
        match active.job {
            Job::SemWait { address, condition, .. } => {
                self.look(active, address, condition, cx);
                Outcome::Quiet
            }
            // Once for a job.
            _ if active.course.is_new() && cx.fault(FaultKind::JobError).is_some() => {
                self.end(&active, Err(GpuError::Engine), cx);
                Outcome::Quiet
            }
            Job::Fence { seqno, cycles_at } => {
                let written =
                    self.write_busy(active.context, cycles_at, cx).and_then(|()| self.write_fence(seqno, cx));
                let outcome = if written.is_ok() { Outcome::LookAgain } else { Outcome::Quiet };
                self.end(&active, written, cx);
                outcome
            }
            Job::SemSignal { address, value } => {
                let signalled = signal(active.context, address, value, cx);
                let outcome = if signalled.is_ok() { Outcome::LookAgain } else { Outcome::Quiet };
                self.end(&active, signalled, cx);
                outcome
            }
            _ => {
                self.go_on(active, cx);
                Outcome::Quiet
            }
        }
    }

    /// Writes how busy the ring was, if a fence asks for that.
    fn write_busy(&self, context: u32, at: Option<u64>, cx: &mut Context<'_, '_>) -> Result<(), GpuError> {
        at.map_or(Ok(()), |at| cx.view(context).write_u64(at, self.busy_cycles))
    }

    /// Writes a fence, unless it is to come behind the one that follows; then the fence that waited for that.
    fn write_fence(&mut self, seqno: u64, cx: &mut Context<'_, '_>) -> Result<(), GpuError> {
        let waiting = self.held_fence.take();
        if waiting.is_none() && cx.fault(FaultKind::OutOfOrder).is_some() {
            self.held_fence = Some(seqno);
            return Ok(());
        }
        for word in [Some(seqno), waiting].into_iter().flatten() {
            cx.ports.dma.write_u64(Iova(self.fence), word)?;
            // One that comes behind leaves the register as it is.
            self.seqno = seqno;
            let engine = cx.ports.engine(ENGINE);
            cx.ports.trace.record(Event::FenceWrite { engine, queue: cx.index, seqno: word });
            cx.ports.msi.raise(cx.index as u16);
        }
        Ok(())
    }

    /// Looks at the semaphore that the ring waits on, if it does.
    pub fn look_again(&mut self, cx: &mut Context<'_, '_>) {
        let Some(active) = self.active.take() else { return };
        match active.job {
            Job::SemWait { address, condition, .. } if active.waiting => {
                self.look(active, address, condition, cx);
            }
            _ => self.active = Some(active),
        }
    }

    fn look(&mut self, mut active: Active, address: u64, condition: Condition, cx: &mut Context<'_, '_>) {
        let now_ns = cx.ports.clock.now().ns;
        let mut view = cx.view(active.context);
        let place = view.word(address, Access::Read);
        match place.and_then(|at| Ok((at, view.ports.dma.read_u64(at)?))) {
            Err(fault) => self.end(&active, Err(fault), cx),
            Ok((at, word)) if condition.holds(word) => {
                cx.ports.trace.record(Event::SemaphoreAcquire {
                    engine: cx.ports.engine(ENGINE),
                    iova: at.0,
                    value: word,
                });
                self.end(&active, Ok(()), cx);
            }
            Ok(_) if active.deadline_ns.is_some_and(|deadline| now_ns >= deadline) => {
                self.end(&active, Err(GpuError::Timeout), cx);
            }
            Ok(_) => {
                let poll_ns = cx.ports.clock.cycles_to_ns(u64::from(registers::POLL_CYCLES)).max(1);
                let poll_at_ns = now_ns.saturating_add(poll_ns);
                active.due_ns = poll_at_ns.min(active.deadline_ns.unwrap_or(u64::MAX));
                active.waiting = true;
                cx.ports.clock.call_at(active.due_ns, cx.index);
                self.active = Some(active);
            }
        }
    }

    /// Does a part of the job, as far as one call goes.
    fn go_on(&mut self, mut active: Active, cx: &mut Context<'_, '_>) {
        match active.advance(&mut cx.view(active.context)) {
            Ok(true) => self.end(&active, Ok(()), cx),
            // What is left of a part is done at its time still.
            Ok(false) => {
                cx.ports.clock.call_at(active.due_ns, cx.index);
                self.active = Some(active);
            }
            Err(error) => self.end(&active, Err(error), cx),
        }
    }

    /// Ends the packet at the head, and starts the next one or halts.
    fn end(&mut self, active: &Active, result: Result<(), GpuError>, cx: &mut Context<'_, '_>) {
        cx.ports.clock.cancel(cx.index);
        cx.job_end(active.seqno, result.is_ok());
        match result {
            Ok(()) => {
                self.busy_cycles = self.busy_cycles.saturating_add(active.cycles);
                self.packets = self.packets.saturating_add(1);
                // The size is a power of two.
                self.head = self.head.wrapping_add(1) & self.size.wrapping_sub(1);
                self.start_next(cx);
            }
            Err(error) => self.fail(error, active.context, cx),
        }
    }
}

/// Writes a semaphore.
fn signal(context: u32, address: u64, value: u64, cx: &mut Context<'_, '_>) -> Result<(), GpuError> {
    let mut view = cx.view(context);
    let at = view.word(address, Access::Write)?;
    view.ports.dma.write_u64(at, value)?;
    let engine = cx.ports.engine(ENGINE);
    cx.ports.trace.record(Event::SemaphoreSignal { engine, iova: at.0, value });
    Ok(())
}

impl<'p> Context<'_, 'p> {
    /// Memory as a packet of `context` sees it.
    fn view(&mut self, context: u32) -> View<'_, 'p> {
        View { ports: self.ports, mmu: self.mmu, context, spent_ns: 0 }
    }

    /// An occasion for a fault of this ring, or of any.
    fn fault(&mut self, kind: FaultKind) -> Option<Struck> {
        let index = u64::from(self.index);
        self.ports.fault_where(kind, |spec| spec.number("ring").is_none_or(|ring| ring == index))
    }

    fn job_end(&mut self, seqno: u64, ok: bool) {
        let engine = self.ports.engine(ENGINE);
        self.ports.trace.record(Event::JobEnd { engine, queue: self.index, seqno, ok });
    }
}
