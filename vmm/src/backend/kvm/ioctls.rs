//! The few calls that kvm-ioctls does not make on x86.

use std::os::fd::AsRawFd;

use fencepost_time::HostOffset;
use kvm_bindings::{
    KVM_VCPU_TSC_CTRL, KVM_VCPU_TSC_OFFSET, KVMIO, kvm_device_attr, kvm_ioeventfd,
    kvm_ioeventfd_flag_nr_datamatch, kvm_ioeventfd_flag_nr_deassign,
};
use kvm_ioctls::{VcpuFd, VmFd};
use vmm_sys_util::errno;
use vmm_sys_util::eventfd::EventFd;
use vmm_sys_util::ioctl::ioctl_with_ref;
use vmm_sys_util::ioctl_iow_nr;

ioctl_iow_nr!(KVM_IOEVENTFD, KVMIO, 0x79, kvm_ioeventfd);
ioctl_iow_nr!(KVM_SET_DEVICE_ATTR, KVMIO, 0xe1, kvm_device_attr);
ioctl_iow_nr!(KVM_GET_DEVICE_ATTR, KVMIO, 0xe2, kvm_device_attr);

/// Has writes of `bytes` bytes to `gpa` (of `value` only, if there is one) signal `event`, or, with `on` false, no longer.
/// kvm-ioctls can match any value only together with any width.
pub fn ioeventfd(
    vm: &VmFd,
    event: &EventFd,
    gpa: u64,
    bytes: u8,
    value: Option<u32>,
    on: bool,
) -> Result<(), errno::Error> {
    let mut flags = 0;
    if value.is_some() {
        flags |= 1 << kvm_ioeventfd_flag_nr_datamatch;
    }
    if !on {
        flags |= 1 << kvm_ioeventfd_flag_nr_deassign;
    }
    let request = kvm_ioeventfd {
        datamatch: value.unwrap_or(0).into(),
        addr: gpa,
        len: bytes.into(),
        fd: event.as_raw_fd(),
        flags,
        ..kvm_ioeventfd::default()
    };
    // SAFETY: this is a VM's descriptor, and the kernel only reads the structure, whose type is the request's.
    match unsafe { ioctl_with_ref(vm, KVM_IOEVENTFD(), &request) } {
        0 => Ok(()),
        _ => Err(errno::Error::last()),
    }
}

/// What the vCPU's TSC reads more than the host's, modulo 2^64, if this kernel tells (since 5.16).
pub fn tsc_offset(fd: &VcpuFd) -> Result<HostOffset, errno::Error> {
    let mut offset = 0u64;
    let request = tsc_offset_at(std::ptr::from_mut(&mut offset) as u64);
    // SAFETY: this is a vCPU's descriptor; the attribute is eight bytes, which the kernel writes to `offset`.
    match unsafe { ioctl_with_ref(fd, KVM_GET_DEVICE_ATTR(), &request) } {
        0 => Ok(HostOffset(offset)),
        _ => Err(errno::Error::last()),
    }
}

/// Has the vCPU's TSC read `offset` more than the host's, modulo 2^64, if this kernel can (since 5.16).
pub fn set_tsc_offset(fd: &VcpuFd, HostOffset(offset): HostOffset) -> Result<(), errno::Error> {
    let request = tsc_offset_at(std::ptr::from_ref(&offset) as u64);
    // SAFETY: this is a vCPU's descriptor; the attribute is eight bytes, which the kernel reads from `offset`.
    match unsafe { ioctl_with_ref(fd, KVM_SET_DEVICE_ATTR(), &request) } {
        0 => Ok(()),
        _ => Err(errno::Error::last()),
    }
}

/// The attribute, at an address of this process.
fn tsc_offset_at(addr: u64) -> kvm_device_attr {
    kvm_device_attr { group: KVM_VCPU_TSC_CTRL, attr: KVM_VCPU_TSC_OFFSET.into(), addr, flags: 0 }
}
