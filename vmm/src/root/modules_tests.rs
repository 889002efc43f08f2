use super::*;

/// A folder with modules: each name with the text of its section of information.
fn folder(modules: &[(&str, &str)], builtin: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir_all(folder.path().join("kernel/deep/er")).expect("made");
    for (name, information) in modules {
        let text = format!("\x7fELF\0{}\0", information.replace(';', "\0"));
        std::fs::write(folder.path().join(format!("kernel/deep/er/{name}.ko")), text).expect("written");
    }
    std::fs::write(folder.path().join("modules.builtin"), builtin).expect("written");
    folder
}

fn order(folder: &tempfile::TempDir, wanted: &[&str]) -> Result<Vec<String>, String> {
    let modules = Modules::open(folder.path()).expect("a folder of modules");
    let closure = modules.closure(wanted).map_err(|error| error.to_string())?;
    Ok(closure.into_iter().map(|module| module.name).collect())
}

#[test]
fn what_is_needed_comes_first_and_once() {
    let folder = folder(
        &[
            ("erofs", "license=GPL;depends=libcrc32c,other-one"),
            ("libcrc32c", "softdep=pre: crc32c post: never;depends="),
            ("crc32c_generic", "depends="),
            ("other-one", "depends=virtio"),
            ("ring", "depends=ring"),
            ("never", "depends="),
        ],
        "kernel/drivers/virtio/virtio.ko\n",
    );
    let all = ["crc32c_generic", "libcrc32c", "other_one", "erofs", "ring"];
    assert_eq!(order(&folder, &["virtio", "erofs", "ring", "erofs"]).expect("all there"), all);
    let missing = order(&folder, &["virtio_blk"]).expect_err("not there");
    assert!(missing.contains("virtio_blk") && missing.contains("no module"), "{missing}");
}

/// As crypto_algapi wishes for cryptomgr, which needs it, and more that need it.
#[test]
fn what_is_wished_for_and_needs_the_one_that_wishes_comes_behind_it() {
    let folder = folder(
        &[
            ("last", "depends=user"),
            ("user", "depends=api"),
            ("api", "softdep=pre: manager;depends="),
            ("manager", "depends=cipher"),
            ("cipher", "depends=api"),
        ],
        "",
    );
    // And before those that may want it at once.
    let all = ["api", "cipher", "manager", "user", "last"];
    assert_eq!(order(&folder, &["last"]).expect("all there"), all);
    assert_eq!(
        order(&folder, &["manager", "last"]).expect("all there"),
        ["api", "cipher", "manager", "user", "last"]
    );
}

#[test]
fn packed_modules_are_read_and_damaged_ones_refused() {
    let folder = folder(&[("plain", "depends=zipped"), ("below", "depends=")], "");
    let zipped = folder.path().join("kernel/zipped.ko.gz");
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, b"\0depends=below\0").expect("in memory");
    std::fs::write(&zipped, encoder.finish().expect("in memory")).expect("written");
    assert_eq!(order(&folder, &["plain"]).expect("whole"), ["below", "zipped", "plain"]);
    for broken in [&b"\xfd7zXZ\0broken"[..], b"\x28\xb5\x2f\xfdbroken", b"\x1f\x8bbroken"] {
        std::fs::write(&zipped, broken).expect("written");
        let error = order(&folder, &["plain"]).expect_err("damaged");
        assert!(error.contains("zipped.ko.gz"), "{error}");
    }
}
