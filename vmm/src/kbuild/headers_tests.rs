use super::super::testing::{RELEASE, kernel, put};
use super::*;
use crate::root::tree::Attributes;

/// A folder of headers at `path`, as far as it is looked at.
fn place(path: &Path) {
    for name in ["Makefile", "scripts/Makefile.build", "include/generated/autoconf.h"] {
        put(path.join(name), "");
    }
}

#[test]
fn headers_are_those_of_the_kernels_own_build_or_of_the_cache() {
    let folder = tempfile::tempdir().expect("a folder");
    let cache = fs::canonicalize(folder.path()).expect("a folder").join("cache");
    let kernel = kernel(&folder.path().join("root"), &[], "");
    // As in Debian's package: it leads to where headers would be installed.
    std::os::unix::fs::symlink("/nowhere/headers", kernel.modules.join("build")).expect("a link");
    assert_eq!(kept(&kernel, &cache), None);
    let inside = format!("usr/src/linux-headers-{RELEASE}");
    for root in [format!("root/headers-{RELEASE}"), format!("kernel-{RELEASE}")] {
        let path = cache.join(root).join(&inside);
        place(&path);
        assert_eq!(kept(&kernel, &cache), Some(path.clone()));
        fs::remove_file(path.join("scripts/Makefile.build")).expect("there");
        assert_eq!(kept(&kernel, &cache), None, "it is not whole");
    }
    let own = fs::canonicalize(folder.path()).expect("a folder").join("linux");
    place(&own);
    fs::remove_file(kernel.modules.join("build")).expect("there");
    std::os::unix::fs::symlink(&own, kernel.modules.join("build")).expect("a link");
    assert_eq!(kept(&kernel, &cache), Some(own));
}

#[test]
fn the_makefile_finds_the_other_package_beside_its_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut tree, mut spool) = (Tree::new(0), Spool::new(folder.path()).expect("a spool"));
    // What Debian's has in it.
    let text = "include /usr/src/linux-headers-6.12.3-common/Makefile\n";
    let path = format!("/usr/src/linux-headers-{RELEASE}/Makefile");
    let content = spool.keep_bytes(text.as_bytes()).expect("kept");
    tree.file(path.as_bytes(), Kind::File(content), Attributes::of_root(0o644, 5)).expect("put");
    relocate(&mut tree, &mut spool, RELEASE).expect("relocated");
    let node = tree.node(tree.find(path.as_bytes(), false).expect("there")).clone();
    let Kind::File(content) = node.kind else { panic!("a file") };
    let text = spool.bytes(content).expect("kept");
    // What it includes is found by make, wherever the two are.
    put(folder.path().join(format!("linux-headers-{RELEASE}/Makefile")), text);
    put(folder.path().join("linux-headers-6.12.3-common/Makefile"), "all:\n\t@echo found\n");
    let made = std::process::Command::new("make")
        .args(["-s", "-C"])
        .arg(folder.path().join(format!("linux-headers-{RELEASE}")))
        .output()
        .expect("make runs");
    assert_eq!(String::from_utf8_lossy(&made.stdout).trim(), "found");
    assert!(relocate(&mut tree, &mut spool, "6.13.0").expect_err("no such release").contains("6.13.0"));
}
