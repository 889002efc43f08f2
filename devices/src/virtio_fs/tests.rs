//! Requests to a server that says what it was asked, and what comes back.

use crate::camera::FrameSource;
use crate::display::{NoPictures, PictureSink};
use crate::pvpanic::GuestEvents;
use crate::registry::{Host, Model, NoHost};
use crate::state::{StateError, Stateful};
use crate::virtio::Device;
use crate::virtio::registers::Id;
use crate::virtio::testing::{Driver, Part};
use crate::virtio_blk::{Disk, Wanted};

use super::{FileServer, Fs, FsConfig, NoFiles, Share, VirtioFs};

/// Answers with the request turned round, and remembers how many there were.
#[derive(Default)]
struct Turned(u8);

impl FileServer for Turned {
    fn handle(&mut self, request: &[u8], room: usize, _: u64) -> Vec<u8> {
        self.0 = self.0.wrapping_add(1);
        request.iter().rev().copied().take(room).collect()
    }

    fn reset(&mut self) {
        self.0 = 0;
    }

    fn save(&self) -> Vec<u8> {
        vec![self.0]
    }

    fn restore(&mut self, saved: &[u8]) -> Result<(), String> {
        let [count] = saved else { return Err("one byte".into()) };
        self.0 = *count;
        Ok(())
    }
}

struct Turns;

impl Host for Turns {
    fn wire(&mut self) -> Box<dyn crate::virtio_net::Wire> {
        NoHost.wire()
    }

    fn port(&mut self, port: crate::virtio_console::Port) -> Box<dyn crate::virtio_console::ByteSink> {
        NoHost.port(port)
    }

    fn pictures(&mut self, path: &std::path::Path) -> Result<Box<dyn FrameSource>, String> {
        NoHost.pictures(path)
    }

    fn screen(&mut self) -> Box<dyn PictureSink> {
        Box::new(NoPictures)
    }

    fn guest_events(&mut self) -> Box<dyn GuestEvents> {
        NoHost.guest_events()
    }

    fn disk(&mut self, wanted: Wanted<'_>) -> Result<Box<dyn Disk>, String> {
        NoHost.disk(wanted)
    }

    fn entropy(&mut self) -> Option<Box<dyn crate::virtio_rng::Entropy>> {
        NoHost.entropy()
    }

    fn iommu(&mut self) -> Result<crate::virtio_iommu::Unit, String> {
        NoHost.iommu()
    }

    fn share(&mut self, _: Share<'_>) -> Result<Box<dyn FileServer>, String> {
        Ok(Box::new(Turned::default()))
    }
}

fn driver() -> Driver {
    let parts = <VirtioFs as Model>::parts(FsConfig::default(), &mut Turns).unwrap();
    Driver::new(Box::new(VirtioFs::power_on(parts).unwrap()), 0)
}

fn device(driver: &mut Driver) -> &mut Fs {
    driver.function.as_any().downcast_mut::<VirtioFs>().unwrap().device()
}

fn counter(driver: &Driver, name: &str) -> u64 {
    driver.function.counters().iter().find(|counter| counter.name == name).unwrap().value
}

#[test]
fn a_request_is_carried_over_and_the_reply_back() {
    let mut driver = driver();
    driver.store(0x1000, b"abc");
    driver.store(0x2000, b"de");
    let parts =
        [Part::Read(0x1000, 3), Part::Read(0x2000, 2), Part::Write(0x3000, 2), Part::Write(0x4000, 64)];
    assert_eq!(driver.request(1, &parts), Some(5));
    assert_eq!((driver.load(0x3000, 2), driver.load(0x4000, 4)), (b"ed".to_vec(), b"cba\0".to_vec()));
    assert_eq!((counter(&driver, "requests"), counter(&driver, "bytes")), (1, 10));
}

#[test]
fn a_reply_takes_its_time() {
    let mut driver = driver();
    driver.add(1, &[Part::Read(0x1000, 80), Part::Write(0x3000, 80)]);
    driver.kick(1);
    // 2000 cycles, and 160 bytes by 8 a cycle.
    driver.wait(2019);
    assert_eq!(driver.used(1), []);
    driver.wait(1);
    assert_eq!(driver.used(1).len(), 1);
}

#[test]
fn a_large_request_comes_and_goes_in_parts() {
    let mut driver = driver();
    let (request, reply, bytes) = (0x1000, 0x4_0000, 0x1_8000);
    driver.store(request, &vec![1; bytes as usize]);
    driver.add(1, &[Part::Read(request, bytes), Part::Write(reply, bytes)]);
    driver.kick(1);
    // The first 64 KiB are in; the rest comes later, and is what it is then.
    driver.store(request, &vec![2; bytes as usize]);
    driver.wait(2000 + 0x1_0000 / 8 - 1);
    let state = device(&mut driver).save();
    assert_eq!(
        (state.job.as_ref().map(|job| job.request.len()), &state.server[..]),
        (Some(0x1_0000), &[0][..])
    );
    // Then come the rest, and the first 64 KiB of the reply.
    driver.wait(0x1_8000 / 8);
    assert_eq!(device(&mut driver).save().server, [1]);
    assert_eq!(driver.load(reply, 1), [0]);
    driver.wait(1);
    let parts = (driver.load(reply, 0x8000), driver.load(reply + 0x8000, 0x8000));
    assert_eq!(parts, (vec![2; 0x8000], vec![1; 0x8000]));
    assert_eq!((driver.load(reply + 0x1_0000, 1), driver.used(1)), (vec![0], vec![]));
    driver.wait(0x8000 / 8);
    assert_eq!(driver.load(reply + 0x1_0000, 0x8000), vec![1; 0x8000]);
    assert_eq!(driver.used(1).iter().map(|(_, written)| *written).collect::<Vec<_>>(), [bytes]);
    assert_eq!((counter(&driver, "requests"), counter(&driver, "bytes")), (1, 2 * u64::from(bytes)));
}

#[test]
fn what_forgets_goes_first() {
    let mut driver = driver();
    let request = [Part::Read(0x1000, 8), Part::Write(0x3000, 8)];
    (0..3).for_each(|_| _ = driver.add(1, &request));
    driver.kick(1);
    driver.add(0, &[Part::Read(0x1000, 8)]);
    driver.kick(0);
    driver.wait(2 * 2002);
    assert_eq!((driver.used(1).len(), driver.used(0).len()), (1, 1));
    driver.wait(1_000_000);
    assert_eq!(driver.used(1).len(), 2);
}

#[test]
fn a_request_that_is_too_long_is_answered_with_an_error() {
    let mut driver = driver();
    driver.store(0x1008, &[1, 2, 3, 4, 5, 6, 7, 8]);
    // The same page again and again: more than a message has.
    let mut parts = vec![Part::Read(0x1000, 0x8000); 33];
    parts.push(Part::Write(0xa000, 64));
    assert_eq!(driver.request(1, &parts), Some(16));
    assert_eq!(driver.load(0xa000, 16), [16, 0, 0, 0, 0xf4, 0xff, 0xff, 0xff, 1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!((counter(&driver, "errors"), device(&mut driver).save().server), (1, vec![0]));
}

#[test]
fn a_buffer_without_room_gets_nothing() {
    let mut driver = driver();
    assert_eq!(driver.request(1, &[Part::Read(0x1000, 64)]), Some(0));
    assert_eq!(driver.request(1, &[Part::Write(0x1000, 64)]), Some(0));
}

#[test]
fn a_reset_forgets_the_request_and_the_guest() {
    let mut driver = driver();
    driver.store(0x1000, &[7; 64]);
    driver.add(1, &[Part::Read(0x1000, 64), Part::Write(0x3000, 64)]);
    driver.kick(1);
    assert_eq!(device(&mut driver).save().server, [1]);
    driver.restart();
    driver.wait(1_000_000);
    assert_eq!(driver.load(0x3000, 64), [0; 64]);
    assert_eq!(device(&mut driver).save().server, [0]);
}

#[test]
fn memory_that_is_refused_breaks_the_queue() {
    for refused in [(0x1000, 0x2000), (0x3000, 0x4000)] {
        let mut driver = driver();
        driver.world.refuse(refused.0, refused.1);
        assert_eq!(driver.request(1, &[Part::Read(0x1000, 64), Part::Write(0x3000, 64)]), None);
        assert_eq!(driver.get(Id::Status), 0x4f);
    }
}

#[test]
fn the_configuration_has_the_tag_and_one_queue() {
    let mut driver = driver();
    let mut bytes = Vec::new();
    for word in 0..10 {
        bytes.extend((driver.read(0x2000 + word * 4, 4) as u32).to_le_bytes());
    }
    assert_eq!((&bytes[..6], &bytes[36..]), (&b"share\0"[..], &[1, 0, 0, 0][..]));
}

#[test]
fn states_that_cannot_be_are_refused() {
    let parts = || <VirtioFs as Model>::parts(FsConfig::default(), &mut Turns).unwrap();
    let saved = || <VirtioFs as Stateful>::save(&VirtioFs::power_on(parts()).unwrap());
    let (mut queues, mut server) = (saved(), saved());
    queues.common.queues.clear();
    server.device.server.clear();
    // A request and a reply that are longer than they can be, and more gone than there is.
    let job = |request: usize, reply: usize, gone: usize| {
        let (chain, reply) = (Default::default(), Some(vec![0; reply]));
        let job = super::state::Job { queue: 1, chain, due_ns: 0, request: vec![0; request], reply, gone };
        let mut state = saved();
        state.device.job = Some(job);
        state
    };
    assert!(<VirtioFs as Stateful>::restore(parts(), job(0, 8, 8)).is_ok());
    for state in [queues, server, job(1, 8, 0), job(0, 8, 9), job(0, 257 * 4096 + 1, 0)] {
        let restored = <VirtioFs as Stateful>::restore(parts(), state);
        assert!(matches!(restored, Err(StateError::Impossible { kind: "virtio-fs", .. })));
    }
    assert!(<VirtioFs as Stateful>::restore(parts(), saved()).is_ok());
}

#[test]
fn without_files_every_request_fails() {
    let request = [9; 40];
    assert_eq!(NoFiles.handle(&request, 16, 0)[..8], [16, 0, 0, 0, 0xed, 0xff, 0xff, 0xff]);
    assert!(NoFiles.handle(&request, 15, 0).is_empty() && NoFiles.handle(&request[..15], 16, 0).is_empty());
    assert!(NoFiles.restore(&[1]).is_err() && NoFiles.restore(&NoFiles.save()).is_ok());
}
