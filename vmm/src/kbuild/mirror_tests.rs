use super::super::testing::put;
use super::*;

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Place {
        let place = Place { folder: tempfile::tempdir().expect("a folder") };
        place.put("src/driver/Kbuild", "obj-m := one.o\n");
        place.put("src/driver/one.c", "#include \"sub/one.h\"\n");
        place.put("src/driver/sub/one.h", "");
        place
    }

    fn put(&self, path: &str, text: &str) -> PathBuf {
        put(self.folder.path().join(path), text)
    }

    fn mirror(&self) -> io::Result<PathBuf> {
        mirror(&self.folder.path().join("src/driver"), &self.folder.path().join("work"))
    }

    fn copy(&self) -> PathBuf {
        self.mirror().expect("a copy")
    }

    /// Everything below a folder, with what is in it.
    fn files(&self, below: &str) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = Files::new();
        let from = self.folder.path().join(below);
        find(&from, Path::new(""), MOST_DEPTH, &mut files).expect("readable");
        files.into_keys().map(|path| (path.clone(), fs::read(from.join(path)).expect("there"))).collect()
    }
}

#[test]
fn what_changed_is_copied_as_changed_now_and_the_rest_stays() {
    let place = Place::new();
    let copy = place.copy();
    assert_eq!(place.files("src/driver"), place.files("work/tree/driver"));
    let time = |name: &str| fs::metadata(copy.join(name)).expect(name).modified().expect("a time");
    let (kbuild, one) = (time("Kbuild"), time("one.c"));
    let object = put(copy.join("one.o"), "made");
    // An old file, as an archive brings it.
    let changed = place.put("src/driver/one.c", "other\n");
    let old = fs::File::options().write(true).open(&changed).expect("there");
    old.set_modified(std::time::UNIX_EPOCH).expect("ours");
    assert_eq!(place.copy(), copy);
    assert_eq!(fs::read(copy.join("one.c")).expect("there"), b"other\n");
    assert!(time("one.c") >= one && time("Kbuild") == kbuild && object.is_file());
}

#[test]
fn what_was_made_of_a_file_goes_with_it() {
    let place = Place::new();
    let object = put(place.copy().join("one.o"), "made");
    fs::remove_file(place.folder.path().join("src/driver/one.c")).expect("there");
    place.copy();
    assert!(!object.exists());
    assert_eq!(place.files("src/driver"), place.files("work/tree/driver"));
}

#[test]
fn what_a_build_left_is_not_copied() {
    let place = Place::new();
    for made in ["one.ko", ".one.ko.cmd", "one.mod.c", "modules.order", ".modules.order.cmd", ".git/config"] {
        place.put(&format!("src/driver/{made}"), "made");
    }
    place.put("src/driver/firmware.o", "a user's own");
    place.copy();
    let copied: Vec<PathBuf> = place.files("work/tree/driver").into_keys().collect();
    assert_eq!(copied, ["Kbuild", "firmware.o", "one.c", "sub/one.h"].map(PathBuf::from));
}

#[test]
fn what_sources_name_beside_them_is_there_as_links_to_files() {
    let place = Place::new();
    place.put("src/driver/Kbuild", "ccflags-y := -I$(src)/../include\nobj-m := one.o\n");
    place.put("src/driver/one.c", "#include \"../shared.h\"\n#include \"../../far.h\"\n");
    place.put("src/include/deep/regs.h", "first");
    place.put("src/include/made.o", "made");
    place.put("src/include/.made.o.cmd", "");
    place.put("src/shared.h", "");
    place.put("src/unnamed.h", "");
    let copy = place.copy();
    let read = |path: &str| fs::read_to_string(copy.join(path)).ok();
    assert_eq!(read("../include/deep/regs.h").as_deref(), Some("first"));
    assert_eq!(read("../shared.h").as_deref(), Some(""));
    assert_eq!((read("../unnamed.h"), read("../include/made.o")), (None, None));
    // A folder of links would have a build write through it.
    assert!(!fs::symlink_metadata(copy.join("../include/deep")).expect("there").is_symlink());
    place.put("src/include/deep/regs.h", "second");
    fs::remove_file(place.folder.path().join("src/shared.h")).expect("there");
    place.copy();
    assert_eq!(read("../include/deep/regs.h").as_deref(), Some("second"));
    assert_eq!(read("../shared.h"), None);
}

#[test]
fn a_folder_without_end_is_refused() {
    let place = Place::new();
    std::os::unix::fs::symlink(".", place.folder.path().join("src/driver/again")).expect("a link");
    let error = place.mirror().expect_err("no end").to_string();
    assert!(error.contains("24 folders in each other"), "{error}");
}
