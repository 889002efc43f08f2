//! SYSCALL on a KVM that does half of it.
//!
//! One KVM without hardware under it executes SYSCALL in user mode and loads RIP, RCX, R11 and RFLAGS, but neither CS nor
//! SS: the guest stands at its kernel's entry with user privilege, and fetching from there is a page fault. No exit tells
//! of it. Where [`half_done`] finds this, every vCPU has a breakpoint of the host's at the first instruction of the guest's
//! page-fault handler, and a fault that only such a SYSCALL can have caused is turned into what the processor does
//! (Intel SDM vol. 2B, SYSCALL). Real hardware never comes here.

use std::sync::OnceLock;

use fencepost_softcpu::control::Efer;
use fencepost_softcpu::cpuid::CpuidConfig;
use fencepost_softcpu::state::{CpuState, Segment, Table, reg, seg};
use kvm_bindings::kvm_userspace_memory_region;
use kvm_ioctls::{Kvm, VcpuFd};
use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend, GuestMemoryMmap};

use super::convert::VcpuState;
use super::vcpu::cpuid_table;

/// Page fault.
const PAGE_FAULT: u64 = 14;
/// The error code of a fetch with user privilege from a page that is there (vol. 3, figure 4-12): present, user, fetch.
const USER_FETCH: u64 = 0x15;
/// RFLAGS: resume, set in the frame of every fault.
const RF: u64 = 1 << 16;
/// `syscall`.
const SYSCALL: [u8; 2] = [0x0f, 0x05];

/// What a page fault pushed.
struct Frame {
    error: u64,
    rip: u64,
    cs: u64,
    rflags: u64,
    rsp: u64,
}

/// Bytes at a linear address. Each page is looked up once: that is a call of the host's kernel.
fn read<const COUNT: usize>(fd: &VcpuFd, memory: &GuestMemoryMmap, linear: u64) -> Option<[u8; COUNT]> {
    const PAGE: u64 = 4096;
    let mut bytes = [0; COUNT];
    let mut left = &mut bytes[..];
    let mut linear = linear;
    while !left.is_empty() {
        let in_page = PAGE - linear % PAGE;
        let (piece, rest) = left.split_at_mut(left.len().min(in_page as usize));
        let found = fd.translate_gva(linear).ok().filter(|found| found.valid != 0)?;
        memory.read_slice(piece, GuestAddress(found.physical_address)).ok()?;
        (left, linear) = (rest, linear.wrapping_add(in_page));
    }
    Some(bytes)
}

/// Eight bytes of what was read.
fn word(bytes: &[u8], number: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[8 * number..8 * number + 8]);
    u64::from_le_bytes(word)
}

/// Where the page-fault gate of a guest in long mode leads.
pub fn handler(fd: &VcpuFd, memory: &GuestMemoryMmap) -> Option<u64> {
    const GATE_BYTES: u64 = 16;
    let sregs = fd.get_sregs().ok()?;
    let gate = PAGE_FAULT * GATE_BYTES;
    if sregs.efer & Efer::LMA.bits() == 0 || u64::from(sregs.idt.limit) < gate + GATE_BYTES - 1 {
        return None;
    }
    let bytes: [u8; GATE_BYTES as usize] = read(fd, memory, sregs.idt.base.wrapping_add(gate))?;
    let (low, high) = (word(&bytes, 0), word(&bytes, 1));
    const PRESENT: u64 = 1 << 47;
    (low & PRESENT != 0).then_some(low & 0xffff | low >> 32 & 0xffff_0000 | high << 32)
}

/// The state after the SYSCALL that brought the CPU to the entry of its page-fault handler, if one did.
pub fn completed(fd: &VcpuFd, memory: &GuestMemoryMmap, state: &CpuState) -> Option<CpuState> {
    let pushed: [u8; 40] = read(fd, memory, state.gpr[reg::RSP])?;
    let [error, rip, cs, rflags, rsp] = [0, 1, 2, 3, 4].map(|number| word(&pushed, number));
    let frame = Frame { error, rip, cs, rflags, rsp };
    let left = frame.rip == state.msr.lstar && frame.cs & 3 == 3 && frame.error == USER_FETCH;
    // RCX is behind the instruction. (A program that jumps there with all this arranged gets its system call.)
    let behind = state.gpr[reg::RCX].wrapping_sub(SYSCALL.len() as u64);
    if !left || read(fd, memory, behind)? != SYSCALL {
        return None;
    }
    let mut after = state.clone();
    let selector = (state.msr.star >> 32) as u16 & !3;
    after.seg[seg::CS] = Segment { selector, base: 0, limit: u32::MAX, attributes: 0xa09b };
    let selector = selector.wrapping_add(8);
    after.seg[seg::SS] = Segment { selector, base: 0, limit: u32::MAX, attributes: 0xc093 };
    after.gpr[reg::RSP] = frame.rsp;
    after.rip = frame.rip;
    after.rflags = frame.rflags & !RF;
    Some(after)
}

/// Whether this host's KVM leaves SYSCALL half done: one is made in a guest of its own, once. A KVM that runs no such
/// guest has other troubles than this one.
pub fn half_done() -> bool {
    static ANSWER: OnceLock<bool> = OnceLock::new();
    *ANSWER.get_or_init(|| probe().unwrap_or(false))
}

const TABLES: u64 = 0x1000;
const CODE: u64 = 0x4000;
const ENTRY: u64 = 0x5000;
const PROBE_BYTES: usize = 0x6000;

/// One SYSCALL from user mode; whether CS is still the user's at its target.
fn probe() -> Option<bool> {
    let memory: GuestMemoryMmap = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), PROBE_BYTES)]).ok()?;
    // The first 2 MiB onto themselves, for everybody.
    for (at, entry) in [(0, TABLES + 0x1007), (0x1000, TABLES + 0x2007), (0x2000, 0x87)] {
        memory.write_obj::<u64>(entry, GuestAddress(TABLES + at)).ok()?;
    }
    memory.write_slice(&SYSCALL, GuestAddress(CODE)).ok()?;
    // mov eax, cs; out 0xf4, al: an exit for the port, or, with user privilege and no table of interrupts, a shutdown.
    memory.write_slice(&[0x8c, 0xc8, 0xe6, 0xf4], GuestAddress(ENTRY)).ok()?;
    let vm = Kvm::new().ok()?.create_vm().ok()?;
    vm.create_irq_chip().ok()?;
    let region = kvm_userspace_memory_region {
        memory_size: PROBE_BYTES as u64,
        userspace_addr: memory.get_host_address(GuestAddress(0)).ok()? as u64,
        ..kvm_userspace_memory_region::default()
    };
    // SAFETY: the region is mapped memory of this length, and outlives the VM, which was declared after it.
    unsafe { vm.set_user_memory_region(region) }.ok()?;
    let mut fd = vm.create_vcpu(0).ok()?;
    fd.set_cpuid2(&cpuid_table(&CpuidConfig::default()).ok()?).ok()?;
    let state = user_state(VcpuState::get(&fd).ok()?.to_cpu());
    VcpuState::from_cpu(&state).set(&fd).ok()?;
    fd.run().ok()?;
    Some(fd.get_regs().ok()?.rax & 3 == 3)
}

/// User mode at [`CODE`], its system calls at [`ENTRY`].
fn user_state(mut state: CpuState) -> CpuState {
    state.seg = [Segment::default(); 6];
    state.seg[seg::CS] = Segment { selector: 0x33, base: 0, limit: u32::MAX, attributes: 0xa0fb };
    state.seg[seg::SS] = Segment { selector: 0x2b, base: 0, limit: u32::MAX, attributes: 0xc0f3 };
    state.tr = Segment { selector: 0x40, base: 0, limit: 0x67, attributes: 0x8b };
    state.idtr = Table::default();
    (state.cr0, state.cr3, state.cr4, state.efer) = (0x8000_0033, TABLES, 0x6a0, 0xd01);
    (state.rip, state.rflags) = (CODE, 2);
    (state.msr.star, state.msr.lstar) = (0x0023_0010_0000_0000, ENTRY);
    state
}

#[cfg(test)]
#[path = "syscalls_tests.rs"]
mod tests;
