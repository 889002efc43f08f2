//! A wire that is a tap device of the host's (Documentation/networking/tuntap.rst in Linux): a read or write is a frame.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::sync::Arc;
use std::thread::JoinHandle;

use fencepost_devices::virtio_net::Wire;
use rustix::event::{PollFd, PollFlags, poll};
use vmm_sys_util::ioctl::ioctl_with_ref;
use vmm_sys_util::ioctl_iow_nr;

use crate::control::Control;
use crate::error::{HostError, plain};
use crate::event::Event;
use crate::net_at::TAP_NAME_MAX_BYTES;
use crate::sandbox::{self, Role};
use crate::say;

use super::GONE;

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
    stop: Arc<Event>,
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
            let stop = Arc::new(Event::new()?);
            let (input, told, to) = (file.try_clone()?, Arc::clone(&stop), Arc::clone(&control));
            let reader = sandbox::start(Role::Input, "net-in", move || {
                if read_frames(input, &told, slot, &to).is_err() && to.stop_reason().is_none() {
                    say::in_passing(GONE);
                }
            })?;
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
        self.stop.set();
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

/// Delivers frames until it is told to stop.
///
/// # Errors
///
/// The device is gone.
fn read_frames(mut input: File, stop: &Event, slot: u8, control: &Control) -> std::io::Result<()> {
    let mut frame = vec![0; 65_536];
    loop {
        let mut both = [PollFd::new(stop, PollFlags::IN), PollFd::new(&input, PollFlags::IN)];
        // A wait that fails is one that was interrupted.
        let _ = poll(&mut both, None);
        if !both[0].revents().is_empty() {
            return Ok(());
        }
        match input.read(&mut frame) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(bytes) => control.deliver(slot, frame.get(..bytes).unwrap_or_default().to_vec()),
            Err(error) if [ErrorKind::WouldBlock, ErrorKind::Interrupted].contains(&error.kind()) => {}
            // EBADFD: the interface was removed. One that is merely down gives nothing.
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;

    use super::*;

    #[test]
    fn a_device_that_is_gone_ends_the_reader_and_so_does_the_word() {
        let control = Control::default();
        let pipe = || rustix::pipe::pipe().map(|(read, write): (OwnedFd, OwnedFd)| (File::from(read), write));
        let (input, writer) = pipe().unwrap();
        rustix::io::write(&writer, b"a frame").unwrap();
        drop(writer);
        let stop = Event::new().unwrap();
        assert!(read_frames(input, &stop, 9, &control).is_err());
        assert!(control.has_delivery());
        let (input, _writer) = pipe().unwrap();
        stop.set();
        assert!(read_frames(input, &stop, 9, &control).is_ok());
    }
}
