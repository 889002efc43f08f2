//! How fast KVM runs kernel code here.

use std::time::{Duration, Instant};

use fencepost_softcpu::control::Cr0;
use kvm_bindings::{kvm_regs, kvm_segment, kvm_userspace_memory_region};
use kvm_ioctls::{Kvm, VcpuExit, VcpuFd};
use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend, GuestMemoryMmap};

/// KVM must run kernel code at least this fast to be worth more than the software CPU, in million instructions a
/// second. The software CPU reaches about 100; a processor that runs the guest natively, thousands.
pub const KVM_WORTH_MIPS: f64 = 400.0;

/// Longer and longer loops: the first are short because KVM may emulate each instruction, the last is long because a
/// processor may run it at once.
const LOOPS: [u32; 3] = [1000, 30_000, 1_000_000];
/// Runs of each length, of which the shortest counts: the host may do something else meanwhile, so a run can seem
/// longer than it was, never shorter.
const RUNS: u32 = 3;
/// `dec ecx; jnz` back to it.
const LOOP_INSTRUCTIONS: f64 = 2.0;
/// A run includes entering and leaving the guest; below this time it says too little.
const RUN_ENOUGH: Duration = Duration::from_micros(500);

/// The speed of a processor that `run`s a loop so many times, in million instructions a second.
fn best_mips(mut run: impl FnMut(u32) -> Result<Duration, String>) -> Result<f64, String> {
    let mut fastest = 0.0f64;
    for loops in LOOPS {
        let mut shortest = Duration::MAX;
        for _ in 0..RUNS {
            shortest = shortest.min(run(loops)?);
            if shortest < RUN_ENOUGH {
                break;
            }
        }
        fastest = f64::from(loops) * LOOP_INSTRUCTIONS / shortest.as_secs_f64().max(1e-9) / 1e6;
        if shortest >= RUN_ENOUGH {
            break;
        }
    }
    Ok(fastest)
}

/// Measures how fast KVM runs a short loop at CPL 0, in million instructions a second.
pub fn measure() -> Result<f64, String> {
    let memory: GuestMemoryMmap =
        GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 0x1000)]).map_err(|e| e.to_string())?;
    // 49 dec ecx; 75 fd jnz -3; e6 f4 out 0xf4, al
    memory.write_slice(&[0x49, 0x75, 0xfd, 0xe6, 0xf4], GuestAddress(0)).map_err(|e| e.to_string())?;
    let kvm = Kvm::new().map_err(|error| format!("/dev/kvm: {error}"))?;
    let vm = kvm.create_vm().map_err(|e| e.to_string())?;
    let host = memory.get_host_address(GuestAddress(0)).map_err(|e| e.to_string())?;
    let region = kvm_userspace_memory_region {
        slot: 0,
        guest_phys_addr: 0,
        memory_size: 0x1000,
        userspace_addr: host as u64,
        flags: 0,
    };
    // SAFETY: the region is one mapped page that `memory` keeps alive until after the VM is closed, since it was
    // declared first.
    unsafe { vm.set_user_memory_region(region) }.map_err(|e| e.to_string())?;
    let mut vcpu = vm.create_vcpu(0).map_err(|e| e.to_string())?;
    enter_flat_protected_mode(&vcpu)?;
    best_mips(|loops| run_loop(&mut vcpu, loops))
}

/// 32-bit protected mode without paging: kernel privilege without any table in memory.
fn enter_flat_protected_mode(vcpu: &VcpuFd) -> Result<(), String> {
    let mut sregs = vcpu.get_sregs().map_err(|e| e.to_string())?;
    let data = kvm_segment {
        limit: u32::MAX,
        selector: 0x10,
        type_: 3,
        present: 1,
        db: 1,
        s: 1,
        g: 1,
        ..kvm_segment::default()
    };
    sregs.cs = kvm_segment { selector: 0x8, type_: 0xb, ..data };
    (sregs.ds, sregs.es, sregs.fs, sregs.gs, sregs.ss) = (data, data, data, data, data);
    sregs.cr0 |= Cr0::PE.bits();
    vcpu.set_sregs(&sregs).map_err(|e| e.to_string())
}

fn run_loop(vcpu: &mut VcpuFd, loops: u32) -> Result<Duration, String> {
    let regs = kvm_regs { rip: 0, rcx: u64::from(loops), rflags: 2, ..kvm_regs::default() };
    vcpu.set_regs(&regs).map_err(|e| e.to_string())?;
    let start = Instant::now();
    match vcpu.run() {
        Ok(VcpuExit::IoOut(0xf4, _)) => Ok(start.elapsed()),
        Ok(exit) => Err(format!("a short loop ended with {exit:?}")),
        Err(error) => Err(format!("a short loop failed: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A KVM of so many million instructions a second, entered in 20 us, that is away for 10 ms in the runs named.
    fn measured(mips: f64, away: &[usize]) -> (f64, Duration) {
        let (mut turn, mut spent) = (0, Duration::ZERO);
        let found = best_mips(|loops| {
            let work = f64::from(loops) * LOOP_INSTRUCTIONS / mips / 1e6;
            let away = if away.contains(&turn) { 0.01 } else { 0.0 };
            turn += 1;
            let took = Duration::from_secs_f64(20e-6 + work + away);
            spent += took;
            Ok(took)
        });
        (found.expect("every run succeeds"), spent)
    }

    #[test]
    fn a_host_that_was_busy_for_some_runs_reads_as_fast_as_it_is() {
        for away in [&[][..], &[0], &[0, 1], &[1], &[1, 2], &[2, 3], &[3, 4], &[0, 1, 3, 4, 6, 7], &[2, 4]] {
            let (mips, _) = measured(3000.0, away);
            assert!((2800.0..=3000.0).contains(&mips), "{mips} with {away:?}");
        }
    }

    #[test]
    fn a_slow_host_reads_as_slow_in_little_time() {
        for mips in [0.5, 2.0, 4.0, 30.0, 119.0, 350.0] {
            let (found, spent) = measured(mips, &[]);
            assert!((mips * 0.9..=mips).contains(&found), "{found} for {mips}");
            assert!(spent < Duration::from_millis(60), "{spent:?} for {mips}");
        }
    }

    #[test]
    fn a_failed_run_is_reported() {
        assert_eq!(best_mips(|_| Err("no".into())), Err("no".to_string()));
    }
}
