//! No thread outlives a run. A program of its own: other tests' threads would be counted.

mod common;

use std::sync::Arc;
use std::time::Duration;

use fencepost::config::Accel;
use fencepost::control::Control;
use fencepost::launch::Launch;
use fencepost::run::{Hooks, run};
use fencepost::{console, signals};

fn threads() -> Vec<String> {
    let folder = std::fs::read_dir("/proc/self/task").expect("Linux");
    let name = |entry: std::io::Result<std::fs::DirEntry>| {
        std::fs::read_to_string(entry.ok()?.path().join("comm")).ok()
    };
    folder.filter_map(name).collect()
}

/// A thread that was joined may be listed for a moment yet, while the kernel takes it down.
fn come_back_to(before: &[String]) -> bool {
    (0..1000).any(|_| {
        let same = threads() == before;
        if !same {
            std::thread::sleep(Duration::from_millis(1));
        }
        same
    })
}

#[test]
fn every_thread_of_a_run_is_joined() {
    let folder = tempfile::tempdir().expect("temporary folder");
    // Ends by itself; never ends.
    let ends: [&[u8]; 3] = [&[0xb0, 0x07, 0xe6, 0xf4], &common::SPIN, &[0x0f, 0x0b]];
    let before = threads();
    // On the back ends that this host has. Tests of their own would count each other's threads.
    let accels =
        [Accel::Soft, Accel::Kvm].into_iter().filter(|accel| *accel == Accel::Soft || common::kvm_opens());
    for accel in accels {
        for code in ends {
            let args = Launch {
                timeout: Some(Duration::from_millis(300)),
                watchdog: Some(Duration::from_secs(50)),
                ..common::launch(common::kernel(folder.path(), code, 0x1000), accel, 16)
            };
            match run(&args, Hooks::new(Box::new(std::io::sink()))) {
                Ok(_) => {}
                Err(error) => panic!("{error}"),
            }
            assert!(come_back_to(&before), "{accel:?}: {:?}", threads());
        }
    }
    let control = Arc::<Control>::default();
    let watch = signals::watch(Arc::clone(&control));
    let reader = console::read_stdin(Arc::clone(&control), false, console::Eof::Ignore);
    // The other one may have seen the end of its input already.
    assert!(threads().len() > before.len(), "the signals' is there");
    drop((watch, reader));
    assert!(come_back_to(&before), "{:?}", threads());
}
