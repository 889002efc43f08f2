//! System features that came after the first x86-64 processors: SMEP, SMAP, UMIP, process-context identifiers, FSGSBASE,
//! RDPID and random numbers, by the words of the manual (Intel SDM vol. 3, chapters 2, 4 and 5; vol. 2, the instructions' pages).

mod machine;

use fencepost_softcpu::bus::Exit;
use fencepost_softcpu::cpuid::CpuidConfig;
use fencepost_softcpu::model::Model;
use fencepost_softcpu::state::{reg, seg};
use fencepost_softcpu::{Config, Cpu};
use iced_x86::code_asm::*;
use machine::which::translate;
use machine::{CODE, HANDLERS, Machine, PRESENT, USER, WRITE};

const UMIP: u64 = 1 << 11;
const FSGSBASE: u64 = 1 << 16;
const PCIDE: u64 = 1 << 17;
const SMEP: u64 = 1 << 20;
const SMAP: u64 = 1 << 21;
const AC: u64 = 1 << 18;

const UD: u64 = 6;
const GP: u64 = 13;
const PF: u64 = 14;

/// A page of the user's, and one beside it.
const OF_USER: u64 = 0x20_0000;

/// A machine whose pages are the kernel's, but for those from [`OF_USER`] on.
fn machine(features: u64) -> Machine {
    let mut machine = Machine::new();
    for page in (0..OF_USER).step_by(4096) {
        machine.map(page, page, PRESENT | WRITE);
    }
    machine.with_state(|state| state.cr4 |= features);
    machine
}

fn run(machine: &mut Machine, program: impl FnOnce(&mut CodeAssembler)) {
    machine.assemble(CODE, program);
    assert_eq!(machine.run(), Exit::Halted);
    let rip = machine.cpu.state().rip;
    assert!(!(HANDLERS..HANDLERS + 0x400).contains(&rip), "vector {}", (rip - HANDLERS) / 16);
}

fn fault(machine: &mut Machine, program: impl FnOnce(&mut CodeAssembler)) -> (u64, Option<u64>) {
    machine.assemble(CODE, program);
    let (vector, frame) = machine.run_to_handler(true);
    (vector, frame.error)
}

#[test]
fn smap_keeps_the_users_pages_from_the_kernel_while_ac_is_clear() {
    let read = |a: &mut CodeAssembler| {
        a.mov(rax, qword_ptr(OF_USER)).unwrap();
        a.hlt().unwrap();
    };
    let write = |a: &mut CodeAssembler| {
        a.mov(qword_ptr(OF_USER), rax).unwrap();
        a.hlt().unwrap();
    };
    run(&mut machine(0), read);
    // Error code: the page is present, and the access a read or a write of the supervisor's.
    assert_eq!(fault(&mut machine(SMAP), read), (PF, Some(1)));
    let mut it = machine(SMAP);
    assert_eq!(fault(&mut it, write), (PF, Some(3)));
    assert_eq!(it.cpu.state().cr2, OF_USER);
    // It depends on AC, however that comes to be set, and on nothing that was cached.
    let mut it = machine(SMAP);
    it.write(OF_USER, 7u64);
    run(&mut it, |a| {
        a.stac().unwrap();
        a.mov(rax, qword_ptr(OF_USER)).unwrap();
        a.inc(qword_ptr(OF_USER)).unwrap();
        a.hlt().unwrap();
    });
    assert_eq!((it.cpu.state().gpr[reg::RAX], it.read::<u64>(OF_USER)), (7, 8));
    assert_ne!(it.cpu.state().rflags & AC, 0);
    it.with_state(|state| (state.rip, state.halted) = (CODE, false));
    let cleared = |a: &mut CodeAssembler| {
        a.mov(rax, qword_ptr(OF_USER)).unwrap();
        a.clac().unwrap();
        a.mov(rbx, qword_ptr(OF_USER)).unwrap();
        a.hlt().unwrap();
    };
    assert_eq!(fault(&mut it, cleared), (PF, Some(1)));
    assert_eq!(it.cpu.state().gpr[reg::RAX], 8);
    run(&mut machine(SMAP), |a| {
        a.push(AC as i32 | 2).unwrap();
        a.popfq().unwrap();
        a.mov(rax, qword_ptr(OF_USER)).unwrap();
        a.hlt().unwrap();
    });
    // With AC it has its own pages all the same, and what is not the user's is not opened to a write.
    let mut it = machine(SMAP);
    it.map(0x3000, 0x3000, PRESENT);
    let own = |a: &mut CodeAssembler| {
        a.stac().unwrap();
        a.mov(rax, qword_ptr(0x3000)).unwrap();
        a.mov(qword_ptr(0x3000), rax).unwrap();
    };
    assert_eq!(fault(&mut it, own), (PF, Some(3)));
}

#[test]
fn what_the_processor_itself_reads_is_kept_too_whatever_ac_says() {
    // The GDT is the user's: a load of a segment register reads it.
    let mut it = machine(SMAP);
    it.map(0x6000, 0x6000, PRESENT | WRITE | USER);
    it.with_state(|state| state.rflags |= AC);
    it.assemble(CODE, |a| {
        a.mov(eax, 0x10).unwrap();
        a.mov(ds, ax).unwrap();
    });
    // The handler's code segment is described there as well: it cannot be entered, nor can that of the double fault.
    assert_eq!(it.run(), Exit::TripleFault);
    assert_eq!(it.cpu.state().cr2, 0x6008);
}

#[test]
fn smep_keeps_the_kernel_from_executing_the_users_pages() {
    let call = |a: &mut CodeAssembler| {
        a.mov(rax, OF_USER).unwrap();
        a.jmp(rax).unwrap();
    };
    let mut it = machine(0);
    it.write(OF_USER, 0xf4u8);
    it.assemble(CODE, call);
    assert_eq!(it.run(), Exit::Halted);
    assert_eq!(it.cpu.state().rip, OF_USER + 1);
    // What was decoded and translated before does not run any more once it is set: present, a fetch.
    it.with_state(|state| (state.rip, state.halted) = (CODE, false));
    let turned_on = |a: &mut CodeAssembler| {
        a.mov(rax, cr4).unwrap();
        a.or(rax, SMEP as i32).unwrap();
        a.mov(cr4, rax).unwrap();
        call(a);
    };
    assert_eq!(fault(&mut it, turned_on), (PF, Some(0x11)));
    // The user executes them as before, with AC or without.
    let mut it = machine(SMEP | SMAP);
    it.write(OF_USER, 0xf4u8);
    it.enter_user();
    it.with_state(|state| {
        state.rip = OF_USER;
        state.rflags |= AC;
    });
    assert_eq!(it.run_to_handler(true).0, GP, "HLT");
}

type Program = fn(&mut CodeAssembler);

#[test]
fn umip_keeps_what_tells_of_the_system_from_the_user() {
    let programs: [(&str, Program); 6] = [
        ("sgdt", |a| a.sgdt(ptr(OF_USER + 0x800)).unwrap()),
        ("sidt", |a| a.sidt(ptr(OF_USER + 0x800)).unwrap()),
        ("sldt", |a| a.sldt(eax).unwrap()),
        ("str", |a| a.str(eax).unwrap()),
        ("smsw", |a| a.smsw(eax).unwrap()),
        ("smsw", |a| a.smsw(word_ptr(OF_USER + 0x800)).unwrap()),
    ];
    for (name, program) in programs {
        for (umip, user) in [(false, true), (true, false), (true, true)] {
            let mut it = machine(if umip { UMIP } else { 0 });
            let length = it.assemble(OF_USER, |a| {
                program(a);
                a.hlt().unwrap();
            });
            if user {
                it.enter_user();
            }
            it.with_state(|state| state.rip = OF_USER);
            let refused = umip && user;
            if user {
                let (vector, frame) = it.run_to_handler(true);
                let at = if refused { OF_USER } else { OF_USER + length - 1 };
                assert_eq!((vector, frame.error, frame.rip), (GP, Some(0), at), "{name}");
            } else {
                assert_eq!(it.run(), Exit::Halted);
                assert_eq!(it.cpu.state().rip, OF_USER + length, "{name}");
            }
        }
    }
}

#[test]
fn umip_leaves_those_instructions_to_cpl_0_alone() {
    let mut it = machine(UMIP);
    it.assemble(CODE, |a| a.str(eax).unwrap());
    it.with_state(|state| {
        (state.seg[seg::CS].attributes, state.seg[seg::SS].attributes) = (0xa0bb, 0xc0b3);
    });
    assert_eq!(it.cpu.cpl(), 1);
    assert_eq!(it.run_to_handler(true).0, GP);
}

#[test]
fn the_bases_of_fs_and_gs_are_read_and_written() {
    let mut it = machine(FSGSBASE);
    it.assemble(OF_USER, |a| {
        a.mov(rax, 0x0000_7fff_1234_5678_u64).unwrap();
        a.wrfsbase(rax).unwrap();
        a.rdfsbase(rbx).unwrap();
        a.rdfsbase(ecx).unwrap();
        a.mov(rdx, 0xffff_ffff_8765_4321_u64).unwrap();
        a.wrgsbase(edx).unwrap();
        a.rdgsbase(rsi).unwrap();
        a.mov(rdi, qword_ptr(8).gs()).unwrap();
        a.hlt().unwrap();
    });
    it.map(0x8765_4000, OF_USER + 0x1000, PRESENT | WRITE | USER);
    it.write(OF_USER + 0x1329, 77u64);
    it.enter_user();
    it.with_state(|state| state.rip = OF_USER);
    assert_eq!(it.run_to_handler(true).0, GP, "HLT");
    let state = it.cpu.state();
    assert_eq!((state.gpr[reg::RBX], state.gpr[reg::RCX]), (0x7fff_1234_5678, 0x1234_5678));
    assert_eq!((state.gpr[reg::RSI], state.gpr[reg::RDI]), (0x8765_4321, 77));
    assert_eq!((state.seg[seg::FS].base, state.seg[seg::GS].base), (0x7fff_1234_5678, 0x8765_4321));
    // A base that is not canonical; and without CR4.FSGSBASE.
    let bad = |a: &mut CodeAssembler| {
        a.mov(rax, 0x8000_0000_0000_u64).unwrap();
        a.wrgsbase(rax).unwrap();
    };
    assert_eq!(fault(&mut machine(FSGSBASE), bad), (GP, Some(0)));
    let mut it = machine(0);
    it.assemble(CODE, |a| a.rdfsbase(rax).unwrap());
    assert_eq!(it.run_to_handler(false).0, UD);
}

#[test]
fn rdpid_gives_tsc_aux_and_the_random_numbers_are_the_buss() {
    let mut it = machine(0);
    it.with_state(|state| {
        state.msr.tsc_aux = 0x8000_0003;
        state.cr4 |= 1 << 2;
        (state.gpr[reg::RBX], state.gpr[reg::RCX]) = (!0, !0);
    });
    it.assemble(OF_USER, |a| {
        a.rdpid(rax).unwrap();
        a.rdrand(rdx).unwrap();
        a.setc(r8b).unwrap();
        a.rdseed(ebx).unwrap();
        a.rdrand(cx).unwrap();
        a.cmp(eax, eax).unwrap();
        a.rdseed(rsi).unwrap();
        a.hlt().unwrap();
    });
    it.enter_user();
    it.with_state(|state| state.rip = OF_USER);
    let (_, frame) = it.run_to_handler(true);
    let state = it.cpu.state();
    let number = |n: u32| 0x0123_4567_89ab_cdef_u64.rotate_left(n);
    assert_eq!((state.gpr[reg::RAX], state.gpr[reg::RDX]), (0x8000_0003, number(1)));
    assert_eq!(state.gpr[8] & 0xff, 1);
    assert_eq!(state.gpr[reg::RBX], number(2) & 0xffff_ffff);
    assert_eq!(state.gpr[reg::RCX], !0xffff | number(3) & 0xffff);
    assert_eq!(state.gpr[reg::RSI], number(4));
    // CF is set, and the other status flags are clear.
    assert_eq!(frame.rflags & 0x8d5, 1);
}

#[test]
fn stac_and_clac_are_the_kernels() {
    for program in [|a: &mut CodeAssembler| a.stac().unwrap(), |a: &mut CodeAssembler| a.clac().unwrap()] {
        let mut it = machine(SMAP);
        it.assemble(OF_USER, program);
        it.enter_user();
        it.with_state(|state| state.rip = OF_USER);
        assert_eq!(it.run_to_handler(false).0, UD);
    }
}

#[test]
fn process_context_identifiers_begin_at_zero_in_long_mode() {
    let set = |a: &mut CodeAssembler| {
        a.mov(rax, cr4).unwrap();
        a.or(rax, PCIDE as i32).unwrap();
        a.mov(cr4, rax).unwrap();
    };
    // Number 5, without dropping translations: CR3 has no such bit when it is read.
    let mut it = machine(0);
    run(&mut it, |a| {
        set(a);
        a.mov(rax, cr3).unwrap();
        a.mov(rbx, 1u64 << 63 | 5).unwrap();
        a.or(rax, rbx).unwrap();
        a.mov(cr3, rax).unwrap();
        a.mov(rcx, cr3).unwrap();
        a.hlt().unwrap();
    });
    assert_eq!(it.cpu.state().gpr[reg::RCX], 0x1005);
    let mut it = machine(0);
    it.with_state(|state| state.cr3 |= 5);
    assert_eq!(fault(&mut it, set), (GP, Some(0)), "another number than zero");
    let without = |a: &mut CodeAssembler| {
        a.mov(rax, 1u64 << 63 | 0x1000).unwrap();
        a.mov(cr3, rax).unwrap();
    };
    assert_eq!(fault(&mut machine(0), without), (GP, Some(0)), "bit 63 is reserved");
}

/// Changes the mapping of [`OF_USER`] behind a translation that is held, and drops that by INVPCID of `kind`.
fn invalidated(kind: u64, identifier: u64, address: u64) -> (u64, u64) {
    let mut it = machine(PCIDE);
    it.write(OF_USER, 1u64);
    it.write(OF_USER + 0x1000, 2u64);
    let entry = it.leaf(OF_USER);
    let new = (OF_USER + 0x1000) | PRESENT | WRITE | USER;
    it.write(0x9_0000, identifier);
    it.write(0x9_0008, address);
    it.map(entry & !0xfff, entry & !0xfff, PRESENT | WRITE);
    run(&mut it, |a| {
        a.mov(rax, qword_ptr(OF_USER)).unwrap();
        a.mov(rbx, new).unwrap();
        a.mov(rdi, entry).unwrap();
        a.mov(qword_ptr(rdi), rbx).unwrap();
        a.mov(rcx, qword_ptr(OF_USER)).unwrap();
        a.mov(rsi, kind).unwrap();
        a.invpcid(rsi, xmmword_ptr(0x9_0000)).unwrap();
        a.mov(rdx, qword_ptr(OF_USER)).unwrap();
        a.hlt().unwrap();
    });
    let gpr = it.cpu.state().gpr;
    assert_eq!(gpr[reg::RAX], 1);
    (gpr[reg::RCX], gpr[reg::RDX])
}

#[test]
fn invpcid_drops_translations_by_address_and_context() {
    assert_eq!(invalidated(0, 0, OF_USER + 8), (1, 2), "an address");
    assert_eq!(invalidated(0, 0, OF_USER + 0x5000), (1, 1), "another address");
    assert_eq!(invalidated(0, 3, OF_USER), (1, 1), "another context");
    for kind in [1, 2, 3] {
        assert_eq!(invalidated(kind, 0, 0), (1, 2), "type {kind}");
    }
}

#[test]
fn invpcid_refuses_what_the_manual_says() {
    let refused = |features: u64, kind: u64, identifier: u64, address: u64| {
        let mut it = machine(features);
        it.write(0x9_0000, identifier);
        it.write(0x9_0008, address);
        fault(&mut it, |a| {
            a.mov(rax, kind).unwrap();
            a.invpcid(rax, xmmword_ptr(0x9_0000)).unwrap();
            a.ud2().unwrap();
        })
        .0 == GP
    };
    assert!(!refused(PCIDE, 0, 5, 0));
    assert!(refused(PCIDE, 4, 0, 0), "no such type");
    assert!(refused(PCIDE, 0, 0x1000, 0), "a reserved bit");
    assert!(refused(PCIDE, 0, 0, 1 << 47), "not canonical");
    assert!(!refused(PCIDE, 1, 0, 1 << 47), "an address that does not matter");
    assert!(refused(0, 0, 5, 0) && refused(0, 1, 5, 0), "identifiers are off");
    assert!(!refused(0, 2, 5, 0));
    let mut it = machine(PCIDE);
    it.assemble(OF_USER, |a| a.invpcid(rax, xmmword_ptr(OF_USER)).unwrap());
    it.enter_user();
    it.with_state(|state| state.rip = OF_USER);
    assert_eq!(it.run_to_handler(true).0, GP);
}

#[test]
fn the_baseline_has_none_of_it() {
    let bits = [UMIP, FSGSBASE, PCIDE, SMEP, SMAP];
    for bit in bits {
        let set = |a: &mut CodeAssembler| {
            a.mov(rax, cr4).unwrap();
            a.or(rax, bit as i32).unwrap();
            a.mov(cr4, rax).unwrap();
            a.hlt().unwrap();
        };
        run(&mut machine(0), set);
        let mut it = machine(0);
        let cpuid = CpuidConfig { model: Model::Baseline, ..CpuidConfig::default() };
        let state = it.cpu.state();
        // SAFETY: a test has one thread, and accesses the memory between runs.
        it.cpu = unsafe {
            Cpu::new(
                it.memory.clone(),
                it.code.clone(),
                Default::default(),
                Config { cpuid, translate: translate() },
            )
        };
        it.cpu.set_state(&state);
        assert_eq!(fault(&mut it, set), (GP, Some(0)), "{bit:#x}");
    }
}
