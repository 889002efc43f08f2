//! What several test programs share.

#![allow(dead_code, reason = "not every test program uses every part")]

pub mod served;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock};

use fencepost::config::{Accel, MachineConfig, Size};
use fencepost::launch::Launch;
use fencepost_skip::Tested;

/// A run of `kernel` with `memory_mib` of memory.
pub fn launch(kernel: impl Into<PathBuf>, accel: Accel, memory_mib: u64) -> Launch {
    let memory = Size(memory_mib << 20);
    Launch::new(MachineConfig { accel, memory, ..MachineConfig::boot(kernel) })
}

/// Writes the smallest ELF file that is a kernel: one segment at 1 MiB with `code`, `memory_bytes` long.
pub fn kernel(folder: &Path, code: &[u8], memory_bytes: u64) -> PathBuf {
    let mut elf = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    // Executable, x86-64, version 1.
    elf.extend([2, 0, 62, 0, 1, 0, 0, 0]);
    // Entry, program headers, no section headers.
    for word in [0x10_0000u64, 64, 0] {
        elf.extend(word.to_le_bytes());
    }
    elf.extend([0, 0, 0, 0, 64, 0, 56, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    // PT_LOAD, readable, writable, executable: offset, addresses, sizes, alignment.
    elf.extend([1, 0, 0, 0, 7, 0, 0, 0]);
    for word in [0x1000u64, 0x10_0000, 0x10_0000, code.len() as u64, memory_bytes, 0x1000] {
        elf.extend(word.to_le_bytes());
    }
    elf.resize(0x1000, 0);
    elf.extend(code);
    let path = folder.join("kernel");
    std::fs::write(&path, elf).expect("written");
    path
}

/// `jmp .`
pub const SPIN: [u8; 2] = [0xeb, 0xfe];

/// Where the micro-guests' sources are, and what they are to print.
pub const MICRO_GUESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../guest-tests/micro");

/// Bare-metal guests that reach every device and most of the CPU; two of them write the code that they run. The others of their
/// kind want KVM, or end at once.
pub const GUESTS: [&str; 12] = [
    "bells",
    "camera",
    "display",
    "fence",
    "iotlb",
    "ipi",
    "msix",
    "pagefaults",
    "selfmod",
    "semaphore",
    "timer",
    "tscset",
];

/// A console that keeps what the guest writes.
#[derive(Clone, Default)]
pub struct Console(Arc<Mutex<Vec<u8>>>);

impl Console {
    /// Takes what was written since the last time.
    pub fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.0.lock().expect("not poisoned"))
    }
}

impl Write for Console {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("not poisoned").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Builds the micro-guests once, into a folder of the test program's own; `None` when make is not installed.
pub fn micro_guests() -> Option<&'static Path> {
    static FOLDER: OnceLock<Option<PathBuf>> = OnceLock::new();
    let build = || {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(concat!("micro-", env!("CARGO_CRATE_NAME")));
        let mut make = Command::new("make");
        make.args(["-C", MICRO_GUESTS, &format!("OUT={}", folder.display())]).stdout(Stdio::null());
        let made = make.output().ok()?;
        assert!(made.status.success(), "make: {}", String::from_utf8_lossy(&made.stderr));
        Some(folder)
    };
    FOLDER.get_or_init(build).as_deref()
}

/// Whether this host has KVM and lets this user have it.
pub fn kvm_opens() -> bool {
    std::fs::File::options().read(true).write(true).open("/dev/kvm").is_ok()
}

/// Why a test is skipped.
pub const NO_KVM: &str = "/dev/kvm does not open";
/// A copy of the program at `to`. Another process writes it: a test that starts a process meanwhile would hand that the open file, and
/// a program that is open for writing does not start.
pub fn copy_program(to: &Path) {
    let copied =
        Command::new("cp").arg(env!("CARGO_BIN_EXE_fencepost")).arg(to).status().expect("cp is there");
    assert!(copied.success());
}

/// Why a test is skipped.
pub const NO_MAKE: &str = "make is not installed";

/// Runs `test` on a back end, if this host has it.
pub fn on(accel: &'static str, test: impl FnOnce(&'static str) -> Tested) -> Tested {
    if accel == "kvm" && !kvm_opens() {
        return Tested::skipped(NO_KVM);
    }
    test(accel)
}

/// Two tests of each of these functions: `soft::name` and `kvm::name`.
#[macro_export]
macro_rules! on_each_back_end {
    ($($name:ident),* $(,)?) => {
        mod soft {
            $(#[test]
            fn $name() -> fencepost_skip::Tested {
                super::common::on("soft", super::$name)
            })*
        }

        mod kvm {
            $(#[test]
            fn $name() -> fencepost_skip::Tested {
                super::common::on("kvm", super::$name)
            })*
        }
    };
}
