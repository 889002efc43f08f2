//! What a half-done SYSCALL leaves, turned into what the processor does: frames made by hand, on a real vCPU.

use fencepost_skip::Tested;

use super::super::convert::vcpu_tests::{NO_KVM, vcpu};
use super::*;

/// Within a page, and across the border of two.
const STACK: u64 = 0x5800;
const BORDER: u64 = 0x4fec;

/// A vCPU at the entry of its page-fault handler after a user's SYSCALL at [`CODE`], with this frame at `stack`.
fn at_handler(stack: u64, frame: [u64; 6]) -> Option<(impl FnOnce() -> Option<CpuState>, CpuState)> {
    let (vm, fd) = vcpu()?;
    let memory: GuestMemoryMmap = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), PROBE_BYTES)]).unwrap();
    for (at, entry) in [(0, TABLES + 0x1007), (0x1000, TABLES + 0x2007), (0x2000, 0x87)] {
        memory.write_obj::<u64>(entry, GuestAddress(TABLES + at)).unwrap();
    }
    memory.write_slice(&SYSCALL, GuestAddress(CODE)).unwrap();
    memory.write_obj(frame, GuestAddress(stack)).unwrap();
    let region = kvm_userspace_memory_region {
        memory_size: PROBE_BYTES as u64,
        userspace_addr: memory.get_host_address(GuestAddress(0)).unwrap() as u64,
        ..kvm_userspace_memory_region::default()
    };
    // SAFETY: mapped memory of this length, moved with the VM into the closure.
    unsafe { vm.set_user_memory_region(region) }.unwrap();
    let mut state = user_state(VcpuState::get(&fd).unwrap().to_cpu());
    state.seg[seg::CS] = Segment { selector: 0x10, base: 0, limit: u32::MAX, attributes: 0xa09b };
    state.seg[seg::SS] = Segment { selector: 0, base: 0, limit: 0, attributes: 0 };
    state.gpr[reg::RSP] = stack;
    state.gpr[reg::RCX] = CODE + 2;
    state.rip = 0x5400;
    VcpuState::from_cpu(&state).set(&fd).unwrap();
    let given = state.clone();
    let complete = move || {
        let _vm = vm;
        completed(&fd, &memory, &given)
    };
    Some((complete, state))
}

#[test]
fn the_rest_of_a_system_call_is_done() -> Tested {
    let frame = [USER_FETCH, ENTRY, 0x33, 0x1_0046, 0x7fff_1230, 0x2b];
    for stack in [STACK, BORDER] {
        let Some((complete, state)) = at_handler(stack, frame) else { return Tested::skipped(NO_KVM) };
        let after = complete().expect("a system call");
        assert_eq!((after.rip, after.rflags, after.gpr[reg::RSP]), (ENTRY, 0x46, 0x7fff_1230));
        assert_eq!((after.seg[seg::CS].selector, after.seg[seg::SS].selector), (0x10, 0x18));
        assert_eq!(after.seg[seg::CS].attributes >> 5 & 3, 0, "kernel privilege");
        assert_eq!((after.gpr[reg::RCX], after.msr), (state.gpr[reg::RCX], state.msr));
    }
    Tested::Ran
}

#[test]
fn other_page_faults_stay_what_they_are() -> Tested {
    let good = [USER_FETCH, ENTRY, 0x33, 0x1_0046, 0x7fff_1230, 0x2b];
    // A data access, another place, from the kernel.
    for (word, value) in [(0, 0x5), (1, ENTRY + 1), (2, 0x10)] {
        let mut frame = good;
        frame[word] = value;
        let Some((complete, _)) = at_handler(STACK, frame) else { return Tested::skipped(NO_KVM) };
        assert_eq!(complete(), None, "word {word}");
    }
    Tested::Ran
}

#[test]
fn a_processor_does_all_of_it() -> Tested {
    let mips = match crate::speed::measure() {
        Ok(mips) => mips,
        Err(why) => return Tested::skipped(why),
    };
    assert!(!half_done() || mips < crate::speed::KVM_WORTH_MIPS, "native, and still half done");
    Tested::Ran
}
