//! In place of the translator, on hosts that it has no code for.

use fencepost_time::Cycles;

use crate::blocks::Block;
use crate::cpu::Cpu;
use crate::step::{Step, Trap};

impl Cpu {
    /// Nothing is to be set up.
    pub fn prepare(&mut self) {}

    /// No block has any.
    pub(crate) fn generated_code(&mut self, _: *mut Block<Cpu>) -> Option<u64> {
        None
    }

    /// There is none.
    pub(crate) fn run_generated(&mut self, _: u64, _: Cycles) -> Result<Step, Trap> {
        Ok(Step::Jump)
    }
}
