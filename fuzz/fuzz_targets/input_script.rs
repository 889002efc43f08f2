//! The file of `--input`, and the record that `--replay-input` reads.
#![no_main]

use fencepost::config::{DeviceConfig, MachineConfig};
use fencepost::input_script;
use fencepost::machine::recorded;
use fencepost_fuzz::file::file;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut machine = MachineConfig::default();
    machine
        .devices
        .extend([DeviceConfig::new("virtio-keyboard", 20), DeviceConfig::new("virtio-tablet", 21)]);
    let (_kept, path) = file(data);
    if let Err(why) = input_script::read(&path, &machine) {
        assert!(!why.to_string().contains('\n'), "{why}");
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _ = recorded::parse(text);
    for line in text.lines() {
        let delivered = input_script::deliveries(line, &machine);
        assert_eq!(delivered.is_ok(), input_script::check(line).is_ok(), "{line:?}");
    }
});
