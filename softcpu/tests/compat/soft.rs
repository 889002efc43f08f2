//! Our side: the same program at CPL 3 of a bare machine, ended by a handler's HLT.

use fencepost_softcpu::bus::Exit;
use fencepost_softcpu::state::{Segment, Table, reg, seg};
use vm_memory::{Bytes, GuestAddress};

use super::{CODE, CODE_BYTES, DATA, DATA_BYTES, Descriptor, FLAGS, FLAT_CODE, FLAT_DATA, Outcome};
use crate::machine::{HANDLERS, Machine, PRESENT, USER, WRITE};

const GDT: u64 = 0x7800;
const LDT: u64 = 0x7900;
const CODE_PHYSICAL: u64 = 0x40_0000;
const DATA_PHYSICAL: u64 = 0x50_0000;
/// Our tables lie where nothing is mapped on the host: out of the user's reach, and an access there faults as one to a page
/// that is absent.
const SYSTEM_BYTES: u64 = 0x40_0000;
const PAGE_FAULT: u8 = 14;
/// Exceptions that push an error code.
const WITH_ERROR: u32 = 1 << 8 | 1 << 10 | 1 << 11 | 1 << 12 | 1 << 13 | 1 << 14 | 1 << 17;

/// The eight bytes of a descriptor of DPL 3 (Intel SDM vol. 3, figure 3-8).
fn raw(d: &Descriptor) -> u64 {
    const ACCESSED: u64 = 1 << 40;
    const CODE_OR_DATA: u64 = 1 << 44;
    const USER: u64 = 3 << 45;
    let (base, limit) = (u64::from(d.base), u64::from(d.limit));
    (limit & 0xffff)
        | (base & 0xff_ffff) << 16
        | ACCESSED
        | u64::from(!d.restricted) << 41
        | u64::from(d.contents) << 42
        | CODE_OR_DATA
        | USER
        | u64::from(!d.absent) << 47
        | (limit >> 16) << 48
        | u64::from(d.big) << 54
        | u64::from(d.pages) << 55
        | (base >> 24) << 56
}

pub struct Soft(Machine);

impl Soft {
    pub fn new(table: &[Descriptor]) -> Soft {
        let mut m = Machine::new();
        for at in (0..SYSTEM_BYTES).step_by(4096) {
            m.map(at, at, PRESENT | WRITE);
        }
        for (linear, gpa, bytes) in [(CODE, CODE_PHYSICAL, CODE_BYTES), (DATA, DATA_PHYSICAL, DATA_BYTES)] {
            for at in (0..bytes as u64).step_by(4096) {
                m.map(linear + at, gpa + at, PRESENT | WRITE | USER);
            }
        }
        for (n, entry) in table.iter().enumerate() {
            m.write(LDT + 8 * n as u64, raw(entry));
        }
        // As Linux has it: kernel code, kernel data; from 0x20 32-bit code, data, 64-bit code.
        const LINUX: [u64; 7] = [
            0,
            0x00af_9b00_0000_ffff,
            0x00cf_9300_0000_ffff,
            0,
            0x00cf_fb00_0000_ffff,
            0x00cf_f300_0000_ffff,
            0x00af_fb00_0000_ffff,
        ];
        for (n, entry) in LINUX.into_iter().enumerate() {
            m.write(GDT + 8 * n as u64, entry);
        }
        // INT3 and INTO may be used by anyone.
        for vector in [3, 4] {
            m.set_gate(vector, HANDLERS + 16 * u64::from(vector), 0xee00);
        }
        Soft(m)
    }

    fn start(&mut self, gpr: [u32; 8], entries: u16) {
        let segment = |selector, attributes| Segment { selector, base: 0, limit: !0, attributes };
        self.0.with_state(|s| {
            let null = segment(0, 0);
            s.seg = [null; 6];
            s.seg[seg::CS] = segment(FLAT_CODE, 0xc0fb);
            for which in [seg::SS, seg::DS, seg::ES] {
                s.seg[which] = segment(FLAT_DATA, 0xc0f3);
            }
            s.gdtr = Table { base: GDT, limit: 7 * 8 - 1 };
            s.ldtr =
                Segment { selector: 0x40, base: LDT, limit: u32::from(entries) * 8 - 1, attributes: 0x82 };
            s.gpr = [0; 16];
            for (to, from) in s.gpr.iter_mut().zip(gpr) {
                *to = u64::from(from);
            }
            s.rip = CODE;
            s.rflags = 0x202;
            s.halted = false;
            s.fpu = Default::default();
        });
    }

    fn put(&self, at: u64, bytes: &[u8]) {
        self.0.memory.write_slice(bytes, GuestAddress(at)).expect("inside RAM");
        self.0.code.written(at, bytes.len() as u64);
    }

    /// Runs a program to its first exception; the data after it.
    pub fn run(&mut self, code: &[u8], gpr: [u32; 8], data: &[u8]) -> (Outcome, Vec<u8>) {
        self.put(CODE_PHYSICAL, &[0xcc; CODE_BYTES]);
        self.put(CODE_PHYSICAL, code);
        self.put(DATA_PHYSICAL, data);
        self.start(gpr, 32);
        let exit = self.0.run();
        let state = self.0.cpu.state();
        if exit == Exit::Deadline {
            return (Outcome::endless(), vec![0; DATA_BYTES]);
        }
        let ended = (HANDLERS..HANDLERS + 0x200).contains(&state.rip);
        assert!(ended, "no exception ended it, but {exit:?}: {state:x?}");
        let vector = ((state.rip - 1 - HANDLERS) / 16) as u8;
        let sp = state.gpr[reg::RSP];
        let with_error = WITH_ERROR >> vector & 1 != 0;
        let frame = |n: u64| self.0.read::<u64>(sp + 8 * (n + u64::from(with_error)));
        let mut after = std::array::from_fn(|n| state.gpr[n] as u32);
        after[reg::RSP] = frame(3) as u32;
        let mut error = if with_error { self.0.read::<u64>(sp) as u32 } else { 0 };
        if vector == PAGE_FAULT && state.cr2 < SYSTEM_BYTES {
            error &= !1;
        }
        let outcome = Outcome {
            vector,
            error,
            gpr: after,
            eip: frame(0) as u32,
            cs: frame(1) as u16,
            ss: frame(4) as u16,
            flags: frame(2) as u32 & FLAGS,
        };
        assert_eq!(frame(0) >> 32, 0, "an instruction pointer of 32 bits");
        let mut data = vec![0; DATA_BYTES];
        self.0.memory.read_slice(&mut data, GuestAddress(DATA_PHYSICAL)).expect("inside RAM");
        (outcome, data)
    }
}
