//! Which back end: measured, not guessed.

use std::time::{Duration, Instant};

use kvm_bindings::{kvm_regs, kvm_segment, kvm_userspace_memory_region};
use kvm_ioctls::{Kvm, VcpuExit, VcpuFd};
use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend, GuestMemoryMmap};

use crate::error::HostError;
use crate::options::Accel;

/// The back end to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chosen {
    /// `/dev/kvm`.
    Kvm,
    /// The software CPU.
    Soft,
}

impl Chosen {
    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Chosen::Kvm => "kvm",
            Chosen::Soft => "soft",
        }
    }
}

/// KVM must run kernel code at least this fast to be worth more than the software CPU, in million instructions a
/// second. The software CPU reaches about 100; a processor that runs the guest natively, thousands.
pub const KVM_WORTH_MIPS: f64 = 400.0;

/// Picks a back end. The second value is the line that says what was picked and why, when something was measured.
pub fn choose(wanted: Accel) -> Result<(Chosen, Option<String>), HostError> {
    match wanted {
        Accel::Soft => Ok((Chosen::Soft, None)),
        Accel::Kvm => match Kvm::new() {
            Ok(_) => Ok((Chosen::Kvm, None)),
            Err(error) => Err(HostError::input(
                format!("--accel kvm: /dev/kvm cannot be opened ({error})"),
                "use --accel soft or auto",
            )),
        },
        Accel::Auto => Ok(match measure() {
            Ok(mips) if mips >= KVM_WORTH_MIPS => {
                let why = format!("accel: kvm (it runs kernel code at {mips:.0} MIPS)");
                (Chosen::Kvm, Some(why))
            }
            Ok(mips) => {
                let why = format!(
                    "accel: soft (KVM runs kernel code at {mips:.1} MIPS here, less than the {KVM_WORTH_MIPS:.0} \
                     that make it worth using)"
                );
                (Chosen::Soft, Some(why))
            }
            Err(why) => (Chosen::Soft, Some(format!("accel: soft (KVM is not usable: {why})"))),
        }),
    }
}

/// What `--accel` comes to with `--seed`, which varies virtual time and nothing else.
pub fn with_seed(wanted: Accel, seed: Option<u64>) -> Result<Accel, HostError> {
    match (wanted, seed) {
        (Accel::Kvm, Some(_)) => Err(HostError::input(
            "--seed: under --accel kvm time is the host's, and no seed can repeat it",
            "use --accel soft, or leave --seed out",
        )),
        (Accel::Auto, Some(_)) => Ok(Accel::Soft),
        (wanted, _) => Ok(wanted),
    }
}

/// A first taste, short because KVM may emulate each instruction; and the real measurement where it does not.
const TASTE_LOOPS: u32 = 1000;
const FULL_LOOPS: u32 = 1_000_000;
/// `dec ecx; jnz` back to it.
const LOOP_INSTRUCTIONS: f64 = 2.0;
/// The taste includes entering and leaving the guest; below this time it says too little.
const TASTE_ENOUGH: Duration = Duration::from_micros(500);

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
    let mut time = run_loop(&mut vcpu, TASTE_LOOPS)?;
    let mut loops = TASTE_LOOPS;
    if time < TASTE_ENOUGH {
        loops = FULL_LOOPS;
        time = run_loop(&mut vcpu, FULL_LOOPS)?;
    }
    Ok(f64::from(loops) * LOOP_INSTRUCTIONS / time.as_secs_f64().max(1e-9) / 1e6)
}

/// 32-bit protected mode without paging: kernel privilege without any table in memory.
fn enter_flat_protected_mode(vcpu: &VcpuFd) -> Result<(), String> {
    const CR0_PROTECTED: u64 = 1;
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
    sregs.cr0 |= CR0_PROTECTED;
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

    #[test]
    fn soft_is_taken_without_measuring() {
        assert_eq!(choose(Accel::Soft).expect("always there"), (Chosen::Soft, None));
    }

    #[test]
    fn auto_says_in_one_line_what_it_picked() {
        let (chosen, line) = choose(Accel::Auto).expect("auto never fails");
        let line = line.expect("measured or refused, either has a reason");
        assert!(line.starts_with(&format!("accel: {} (", chosen.name())), "{line}");
        assert_eq!(line.lines().count(), 1);
    }

    #[test]
    fn a_measured_speed_decides() {
        let mips = match measure() {
            Ok(mips) => mips,
            Err(why) => return println!("skipped: choosing by KVM's measured speed: {why}"),
        };
        assert!(mips > 0.01, "{mips}");
        let (chosen, _) = choose(Accel::Auto).expect("auto never fails");
        let far = !(KVM_WORTH_MIPS / 4.0..KVM_WORTH_MIPS * 4.0).contains(&mips);
        assert!(!far || (chosen == Chosen::Kvm) == (mips >= KVM_WORTH_MIPS));
    }
}
