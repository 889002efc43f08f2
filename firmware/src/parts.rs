//! A kept kernel's segments, copied from their file into guest memory and summed up in parts, by several threads.
//!
//! Most of the time goes into the host's pages of guest memory, which are made at the first write: two processors make twice as many.

use std::fs::File;
use std::num::NonZero;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crc32fast::Hasher;
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

use crate::elf::Layout;

/// Bytes that a thread takes at once, and where parts end: those of a large page of the host's.
const PART_BYTES: u64 = 2 << 20;
/// Bytes of a buffer: one that stays in a processor's own cache, so that copying twice costs little more than once.
const BUFFER_BYTES: usize = 128 << 10;
/// Threads at most; memory is no quicker with more.
const MOST_THREADS: usize = 4;

/// Some of a segment.
#[derive(Clone, Copy, Debug)]
struct Part {
    in_file: u64,
    address: u64,
    bytes: u64,
}

/// Copies what `file` holds of each segment to its place, and gives the CRC-32 of all, in the order of the file's headers. `None`
/// where the file is shorter, cannot be read, or guest memory has no such place.
pub(crate) fn place(file: &File, layout: &Layout, memory: &GuestMemoryMmap<()>) -> Option<u32> {
    let parts = parts_of(layout);
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(part) = parts.get(index) else { return Some(done) };
            done.push((index, copy(file, *part, memory, &mut buffer)?));
        }
    };
    let threads = thread::available_parallelism().map_or(1, NonZero::get).min(MOST_THREADS).min(parts.len());
    let all = thread::scope(|scope| {
        // Without a second thread this one does it alone.
        let start = |_| thread::Builder::new().spawn_scoped(scope, work).ok();
        let others: Vec<_> = (1..threads).filter_map(start).collect();
        let mut all = work()?;
        for other in others {
            all.extend(other.join().ok()??);
        }
        Some(all)
    });
    let mut sums = all?;
    sums.sort_unstable_by_key(|(index, _)| *index);
    let mut whole = Hasher::new();
    sums.iter().for_each(|(_, sum)| whole.combine(sum));
    Some(whole.finalize())
}

fn parts_of(layout: &Layout) -> Vec<Part> {
    let mut parts = Vec::new();
    for (&(mut address, bytes), segment) in layout.loaded.iter().zip(&layout.in_file) {
        let (mut in_file, mut left) = (segment.start, bytes);
        while left > 0 {
            let bytes = (PART_BYTES - address % PART_BYTES).min(left);
            parts.push(Part { in_file, address, bytes });
            (in_file, address, left) = (in_file + bytes, address + bytes, left - bytes);
        }
    }
    parts
}

/// Copies a part and sums it up: the bytes that are summed are those that the guest gets.
fn copy(file: &File, part: Part, memory: &GuestMemoryMmap<()>, buffer: &mut [u8]) -> Option<Hasher> {
    let mut sum = Hasher::new();
    let mut done = 0;
    while done < part.bytes {
        let length = buffer.len().min((part.bytes - done) as usize);
        let some = &mut buffer[..length];
        file.read_exact_at(some, part.in_file + done).ok()?;
        sum.update(some);
        memory.write_slice(some, GuestAddress(part.address + done)).ok()?;
        done += length as u64;
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write};

    use super::*;
    use crate::elf;
    use crate::kernel::tests::elf as vmlinux;

    #[test]
    fn a_kernel_of_many_parts_is_placed_and_summed_up_whole() {
        let code: Vec<u8> =
            (0..(9 << 20) + 777u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        // Not at the beginning of a part.
        let bytes = vmlinux(0x10f_0000, &code, 100);
        let layout = elf::parse(&mut Cursor::new(&bytes)).expect("a kernel");
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(&bytes).expect("written");
        let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 64 << 20)]).expect("memory");

        assert_eq!(place(&file, &layout, &memory), Some(crc32fast::hash(&code)));

        let mut placed = vec![0; code.len() + 100];
        memory.read_slice(&mut placed, GuestAddress(0x10f_0000)).expect("memory");
        assert!(placed[..code.len()] == code && placed[code.len()..] == [0; 100]);
        file.set_len(bytes.len() as u64 - 1).expect("cut");
        assert_eq!(place(&file, &layout, &memory), None);
    }
}
