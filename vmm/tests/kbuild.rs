//! What is done for kernel modules, on Debian's own kernels and by Debian's own tools.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::AtomicI32;

use fencepost::cache;
use fencepost::kbuild::{self, KernelTree};
use fencepost::root::process::Job;
use fencepost_skip::Tested;

/// The series that are tested, as `ci/kernel` fetches them.
const SERIES: [&str; 2] = ["6.12", "6.1"];
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

/// The kernel of a series that `ci/kernel` has put into the project's cache; the host is asked for nothing.
fn kernel(series: &str) -> Result<KernelTree, Tested> {
    let Some(cache) = cache::folder() else { return Err(Tested::skipped("there is no cache folder")) };
    // Whoever would start a program learns that a signal came.
    let signal = AtomicI32::new(2);
    let kernel = kbuild::kernel_of(series, false, &cache, &Job::new(&signal, &|_| ()));
    let kernel = kernel.map_err(|_| Tested::skipped(format!("no kernel {series}: run ci/kernel")))?;
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
    for series in SERIES {
        let kernel = match kernel(series) {
            Ok(kernel) => kernel,
            Err(skipped) => return skipped,
        };
        let cache = tempfile::tempdir().expect("a folder");
        let index = with_job(|job| kbuild::index(&kernel, cache.path(), job));
        same(&index, &kernel.modules);
        let root = guest_root(&index, &kernel);
        // By name, by an alias of a device, by a symbol; `ext4` asks for a sum by what it computes.
        for name in ["vivid", "pci:v00001AF4d00001050sv*sd*bc*sc*i*", "symbol:ttm_bo_init_reserved", "ext4"] {
            let theirs = loads(kernel.modules.ancestors().nth(3).expect("a root"), &kernel.release, name);
            assert!(!theirs.is_empty(), "{name}");
            assert_eq!(loads(root.path(), &kernel.release, name), theirs, "{name}");
        }
    }
    Tested::Ran
}

#[test]
fn an_extra_module_is_indexed_as_depmod_does() -> Tested {
    let kernel = match kernel("6.1") {
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
