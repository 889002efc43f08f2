//! What options make of a machine, and of the file that they override.

use clap::Parser;

use super::*;
use crate::cli::{Cli, Command};
use crate::config::{DeviceConfig, IommuKind};

fn run(line: &str) -> RunArgs {
    match Cli::try_parse_from(["fencepost", "run"].into_iter().chain(line.split_whitespace())) {
        Ok(Cli { command: Command::Run(args) }) => *args,
        other => panic!("{line}: {other:?}"),
    }
}

fn machine(line: &str) -> MachineConfig {
    run(line).launch().expect(line).machine
}

#[test]
fn without_a_file_the_defaults_hold() {
    assert_eq!(machine("--kernel k"), MachineConfig::boot("k"));
}

#[test]
fn every_option_overrides_its_key_of_the_file_and_no_other() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("m.toml");
    let mut base = MachineConfig::boot("/k");
    base.memory = Size(32 << 20);
    base.accel = Accel::Soft;
    base.seed = Some(1);
    base.kernel.initramfs = vec!["/i".into()];
    base.tracing.file = Some("/t".into());
    base.devices = vec![
        DeviceConfig::new("gpu", 1).with("latency", 7),
        DeviceConfig::new("camera", 2).with("fps", 30),
        DeviceConfig::new("display", 3),
    ];
    std::fs::write(&path, config::print(&base).expect("UTF-8")).expect("written");
    let file = format!("--machine {}", path.display());
    assert_eq!(machine(&file), base);
    type Change = fn(&mut MachineConfig);
    let cases: &[(&str, Change)] = &[
        ("--memory 64M", |it| it.memory = Size(64 << 20)),
        ("--accel kvm", |it| it.accel = Accel::Kvm),
        ("--iommu off", |it| it.iommu = IommuKind::Off),
        ("--iommu intremap", |it| it.iommu = IommuKind::Intremap),
        ("--iommu virtio", |it| it.iommu = IommuKind::Virtio),
        ("--seed 2", |it| it.seed = Some(2)),
        ("--kernel other", |it| it.kernel.path = Some("other".into())),
        ("--initrd other", |it| it.kernel.initramfs = vec!["other".into()]),
        ("--initrd other --initrd two", |it| it.kernel.initramfs = vec!["other".into(), "two".into()]),
        ("--append quiet", |it| it.kernel.command_line = Some("quiet".into())),
        ("--trace other", |it| it.tracing.file = Some("other".into())),
        ("--trace-categories dma", |it| it.tracing.categories = "dma".parse().expect("right")),
        ("--trace-limit 1M", |it| it.tracing.limit = Size(1 << 20)),
        ("--gpu bytes-per-cycle=2", |it| it.devices[0] = it.devices[0].clone().with("bytes-per-cycle", 2)),
        ("--gpu latency=8", |it| it.devices[0] = it.devices[0].clone().with("latency", 8)),
        ("--camera fps=60", |it| it.devices[1] = it.devices[1].clone().with("fps", 60)),
        ("--display hz=50", |it| it.devices[2] = it.devices[2].clone().with("hz", 50)),
        ("--device camera,slot=2,fps=9", |it| it.devices[1] = it.devices[1].clone().with("fps", 9)),
        ("--device gpu,latency=3", |it| it.devices.push(DeviceConfig::new("gpu", 4).with("latency", 3))),
        ("--device gpu,slot=9", |it| it.devices.push(DeviceConfig::new("gpu", 9))),
    ];
    for (options, change) in cases {
        let mut expected = base.clone();
        change(&mut expected);
        assert_ne!(expected, base, "{options}");
        assert_eq!(machine(&format!("{file} {options}")), expected, "{options}");
    }
}

#[test]
fn devices_that_name_their_slot_come_before_those_that_do_not() {
    let devices = machine("--kernel k --device gpu --device gpu,slot=4").devices;
    assert_eq!(devices[3..], [DeviceConfig::new("gpu", 4), DeviceConfig::new("gpu", 5)]);
}

#[test]
fn a_slot_is_for_one_device() {
    for (line, names) in [
        ("--iommu virtio --device gpu,slot=31", ["--device gpu", "slot 31 is taken by the IOMMU"]),
        ("--device gpu,slot=2", ["--device gpu", "slot 2 is taken by the camera"]),
        ("--device gpu,slot=4 --device gpu,slot=4", ["--device gpu", "slot 4 is taken by the gpu"]),
    ] {
        let error = run(&format!("--kernel k {line}")).launch().expect_err(line).to_string();
        assert!(names.iter().all(|name| error.contains(name)), "{error}");
    }
    let full: String = (4..=31).map(|slot| format!(" --device gpu,slot={slot}")).collect();
    let error = run(&format!("--kernel k --device gpu {full}")).launch().expect_err("full").to_string();
    assert!(error.contains("all slots from 1 to 31 are taken"), "{error}");
}

#[test]
fn on_panic_plugs_its_device_once_and_only_then() {
    let slots = |line: &str| -> Vec<u8> {
        let machine = machine(line);
        machine.devices.iter().filter(|it| it.kind == "pvpanic").map(|it| it.slot).collect()
    };
    assert!(slots("--kernel k").is_empty());
    assert_eq!(slots("--kernel k --on-panic exit"), [4]);
    assert_eq!(slots("--kernel k --on-panic dump --device gpu"), [5]);
    assert_eq!(slots("--kernel k --on-panic dump --device pvpanic,slot=9"), [9]);
    let full = (4..32).map(|slot| format!(" --device gpu,slot={slot}")).collect::<String>();
    assert!(slots(&format!("--kernel k --on-panic exit{full}")).is_empty());
}
