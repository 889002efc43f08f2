//! What a vCPU shares with the kernel: `struct kvm_run`, and the page behind it where the data of port accesses are. It is
//! mapped once more: of its own mapping kvm-ioctls lends the structure, and a pointer to that leads to nothing behind it.

use std::mem::offset_of;
use std::os::fd::AsRawFd;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU8;

use kvm_bindings::{KVM_EXIT_IO_OUT, kvm_run};
use kvm_ioctls::VcpuFd;

/// A mapping of it.
pub struct RunArea {
    at: NonNull<kvm_run>,
    bytes: usize,
}

// SAFETY: a mapping is the same in every thread.
unsafe impl Send for RunArea {}
// SAFETY: a shared reference gives one byte, as an atomic, and nothing else.
unsafe impl Sync for RunArea {}

/// A port access: elements of `size` bytes each, one after the other in `data`.
pub struct PortAccess<'a> {
    /// The port of each of them.
    pub port: u16,
    /// A write.
    pub write: bool,
    /// Bytes of an element: 1, 2 or 4.
    pub size: usize,
    /// What is written, or room for what is read.
    pub data: &'a mut [u8],
}

impl RunArea {
    /// Maps the first `bytes` of what `fd` shares, which must hold the structure (of whole pages, the last is mapped
    /// whole).
    pub fn map(fd: &VcpuFd, bytes: usize) -> std::io::Result<Self> {
        if bytes < size_of::<kvm_run>() {
            return Err(std::io::ErrorKind::InvalidInput.into());
        }
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice touches no other.
        let at =
            unsafe { libc::mmap(std::ptr::null_mut(), bytes, access, libc::MAP_SHARED, fd.as_raw_fd(), 0) };
        match NonNull::new(at) {
            Some(found) if at != libc::MAP_FAILED => Ok(RunArea { at: found.cast(), bytes }),
            _ => Err(std::io::Error::last_os_error()),
        }
    }

    /// Whether KVM_RUN returns at once: the one byte that other threads may write at any time.
    pub fn immediate_exit(&self) -> &AtomicU8 {
        // SAFETY: the byte is inside the mapping, which lives as long as `self`; the kernel only reads it, and in this process
        // it is accessed as an atomic alone: `kvm-ioctls`, which maps the page too, would write it in a call that nobody makes.
        unsafe { AtomicU8::from_ptr(self.at.as_ptr().cast::<u8>().add(offset_of!(kvm_run, immediate_exit))) }
    }

    /// The port access that the vCPU has just left the guest for (KVM_EXIT_IO); `None` if the kernel says that its data
    /// are elsewhere. It is the mapping's only user but for the kernel, which waits for the next KVM_RUN.
    pub fn port_access(&mut self) -> Option<PortAccess<'_>> {
        // SAFETY: the structure is inside the mapping, and the kernel has filled this member of the union; it may hold any
        // bytes. It is copied out of a place that no reference is made to.
        let io = unsafe { (&raw const (*self.at.as_ptr()).__bindgen_anon_1.io).read() };
        let (size, len) = (usize::from(io.size), usize::from(io.size).checked_mul(io.count as usize)?);
        let offset = usize::try_from(io.data_offset).ok()?;
        let inside = offset >= size_of::<kvm_run>() && offset.checked_add(len)? <= self.bytes && size != 0;
        if !inside {
            return None;
        }
        // SAFETY: the bytes are inside the mapping, to which the pointer belongs, and behind the structure, with the byte
        // that others write; `self` is borrowed for as long as they are.
        let data = unsafe { std::slice::from_raw_parts_mut(self.at.as_ptr().cast::<u8>().add(offset), len) };
        Some(PortAccess { port: io.port, write: u32::from(io.direction) == KVM_EXIT_IO_OUT, size, data })
    }
}

impl Drop for RunArea {
    fn drop(&mut self) {
        // SAFETY: the mapping is this structure's own, and no reference into it outlives the structure.
        unsafe { libc::munmap(self.at.as_ptr().cast(), self.bytes) };
    }
}

#[cfg(test)]
mod tests {
    use super::super::convert::vcpu_tests::vcpu;
    use super::*;

    /// The area of a vCPU that never ran, as if it had left the guest for this access.
    fn access(size: u8, count: u32, offset: u64) -> Option<Option<(usize, usize)>> {
        let (vm, fd) = vcpu()?;
        let mut area = RunArea::map(&fd, vm.run_size()).expect("mapped");
        // SAFETY: the structure is inside the mapping, and nobody else uses it now.
        let io = unsafe { &mut (*area.at.as_ptr()).__bindgen_anon_1.io };
        (io.size, io.count, io.data_offset, io.port) = (size, count, offset, 0x3f8);
        let found = area.port_access().map(|access| (access.size, access.data.len()));
        Some(found)
    }

    #[test]
    fn an_access_is_inside_the_area_and_behind_the_structure() {
        for (size, count, offset, expected) in [
            (1, 1, 4096, Some((1, 1))),
            (4, 1024, 4096, Some((4, 4096))),
            (2, 3, 4096, Some((2, 6))),
            (1, 1, 0, None),
            (1, 1, size_of::<kvm_run>() as u64 - 1, None),
            (1, 1, u64::MAX, None),
            (4, u32::MAX, 4096, None),
            (0, 1, 4096, None),
        ] {
            let Some(found) = access(size, count, offset) else { return };
            assert_eq!(found, expected, "{count} elements of {size} bytes at {offset:#x}");
        }
    }

    #[test]
    fn an_area_without_room_for_the_structure_is_refused() {
        let Some((_vm, fd)) = vcpu() else { return };
        assert!(RunArea::map(&fd, size_of::<kvm_run>() - 1).is_err());
    }
}
