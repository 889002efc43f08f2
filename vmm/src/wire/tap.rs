//! A wire that is a tap device of the host's (Documentation/networking/tuntap.rst in Linux): a read or write is a frame.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::thread::JoinHandle;

use fencepost_devices::virtio_net::Wire;
use rustix::event::{PollFd, PollFlags, poll};
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};
use vmm_sys_util::ioctl::ioctl_with_ref;
use vmm_sys_util::ioctl_iow_nr;

use crate::control::Control;
use crate::error::{HostError, plain};
use crate::net_at::TAP_NAME_MAX_BYTES;

/// Where tap devices are opened.
const NODE: &str = "/dev/net/tun";
/// A tap device, whose frames have no header of their own.
const IFF_TAP: u16 = 2;
const IFF_NO_PI: u16 = 0x1000;

/// `struct ifreq` with flags, as TUNSETIFF takes it.
#[repr(C)]
struct InterfaceRequest {
    name: [u8; TAP_NAME_MAX_BYTES + 1],
    flags: u16,
    rest: [u8; 22],
}

ioctl_iow_nr!(TUNSETIFF, b'T' as u32, 202, libc::c_int);

/// A tap device and the thread that reads from it.
pub struct Tap {
    file: File,
    stop: EventFd,
    reader: Option<JoinHandle<()>>,
    control: Arc<Control>,
}

impl Tap {
    /// Opens the tap device `name`, which is made if there is none and this user may.
    ///
    /// # Errors
    ///
    /// A host without tap devices, or one that this user may not use.
    pub fn open(name: &str, slot: u8, control: Arc<Control>) -> Result<Self, HostError> {
        let failed = |error: &std::io::Error| {
            let fix = format!("have it made for you: ip tuntap add {name} mode tap user $USER");
            HostError::input(format!("--net tap={name}: {}", plain(error)), &fix)
        };
        let started = || -> std::io::Result<_> {
            let file = File::options().read(true).write(true).open(NODE)?;
            attach(&file, name)?;
            rustix::io::ioctl_fionbio(&file, true)?;
            let stop = EventFd::new(EFD_NONBLOCK)?;
            let (input, told, to) = (file.try_clone()?, stop.try_clone()?, Arc::clone(&control));
            let reader = std::thread::Builder::new()
                .name("net-in".into())
                .spawn(move || read_frames(input, &told, slot, &to))?;
            Ok((file, stop, reader))
        };
        let (file, stop, reader) = started().map_err(|error| failed(&error))?;
        control.set_others(true);
        Ok(Tap { file, stop, reader: Some(reader), control })
    }

    /// The end that the guest sends to.
    pub fn wire(&self) -> impl Wire + use<> {
        TapWire(self.file.try_clone().ok())
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.control.set_others(false);
        self.control.close_input();
        let _ = self.stop.write(1);
        let _ = self.reader.take().map(JoinHandle::join);
    }
}

fn attach(file: &File, name: &str) -> std::io::Result<()> {
    let mut request =
        InterfaceRequest { name: [0; TAP_NAME_MAX_BYTES + 1], flags: IFF_TAP | IFF_NO_PI, rest: [0; 22] };
    request.name.iter_mut().zip(name.bytes()).for_each(|(to, from)| *to = from);
    // SAFETY: the request is a whole `struct ifreq` of 40 bytes, which the kernel copies in.
    match unsafe { ioctl_with_ref(file, TUNSETIFF(), &request) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

struct TapWire(Option<File>);

impl Wire for TapWire {
    fn send(&mut self, frame: &[u8]) {
        // A full queue drops the frame, as any network may; the descriptor never blocks.
        let _ = self.0.as_mut().map(|file| file.write(frame));
    }
}

fn read_frames(mut input: File, stop: &EventFd, slot: u8, control: &Control) {
    let mut frame = vec![0; 65_536];
    loop {
        // SAFETY: the descriptor is open for as long as the borrow.
        let told = unsafe { std::os::fd::BorrowedFd::borrow_raw(std::os::fd::AsRawFd::as_raw_fd(stop)) };
        let input_fd = input.as_fd();
        let mut both = [PollFd::new(&told, PollFlags::IN), PollFd::new(&input_fd, PollFlags::IN)];
        let _ = poll(&mut both, None);
        if !both[0].revents().is_empty() {
            return;
        }
        if let Ok(bytes) = input.read(&mut frame) {
            control.deliver(slot, frame.get(..bytes).unwrap_or_default().to_vec());
        }
    }
}
