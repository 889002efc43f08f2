//! What is done for kernel modules, on Debian's own kernels and by Debian's own tools.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::AtomicI32;
use std::time::SystemTime;

use fencepost::cache;
use fencepost::kbuild::{self, KernelTree};
use fencepost::root::process::Job;
use fencepost_skip::Tested;

/// The kernels that are tested, 6.12 and 6.1: the names that `ci/kernel` gives them.
const KERNELS: [&str; 2] = ["kernel", "kernel-stable"];
/// Debian keeps these where an ordinary user's PATH does not look.
const DEPMOD: &str = "/usr/sbin/depmod";
const MODPROBE: &str = "/usr/sbin/modprobe";
/// All that depmod writes.
const WRITTEN: [&str; 10] = [
    "modules.alias",
    "modules.alias.bin",
    "modules.builtin.alias.bin",
    "modules.builtin.bin",
    "modules.dep",
    "modules.dep.bin",
    "modules.devname",
    "modules.softdep",
    "modules.symbols",
    "modules.symbols.bin",
];

/// The kernel that `ci/kernel` has put into the project's cache by this name, and for which it ran depmod.
fn kernel(name: &str) -> Result<KernelTree, Tested> {
    let Some(cache) = cache::folder() else { return Err(Tested::skipped("there is no cache folder")) };
    // Whoever would start a program learns that a signal came.
    let signal = AtomicI32::new(2);
    let path = cache.join(name).join("vmlinuz");
    let kernel = kbuild::kernel_of(&path.to_string_lossy(), false, &cache, &Job::new(&signal, &|_| ()));
    let kernel =
        kernel.map_err(|_| Tested::skipped(format!("no kernel {}: run ci/kernel", path.display())))?;
    match kernel.modules.join("modules.dep").is_file() && Path::new(DEPMOD).is_file() {
        true => Ok(kernel),
        false => {
            Err(Tested::skipped(format!("{}: depmod is not here, or was not run", kernel.modules.display())))
        }
    }
}

/// Calls something with a job that nothing ends.
fn with_job<T>(call: impl FnOnce(&Job) -> Result<T, fencepost::error::HostError>) -> T {
    let signal = AtomicI32::new(0);
    call(&Job::new(&signal, &|_| ())).unwrap_or_else(|error| panic!("{error}"))
}

/// A file's lines, sorted: depmod writes some of them in the order of a hash table.
fn lines(folder: &Path, name: &str) -> Vec<String> {
    let bytes = fs::read(folder.join(name)).expect(name);
    let mut lines: Vec<String> = String::from_utf8_lossy(&bytes).lines().map(str::to_string).collect();
    lines.sort_unstable();
    lines
}

/// Each file is depmod's: texts by their lines, the others by their bytes.
fn same(ours: &Path, theirs: &Path) {
    for name in WRITTEN {
        if name.ends_with(".bin") {
            let (a, b) = (fs::read(ours.join(name)).expect(name), fs::read(theirs.join(name)).expect(name));
            assert!(a == b, "{name}: {} and {} differ", ours.display(), theirs.display());
        } else {
            let (a, b) = (lines(ours, name), lines(theirs, name));
            let first = a.iter().zip(&b).find(|(a, b)| a != b);
            assert!(a == b, "{name}: {} and {} lines; {first:?}", a.len(), b.len());
        }
    }
}

/// What `modprobe` would load for a name, by the index in `root/lib/modules/RELEASE`.
fn loads(root: &Path, release: &str, name: &str) -> Vec<String> {
    let mut command = Command::new(MODPROBE);
    command.args(["-C", "/dev/null", "--show-depends", "-S", release, "-d"]).arg(root).arg(name);
    let output = command.output().expect("modprobe runs");
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let path = |line: &str| {
        let path = line.strip_prefix("insmod ").unwrap_or(line).trim();
        path.rsplit_once(release).map_or(path, |(_, inside)| inside).to_string()
    };
    text.lines().map(path).collect()
}

/// A folder as a guest has it, `lib/modules/RELEASE` in it: the files of an index, and the kernel's modules as a link.
fn guest_root(index: &Path, kernel: &KernelTree) -> tempfile::TempDir {
    let root = tempfile::tempdir().expect("a folder");
    let folder = root.path().join("lib/modules").join(&kernel.release);
    fs::create_dir_all(&folder).expect("made");
    for entry in fs::read_dir(index).expect("an index") {
        let entry = entry.expect("an entry");
        symlink(entry.path(), folder.join(entry.file_name())).expect("a link");
    }
    symlink(kernel.modules.join("kernel"), folder.join("kernel")).expect("a link");
    root
}

#[test]
fn the_index_of_a_kernel_is_depmods() -> Tested {
    for name in KERNELS {
        let kernel = match kernel(name) {
            Ok(kernel) => kernel,
            Err(skipped) => return skipped,
        };
        let cache = tempfile::tempdir().expect("a folder");
        let index = with_job(|job| kbuild::index(&kernel, cache.path(), job));
        same(&index, &kernel.modules);
        let root = guest_root(&index, &kernel);
        // By name, by an alias of a device, by a symbol; `ext4` asks for a sum by what it computes.
        for name in [
            "vivid",
            "pci:v00001234d00001111sv00001AF4sd00001100bc00sc00i00",
            "symbol:ttm_bo_init_reserved",
            "ext4",
        ] {
            let theirs = loads(kernel.modules.ancestors().nth(3).expect("a root"), &kernel.release, name);
            assert!(!theirs.is_empty(), "{name}");
            assert_eq!(loads(root.path(), &kernel.release, name), theirs, "{name}");
        }
    }
    Tested::Ran
}

#[test]
fn an_extra_module_is_indexed_as_depmod_does() -> Tested {
    let kernel = match kernel(KERNELS[1]) {
        Ok(kernel) => kernel,
        Err(skipped) => return skipped,
    };
    let cache = tempfile::tempdir().expect("a folder");
    // A module that others need, in the place of the kernel's own.
    let extra = kernel.modules.join("kernel/drivers/gpu/drm/ttm/ttm.ko");
    let index = with_job(|job| kbuild::index_with(&kernel, &[extra], cache.path(), job));
    let root = guest_root(&index, &kernel);
    let by_depmod = tempfile::tempdir().expect("a folder");
    let folder = by_depmod.path().join("lib/modules").join(&kernel.release);
    fs::create_dir_all(&folder).expect("made");
    for name in ["modules.builtin", "modules.builtin.modinfo", "modules.order", "kernel"] {
        symlink(kernel.modules.join(name), folder.join(name)).expect("a link");
    }
    symlink(index.join("updates"), folder.join("updates")).expect("a link");
    let status = Command::new(DEPMOD).arg("-b").arg(by_depmod.path()).arg(&kernel.release).status();
    assert!(status.expect("depmod runs").success());
    same(&index, &folder);
    let radeon = loads(root.path(), &kernel.release, "radeon");
    assert_eq!(radeon, loads(by_depmod.path(), &kernel.release, "radeon"));
    assert!(radeon.contains(&"/updates/ttm.ko".to_string()), "{radeon:?}");
    Tested::Ran
}

/// The drivers that the guest tests use.
const DRIVERS: [&str; 3] = ["fencepost_gpu", "fencepost_cam", "fencepost_display"];

/// Everything in a folder of the repository, with the times of the last changes.
fn listing(folder: &Path) -> BTreeMap<PathBuf, SystemTime> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let of = fs::metadata(&path).expect("there");
        if of.is_dir() {
            found.extend(listing(&path));
        }
        found.insert(path, of.modified().expect("a time"));
    }
    found
}

/// A cache with the kernel's headers, and nothing else.
fn cache_for(kernel: &KernelTree) -> tempfile::TempDir {
    let cache = tempfile::tempdir().expect("a folder");
    let root = kernel.modules.ancestors().nth(3).expect("a root");
    symlink(root, cache.path().join(format!("kernel-{}", kernel.release))).expect("a link");
    cache
}

#[test]
fn drivers_are_built_ordered_and_found_by_modprobe() -> Tested {
    let kernel = match kernel(KERNELS[0]) {
        Ok(kernel) => kernel,
        Err(skipped) => return skipped,
    };
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../guest-tests/drivers");
    let before = listing(&sources);
    let cache = cache_for(&kernel);
    let built = with_job(|job| kbuild::build(&sources, &[], &kernel, cache.path(), job));
    let order = kbuild::order(&built, &kernel).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(order.len(), built.len());
    // Unchanged sources are not compiled again.
    let object = || {
        let work = built[0].ancestors().nth(2).expect("a folder");
        fs::metadata(work.join("tree/drivers/gpu/gpu_drv.o")).expect("built").modified().expect("a time")
    };
    let first = object();
    assert_eq!(with_job(|job| kbuild::build(&sources, &[], &kernel, cache.path(), job)), built);
    assert_eq!(object(), first);
    assert_eq!(listing(&sources), before, "nothing is written into the sources");
    let index = with_job(|job| kbuild::index_with(&kernel, &order, cache.path(), job));
    let root = guest_root(&index, &kernel);
    for name in DRIVERS {
        let loaded = loads(root.path(), &kernel.release, name);
        assert_eq!(loaded.last(), Some(&format!("/updates/{name}.ko")));
    }
    let display = loads(root.path(), &kernel.release, "fencepost_display");
    assert!(display.iter().any(|path| path.starts_with("/kernel/drivers/gpu/drm/drm.ko")), "{display:?}");
    Tested::Ran
}

#[test]
fn a_kbuild_file_alone_is_enough_and_an_error_has_its_line() -> Tested {
    let kernel = match kernel(KERNELS[1]) {
        Ok(kernel) => kernel,
        Err(skipped) => return skipped,
    };
    let (cache, sources) = (cache_for(&kernel), tempfile::tempdir().expect("a folder"));
    let driver = sources.path().join("driver");
    fs::create_dir(&driver).expect("new");
    fs::write(driver.join("Kbuild"), "obj-m := mine.o\n").expect("written");
    fs::write(sources.path().join("mine.h"), "#define MINE 6\n").expect("written");
    let source = |body: &str| {
        let text =
            format!("#include <linux/module.h>\n#include \"../mine.h\"\n{body}\nMODULE_LICENSE(\"GPL\");\n");
        fs::write(driver.join("mine.c"), text).expect("written");
    };
    source("int broken = missing + MINE;");
    let signal = AtomicI32::new(0);
    let failed = kbuild::build(&driver, &[], &kernel, cache.path(), &Job::new(&signal, &|_| ()))
        .expect_err("an error");
    let line = failed.to_string();
    assert!(line.contains("/driver: mine.c:3:14: error: ") && line.contains("missing"), "{line}");
    assert!(line.len() < 300 && failed.status() == 2, "{line}");
    let log = line.rsplit("; see ").next().expect("a path");
    assert!(fs::read_to_string(log).expect("the log").contains("mine.c:3"), "{line}");
    source("int whole = MINE;");
    let built = with_job(|job| kbuild::build(&driver, &[], &kernel, cache.path(), job));
    assert_eq!(kbuild::order(&built, &kernel).unwrap_or_else(|error| panic!("{error}")), built);
    let index = with_job(|job| kbuild::index_with(&kernel, &built, cache.path(), job));
    assert_eq!(loads(guest_root(&index, &kernel).path(), &kernel.release, "mine"), ["/updates/mine.ko"]);
    Tested::Ran
}
