//! What a guest's TSC reads more than the host's: the number that makes a reading of the host's counter the guest's `rdtsc`.

use fencepost_time::{HostOffset, HostTsc, Tsc};
use kvm_ioctls::VcpuFd;

use super::convert::{IA32_TSC, get_msrs};
use super::{host_error, ioctls};
use crate::error::HostError;

/// How often the counter is read when KVM does not tell the offset: the narrowest of as many brackets is taken.
const READINGS: usize = 16;

/// The offset, modulo 2^64: exact where KVM tells it, else within half of the narrowest bracket of host readings around
/// a guest reading (about a microsecond).
pub fn offset(fd: &VcpuFd) -> Result<HostOffset, HostError> {
    Ok(bounded_offset(fd)?.0)
}

/// The offset, and how far from it the truth may be, in cycles.
pub fn bounded_offset(fd: &VcpuFd) -> Result<(HostOffset, u64), HostError> {
    match ioctls::tsc_offset(fd) {
        Ok(offset) => Ok((offset, 0)),
        Err(_) => measured(fd),
    }
}

/// The offset that this guest has to live with, where KVM cannot give it another (without hardware under it, or before
/// Linux 5.16); none where it can.
pub fn fixed_offset(fd: &VcpuFd) -> Result<Option<HostOffset>, HostError> {
    let now = offset(fd)?;
    let other = HostOffset(now.0.wrapping_add(1 << 32));
    if ioctls::set_tsc_offset(fd, other).is_err() {
        return Ok(Some(now));
    }
    let got = offset(fd)?;
    if got != other {
        return Ok(Some(got));
    }
    ioctls::set_tsc_offset(fd, now).map_err(|e| host_error("it refuses a TSC offset that it had", e))?;
    Ok(None)
}

fn measured(fd: &VcpuFd) -> Result<(HostOffset, u64), HostError> {
    let mut narrowest = (u64::MAX, HostOffset(0));
    for _ in 0..READINGS {
        let before = HostTsc::now();
        let guest = get_msrs(fd, std::iter::once(IA32_TSC))?.first().map_or(0, |entry| entry.data);
        let width = HostTsc::now().0.wrapping_sub(before.0);
        if width < narrowest.0 {
            let middle = HostTsc(before.0.wrapping_add(width / 2));
            narrowest = (width, HostOffset::to_tsc(middle, Tsc(guest)));
        }
    }
    Ok((narrowest.1, narrowest.0.div_ceil(2)))
}

#[cfg(test)]
mod tests {
    use fencepost_skip::Tested;

    use super::super::convert::vcpu_tests::{NO_KVM, vcpu};
    use super::*;

    #[test]
    fn the_measured_offset_agrees_with_the_one_kvm_reports() -> Tested {
        let Some((_vm, fd)) = vcpu() else { return Tested::skipped(NO_KVM) };
        let Ok(told) = ioctls::tsc_offset(&fd) else {
            return Tested::skipped("this KVM does not tell a guest's offset");
        };
        let (offset, within) = measured(&fd).expect("readable");
        let distance = offset.distance(told);
        assert!(distance <= within, "{distance} cycles away, of at most {within}");
        Tested::Ran
    }
}
