use super::super::testing::{RELEASE, kernel, module, put};
use super::*;

/// The order of modules, by name with their information; the kernel has `drm`, and `virtio` in itself.
fn ordered(modules: &[(&str, &str)]) -> Result<Vec<String>, String> {
    let folder = tempfile::tempdir().expect("a folder");
    let kernel = kernel(
        folder.path(),
        &[("kernel/drm.ko", module("depends=", &[], &[]))],
        "kernel/drivers/virtio/virtio.ko\n",
    );
    let files: Vec<PathBuf> = modules
        .iter()
        .map(|(name, information)| {
            put(folder.path().join(format!("{name}.ko")), module(information, &[], &[]))
        })
        .collect();
    let order = order(&files, &kernel).map_err(|error| error.to_string())?;
    Ok(order.iter().map(|path| name_of(&path.to_string_lossy())).collect())
}

#[test]
fn what_is_needed_or_wished_for_comes_first() {
    let modules = [
        ("display", "depends=drm,gpu"),
        ("camera", "depends=virtio;softdep=pre: light"),
        ("gpu", "depends=shared-code"),
        ("shared-code", "depends="),
        ("light", "depends="),
    ];
    // By hand: the first one that can be loaded, again and again.
    assert_eq!(ordered(&modules).expect("an order"), ["shared_code", "gpu", "display", "light", "camera"]);
}

#[test]
fn a_wish_that_cannot_be_met_is_none() {
    let modules = [("a", "depends=;softdep=pre: b nowhere"), ("b", "depends=a;softdep=pre: b")];
    assert_eq!(ordered(&modules).expect("an order"), ["a", "b"]);
}

#[test]
fn modules_that_need_each_other_are_named() {
    let modules = [
        ("x", "depends=a"),
        ("a", "depends=b"),
        ("b", "depends=c,a1"),
        ("a1", "depends="),
        ("c", "depends=a"),
    ];
    let line = ordered(&modules).expect_err("a circle");
    assert!(line.contains("a -> b -> c -> a:"), "{line}");
    let line = ordered(&[("one", "depends=one")]).expect_err("a circle");
    assert!(line.contains("one -> one:"), "{line}");
}

#[test]
fn what_is_nowhere_is_named_with_who_needs_it() {
    let line = ordered(&[("mine", "depends=drm,v4l2-core")]).expect_err("missing");
    assert!(line.contains("mine.ko: it needs the module v4l2_core") && line.contains(RELEASE), "{line}");
    assert!(line.ends_with("name the file of that one too"), "{line}");
}

#[test]
fn a_module_for_another_kernel_is_refused() {
    let fits = format!("depends=;vermagic={RELEASE} SMP");
    assert_eq!(ordered(&[("mine", &fits)]).expect("fits"), ["mine"]);
    let line = ordered(&[("mine", "depends=;vermagic=5.10.0 SMP")]).expect_err("another kernel");
    assert!(line.contains("for kernel 5.10.0") && line.contains(RELEASE), "{line}");
}

#[test]
fn two_files_with_one_module_are_refused() {
    let line = ordered(&[("a-b", "depends="), ("a_b", "depends=")]).expect_err("twice");
    assert!(line.contains("a-b.ko") && line.contains("a_b.ko") && line.contains("both are a_b"), "{line}");
}
