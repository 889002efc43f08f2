use std::sync::atomic::AtomicI32;

use super::super::testing::put;
use super::*;

/// A cache with these kernels, each by its path in it.
fn cache(kernels: &[&str]) -> tempfile::TempDir {
    let cache = tempfile::tempdir().expect("a folder");
    for path in kernels {
        let root = cache.path().join(path);
        let (_, release) = path.split_once("kernel-").expect("a kernel");
        put(root.join(format!("boot/vmlinuz-{release}")), format!("Linux version {release} (builder)"));
        put(root.join(format!("lib/modules/{release}/modules.builtin")), "");
    }
    cache
}

/// The release and the image of what a name leads to, without any other program.
fn found(cache: &tempfile::TempDir, name: &str) -> Result<(String, PathBuf), String> {
    // A signal has come: whoever starts a program learns it.
    let signal = AtomicI32::new(2);
    let job = Job::new(&signal, &|_| ());
    let kernel = kernel_of(name, false, cache.path(), &job).map_err(|error| error.to_string())?;
    assert_eq!(kernel.modules.file_name().expect("a name").to_string_lossy(), kernel.release);
    Ok((kernel.release, kernel.image))
}

#[test]
fn a_version_is_the_newest_kernel_of_its_flavour() {
    let cache = cache(&[
        "kernel-6.1.0-9-amd64",
        "root/kernel-6.1.0-10-amd64",
        "kernel-6.1.0-11-cloud-amd64",
        "kernel-6.1.0-12-rt-amd64",
        "kernel-6.12.9+deb12-amd64",
        "root/kernel-6.12.10+deb12-amd64",
        "kernel-6.19.1-arm64",
    ]);
    for (name, release) in [
        ("6.1", "6.1.0-10-amd64"),
        ("6.12", "6.12.10+deb12-amd64"),
        ("6.12.9", "6.12.9+deb12-amd64"),
        ("6.1-cloud", "6.1.0-11-cloud-amd64"),
        ("6.1.0-9-amd64", "6.1.0-9-amd64"),
        ("linux-image-6.12-amd64", "6.12.10+deb12-amd64"),
        ("linux-image-6.1.0-9-amd64", "6.1.0-9-amd64"),
        ("linux-image-6.1-rt-amd64", "6.1.0-12-rt-amd64"),
    ] {
        let (found, image) = found(&cache, name).expect(name);
        assert_eq!(found, release, "{name}");
        assert!(image.ends_with(format!("kernel-{release}/boot/vmlinuz-{release}")), "{name}");
    }
    for name in ["6.11", "6.1.0-1", "6.19", "linux-image-6.1.0-9-cloud-amd64", "linux-image-amd64"] {
        let line = found(&cache, name).expect_err(name);
        assert!(line.contains("stopped by a signal") || line.contains("apt-config"), "{name}: {line}");
    }
}

#[test]
fn a_kernel_that_is_not_whole_is_not_taken() {
    let cache = cache(&["kernel-6.12.9-amd64", "kernel-6.12.10-amd64"]);
    fs::remove_file(cache.path().join("kernel-6.12.10-amd64/boot/vmlinuz-6.12.10-amd64")).expect("there");
    assert_eq!(found(&cache, "6.12").expect("the other").0, "6.12.9-amd64");
}

#[test]
fn a_package_without_a_version_is_what_it_was_fetched_as() {
    let cache = cache(&["root/kernel-6.1.0-9-amd64"]);
    let root = cache.path().join("root");
    boot::link(&root.join("kernel-6.1.0-9-amd64"), &root.join(NAMES).join("linux-image-amd64"))
        .expect("a link");
    assert_eq!(found(&cache, "linux-image-amd64").expect("fetched").0, "6.1.0-9-amd64");
}

#[test]
fn a_path_is_a_kernel_with_the_modules_beside_it() {
    let cache = cache(&["kernel-6.5.0-1-amd64"]);
    let image = cache.path().join("kernel-6.5.0-1-amd64/boot/vmlinuz-6.5.0-1-amd64");
    let (release, found_image) = found(&cache, &image.to_string_lossy()).expect("a kernel");
    assert_eq!((release.as_str(), found_image), ("6.5.0-1-amd64", image));
    let line = found(&cache, "/nowhere/vmlinuz").expect_err("nothing");
    assert!(
        line.starts_with("kernel /nowhere/vmlinuz: No such file") && line.contains("such as 6.12"),
        "{line}"
    );
    let line = found(&cache, "vmlinux").expect_err("nothing");
    assert!(line.starts_with("kernel vmlinux: No such file"), "{line}");
    let text = put(cache.path().join("text"), "hello");
    let line = found(&cache, &text.to_string_lossy()).expect_err("no kernel");
    assert!(line.starts_with("kernel image ") && line.contains("does not say its release"), "{line}");
}

#[test]
fn the_debug_kernel_is_built_and_never_fetched() {
    let cache = tempfile::tempdir().expect("a folder");
    let error = found(&cache, "debug").expect_err("it is not there");
    assert!(error.contains("ci/kernel --debug"), "{error}");
}

#[test]
fn names_are_read_as_debian_writes_them() {
    let wanted = |text: &str| Wanted::parse(text).map(|wanted| (wanted.version, wanted.flavour));
    let is = |version: &str, flavour: &str| Some((version.to_string(), flavour.to_string()));
    assert_eq!(wanted("6.12"), is("6.12", "amd64"));
    assert_eq!(wanted("6.1.0-56-cloud-amd64"), is("6.1.0-56", "cloud-amd64"));
    assert_eq!(wanted("6.12.117+deb12-rt-amd64"), is("6.12.117+deb12", "rt-amd64"));
    assert_eq!(["amd64", "vmlinuz", "6", "6.1-a/b", "6.1*", ""].map(wanted), [const { None }; 6]);
}
