//! What the pages in docs/ state, and what a guest finds on the machine: the pages' own tables, register by register,
//! compared with the machine's answers to accesses. A page and the machine cannot disagree.

mod contracts;
mod faults;
mod fuzzing;
mod headers;
mod machine_file;
mod pci;
mod ports;
mod registers;
mod unsafe_code;

use fencepost_devices::testing::page;
use fencepost_firmware::layout;

use crate::machine::Machine;
use crate::machine::testing::standard;

/// The page of each function, with its slot.
const FUNCTIONS: [(u8, &str); 3] =
    [(layout::GPU_SLOT, "gpu.md"), (layout::CAMERA_SLOT, "camera.md"), (layout::DISPLAY_SLOT, "display.md")];

/// The machine as it is at reset, but that its functions decode memory.
fn machine() -> Machine {
    let mut machine = standard();
    for (slot, _) in FUNCTIONS {
        machine.write_mmio(config(slot, 4), &2u16.to_le_bytes());
    }
    machine
}

/// Where a register of a slot's configuration space is.
fn config(slot: u8, register: u64) -> u64 {
    layout::ECAM.start + (u64::from(slot) << 15) + register
}

/// What `bytes` bytes read as, in words of at most 32 bits, the lowest first.
fn read(machine: &mut Machine, gpa: u64, bytes: usize) -> u64 {
    let mut data = [0; 8];
    for (word, at) in data[..bytes].chunks_mut(4).zip((gpa..).step_by(4)) {
        machine.read_mmio(at, word);
    }
    u64::from_le_bytes(data)
}

/// BAR 0 of a slot.
fn bar0(machine: &mut Machine, slot: u8) -> u64 {
    read(machine, config(slot, 0x10), 4) & !0xf
}
