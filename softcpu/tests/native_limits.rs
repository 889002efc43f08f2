//! Random accesses around the ends of random segments, as 32-bit code makes them: limits, rights, expand-down, null and
//! absent segments, and code of 16 bits or with a limit. The host's processor is the judge, with descriptors in the LDT.
#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

mod compat;
mod machine;
#[path = "oracle/random.rs"]
#[allow(dead_code)]
mod random;
#[path = "oracle/vendor.rs"]
mod vendor;

use compat::shrink::{Case, show, shrink};
use compat::{Both, CODE, DATA, Descriptor, STACK, assemble, ldt};
use fencepost_skip::Tested;
use iced_x86::code_asm::*;
use random::Random;

/// Data and code in the data pages, whose ends lie in them too.
fn table() -> Vec<Descriptor> {
    let plain = Descriptor { base: DATA as u32 + 0x1000, limit: 0x1fff, big: true, ..Descriptor::default() };
    let restricted = |d| Descriptor { restricted: true, ..d };
    let down = Descriptor { contents: 1, ..plain };
    vec![
        plain,
        restricted(plain),
        Descriptor { limit: 0x123, ..plain },
        Descriptor { limit: 0, ..plain },
        Descriptor { limit: 1, pages: true, ..plain },
        Descriptor { limit: 0xf_ffff, pages: true, ..plain },
        Descriptor { big: false, limit: 0xfff, ..plain },
        Descriptor { big: false, limit: 0xffff, base: DATA as u32 - 0xe000, ..plain },
        // Offsets above the limit alone: up to 4 GiB, which lead back into the data, or up to 64 KiB.
        Descriptor { limit: 0xf_fffc, pages: true, base: DATA as u32 + 0x3000, ..down },
        Descriptor { base: DATA as u32 - 0x1000, ..down },
        Descriptor { big: false, limit: 0xbfff, base: DATA as u32 - 0xc000, ..down },
        restricted(Descriptor { big: false, limit: 0xbfff, base: DATA as u32 - 0xc000, ..down }),
        Descriptor { limit: 0xf_ffff, pages: true, ..down },
        Descriptor { contents: 2, ..plain },
        restricted(Descriptor { contents: 2, ..plain }),
        Descriptor { absent: true, ..plain },
    ]
}

/// Code, at the second page of programs: 16 bits; the same with a limit; 32 bits with a limit.
const CODE_16: u16 = 16;
const CODE_16_LIMITED: u16 = 17;
const CODE_32_LIMITED: u16 = 18;
const SECOND_PAGE: u32 = CODE as u32 + 0x1000;
const CODE_LIMIT: u32 = 0x1ff;

fn code_table() -> Vec<Descriptor> {
    let code = Descriptor { base: SECOND_PAGE, limit: 0xffff, contents: 2, ..Descriptor::default() };
    vec![code, Descriptor { limit: CODE_LIMIT, ..code }, Descriptor { limit: CODE_LIMIT, big: true, ..code }]
}

/// Offsets near where something ends.
fn offset(random: &mut Random, d: &Descriptor) -> u32 {
    let limit = if d.pages { d.limit << 12 | 0xfff } else { d.limit };
    let end = match random.below(6) {
        0 => 0,
        1 => 0x1_0000,
        2 => 0x200,
        _ => limit,
    };
    end.wrapping_add(random.below(40) as u32).wrapping_sub(20)
}

/// Where the memory operand is: `[ebx]` in GS, DS or ES, with or without a displacement.
fn place(random: &mut Random, at: u32, segment: u8, a: &mut CodeAssembler) -> AsmMemoryOperand {
    let displacement = random.pick(&[0i32, 0, 0x10, -0x10, 0x1000]);
    a.mov(ebx, at.wrapping_sub(displacement as u32)).unwrap();
    let operand = ebx + displacement;
    match segment {
        0 => ptr(operand).gs(),
        1 => ptr(operand),
        _ => ptr(operand).es(),
    }
}

/// One access. The kinds read, write, do both, or look at nothing.
fn access(random: &mut Random, a: &mut CodeAssembler, m: AsmMemoryOperand) {
    let dword = dword_ptr(m);
    match random.below(30) {
        0 => a.mov(eax, dword),
        1 => a.mov(dword, eax),
        2 => a.mov(al, byte_ptr(m)),
        3 => a.mov(word_ptr(m), ax),
        4 => a.add(dword, 0x1234),
        5 => a.cmp(word_ptr(m), 7),
        6 => a.push(dword),
        7 => a.pop(dword),
        8 => a.xchg(dword, ecx),
        9 => a.lock().cmpxchg8b(qword_ptr(m)),
        10 => a.bt(dword, 5),
        11 => a.bts(dword, ecx),
        12 => a.btr(word_ptr(m), cx),
        13 => a.movups(xmm1, xmmword_ptr(m)),
        14 => a.movups(xmmword_ptr(m), xmm2),
        15 => a.movaps(xmm1, xmmword_ptr(m)),
        16 => a.movq(qword_ptr(m), mm0),
        17 => a.fild(qword_ptr(m)),
        18 => a.fst(qword_ptr(m)),
        // Ten bytes that cross 4 GiB are an access for some processors, and two for others.
        19 => a.fstp(qword_ptr(m)),
        20 => a.lea(eax, dword),
        21 => a.fnstcw(word_ptr(m)),
        22 => a.seta(byte_ptr(m)),
        23 => a.cmova(eax, dword),
        24 => a.prefetcht0(byte_ptr(m)),
        // Two accesses each.
        25 => a.les(eax, fword_ptr(m)),
        26 => a.bound(ecx, qword_ptr(m)),
        27 => a.jmp(fword_ptr(m)),
        // LES EAX, [BX].
        28 => a.db(&[0x67, 0xc4, 0x07]),
        _ => a.rol(dword, 1),
    }
    .unwrap();
}

/// A string instruction, or XLAT, with the segment as source or as destination.
fn string(random: &mut Random, a: &mut CodeAssembler, at: u32, segment: u8) {
    a.mov(esi, if segment == 2 { DATA as u32 + 0x4000 } else { at }).unwrap();
    a.mov(edi, if segment == 2 { at } else { DATA as u32 + 0x4100 }).unwrap();
    a.mov(ecx, random.below(30) as u32).unwrap();
    a.mov(al, 5).unwrap();
    a.mov(ebx, at.wrapping_sub(5)).unwrap();
    if random.once_in(3) {
        a.std().unwrap();
    }
    let prefix = random.pick(&[0, 0xf3, 0xf2]);
    if prefix != 0 {
        a.db(&[prefix]).unwrap();
    }
    if segment == 0 {
        a.db(&[0x65]).unwrap();
    }
    if random.once_in(6) {
        // XLAT.
        a.db(&[0xd7]).unwrap();
        return;
    }
    // MOVS, CMPS, STOS, LODS, SCAS, as bytes or dwords.
    let opcode = random.pick(&[0xa4, 0xa6, 0xaa, 0xac, 0xae]) + random.below(2) as u8;
    a.db(&[opcode]).unwrap();
}

fn data_program(random: &mut Random, table: &[Descriptor]) -> Vec<u8> {
    let entry = random.below(table.len() as u64) as usize;
    let selector = if random.once_in(20) { random.below(4) as u16 } else { ldt(entry as u16) };
    let at = offset(random, &table[entry]);
    let segment = random.below(3) as u8;
    let kind = random.below(4);
    assemble(|a| {
        a.mov(edx, u32::from(selector)).unwrap();
        match segment {
            0 => a.mov(gs, edx),
            1 => a.mov(ds, edx),
            _ => a.mov(es, edx),
        }
        .unwrap();
        match kind {
            0 => string(random, a, at, segment),
            _ => {
                let operand = place(random, at, segment, a);
                access(random, a, operand);
            }
        }
    })
}

/// Pushes and pops around the ends of a stack segment, which is 32 or 16 bits wide.
fn stack_program(random: &mut Random, table: &[Descriptor]) -> Vec<u8> {
    let entry = random.below(table.len() as u64) as usize;
    let at = offset(random, &table[entry]) | if random.once_in(3) { 0xabcd_0000 } else { 0 };
    let frame = if random.once_in(2) { at } else { offset(random, &table[entry]) };
    let kind = random.below(17);
    assemble(|a| {
        a.mov(edx, u32::from(ldt(entry as u16))).unwrap();
        a.mov(ss, edx).unwrap();
        a.mov(esp, at).unwrap();
        a.mov(ebp, frame).unwrap();
        let mut next = a.create_label();
        match kind {
            0 => a.push(eax),
            1 => a.push(ax),
            2 => a.pop(eax),
            3 => a.pop(cx),
            4 => a.call(next),
            5 => a.enter(8, 0),
            6 => a.enter(8, 2),
            7 => a.leave(),
            8 => a.pushfd(),
            9 => a.mov(dword_ptr(ebp - 4), eax),
            10 => a.mov(eax, dword_ptr(esp + 2)),
            // ENTER and LEAVE of 16 bits.
            11 => a.db(&[0x66, 0xc8, 8, 0, 0]),
            12 => a.db(&[0x66, 0xc8, 8, 0, 2]),
            13 => a.db(&[0x66, 0xc9]),
            14 => a.pushad(),
            15 => a.les(eax, fword_ptr(ebp)),
            _ => a.pop(dword_ptr(esp + 4)),
        }
        .unwrap();
        a.set_label(&mut next).unwrap();
        a.push(edi).unwrap();
        a.pop(esi).unwrap();
    })
}

/// A far jump or call into another code segment, with some instructions there that run to its end, jump over it, or return: the
/// bytes, and how many bits that code has.
fn code_program(random: &mut Random) -> (Vec<u8>, u32) {
    let entry = random.pick(&[CODE_16, CODE_16_LIMITED, CODE_32_LIMITED]);
    let bits = if entry == CODE_32_LIMITED { 32 } else { 16 };
    let start = random.pick(&[0x10, 0x1e0, CODE_LIMIT - 9, CODE_LIMIT - 4, CODE_LIMIT, CODE_LIMIT + 1]);
    let mut a = CodeAssembler::new(bits).unwrap();
    let there = there(random, &mut a, start);
    // A call that is refused for its target may have pushed or not: AMD's and Intel's manuals differ.
    let called = start <= CODE_LIMIT && random.once_in(2);
    let mut code = assemble(|a| {
        // CALL or JMP ptr16:32.
        a.db(&[if called { 0x9a } else { 0xea }]).unwrap();
        a.db(&start.to_le_bytes()).unwrap();
        a.db(&ldt(entry).to_le_bytes()).unwrap();
    });
    code.resize(0x1000 + start as usize, 0xcc);
    code.extend_from_slice(&there);
    (code, bits)
}

fn there(random: &mut Random, a: &mut CodeAssembler, start: u32) -> Vec<u8> {
    let mut next = a.create_label();
    for _ in 0..1 + random.below(4) {
        match random.below(12) {
            0 => a.mov(eax, 0x1234_5678u32),
            1 => a.push(0x1234u32 as i32),
            2 => a.mov(ax, 0x4321),
            3 => a.inc(ecx),
            4 => a.mov(al, byte_ptr(esp - 4)),
            5 => a.push(eax),
            6 => a.pop(dx),
            7 => a.nop(),
            8 => a.add(edi, 0x7fff_0000),
            9 => a.lea(esi, dword_ptr(eax + ecx * 2 + 9)),
            10 => a.pushfd(),
            _ => a.xchg(eax, edx),
        }
        .unwrap();
    }
    match random.below(9) {
        0 => a.jmp(next),
        1 => a.call(next),
        2 => a.je(next),
        3 => a.loop_(next),
        4 => a.jcxz(next),
        5 => a.retf(),
        6 => {
            // To where nothing loops.
            a.mov(bx, random.pick(&[0x80u32, 0x280, 0x2ff])).unwrap();
            a.jmp(bx)
        }
        7 => a.ret(),
        // A short jump far over the limit.
        _ => a.db(&[0xeb, 0x7f]),
    }
    .unwrap();
    a.nop().unwrap();
    a.set_label(&mut next).unwrap();
    a.nop().unwrap();
    a.assemble(u64::from(start)).unwrap()
}

fn registers(random: &mut Random) -> [u32; 8] {
    let mut gpr = std::array::from_fn(|_| random.integer() as u32);
    // As a bit position.
    gpr[1] = (random.bits() as i16 >> 7) as u32;
    gpr[4] = STACK as u32;
    gpr
}

/// Of programs that leave something on the stack.
const SHORT_PUSH: &str =
    "a push of a segment register writes two bytes on Intel's processors, and four on AMD's, as here";

#[test]
fn segments_allow_what_the_host_allows() -> Tested {
    if !vendor::host_is_amd() {
        return Tested::skipped(SHORT_PUSH);
    }
    let data = table();
    let all = [data.clone(), code_table()].concat();
    assert_eq!(data.len(), usize::from(CODE_16));
    let mut both = Both::new(&all);
    // CASES in the environment makes a longer search: 300,000 take half a minute.
    let cases = std::env::var("CASES").map_or(20_000, |n| n.parse().expect("CASES is a number"));
    let mut random = Random::new(21);
    let mut bad = 0;
    let mut ends = std::collections::BTreeMap::new();
    for n in 0..cases {
        let (kind, (code, bits)) = match n % 3 {
            0 => ("data", (data_program(&mut random, &data), 32)),
            1 => ("stack", (stack_program(&mut random, &data), 32)),
            _ => ("code", code_program(&mut random)),
        };
        let gpr = registers(&mut random);
        match both.compare(&code, gpr) {
            Ok(outcome) => *ends.entry((kind, outcome.vector)).or_insert(0) += 1,
            Err(_) => {
                bad += 1;
                if bad < 10 {
                    let case = shrink(Case { code, gpr, bits }, |c| both.compare(&c.code, c.gpr).is_err());
                    let difference = both.compare(&case.code, case.gpr);
                    println!("{kind} program {n}, of which this is left:\n{}{difference:x?}", show(&case));
                }
            }
        }
    }
    assert_eq!(bad, 0, "programs end otherwise than on the host");
    println!("cases by kind and the vector that ended them: {ends:?}");
    const BREAKPOINT: u8 = 3;
    const GENERAL_PROTECTION: u8 = 13;
    for (kind, vector) in [
        ("data", BREAKPOINT),
        ("data", GENERAL_PROTECTION),
        ("stack", BREAKPOINT),
        ("stack", 12),
        ("code", BREAKPOINT),
        ("code", GENERAL_PROTECTION),
    ] {
        assert!(ends.get(&(kind, vector)).is_some_and(|&n| n > cases / 60), "{kind} {vector}: {ends:?}");
    }
    Tested::Ran
}
