//! Repeated string instructions: in bulk, backwards, overlapping, and interrupted by a fault.

mod machine;

use fencepost_softcpu::bus::Exit;
use fencepost_softcpu::state::reg;
use fencepost_time::Cycles;
use iced_x86::code_asm::*;
use machine::*;
use vm_memory::{Bytes, GuestAddress};

const FROM: u64 = 0x20_0000;
const TO: u64 = 0x28_0000;

fn pattern(m: &Machine, len: usize) -> Vec<u8> {
    let bytes: Vec<u8> = (0..len).map(|n| (n * 31 + n / 256 * 7) as u8).collect();
    m.memory.write_slice(&bytes, GuestAddress(FROM)).unwrap();
    bytes
}

fn bytes(m: &Machine, at: u64, len: usize) -> Vec<u8> {
    let mut found = vec![0; len];
    m.memory.read_slice(&mut found, GuestAddress(at)).unwrap();
    found
}

#[test]
fn a_copy_across_many_pages_retires_once() {
    for (skew, size) in [(0, 1), (5, 1), (3, 2), (0, 4), (1, 8), (4090, 8)] {
        let mut m = Machine::new();
        let source = pattern(&m, 30_000);
        let count = 2500 / size * size;
        m.assemble(CODE, |a| {
            match size {
                1 => a.rep().movsb().unwrap(),
                2 => a.rep().movsw().unwrap(),
                4 => a.rep().movsd().unwrap(),
                _ => a.rep().movsq().unwrap(),
            }
            a.hlt().unwrap();
        });
        m.with_state(|s| {
            s.gpr[reg::RSI] = FROM + 11;
            s.gpr[reg::RDI] = TO + skew;
            s.gpr[reg::RCX] = count;
        });
        assert_eq!(m.run(), Exit::Halted);
        let len = (count * size) as usize;
        assert_eq!(bytes(&m, TO + skew, len), source[11..11 + len]);
        assert_eq!(bytes(&m, TO + skew + len as u64, 8), [0; 8]);
        let gpr = m.cpu.state().gpr;
        assert_eq!((gpr[reg::RCX], gpr[reg::RSI]), (0, FROM + 11 + len as u64));
        assert_eq!(m.cpu.retired(), 2);
    }
}

#[test]
fn an_overlapping_copy_repeats_the_pattern() {
    let mut m = Machine::new();
    pattern(&m, 3);
    m.assemble(CODE, |a| {
        a.rep().movsb().unwrap();
        a.hlt().unwrap();
    });
    m.with_state(|s| {
        s.gpr[reg::RSI] = FROM;
        s.gpr[reg::RDI] = FROM + 3;
        s.gpr[reg::RCX] = 9;
    });
    assert_eq!(m.run(), Exit::Halted);
    assert_eq!(bytes(&m, FROM, 12), [0, 31, 62].repeat(4));
}

#[test]
fn a_copy_backwards_may_overlap() {
    let mut m = Machine::new();
    let source = pattern(&m, 100);
    m.assemble(CODE, |a| {
        a.std().unwrap();
        a.rep().movsb().unwrap();
        a.cld().unwrap();
        a.hlt().unwrap();
    });
    m.with_state(|s| {
        s.gpr[reg::RSI] = FROM + 99;
        s.gpr[reg::RDI] = FROM + 109;
        s.gpr[reg::RCX] = 100;
    });
    assert_eq!(m.run(), Exit::Halted);
    assert_eq!(bytes(&m, FROM + 10, 100), source);
}

#[test]
fn a_fault_in_the_middle_restarts_where_it_was() {
    let mut m = Machine::new();
    let source = pattern(&m, 12288);
    let linear = 0x60_0000u64;
    m.map(linear, TO, PRESENT | WRITE);
    let missing = m.leaf(linear + 0x1000);
    // The handler maps the page and returns.
    m.assemble(HANDLERS + 14 * 16, |a| a.jmp(CODE + 0x1000).unwrap());
    m.assemble(CODE + 0x1000, |a| {
        a.push(rax).unwrap();
        a.mov(rax, TO + 0x1003).unwrap();
        a.mov(qword_ptr(missing), rax).unwrap();
        a.mov(r8, rcx).unwrap();
        a.mov(r9, rdi).unwrap();
        a.mov(r10, cr2).unwrap();
        a.pop(rax).unwrap();
        a.add(rsp, 8).unwrap();
        a.iretq().unwrap();
    });
    m.assemble(CODE, |a| {
        a.rep().movsd().unwrap();
        a.hlt().unwrap();
    });
    m.with_state(|s| {
        s.gpr[reg::RSI] = FROM;
        s.gpr[reg::RDI] = linear + 0x800;
        s.gpr[reg::RCX] = 1000;
    });
    assert_eq!(m.run(), Exit::Halted);
    assert_eq!(bytes(&m, TO + 0x800, 4000), source[..4000]);
    let gpr = m.cpu.state().gpr;
    assert_eq!((gpr[8], gpr[9], gpr[10]), (1000 - 512, linear + 0x1000, linear + 0x1000));
    assert_eq!((gpr[reg::RCX], gpr[reg::RSI]), (0, FROM + 4000));
}

#[test]
fn comparing_and_scanning_stop_where_the_manual_says() {
    let mut m = Machine::new();
    m.memory.write_slice(b"fencepost!fencepots", GuestAddress(FROM)).unwrap();
    m.assemble(CODE, |a| {
        a.repe().cmpsb().unwrap();
        a.mov(r8, rcx).unwrap();
        a.mov(rdi, FROM).unwrap();
        a.mov(ecx, 100).unwrap();
        a.mov(al, i32::from(b'!')).unwrap();
        a.repne().scasb().unwrap();
        a.hlt().unwrap();
    });
    m.with_state(|s| {
        s.gpr[reg::RSI] = FROM;
        s.gpr[reg::RDI] = FROM + 10;
        s.gpr[reg::RCX] = 9;
    });
    assert_eq!(m.run(), Exit::Halted);
    let gpr = m.cpu.state().gpr;
    // "fencepo" is common; the eighth letters differ.
    assert_eq!((gpr[8], gpr[reg::RSI]), (1, FROM + 8));
    assert_eq!((gpr[reg::RDI], gpr[reg::RCX]), (FROM + 10, 90));
}

/// Every element raises the stop flag. Those that reach a device are passes of their own, after which it is looked at with the instruction
/// ready to go on.
#[test]
fn a_repetition_can_be_stopped_between_passes() {
    let mut m = Machine::new();
    m.assemble(CODE, |a| {
        a.mov(edx, i32::from(STOP)).unwrap();
        a.rep().outsb().unwrap();
        a.hlt().unwrap();
    });
    m.with_state(|s| {
        s.gpr[reg::RSI] = FROM;
        s.gpr[reg::RCX] = 1 << 47;
    });
    assert_eq!(m.run(), Exit::Stopped);
    let state = m.cpu.state();
    assert_eq!((state.gpr[reg::RSI], state.gpr[reg::RCX]), (FROM + 1, (1 << 47) - 1));
    assert_eq!((state.rip, state.retired), (CODE + 5, 2));
}

#[test]
fn elements_that_reach_a_device_take_a_cycle_each() {
    let mut m = Machine::new();
    m.assemble(CODE, |a| {
        a.mov(edx, 0x180).unwrap();
        a.rep().outsb().unwrap();
        a.hlt().unwrap();
    });
    pattern(&m, 4);
    m.with_state(|s| {
        s.gpr[reg::RSI] = FROM;
        s.gpr[reg::RCX] = 4;
    });
    let start = m.cpu.cycles().0;
    assert_eq!(m.run(), Exit::Halted);
    assert_eq!(
        m.bus.ports,
        [(1, 0x180, 0), (2, 0x180, 31), (3, 0x180, 62), (4, 0x180, 93)].map(|(at, port, byte)| (
            start + at,
            port,
            byte
        ))
    );
    let state = m.cpu.state();
    assert_eq!((state.gpr[reg::RSI], state.gpr[reg::RCX], state.retired), (FROM + 4, 0, 6));
}

/// Passes fall by the count alone, wherever deadlines lie, and end to the same state.
#[test]
fn a_long_repetition_is_the_same_in_pieces() {
    let count = 3 * (1 << 16) + 5;
    let run = |pieces: &[u64]| {
        let mut m = Machine::new();
        m.assemble(CODE, |a| {
            a.nop().unwrap();
            a.rep().stosb().unwrap();
            a.inc(rbx).unwrap();
            a.hlt().unwrap();
        });
        m.with_state(|s| {
            s.gpr[reg::RAX] = 0x5a;
            s.gpr[reg::RDI] = TO;
            s.gpr[reg::RCX] = count;
        });
        for until in pieces {
            assert_eq!(m.cpu.run(&mut m.bus, Cycles(*until)), Exit::Deadline);
        }
        assert_eq!(m.run(), Exit::Halted);
        assert_eq!(bytes(&m, TO, count as usize), vec![0x5a; count as usize]);
        assert_eq!(bytes(&m, TO + count, 1), [0]);
        m.cpu.state()
    };
    let whole = run(&[]);
    // NOP, three full passes and the rest, INC, HLT.
    assert_eq!(whole.retired, 7);
    assert_eq!(run(&[1, 2, 3, 4, 5, 6]), whole);
    assert_eq!(run(&[3, 5]), whole);
}
