use std::path::PathBuf;

use super::super::facts::*;
use super::*;

fn capability(name: &'static str, there: bool, needed: bool) -> Capability {
    Capability { name, there, needed }
}

fn opens(kernel_mode: Speed, irqchip: bool) -> Device {
    let capabilities = vec![capability("irqchip", irqchip, true), capability("TSC scaling", false, false)];
    Device::Opens { kernel_mode, capabilities }
}

fn kernel(lacks: Vec<&'static str>) -> Kernel {
    let folder = Some(PathBuf::from("/c/kernel-6"));
    Kernel { name: "kernel", fetch: "ci/kernel", folder, version: "6.12".into(), lacks }
}

/// A host without a fault, but for its `/dev/kvm`.
fn host(kvm: Device) -> Facts {
    let kernels = vec![kernel(vec![])];
    Facts { kvm, kvm_module: Some("kvm_amd"), cache: "/c".into(), kernels, missing_tools: vec![] }
}

fn fixes(facts: &Facts) -> Vec<String> {
    Report::of(facts).checks.into_iter().filter_map(|check| check.fix).collect()
}

#[test]
fn the_class_follows_the_measured_speed_from_the_limit_that_auto_has() {
    for (mips, class, status) in
        [(KVM_WORTH_MIPS, Class::Native, 0), (KVM_WORTH_MIPS - 0.1, Class::Slow, 10), (0.5, Class::Slow, 10)]
    {
        let report = Report::of(&host(opens(Speed::Mips(mips), true)));
        assert_eq!((report.class, report.class.status()), (class, status), "{mips}");
        let faults = report.checks.iter().filter(|check| !check.ok).count();
        assert_eq!(faults, usize::from(class == Class::Slow));
    }
}

#[test]
fn a_kvm_that_cannot_run_a_guest_is_none_and_has_its_own_fix() {
    let refused = |group: Option<&str>| Device::Refused { group: group.map(Into::into) };
    for (device, fix) in [
        (Device::Absent, "sudo modprobe kvm_amd"),
        (Device::Broken { why: "No such device".into() }, "sudo modprobe kvm_amd"),
        (refused(Some("kvm")), "sudo usermod -aG kvm \"$USER\""),
        (refused(None), "sudo chown \"$USER\" /dev/kvm"),
        (opens(Speed::Failed("no".into()), true), "no command: KVM runs nothing"),
        (opens(Speed::Mips(5000.0), false), "no command: needs a host with a newer KVM"),
    ] {
        let facts = host(device);
        assert_eq!(Report::of(&facts).class.status(), 11, "{facts:?}");
        let fixes = fixes(&facts);
        assert!(fixes.len() == 1 && fixes[0].starts_with(fix), "{fixes:?} is not {fix}");
    }
    let without = Facts { kvm_module: None, ..host(Device::Absent) };
    assert!(fixes(&without)[0].contains("firmware"));
}

#[test]
fn missing_build_inputs_have_their_fixes_and_leave_the_class_alone() {
    let native = host(opens(Speed::Mips(5000.0), true));
    let absent = Kernel { folder: None, ..kernel(vec![]) };
    let again = "rm -r '/c/kernel-6' && ci/kernel";
    for (facts, expected) in [
        (native.clone(), &[][..]),
        (Facts { kernels: vec![absent.clone()], ..native.clone() }, &["ci/kernel", "ci/kernel"]),
        (Facts { kernels: vec![kernel(vec!["vmlinuz"])], ..native.clone() }, &[again, again]),
        (Facts { kernels: vec![absent, kernel(vec![])], ..native.clone() }, &["ci/kernel"]),
        (Facts { missing_tools: vec!["gcc-12"], ..native }, &["ci/setup"]),
    ] {
        assert_eq!(fixes(&facts), expected);
        assert_eq!(Report::of(&facts).class, Class::Native);
    }
}

#[test]
fn text_and_json_say_the_same_and_the_text_fits_a_screen() {
    let facts = host(opens(Speed::Mips(0.5), true));
    let report = Report::of(&facts);
    let lines = report.lines();
    let json: serde_json::Value = serde_json::from_str(&report.json(&facts)).expect("valid");
    assert_eq!((&json["class"], &json["status"]), (&"slow".into(), &10.into()));
    assert_eq!(json["facts"]["kvm"]["kernel_mode"]["mips"], 0.5);
    let checks = json["checks"].as_array().expect("a list");
    assert_eq!(lines.len(), checks.len() + 1 + 1, "a line each, one fix, the verdict");
    for check in checks {
        let found = check["found"].as_str().expect("text");
        assert!(lines.iter().any(|line| line.ends_with(found)), "{found}");
    }
    assert!(
        lines.last().is_some_and(|line| line.starts_with("slow: ") && line.ends_with("(exit status 10)"))
    );
    assert!(lines.iter().any(|line| line.contains("irqchip; not TSC scaling (not needed)")), "{lines:?}");
}

#[test]
fn a_long_finding_is_broken_between_words() {
    let text = "TSC deadline, ".repeat(20);
    let lines = wrapped(text.trim());
    assert!(lines.len() > 1 && lines.iter().all(|line| line.len() <= 79), "{lines:?}");
    assert_eq!(lines.join(" "), text.trim());
}
