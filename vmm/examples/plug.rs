//! A machine with a device of one's own: `cargo run --example plug`. The guest is a few machine instructions, which find the
//! device on the PCI bus, write 21 to its register, read it back and end the machine with what they read: 42.

use std::any::Any;

use fencepost::backend::End;
use fencepost::config::{Accel, MachineConfig, Size};
use fencepost::launch::Launch;
use fencepost::machine::GuestEnd;
use fencepost::run::{Hooks, run};
use fencepost_devices::function::{Counter, Doorbell, Function, Identity, Ids, Inbox, Registers, Words};
use fencepost_devices::ports::Ports;
use fencepost_devices::state::SavedState;

/// Its one register reads as twice what was written.
struct Doubler {
    written: u32,
    reads: u64,
}

impl Words for Doubler {
    fn read(&mut self, offset: u32, _: &mut Ports<'_>) -> u32 {
        self.reads += 1;
        if offset == 0 { self.written.wrapping_mul(2) } else { 0 }
    }

    fn write(&mut self, offset: u32, value: u32, _: &mut Ports<'_>) {
        if offset == 0 {
            self.written = value;
        }
    }
}

impl Function for Doubler {
    fn identity(&self) -> Identity {
        let ids = Ids::fencepost(0x42);
        Identity { name: "doubler", ids, class: 0xff_00_00, ..Identity::registers_and_msix(4096, 1) }
    }
    fn registers(&mut self) -> Registers<'_> {
        Registers::Words(self)
    }
    fn doorbells(&self) -> Vec<Doorbell> {
        Vec::new()
    }

    fn inbox(&mut self) -> Option<&mut dyn Inbox> {
        None
    }
    fn timer(&mut self, _: u32, _: &mut Ports<'_>) {}
    fn reset(&mut self, _: &mut Ports<'_>) {
        (self.written, self.reads) = (0, 0);
    }
    fn save_state(&self) -> SavedState {
        let bytes = [u64::from(self.written), self.reads].map(u64::to_le_bytes).concat();
        SavedState { kind: "doubler".into(), version: 1, bytes }
    }
    fn rearm(&self, _: &mut Ports<'_>) {}
    fn counters(&self) -> Vec<Counter> {
        vec![Counter { name: "reads", value: self.reads }]
    }
    fn as_any(&mut self) -> &mut dyn Any {
        self
    }
}

/// In slot 4, whose configuration space is at 0xe0020000.
const GUEST: [u8; 27] = [
    0xbb, 0x00, 0x00, 0x02, 0xe0, // mov ebx, 0xe0020000
    0x66, 0xc7, 0x43, 0x04, 0x02, 0x00, // mov word [rbx + 4], 2: memory decoding
    0x8b, 0x5b, 0x10, // mov ebx, [rbx + 0x10]: BAR 0
    0xc7, 0x03, 21, 0, 0, 0, // mov dword [rbx], 21
    0x8b, 0x03, // mov eax, [rbx]
    0xe6, 0xf4, // out 0xf4, al
    0xf4, 0xeb, 0xfd, // hlt, for ever
];

/// The smallest ELF file that is a kernel: one segment at 1 MiB.
fn kernel() -> Vec<u8> {
    let mut elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0\x01\0\0\0".to_vec();
    elf.extend([0x10_0000u64, 64, 0].map(u64::to_le_bytes).concat());
    elf.extend(b"\0\0\0\0\x40\0\x38\0\x01\0\0\0\0\0\0\0\x01\0\0\0\x07\0\0\0");
    elf.extend([0x1000u64, 0x10_0000, 0x10_0000, 27, 0x1000, 0x1000].map(u64::to_le_bytes).concat());
    elf.resize(0x1000, 0);
    [&elf[..], &GUEST].concat()
}

/// Runs the machine, and says what the guest read.
pub fn main() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("kernel");
    std::fs::write(&path, kernel()).expect("written");
    let machine = MachineConfig { accel: Accel::Soft, memory: Size(32 << 20), ..MachineConfig::boot(path) };
    let mut hooks = Hooks::new(Box::new(std::io::stdout()));
    hooks.devices.push((4, Box::new(Doubler { written: 0, reads: 0 })));
    let outcome = run(&Launch::new(machine), hooks).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(outcome.end, End::Guest(GuestEnd::Exit(42)));
}
