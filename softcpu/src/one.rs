//! Exactly one instruction, for a back end whose processor does not know it.

use crate::bus::Bus;
use crate::cpu::Cpu;
use crate::decode::DECODER_OPTIONS;
use crate::step::Trap;

/// What became of the instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It retired (INT n and its kind too: the handler's first instruction is next).
    Retired,
    /// It raised an exception, by vector, which was delivered: the handler's first instruction is next.
    Raised(u8),
    /// Delivering its exception failed as a triple fault does.
    TripleFault,
}

/// One instruction and its outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Executed {
    /// The mnemonic in small letters; `?` when it cannot be fetched or is none.
    pub name: String,
    /// What became of it.
    pub outcome: Outcome,
}

impl Cpu {
    /// Executes the instruction at RIP and nothing else. Interrupts and exceptions that wait go on waiting; a halted
    /// CPU executes the instruction after its HLT. The memory may have been written by others in the meantime: no
    /// code decoded earlier is trusted. (Of a repeated string instruction as many elements as one run of it takes:
    /// RIP stays on it when some are left.)
    pub fn execute_one(&mut self, bus: &mut dyn Bus) -> Executed {
        self.forget_code();
        let executed = self.with_bus(bus, |cpu| {
            let name = cpu.name_here();
            let outcome = match cpu.single_step() {
                Ok(()) => Outcome::Retired,
                Err(Trap) => {
                    let vector = cpu.fault.vector;
                    cpu.deliver_fault().map_or(Outcome::TripleFault, |()| Outcome::Raised(vector))
                }
            };
            Executed { name, outcome }
        });
        // Whoever asked for one instruction looks at the machine after it anyway.
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
