//! From a guest's linear addresses to physical ones, from outside: without a look at rights, and without a trace in the tables.

use fencepost_softcpu::control::{Cr0, Efer};
use fencepost_softcpu::descriptor::attr;
use fencepost_softcpu::state::{CpuState, seg};
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

/// The linear address of the next instruction.
pub fn linear_rip(state: &CpuState) -> u64 {
    let cs = &state.seg[seg::CS];
    if cs.attributes & attr::LONG != 0 { state.rip } else { cs.base.wrapping_add(state.rip) & 0xffff_ffff }
}

/// The guest-physical address of a linear one (Intel SDM vol. 3, 4.5): no paging, or four levels; other modes are not walked.
pub fn physical(memory: &GuestMemoryMmap, state: &CpuState, linear: u64) -> Option<u64> {
    const PRESENT: u64 = 1;
    const LARGE: u64 = 1 << 7;
    const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
    if !state.has_cr0(Cr0::PG) {
        return Some(linear);
    }
    if !state.has_efer(Efer::LMA) || (linear << 16) as i64 >> 16 != linear as i64 {
        return None;
    }
    let mut table = state.cr3 & ADDRESS;
    for shift in [39u32, 30, 21, 12] {
        let entry: u64 = memory.read_obj(GuestAddress(table | (linear >> shift & 0x1ff) << 3)).ok()?;
        if entry & PRESENT == 0 {
            return None;
        }
        let within = (1u64 << shift) - 1;
        if shift == 12 || (shift < 39 && entry & LARGE != 0) {
            return Some(entry & ADDRESS & !within | linear & within);
        }
        table = entry & ADDRESS;
    }
    None
}

/// The parts of `bytes` bytes at `linear`, each within one page: their physical addresses and lengths, up to the first that
/// is not mapped.
pub fn parts(
    memory: &GuestMemoryMmap,
    state: &CpuState,
    linear: u64,
    bytes: usize,
) -> impl Iterator<Item = (u64, usize)> {
    const PAGE: u64 = 4096;
    let mut done = 0usize;
    std::iter::from_fn(move || {
        let at = linear.checked_add(done as u64).filter(|_| done < bytes)?;
        let length = usize::try_from(PAGE - at % PAGE).ok()?.min(bytes - done);
        done += length;
        Some((physical(memory, state, at)?, length))
    })
    .fuse()
}
