//! A virtio file system with a directory of the host's behind it that the guest may write.
#![no_main]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use fencepost::devices::HostFiles;
use fencepost_fuzz::device::Model;
use libfuzzer_sys::fuzz_target;

static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let memory = Path::new("/dev/shm");
    let place = if memory.is_dir() { memory.to_path_buf() } else { std::env::temp_dir() };
    place.join(format!("fencepost-fuzz-{}", std::process::id()))
});
const SECRET: &str = "not the guest's";

fuzz_target!(|data: &[u8]| {
    let (shared, outside) = (FOLDER.join("shared"), FOLDER.join("outside"));
    // What one that was ended has left.
    let _ = fs::remove_dir_all(&*FOLDER);
    fs::create_dir_all(shared.join("a/b")).expect("made");
    fs::create_dir(&outside).expect("made");
    fs::write(outside.join("file"), SECRET).expect("written");
    fs::write(shared.join("file"), "some bytes").expect("written");
    std::os::unix::fs::symlink("../outside", shared.join("link")).expect("made");
    let parameters = format!("dir={},access=rw", shared.display());
    Model::with_host("virtio-fs", &parameters, || Box::<HostFiles>::default()).run_once(data);
    // Whatever the guest asked for, it has reached nothing beside its directory.
    let there: Vec<_> =
        fs::read_dir(&outside).expect("it is there").flatten().map(|it| it.file_name()).collect();
    assert_eq!(there, ["file"]);
    assert_eq!(fs::read_to_string(outside.join("file")).expect("it is there"), SECRET);
    fs::remove_dir_all(&*FOLDER).expect("removed");
});
