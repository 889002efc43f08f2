//! Whole programs on the software CPU and on the host's processor.

use iced_x86::{Code, Instruction};

use super::compare;
use super::guest::Guest;
use super::layout::{DATA_BYTES, Machine, START};
use super::native::Native;
use super::random::Random;

/// #DE, which leaves flags that the manual does not define.
const DIVIDE: u8 = 0;

/// Both processors.
pub struct Both {
    native: Native,
    guest: Guest,
}

/// How a program ended on both.
pub struct Ended {
    /// The exception's vector, if there was one.
    pub exception: Option<u8>,
    /// What is different, in words.
    pub differences: String,
}

impl Both {
    /// There can be only one ([`Native`]).
    pub fn new() -> Both {
        Both { native: Native::new(), guest: Guest::new(64) }
    }

    /// Runs a program that begins at [`START`], with random data and with these general registers; here in stretches that may be
    /// `longest` instructions long, for `instructions` of them at most.
    pub fn run(&mut self, random: &mut Random, code: &[u8], gpr: [u64; 16], instructions: u64) -> Ended {
        let mut before = Machine { gpr, rip: START, rflags: 0x202 | random.bits() & 0x8d5, fx: [0; 512] };
        before.fx[..2].copy_from_slice(&0x037f_u16.to_le_bytes());
        let rounding = random.bits() as u32 & 0x6000;
        before.fx[24..28].copy_from_slice(&(0x1f80 | rounding).to_le_bytes());
        before.fx[160..416]
            .chunks_mut(16)
            .for_each(|xmm| xmm.copy_from_slice(&random.vector().to_le_bytes()));
        self.native
            .data()
            .chunks_mut(16)
            .for_each(|part| part.copy_from_slice(&random.vector().to_le_bytes()));
        self.guest.write_data(self.native.data());
        let longest = [3, 20, 200, instructions][random.below(4) as usize];
        let mut left = instructions;
        let stretches = std::iter::from_fn(|| {
            let stretch = (1 + random.below(longest)).min(left);
            left -= stretch;
            (stretch != 0).then_some(stretch)
        });
        let ours = self.guest.run_for(&before, code, stretches);
        let host = self.native.run(&before, code, 64);
        let divided = host.exception == Some(DIVIDE);
        let last = Instruction::with(Code::Nopd);
        let differences = if divided {
            let div = Instruction::with1(Code::Div_rm32, iced_x86::Register::ECX).expect("a division");
            compare::differences(&div, &ours, &host)
        } else {
            compare::differences(&last, &ours, &host)
        };
        let mut data = vec![0; DATA_BYTES];
        self.guest.read_data(&mut data);
        let host_data = self.native.data();
        let memory = (0..DATA_BYTES).find(|&at| data[at] != host_data[at]);
        let memory =
            memory.map(|at| format!(" memory at {at:#x} {:#x}, host {:#x};", data[at], host_data[at]));
        Ended { exception: host.exception, differences: differences + &memory.unwrap_or_default() }
    }
}
