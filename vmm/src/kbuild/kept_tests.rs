use std::cell::RefCell;
use std::time::{Duration, SystemTime};

use super::super::testing::{kernel, module, put};
use super::*;
use crate::in_use::Holds;

/// A kernel of two modules, a cache, and what was told to the user.
struct Place {
    folder: tempfile::TempDir,
    kernel: KernelTree,
    told: RefCell<Vec<String>>,
}

impl Place {
    fn new() -> Place {
        let folder = tempfile::tempdir().expect("a folder");
        let modules = [
            ("kernel/low.ko", module("alias=old", &["low_call"], &[])),
            ("kernel/high.ko", module("", &[], &["low_call"])),
        ];
        let kernel = kernel(&folder.path().join("root"), &modules, "kernel/inside.ko\n");
        Place { folder, kernel, told: RefCell::default() }
    }

    fn index(&self, extra: &[PathBuf]) -> Result<PathBuf, String> {
        let signal = AtomicI32::new(0);
        let tell = |text: &str| self.told.borrow_mut().push(text.to_string());
        let job = Job::new(&signal, &tell);
        let cache = self.folder.path().join("cache");
        index_with(&self.kernel, extra, &cache, &job).map_err(|error| error.to_string())
    }

    fn extra(&self, name: &str, bytes: Vec<u8>) -> PathBuf {
        put(self.folder.path().join(name), bytes)
    }

    fn reads(&self) -> usize {
        self.told.borrow().iter().filter(|line| line.contains("reading the 2 modules")).count()
    }
}

fn text(folder: &Path, name: &str) -> String {
    fs::read_to_string(folder.join(name)).expect(name)
}

#[test]
fn modules_are_read_once_and_again_when_one_changed() {
    let place = Place::new();
    let first = place.index(&[]).expect("an index");
    assert!(text(&first, "modules.dep").contains("kernel/high.ko: kernel/low.ko\n"));
    assert_eq!(text(&first, "modules.builtin"), "kernel/inside.ko\n");
    assert_eq!((place.index(&[]).expect("kept"), place.reads()), (first.clone(), 1));
    put(place.kernel.modules.join("kernel/high.ko"), module("alias=changed", &[], &["low_call", "x"]));
    let second = place.index(&[]).expect("an index");
    assert_eq!(place.reads(), 2);
    assert!(text(&second, "modules.alias").contains("alias changed high") && second != first);
}

#[test]
fn extra_modules_are_copied_and_indexed_without_reading_the_others() {
    let place = Place::new();
    let base = place.index(&[]).expect("an index");
    let low = place.extra("build/low.ko", module("alias=new", &["low_call", "more"], &[]));
    let mine = place.extra("build/mine.ko", module("", &[], &["more"]));
    let both = place.index(&[mine.clone(), low.clone()]).expect("an index");
    assert_eq!(place.reads(), 1);
    let dep = text(&both, "modules.dep");
    for line in ["updates/mine.ko: updates/low.ko\n", "kernel/high.ko: updates/low.ko\n", "updates/low.ko:\n"]
    {
        assert!(dep.contains(line), "{line} of {dep}");
    }
    assert!(!dep.contains("kernel/low.ko") && !text(&both, "modules.alias").contains("old"));
    assert_eq!(fs::read(both.join("updates/mine.ko")).expect("copied"), fs::read(&mine).expect("there"));
    assert!(text(&base, "modules.dep").contains("kernel/low.ko"), "the kernel's own is left as it was");
    assert_eq!(place.index(&[mine.clone(), low.clone()]).expect("kept"), both);
    // Another build of it is another index.
    fs::write(&low, module("alias=newer", &["low_call", "more"], &[])).expect("written");
    let newer = place.index(&[mine, low]).expect("an index");
    assert!(newer != both && text(&newer, "modules.alias").contains("alias newer low"));
}

#[test]
fn damage_is_told_with_the_file() {
    let place = Place::new();
    let twice =
        [place.extra("a/mine.ko", module("", &[], &[])), place.extra("b/mine.ko", module("", &[], &[]))];
    assert!(place.index(&twice).expect_err("one name").contains("both are mine"));
    put(place.kernel.modules.join("kernel/low.ko"), "text");
    let line = place.index(&[]).expect_err("no module");
    assert!(line.contains("kernel/low.ko: it is no module"), "{line}");
    fs::remove_dir_all(place.kernel.modules.join("kernel")).expect("removed");
    let line = place.index(&[]).expect_err("no folder");
    assert!(line.contains("No such file"), "{line}");
}

#[test]
fn a_damaged_entry_is_made_anew() {
    let place = Place::new();
    let folder = place.index(&[]).expect("an index");
    fs::write(folder.join(CATALOGUE), [0xff; 3]).expect("damaged");
    fs::remove_file(folder.join("modules.dep")).expect("damaged");
    assert_eq!(place.index(&[]).expect("an index"), folder);
    assert!(text(&folder, "modules.dep").contains("kernel/high.ko"));
}

#[test]
fn the_oldest_unused_indexes_go() {
    let folder = tempfile::tempdir().expect("a folder");
    let long_ago = SystemTime::now() - Duration::from_secs(36_000);
    for number in 0..MOST_KEPT + 3 {
        let one = folder.path().join(format!("{number}"));
        fs::create_dir(&one).expect("new");
        let used = long_ago + Duration::from_secs(number as u64);
        File::open(&one).expect("there").set_modified(used).expect("ours");
    }
    let uses = Holds::default();
    assert!(uses.add(&folder.path().join("1")) && !uses.add(&folder.path().join("none")));
    prune(folder.path(), MOST_KEPT);
    let gone: Vec<usize> =
        (0..MOST_KEPT + 3).filter(|number| !folder.path().join(number.to_string()).exists()).collect();
    assert_eq!(gone, [0, 2, 3]);
}
