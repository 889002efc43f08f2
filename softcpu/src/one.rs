//! Executes exactly one instruction, for a back end that cannot execute it itself.

use crate::bus::Bus;
use crate::cpu::Cpu;
use crate::decode::DECODER_OPTIONS;
use crate::step::Trap;

/// How the instruction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It retired. After INT n and the like, RIP is at the handler's first instruction.
    Retired,
    /// It raised an exception with this vector, which was delivered: RIP is at the handler's first instruction.
    Raised(u8),
    /// Delivering its exception ended in a triple fault.
    TripleFault,
}

/// One instruction and its outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Executed {
    /// The mnemonic in lower case; `?` if it cannot be fetched or decoded.
    pub name: String,
    /// How it ended.
    pub outcome: Outcome,
}

impl Cpu {
    /// Executes the instruction at RIP and nothing else. Pending interrupts and exceptions stay pending; a halted CPU
    /// executes the instruction after its HLT. Others may have written memory since the last call, so all decoded code is
    /// dropped first. A repeated string instruction executes one pass; RIP stays on it if elements are left.
    pub fn execute_one(&mut self, bus: &mut dyn Bus) -> Executed {
        self.forget_code();
        let executed = self.with_bus(bus, |cpu| {
            let name = cpu.name_here();
            let ended = cpu.single_step();
            let trapped = ended.and_then(|()| if cpu.has_debug_trap() { cpu.debug_trap() } else { Ok(()) });
            let outcome = match trapped {
                Ok(()) => Outcome::Retired,
                Err(Trap) => {
                    let vector = cpu.fault.vector;
                    cpu.deliver_fault().map_or(Outcome::TripleFault, |()| Outcome::Raised(vector))
                }
            };
            Executed { name, outcome }
        });
        // The caller checks the machine after each instruction anyway.
        self.yielding = false;
        executed
    }

    fn name_here(&mut self) -> String {
        const NONE: &str = "?";
        let rip = self.rip;
        let fetched = self.code_address(self.code_linear(rip)).and_then(|gpa| self.fetch(rip, gpa));
        let Ok(fetched) = fetched else { return NONE.into() };
        let bytes = &fetched.bytes[..fetched.len];
        let instr = iced_x86::Decoder::with_ip(self.code_bits(), bytes, rip, DECODER_OPTIONS).decode();
        if instr.is_invalid() { NONE.into() } else { format!("{:?}", instr.mnemonic()).to_lowercase() }
    }
}
