//! What is written reads back; what is wrong is refused with its line and the fix.

use std::path::Path;

use super::*;
use crate::error::HostError;

fn example() -> MachineConfig {
    MachineConfig {
        faults: vec!["gpu:hang,after=3".parse().expect("a fault")],
        memory: Size(1 << 30),
        cpus: 1,
        cpu: Model::V2,
        accel: Accel::Soft,
        iommu: IommuKind::Off,
        seed: Some(u64::MAX),
        date: Some("2026-07-01T12:00:00Z".parse().expect("a date")),
        serial: ["pty", "file:/l/a.log", "unix:/l/s"].map(|end| end.parse().expect("an end")).to_vec(),
        kernel: KernelConfig {
            path: Some("/k/vmlinuz".into()),
            initramfs: vec!["/k/initrd \"1\"".into(), "/k/2".into()],
            command_line: Some("console=ttyS0 a=\"b c\" \\ ü".into()),
        },
        tracing: TracingConfig {
            file: Some("/t/run.fptrace".into()),
            categories: "dma,engine".parse().expect("right"),
            limit: Size((128 << 10) + 1),
        },
        devices: vec![
            DeviceConfig::new("camera", 31).with("source", "/p/a,b.y4m").with("fps", 30),
            DeviceConfig::new("gpu", 1),
        ],
    }
}

#[test]
fn a_machine_that_is_printed_reads_back_as_the_same_machine() {
    let small_seed = MachineConfig { seed: Some(5), ..example() };
    let no_devices = MachineConfig { devices: Vec::new(), ..example() };
    let boot = MachineConfig::boot("/k");
    let virtio = MachineConfig { iommu: IommuKind::Virtio, devices: Vec::new(), ..example() };
    for machine in [MachineConfig::default(), boot, example(), small_seed, no_devices, virtio] {
        let text = print(&machine).expect("UTF-8");
        assert_eq!(parse(&text), Ok(machine), "{text}");
    }
}

#[test]
fn a_machine_in_a_snapshot_reads_back_as_the_same_machine() {
    let text = serde_json::to_string(&example()).expect("encodable");
    assert_eq!(serde_json::from_str::<MachineConfig>(&text).expect("decodable"), example());
}

#[test]
fn names_of_files_are_from_the_folder_of_the_machines_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("machine.toml");
    let text = "[kernel]\npath = 'vmlinuz'\ninitramfs = '/abs'\n[tracing]\nfile = 'out'\n\
                [[devices]]\nkind = 'camera'\nslot = 2\nparameters = { source = 'a.y4m' }\n";
    std::fs::write(&path, text).expect("written");
    let machine = read(&path).expect("right");
    let inside = |name: &str| Some(folder.path().join(name));
    assert_eq!(machine.kernel.path, inside("vmlinuz"));
    assert_eq!(machine.kernel.initramfs, [Path::new("/abs")]);
    assert_eq!(machine.tracing.file, inside("out"));
    assert_eq!(machine.devices[0].files(), [(folder.path().join("a.y4m").as_path(), false)]);
    assert_eq!(machine.kernel.command_line, None);
}

#[test]
fn what_is_wrong_is_named_with_its_line_and_the_fix() {
    let device = |text: &str| format!("\n[[devices]]\n{text}");
    let in_camera = |text: &str| device(&format!("kind = 'camera'\nslot = 2\n[devices.parameters]\n{text}"));
    let cases: &[(&str, usize, &[&str])] = &[
        ("\nmemry = '1G'", 2, &["'memry'", "memory, cpus, cpu, accel", "did you mean memory?"]),
        ("memory = 256", 1, &["256", "\"256M\""]),
        ("memory = 'lots'", 1, &["lots", "\"256M\""]),
        ("memory = '1M'", 1, &["at least 16M"]),
        ("memory = '1T'", 1, &["at most 64G"]),
        ("cpus = 65", 1, &["cpus = 65", "from 1 to 64"]),
        ("cpus = -1", 1, &["-1", "whole number"]),
        ("accel = 'sofd'", 1, &["'sofd'", "auto, kvm, soft", "did you mean soft?"]),
        ("\n\niommu = 'on'", 3, &["true or false", "\"virtio\""]),
        ("iommu = 'virtio'\n[[devices]]\nkind = 'gpu'\nslot = 31", 4, &["slot 31 is taken by the IOMMU"]),
        ("seed = -1", 1, &["whole number from 0 to 18446744073709551615"]),
        ("seed = '1.5'", 1, &["'1.5'", "whole number"]),
        ("seed = 1\nseed = 2", 2, &["duplicate key"]),
        ("kernel = 'vmlinuz'", 1, &["vmlinuz", "expected"]),
        ("[kernel]\npth = 'a'", 2, &["'pth'", "path, initramfs, command-line", "did you mean path?"]),
        ("[kernel]\npath = 7", 2, &["7", "path"]),
        ("[tracing]\ncategories = 'dmaa'", 2, &["dmaa", "iotlb"]),
        ("[tracing]\nlimit = '1K'", 2, &["at least 128K"]),
        ("[tracing", 1, &["]"]),
        ("memory", 1, &["="]),
        ("devices = 3", 1, &["3"]),
        (&device("slot = 3"), 2, &["lacks 'kind'"]),
        (&device("kind = 'gpu'"), 2, &["lacks 'slot'"]),
        (&device("slot = 3\nkind = 'gup'"), 4, &["'gup'", "did you mean gpu?"]),
        (&device("kind = 'gpu'\nslot = 0"), 4, &["slot=0", "1 to 31"]),
        (&device("kind = 'gpu'\nslot = 300"), 4, &["300", "whole number"]),
        (
            &device("kind = 'gpu'\nslot = 1\n[[devices]]\nkind = 'gpu'\nslot = 1"),
            7,
            &["slot 1 is taken by the gpu"],
        ),
        (&device("kind = 'gpu'\nslot = 1\nlatency = 5"), 5, &["'latency'", "kind, slot, parameters"]),
        (&in_camera("width = 17"), 6, &["camera", "width=17", "even number from 16 to 4096"]),
        (&in_camera("fps = 30\nwidht = 640"), 7, &["'widht'", "did you mean width?"]),
        (&in_camera("fps = '30'"), 6, &["fps=30", "whole number from 1 to 240"]),
        (&in_camera("fps = true"), 6, &["true", "whole number from 0 or a text"]),
        (&in_camera("fps = -1"), 6, &["-1", "whole number from 0"]),
    ];
    for (text, line, names) in cases {
        let refused = parse(text).expect_err(text);
        assert_eq!(refused.line, Some(*line), "{text}: {}", refused.why);
        for name in *names {
            assert!(refused.why.contains(name), "{text}: {name:?} is not in: {}", refused.why);
        }
        assert!(!refused.why.contains('\n') && !refused.why.contains('`'), "{text}: {}", refused.why);
    }
}

#[test]
fn a_file_that_is_no_text_is_refused_by_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("empty"), "").expect("written");
    std::fs::write(path("binary"), [0xff, 0xfe, 0]).expect("written");
    std::fs::File::create(path("huge")).and_then(|file| file.set_len(1 << 40)).expect("sparse");
    for (name, why) in [
        ("empty", "is empty"),
        ("binary", "not UTF-8"),
        ("huge", "more than 1 MiB"),
        ("gone", "No such file"),
        ("", "is a folder"),
    ] {
        let error = read(&path(name)).expect_err(name);
        assert!(matches!(error, HostError::Input(_)), "{error}");
        let error = error.to_string();
        assert!(error.starts_with("--machine ") && error.contains(why) && !error.contains('\n'), "{error}");
    }
}

#[test]
fn a_machine_of_a_programs_own_is_checked_too() {
    assert_eq!(MachineConfig::default().check(), Ok(()));
    let wrong = [
        MachineConfig { memory: Size(1), ..example() },
        MachineConfig { cpus: 0, ..example() },
        MachineConfig { devices: vec![DeviceConfig::new("disk", 1)], ..example() },
        MachineConfig { devices: vec![DeviceConfig::new("gpu", 32)], ..example() },
        MachineConfig { devices: vec![DeviceConfig::new("gpu", 1).with("speed", 1)], ..example() },
    ];
    for machine in wrong {
        assert!(machine.check().is_err(), "{machine:?}");
    }
}
