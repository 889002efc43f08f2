//! A kernel as a file: vmlinux, bzImage, unified image, packed or not; unpacked and placed in guest memory as a run does.
#![no_main]

use std::io::{Seek, SeekFrom};

use fencepost_firmware::initrd::Initrd;
use fencepost_firmware::kernel::{KernelFile, KernelImage};
use fencepost_firmware::{Options, load};
use fencepost_fuzz::file::file;
use libfuzzer_sys::fuzz_target;
use vm_memory::{GuestAddress, GuestMemoryMmap};

const MEMORY_BYTES: usize = 8 << 20;

fuzz_target!(|data: &[u8]| {
    let (mut kernel, _) = file(data);
    kernel.seek(SeekFrom::Start(0)).expect("a file in memory");
    if let Ok(kernel) = KernelFile::read("fuzz".into(), kernel, MEMORY_BYTES as u64) {
        place(kernel, 2);
    }
});

/// A unified image has another kernel in it, and that one none.
fn place(kernel: KernelFile, depth: u32) {
    let image = match kernel {
        KernelFile::Vmlinux(image) => Some(image),
        KernelFile::Packed(packed) => {
            packed.release();
            packed.unpack().and_then(|vmlinux| packed.image(vmlinux)).ok()
        }
        KernelFile::Unified(unified) if depth > 0 => return place(*unified.kernel, depth - 1),
        KernelFile::Unified(_) => panic!("a unified image in a unified image in another"),
    };
    if let Some(image) = image {
        load_it(image);
    }
}

fn load_it(mut image: KernelImage) {
    let memory = GuestMemoryMmap::<()>::from_ranges(&[(GuestAddress(0), MEMORY_BYTES)]).expect("mapped");
    if load(&memory, &mut image, Some(Initrd::Bytes(&[7; 100])), "console=ttyS0", 2, &Options::default())
        .is_ok()
    {
        assert!(image.extent().end <= MEMORY_BYTES as u64);
    }
}
