//! The dump of a state that is written down here.

use fencepost_softcpu::mem::saved::TlbState;
use fencepost_softcpu::state::seg;
use fencepost_trace::Stamp;

use super::*;
use crate::machine::memory;
use crate::machine::recent::ExitKind;

/// 64-bit code at 0x40_1ffe, in a 4 KiB page at 0x5000 that is followed by one at 0x9000; the tables are at 0x1000.
fn state() -> (CpuState, GuestMemoryMmap) {
    let memory = memory::map(memory::MEMORY_MIN_BYTES).expect("mapped");
    let put = |gpa: u64, value: u64| memory.write_obj(value, GuestAddress(gpa)).expect("RAM");
    put(0x1000, 0x2003);
    put(0x2000, 0x3003);
    put(0x3010, 0x4003);
    put(0x4008, 0x5003);
    put(0x4010, 0x8000_0000_0000_9003);
    memory.write_slice(&[0x0f, 0x0b], GuestAddress(0x5ffe)).expect("RAM");
    memory.write_slice(&[0xcc, 0xf4], GuestAddress(0x9000)).expect("RAM");
    let mut state = CpuState { rip: 0x40_1ffe, rflags: 0x46, ..CpuState::default() };
    (state.cr0, state.cr3, state.efer) = (0x8000_0033, 0x1000, 0xd00);
    state.seg[seg::CS].attributes = 0xa09b;
    state.gpr[15] = 0xfeed;
    (state, memory)
}

fn one(state: CpuState) -> SavedCpus {
    SavedCpus::one(state, TlbState::default())
}

#[test]
fn the_code_at_rip_is_read_across_pages() {
    let (state, memory) = state();
    let code = LastMoment::new(one(state), &memory, &Recent::default()).code.remove(0);
    assert_eq!((&code[..4], code.len()), (&[0x0f, 0x0b, 0xcc, 0xf4][..], 16));
}

#[test]
fn large_pages_no_paging_and_nothing_there() {
    let (mut state, memory) = state();
    memory.write_obj(0x83u64, GuestAddress(0x3010)).expect("RAM");
    assert_eq!(physical(&memory, &state, 0x40_1ffe), Some(0x1ffe));
    memory.write_obj(0u64, GuestAddress(0x3010)).expect("RAM");
    assert_eq!(physical(&memory, &state, 0x40_1ffe), None);
    state.cr0 = 1;
    assert_eq!(physical(&memory, &state, 0x40_1ffe), Some(0x40_1ffe));
    state.rip = 1 << 40;
    assert!(LastMoment::new(one(state), &memory, &Recent::default()).code[0].is_empty());
}

#[test]
fn everything_is_named() {
    let (state, memory) = state();
    let mut recent = Recent::default();
    let stamp = Stamp { cycles: 12, ns: 6 };
    recent.push(Exit {
        stamp,
        cpu: 0,
        kind: ExitKind::MmioWrite,
        address: 0xc000_0010,
        width: 4,
        value: 0xab,
    });
    let text = LastMoment::new(one(state), &memory, &recent).lines().join("\n");
    let names = [
        "rip 0x0000000000401ffe",
        "rflags 0x00000046",
        "r15 0x000000000000feed",
        "rsp",
        " cs 0x0000",
        "attributes 0xa09b",
        "ldt",
        " tr ",
        "gdt",
        "idt",
        "cr0 0x80000033",
        "cr2",
        "cr3 0x1000",
        "cr4",
        "efer 0xd00",
        "code at rip: 0f 0b cc f4",
        "mmio write",
        "0xc0000010",
        "4 bytes",
        "0xab",
    ];
    for name in names {
        assert!(text.contains(name), "{name} is not in:\n{text}");
    }
}
