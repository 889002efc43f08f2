//! One clear line where a machine touches memory that its snapshot's file has no more.
//!
//! Memory is mapped from the file. If somebody cuts the file, or the disk fails, the host has nothing to put where the
//! machine reads next, and sends SIGBUS, which ends the process without a word. It ends it here too, but says why.

use std::path::Path;
use std::sync::OnceLock;

use vm_memory::{GuestMemoryBackend, GuestMemoryMmap, GuestMemoryRegion, MemoryRegionAddress};

use crate::terminal;

/// What a signal's handler may look at: made before there is one, and never changed.
struct Watched {
    /// Where memory lies in this process: first address and length of each region.
    ranges: Vec<(usize, usize)>,
    line: Vec<u8>,
}

static WATCHED: OnceLock<Watched> = OnceLock::new();

/// From now on a page of `memory` that the file `path` has no more ends the process with a line that names the file, and
/// status 1. The first call in a process counts.
pub fn explain(path: &Path, memory: &GuestMemoryMmap) {
    let range = |region: &vm_memory::GuestRegionMmap| {
        let start = region.get_host_address(MemoryRegionAddress(0)).ok()?;
        Some((start as usize, region.len() as usize))
    };
    let name = fencepost_trace::plain_text(&path.display().to_string()).to_string();
    let line = format!(
        "fencepost: --restore {name}: the file was cut or cannot be read any more while the machine ran from it; \
         restore a whole copy, and write to no snapshot that is in use\n"
    );
    let watched = Watched { ranges: memory.iter().filter_map(range).collect(), line: line.into_bytes() };
    if WATCHED.set(watched).is_err() {
        return;
    }
    let handler = handle as extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void);
    // SAFETY: zero is a valid value of each field of the structure, and the handler does only what one may.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as usize;
        // On the stack that Rust gives each of its threads for this.
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        libc::sigaction(libc::SIGBUS, &raw const action, std::ptr::null_mut());
    }
}

extern "C" fn handle(signal: libc::c_int, info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    // SAFETY: the host gives a handler with SA_SIGINFO what it says, and SIGBUS has an address.
    let address = unsafe { (*info).si_addr() } as usize;
    let watched = WATCHED.get();
    let lost = watched
        .filter(|watched| watched.ranges.iter().any(|&(start, len)| address.wrapping_sub(start) < len));
    // SAFETY: these may all be called in a signal's handler. The signal that is not ours comes again, and ends the process.
    unsafe {
        match lost {
            Some(watched) => {
                terminal::restore_at_once();
                libc::write(libc::STDERR_FILENO, watched.line.as_ptr().cast(), watched.line.len());
                libc::_exit(1);
            }
            None => drop(libc::signal(signal, libc::SIG_DFL)),
        }
    }
}
