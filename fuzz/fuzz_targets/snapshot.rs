//! A snapshot's file. Its checksums are right, for who makes one can compute them: what an input says is the state, and a machine goes
//! on from that.
#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use fencepost::accel::Chosen;
use fencepost::config::DeviceConfig;
use fencepost::snapshot::{self, Outputs, Until, Vm, file};
use libfuzzer_sys::fuzz_target;
use vm_memory::{GuestAddress, GuestMemoryMmap};

/// The memory that a machine has at least.
const MEMORY_BYTES: usize = 16 << 20;

static PATH: LazyLock<PathBuf> =
    LazyLock::new(|| std::env::temp_dir().join(format!("fencepost-fuzz-{}", std::process::id())));
static MEMORY: LazyLock<GuestMemoryMmap> =
    LazyLock::new(|| GuestMemoryMmap::from_ranges(&[(GuestAddress(0), MEMORY_BYTES)]).expect("mapped"));

fuzz_target!(|data: &[u8]| {
    file::write(&PATH, &MEMORY, data).expect("the folder for temporary files has room");
    let opened = snapshot::open(&PATH);
    std::fs::remove_file(&*PATH).expect("it was just written");
    let Ok(saved) = opened else { return };
    // Who restores a machine trusts the names of the host's files in it (docs/security.md): none is opened here.
    if saved.config.devices.iter().any(names_a_file) {
        return;
    }
    let Ok(mut vm) = Vm::restore(saved, Chosen::Soft, Outputs::default()) else { return };
    // A machine that was taken runs, returns and runs.
    let _ = vm.run(Until::Time(20_000));
    if vm.reset().is_ok() {
        assert!(vm.differing_pages().is_empty());
    }
});

fn names_a_file(device: &DeviceConfig) -> bool {
    ["file", "dir", "source"].iter().any(|key| device.parameters.contains_key(*key))
}
