//! Running with [`Stops`], from outside or the guest's own: block by block, each only as far as the next stop. A CPU without
//! stops never comes here.

use fencepost_time::Cycles;

use crate::blocks::Block;
use crate::bus::Exit;
use crate::cpu::Cpu;
use crate::step::{Step, Trap};
use crate::stops::Stops;

impl Cpu {
    /// From now on stops there, by [`Exit::Breakpoint`] and [`Exit::Accessed`].
    pub fn set_stops(&mut self, stops: Stops) {
        self.stops = stops;
        self.accessed = None;
        self.passing = false;
        self.mark_watched();
    }

    /// The next instruction is executed even if it is one to stop before.
    pub fn pass_stop(&mut self) {
        self.passing = true;
    }

    /// What to stop for at this instruction boundary, before the instruction at RIP.
    pub(crate) fn stop_here(&mut self) -> Option<Exit> {
        if self.stops.before(self.code_linear(self.rip & self.linear_mask)) && !self.passing {
            return Some(Exit::Breakpoint);
        }
        self.passing = false;
        None
    }

    /// As `run_blocks`, as far as the next stop.
    pub(crate) fn run_to_stop(&mut self, limit: Cycles) -> Result<(), Trap> {
        loop {
            let block = self.find_block()?;
            let most = self.undisturbed(block).min(limit - self.cycles);
            let step = self.run_some(block, most)?;
            let goes_on = matches!(step, Step::Taken | Step::Fall | Step::Jump);
            let met = self.accessed.is_some() || self.sys.debug_hits != 0;
            if !goes_on || self.cycles >= limit || self.code.is_dirty() || met {
                return Ok(());
            }
            let at = self.code_linear(self.rip & self.linear_mask);
            if self.stops.before(at) || self.own_stops.before(at) {
                return Ok(());
            }
        }
    }

    /// How many instructions of a block at RIP may run, the first in any case.
    fn undisturbed(&self, block: *mut Block<Cpu>) -> u64 {
        // SAFETY: as in `run_blocks`: found just now, and nobody changes its operations.
        let ops = unsafe { &(*block).ops };
        let start = self.code_linear(self.rip);
        let end = ops.last().map_or(0, |last| u64::from(last.off));
        let (first, last) = (start.saturating_add(1), start.saturating_add(end));
        let stops = self.stops.between(first, last).iter().chain(self.own_stops.between(first, last));
        let offsets = stops.map(|at| at - start);
        let instruction = |offset| ops.iter().position(|op| u64::from(op.off) == offset);
        // An address in the middle of an instruction stops nobody who does not jump there.
        offsets.filter_map(instruction).min().map_or(u64::MAX, |nth| nth as u64)
    }
}
