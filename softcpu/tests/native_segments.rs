//! 32-bit code in a 64-bit process, with segments of its own in the LDT: the same bytes at the same addresses run on the
//! host's processor and here, and what they leave in memory and registers is compared.
#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

mod compat;
mod machine;
#[path = "oracle/vendor.rs"]
mod vendor;

use compat::{Both, DATA, Descriptor, Program, STACK, assemble, ldt};
use fencepost_skip::Tested;
use iced_x86::code_asm::*;

/// Data of 4 GiB that starts inside the data pages, so that they go on at negative offsets.
const WIDE: u16 = ldt(0);
const WIDE_BASE: u32 = DATA as u32 + 0x1000;

fn table() -> Vec<Descriptor> {
    vec![Descriptor { base: WIDE_BASE, limit: 0xf_ffff, big: true, pages: true, ..Descriptor::default() }]
}

fn registers() -> [u32; 8] {
    let mut gpr = std::array::from_fn(|n| 0x1111_1111 * (n as u32 + 1));
    gpr[4] = STACK as u32;
    gpr
}

/// Loads GS with the segment that has a base, which all offsets below are in.
fn with_gs(program: impl Fn(&mut CodeAssembler) + 'static) -> Program {
    Box::new(move |a| {
        a.mov(eax, u32::from(WIDE)).unwrap();
        a.mov(gs, eax).unwrap();
        program(a);
    })
}

const BACK: u32 = 0xffff_ffe0;

fn loads_and_stores() -> Vec<Program> {
    vec![
        with_gs(|a| {
            // As glibc reaches its thread's variables: a displacement alone, and with registers.
            a.mov(eax, dword_ptr(BACK).gs()).unwrap();
            a.mov(ecx, BACK).unwrap();
            a.mov(edx, dword_ptr(ecx).gs()).unwrap();
            a.mov(esi, 4).unwrap();
            a.mov(ebx, dword_ptr(ecx + esi * 4 - 8).gs()).unwrap();
            a.add(dword_ptr(ecx).gs(), edx).unwrap();
            a.mov(byte_ptr(BACK - 3).gs(), 0x5a).unwrap();
            a.lea(edi, dword_ptr(ecx + esi * 4).gs()).unwrap();
            a.push(dword_ptr(ecx).gs()).unwrap();
            a.pop(dword_ptr(ecx + 8).gs()).unwrap();
        }),
        with_gs(|a| {
            // Bit strings, both ways, from a negative offset.
            a.mov(ecx, BACK).unwrap();
            a.mov(edx, -300).unwrap();
            a.bts(dword_ptr(ecx).gs(), edx).unwrap();
            a.mov(edx, 300).unwrap();
            a.btc(word_ptr(ecx).gs(), dx).unwrap();
            a.bt(dword_ptr(ecx).gs(), edx).unwrap();
            a.setb(al).unwrap();
        }),
        with_gs(|a| {
            // SSE, x87 and atomic operations.
            a.mov(ecx, -0x40).unwrap();
            a.movups(xmm0, xmmword_ptr(ecx).gs()).unwrap();
            a.movaps(xmmword_ptr(ecx + 0x20).gs(), xmm0).unwrap();
            a.fld(qword_ptr(ecx).gs()).unwrap();
            a.fstp(tword_ptr(ecx + 0x10).gs()).unwrap();
            a.mov(eax, 7).unwrap();
            a.lock().xadd(dword_ptr(ecx).gs(), eax).unwrap();
            a.cmpxchg8b(qword_ptr(ecx).gs()).unwrap();
        }),
    ]
}

fn strings() -> Vec<Program> {
    vec![
        with_gs(|a| {
            // The source has a prefix, the destination is in ES.
            a.mov(esi, -0x80).unwrap();
            a.mov(edi, DATA as u32 + 0x200).unwrap();
            a.mov(ecx, 0x21).unwrap();
            a.db(&[0x65]).unwrap();
            a.rep().movsb().unwrap();
            a.mov(esi, -4).unwrap();
            a.db(&[0x65]).unwrap();
            a.lodsd().unwrap();
        }),
        with_gs(|a| {
            // The destination is in a segment with a base, and runs upwards through the end of 4 GiB of offsets.
            a.push(es).unwrap();
            a.mov(ecx, gs).unwrap();
            a.mov(es, ecx).unwrap();
            a.mov(edi, -0x11).unwrap();
            a.mov(ecx, 0x33).unwrap();
            a.mov(eax, 0x99).unwrap();
            a.rep().stosb().unwrap();
            a.mov(edi, -0x11).unwrap();
            a.mov(ecx, 0x60).unwrap();
            a.repe().scasb().unwrap();
            a.pop(es).unwrap();
        }),
    ]
}

/// PUSH, POP, CALL, RET, ENTER, LEAVE on a stack segment with a base, whose pointer is negative.
fn stacks() -> Vec<Program> {
    vec![Box::new(|a| {
        let mut function = a.create_label();
        let mut over = a.create_label();
        a.mov(ebx, ss).unwrap();
        a.mov(esi, esp).unwrap();
        a.mov(eax, u32::from(WIDE)).unwrap();
        a.mov(ss, eax).unwrap();
        a.mov(esp, BACK).unwrap();
        a.mov(ebp, BACK).unwrap();
        a.push(0x1234_5678).unwrap();
        a.push(ebp).unwrap();
        a.call(function).unwrap();
        a.jmp(over).unwrap();
        a.set_label(&mut function).unwrap();
        a.enter(16, 2).unwrap();
        a.mov(dword_ptr(ebp - 4), 0x77).unwrap();
        a.leave().unwrap();
        a.ret().unwrap();
        a.set_label(&mut over).unwrap();
        a.pop(ebp).unwrap();
        // The address of a POP is that after the pop.
        a.pop(dword_ptr(esp - 0x40)).unwrap();
        a.mov(edx, esp).unwrap();
        a.mov(ss, ebx).unwrap();
        a.mov(esp, esi).unwrap();
    })]
}

/// LDS, LES, LSS, LGS. (FS is the test's own thread's.)
fn far_pointers() -> Vec<Program> {
    let pointer = DATA as u32 + 0x40;
    vec![Box::new(move |a| {
        a.mov(ebx, pointer).unwrap();
        a.mov(dword_ptr(ebx), BACK).unwrap();
        a.mov(word_ptr(ebx + 4), u32::from(WIDE)).unwrap();
        a.mov(esi, ss).unwrap();
        a.mov(edi, esp).unwrap();
        a.lss(esp, fword_ptr(ebx)).unwrap();
        a.push(0x1234_5678).unwrap();
        a.mov(ss, esi).unwrap();
        a.mov(esp, edi).unwrap();
        a.lgs(eax, fword_ptr(ebx)).unwrap();
        a.mov(dword_ptr(eax).gs(), 0x5a).unwrap();
        a.mov(ecx, gs).unwrap();
        a.les(edx, fword_ptr(ebx)).unwrap();
        a.mov(dword_ptr(edx + 8).es(), 0x77).unwrap();
        a.lds(ebp, fword_ptr(ebx)).unwrap();
        a.mov(dword_ptr(edx + 4), ecx).unwrap();
        a.mov(ds, esi).unwrap();
        a.mov(es, esi).unwrap();
    })]
}

/// BOUND within and INTO without overflow do nothing.
fn checks() -> Vec<Program> {
    vec![Box::new(|a| {
        a.mov(ebx, DATA as u32 + 0x40).unwrap();
        a.mov(dword_ptr(ebx), -5).unwrap();
        a.mov(dword_ptr(ebx + 4), 7).unwrap();
        a.mov(eax, -5).unwrap();
        a.bound(eax, qword_ptr(ebx)).unwrap();
        a.mov(eax, 7).unwrap();
        a.bound(eax, qword_ptr(ebx)).unwrap();
        a.add(eax, 1).unwrap();
        a.into().unwrap();
    })]
}

/// Of programs that leave something on the stack.
const SHORT_PUSH: &str =
    "a push of a segment register writes two bytes on Intel's processors, and four on AMD's, as here";

#[test]
fn linear_addresses_are_cut_to_32_bits() -> Tested {
    if !vendor::host_is_amd() {
        return Tested::skipped(SHORT_PUSH);
    }
    let mut both = Both::new(&table());
    for (n, program) in loads_and_stores()
        .into_iter()
        .chain(strings())
        .chain(stacks())
        .chain(far_pointers())
        .chain(checks())
        .enumerate()
    {
        const BREAKPOINT: u8 = 3;
        let outcome = both.compare(&assemble(program), registers());
        let outcome = outcome.unwrap_or_else(|difference| panic!("program {n}: {difference}"));
        assert_eq!(outcome.vector, BREAKPOINT, "program {n} runs to its end");
    }
    Tested::Ran
}
