//! The guest's own breakpoints: what its debug registers ask for (Intel SDM vol. 3, 19.2 and 19.3).

use crate::control::Cr4;
use crate::cpu::Cpu;
use crate::flags::RF;
use crate::step::{Fault, Trap};
use crate::stops::{Kinds, Range, Stops};
use crate::vector;

/// DR6: a single step.
pub(crate) const SINGLE_STEP: u16 = 1 << 14;
/// DR6: a debug register was to be accessed.
const ACCESS_DETECTED: u64 = 1 << 13;
/// DR7: accesses to debug registers are detected.
const GENERAL_DETECT: u64 = 1 << 13;

/// What a breakpoint waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum On {
    Execution,
    Write,
    Port,
    Access,
}

/// An enabled breakpoint.
#[derive(Clone, Copy, Debug)]
struct Breakpoint {
    on: On,
    range: Range,
}

impl Cpu {
    /// Breakpoint 0 to 3, if DR7 enables it. (Local and global differ only for task switches by hardware.)
    fn breakpoint(&self, number: usize) -> Option<Breakpoint> {
        let control = self.sys.dr[7];
        if control >> (2 * number) & 3 == 0 {
            return None;
        }
        let on = match control >> (16 + 4 * number) & 3 {
            0 => On::Execution,
            1 => On::Write,
            2 if self.sys.has_cr4(Cr4::DE) => On::Port,
            2 => return None,
            _ => On::Access,
        };
        let bytes = match control >> (18 + 4 * number) & 3 {
            _ if on == On::Execution => 1,
            0 => 1,
            1 => 2,
            2 => 8,
            _ => 4,
        };
        // The address's low bits within the length are not looked at.
        let start = self.sys.dr[number] & !(bytes - 1);
        let kinds = Kinds { read: on == On::Access, write: true };
        Some(Breakpoint { on, range: Range { start, bytes, kinds } })
    }

    fn breakpoints(&self) -> impl Iterator<Item = (u16, Breakpoint)> {
        (0..4).filter_map(|number| Some((1 << number, self.breakpoint(number)?)))
    }

    /// The bits in DR6 of the breakpoints that `meets` says are met.
    fn met(&self, meets: impl Fn(&Breakpoint) -> bool) -> u16 {
        self.breakpoints().filter(|(_, one)| meets(one)).fold(0, |bits, (bit, _)| bits | bit)
    }

    /// To be called when debug registers, or what they mean, have changed.
    pub(crate) fn breakpoints_changed(&mut self) {
        let all: Vec<Breakpoint> = self.breakpoints().map(|(_, one)| one).collect();
        let on = |on| all.iter().filter(move |one| one.on == on).map(|one| one.range);
        self.port_breakpoints = on(On::Port).next().is_some();
        let stops = Stops::new(
            on(On::Execution).map(|range| range.start),
            on(On::Write).chain(on(On::Access)).collect(),
        );
        if stops != self.own_stops {
            self.own_stops = stops;
            self.mark_watched();
        }
    }

    /// Whether bytes are watched at all, by the guest or from outside.
    pub(crate) fn watches(&self) -> bool {
        self.stops.watches() || self.own_stops.watches()
    }

    /// Whether any byte of a page is.
    pub(crate) fn watches_page(&self, page: u64) -> bool {
        self.stops.watches_page(page) || self.own_stops.watches_page(page)
    }

    /// The guest's breakpoints that an access meets.
    pub(crate) fn met_by_access(&self, start: u64, bytes: u64, write: bool) -> u16 {
        let asks = |one: &Breakpoint| one.on == On::Access || (write && one.on == On::Write);
        self.met(|one| asks(one) && one.range.meets(start, bytes))
    }

    /// Notes an access to ports. Whether a breakpoint is met: the block is to end then.
    pub(crate) fn note_port(&mut self, port: u16, bytes: usize) -> bool {
        if !self.port_breakpoints {
            return false;
        }
        let hits = self.met(|one| one.on == On::Port && one.range.meets(port.into(), bytes as u64));
        self.sys.debug_hits |= hits;
        hits != 0
    }

    /// Raises the debug exception of a breakpoint on the instruction at RIP, if there is one to be met.
    pub(crate) fn break_here(&mut self) -> Result<(), Trap> {
        let at = self.code_linear(self.rip & self.linear_mask);
        if !self.own_stops.before(at) || self.control & RF != 0 || self.sys.debug_held {
            return Ok(());
        }
        self.sys.debug_hits |= self.met(|one| one.on == On::Execution && one.range.start == at);
        // Of all faults this one alone does not set RF in the flags it pushes (19.3.1.1).
        self.debug_trap()
    }

    /// Raises the debug exception that the hits ask for.
    pub(crate) fn debug_trap(&mut self) -> Result<(), Trap> {
        self.sys.dr[6] |= u64::from(std::mem::take(&mut self.sys.debug_hits));
        self.sys.halted = false;
        self.fault = Fault { vector: vector::DB, error: None, trap: true };
        Err(Trap)
    }

    /// Whether a debug exception waits at this instruction boundary.
    pub(crate) fn has_debug_trap(&self) -> bool {
        self.sys.debug_hits != 0 && !self.sys.debug_held
    }

    /// The debug exception that keeps the guest from its debug registers, if DR7 asks for it.
    pub(crate) fn detect_access(&mut self) -> Result<(), Trap> {
        if self.sys.dr[7] & GENERAL_DETECT == 0 {
            return Ok(());
        }
        self.sys.dr[6] |= ACCESS_DETECTED;
        self.raise(vector::DB, None);
        Err(Trap)
    }

    /// The handler of a debug exception may access debug registers.
    pub(crate) fn end_detection(&mut self) {
        self.sys.dr[7] &= !GENERAL_DETECT;
    }
}
