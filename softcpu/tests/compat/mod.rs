//! 32-bit and 16-bit programs in a 64-bit process, natively and on the software CPU: the same bytes at the same addresses,
//! with the same descriptors in the LDT.

#![allow(dead_code)]

mod native;
pub mod shrink;
mod soft;

use iced_x86::code_asm::CodeAssembler;

/// Where programs start, in a flat 32-bit segment; a page of 16-bit programs follows.
pub const CODE: u64 = 0x1000_0000;
pub const CODE_BYTES: usize = 0x2000;
/// What programs work on. The pages around are not mapped.
pub const DATA: u64 = 0x2000_0000;
pub const DATA_BYTES: usize = 0x8000;
/// The stack pointer at the start.
pub const STACK: u64 = DATA + 0x8000 - 0x100;

/// Selectors of Linux's GDT that any process may load: 32-bit code, data, 64-bit code.
pub const FLAT_CODE: u16 = 0x23;
pub const FLAT_DATA: u16 = 0x2b;
pub const LONG_CODE: u16 = 0x33;

/// The selector of an entry of the LDT.
pub const fn ldt(entry: u16) -> u16 {
    entry << 3 | 7
}

/// A descriptor of the LDT, as modify_ldt(2) describes it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Descriptor {
    pub base: u32,
    /// In bytes, or in pages when `pages`; 20 bits.
    pub limit: u32,
    /// 32 bits wide, rather than 16.
    pub big: bool,
    /// 0 data, 1 expand-down data, 2 code, 3 conforming code.
    pub contents: u8,
    /// Data that may not be written, or code that may not be read.
    pub restricted: bool,
    pub pages: bool,
    pub absent: bool,
}

/// What an [`Outcome`] has for a vector when the program was stopped because it does not end. A random one may return
/// into its own middle for ever.
pub const ENDLESS: u8 = 255;

/// Everything a program left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub vector: u8,
    /// The exception's error code; 0 where there is none.
    pub error: u32,
    /// EAX, ECX, EDX, EBX, ESP, EBP, ESI, EDI.
    pub gpr: [u32; 8],
    pub eip: u32,
    pub cs: u16,
    pub ss: u16,
    pub flags: u32,
}

/// The status flags and the direction flag.
const FLAGS: u32 = 0xcd5;

pub type Program = Box<dyn Fn(&mut CodeAssembler)>;

/// Assembles 32-bit code for [`CODE`]. The INT3 behind it ends it.
pub fn assemble(program: impl FnOnce(&mut CodeAssembler)) -> Vec<u8> {
    let mut assembler = CodeAssembler::new(32).expect("an assembler");
    program(&mut assembler);
    assembler.assemble(CODE).expect("a program")
}

/// The host's processor and ours. There can be one only in a process, on one thread.
pub struct Both {
    native: native::Native,
    soft: soft::Soft,
}

impl Outcome {
    /// That of a program that does not end: where it was stopped means nothing.
    pub fn endless() -> Outcome {
        Outcome { vector: ENDLESS, error: 0, gpr: [0; 8], eip: 0, cs: 0, ss: 0, flags: 0 }
    }
}

impl Both {
    pub fn new(table: &[Descriptor]) -> Both {
        Both { native: native::Native::new(table), soft: soft::Soft::new(table) }
    }

    /// Runs a program that starts with these registers on both, from the same memory: how it ended (which may be
    /// [`ENDLESS`]), or in what it ended otherwise than on the host.
    pub fn compare(&mut self, code: &[u8], gpr: [u32; 8]) -> Result<Outcome, String> {
        let pattern = |n: usize| (n as u32).wrapping_mul(0x9e37_79b1).rotate_left(11) as u8;
        let data: Vec<u8> = (0..DATA_BYTES).map(pattern).collect();
        let (host, host_data) = self.native.run(code, gpr, &data);
        let (ours, our_data) = self.soft.run(code, gpr, &data);
        if ours != host {
            return Err(format!("ours {ours:x?}\n host {host:x?}"));
        }
        if ours.vector == ENDLESS {
            return Ok(ours);
        }
        match (0..DATA_BYTES).find(|&i| our_data[i] != host_data[i]) {
            Some(at) => {
                let range = at..(at + 16).min(DATA_BYTES);
                Err(format!("at {at:#x} {:02x?}, host {:02x?}", &our_data[range.clone()], &host_data[range]))
            }
            None => Ok(host),
        }
    }
}
