//! Which back end: measured, not guessed.

use kvm_ioctls::Kvm;

use crate::config::{Accel, IommuKind};
use crate::doctor;
use crate::error::HostError;
use crate::speed::{KVM_WORTH_MIPS, measure};

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

/// Picks a back end. The second value is the line that says what was picked and why, when something was measured.
pub fn choose(wanted: Accel) -> Result<(Chosen, Option<String>), HostError> {
    match wanted {
        Accel::Soft => Ok((Chosen::Soft, None)),
        Accel::Kvm => match Kvm::new() {
            Ok(_) => Ok((Chosen::Kvm, None)),
            Err(error) => {
                let unknown = || (format!("/dev/kvm does not open: {error}"), "see fencepost doctor".into());
                let (why, fix) = doctor::kvm_refusal().unwrap_or_else(unknown);
                let fix = fix.split_whitespace().collect::<Vec<_>>().join(" ");
                Err(HostError::input(format!("--accel kvm: {why}"), format!("{fix}, or use --accel soft")))
            }
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

/// What `--accel` comes to with an IOMMU that remaps interrupts: KVM's I/O APIC is the kernel's own, past the IOMMU.
pub fn with_iommu(wanted: Accel, iommu: IommuKind) -> Result<Accel, HostError> {
    match (wanted, iommu) {
        (Accel::Kvm, IommuKind::Intremap) => Err(no_remapping("--accel kvm")),
        (Accel::Auto, IommuKind::Intremap) => Ok(Accel::Soft),
        (wanted, _) => Ok(wanted),
    }
}

/// What is said where a machine that remaps interrupts would come under KVM, by `what`.
pub fn no_remapping(what: &str) -> HostError {
    HostError::input(
        format!(
            "{what}: --iommu intremap is there under soft only, since KVM's I/O APIC goes past the IOMMU"
        ),
        "use --accel soft, or --iommu on",
    )
}

#[cfg(test)]
mod tests {
    use fencepost_skip::Tested;

    use super::*;

    #[test]
    fn soft_is_taken_without_measuring() {
        assert_eq!(choose(Accel::Soft).expect("always there"), (Chosen::Soft, None));
    }

    #[test]
    fn a_seed_is_for_the_software_cpu() {
        let chosen = |wanted, seed| with_seed(wanted, seed).map_err(|error| error.status());
        assert_eq!(chosen(Accel::Auto, Some(0)), Ok(Accel::Soft));
        assert_eq!(chosen(Accel::Kvm, Some(0)), Err(2));
        assert_eq!(chosen(Accel::Auto, None), Ok(Accel::Auto));
    }

    #[test]
    fn interrupts_are_remapped_under_the_software_cpu() {
        let chosen = |wanted, iommu| with_iommu(wanted, iommu).map_err(|error| error.status());
        assert_eq!(chosen(Accel::Auto, IommuKind::Intremap), Ok(Accel::Soft));
        assert_eq!(chosen(Accel::Kvm, IommuKind::Intremap), Err(2));
        assert_eq!(chosen(Accel::Kvm, IommuKind::Vtd), Ok(Accel::Kvm));
        assert_eq!(chosen(Accel::Auto, IommuKind::Vtd), Ok(Accel::Auto));
    }

    #[test]
    fn auto_says_in_one_line_what_it_picked() {
        let (chosen, line) = choose(Accel::Auto).expect("auto never fails");
        let line = line.expect("measured or refused, either has a reason");
        assert!(line.starts_with(&format!("accel: {} (", chosen.name())), "{line}");
        assert_eq!(line.lines().count(), 1);
    }

    #[test]
    fn a_measured_speed_decides() -> Tested {
        let mips = match measure() {
            Ok(mips) => mips,
            Err(why) => return Tested::skipped(why),
        };
        assert!(mips > 0.01, "{mips}");
        let (chosen, _) = choose(Accel::Auto).expect("auto never fails");
        let far = !(KVM_WORTH_MIPS / 4.0..KVM_WORTH_MIPS * 4.0).contains(&mips);
        assert!(!far || (chosen == Chosen::Kvm) == (mips >= KVM_WORTH_MIPS));
        Tested::Ran
    }
}
