//! Requests and what comes back, with a plain array of bytes as the oracle.

mod array;
mod overlay;
mod refusals;
mod requested;
mod requests;
mod states;

use std::sync::{Arc, Mutex};

use crate::virtio::testing::{Driver, Part};
use crate::virtio_blk::{Blk, BlkConfig, BlkParts, Disk, DiskError, Fingerprint, VirtioBlk, Writes};

/// Of the disk in these tests: not a multiple of 4 KiB.
pub const DISK_BYTES: u64 = (1 << 20) + 512;
/// Where a test's header, status and data are.
pub const HEADER: u64 = 0x1000;
pub const STATUS: u64 = 0x1100;
pub const DATA: u64 = 0x2000;
/// 5.2.6.
pub const IN: u32 = 0;
pub const OUT: u32 = 1;
pub const FLUSH: u32 = 4;
pub const GET_ID: u32 = 8;
pub const DISCARD: u32 = 11;
pub const WRITE_ZEROES: u32 = 13;

/// What the host has, looked at from outside.
#[derive(Default)]
pub struct Seen {
    pub bytes: Vec<u8>,
    /// Calls that reached it.
    pub writes: u64,
    pub flushes: u64,
    pub discarded: u64,
    /// Its calls fail from now on.
    pub broken: bool,
    /// Another program has written it.
    pub changed: i64,
}

/// A disk in an array.
#[derive(Clone)]
pub struct Array(pub Arc<Mutex<Seen>>);

impl Array {
    pub fn new() -> Self {
        let bytes = (0..DISK_BYTES).map(|at| (at / 512 + at % 251) as u8).collect();
        Array(Arc::new(Mutex::new(Seen { bytes, ..Seen::default() })))
    }

    fn at(&self, at: u64, bytes: usize, call: impl FnOnce(&mut Seen, &mut [u8])) -> Result<(), DiskError> {
        let mut seen = self.0.lock().unwrap();
        assert!(at % 512 == 0 && bytes % 512 == 0, "{bytes} bytes at {at}");
        if seen.broken {
            return Err(DiskError);
        }
        let mut whole = std::mem::take(&mut seen.bytes);
        call(&mut seen, &mut whole[at as usize..][..bytes]);
        seen.bytes = whole;
        Ok(())
    }
}

impl Disk for Array {
    fn bytes(&self) -> u64 {
        DISK_BYTES
    }

    fn read(&mut self, at: u64, data: &mut [u8]) -> Result<(), DiskError> {
        self.at(at, data.len(), |_, place| data.copy_from_slice(place))
    }

    fn write(&mut self, at: u64, data: &[u8]) -> Result<(), DiskError> {
        self.at(at, data.len(), |seen, place| {
            place.copy_from_slice(data);
            seen.writes += 1;
        })
    }

    fn zero(&mut self, at: u64, bytes: u64, _: bool) -> Result<(), DiskError> {
        self.at(at, bytes as usize, |seen, place| {
            place.fill(0);
            seen.writes += 1;
        })
    }

    /// What was there is gone.
    fn discard(&mut self, at: u64, bytes: u64) -> Result<(), DiskError> {
        self.at(at, bytes as usize, |seen, place| {
            place.fill(0xdd);
            seen.discarded += bytes;
        })
    }

    fn flush(&mut self) -> Result<(), DiskError> {
        self.at(0, 0, |seen, _| seen.flushes += 1)
    }

    fn fingerprint(&self) -> Fingerprint {
        Fingerprint { bytes: DISK_BYTES, written_s: self.0.lock().unwrap().changed, written_ns: 0 }
    }
}

pub fn parts(disk: &Array, writes: Writes) -> BlkParts {
    BlkParts { config: BlkConfig { writes, ..BlkConfig::default() }, disk: Box::new(disk.clone()) }
}

pub fn device(disk: &Array, writes: Writes) -> VirtioBlk {
    <VirtioBlk as crate::registry::Model>::power_on(parts(disk, writes)).unwrap()
}

/// A driver that takes all features but `without`.
pub fn driver(disk: &Array, writes: Writes, without: u64) -> Driver {
    Driver::new(Box::new(device(disk, writes)), without)
}

/// Puts a header into memory, and a status that no device writes.
pub fn header(driver: &mut Driver, kind: u32, sector: u64) {
    let mut header = [0; 16];
    header[..4].copy_from_slice(&kind.to_le_bytes());
    header[8..].copy_from_slice(&sector.to_le_bytes());
    driver.store(HEADER, &header);
    driver.store(STATUS, &[0xee]);
}

/// The status of a request with these parts of data; none if the buffer does not come back.
pub fn request(driver: &mut Driver, kind: u32, sector: u64, data: &[Part]) -> Option<u8> {
    header(driver, kind, sector);
    let mut parts = vec![Part::Read(HEADER, 16)];
    parts.extend(data);
    parts.push(Part::Write(STATUS, 1));
    driver.request(0, &parts)?;
    Some(driver.load(STATUS, 1)[0])
}

/// One range to discard or zero, as the driver writes it.
pub fn range(sector: u64, sectors: u32, flags: u32) -> [u8; 16] {
    let mut entry = [0; 16];
    entry[..8].copy_from_slice(&sector.to_le_bytes());
    entry[8..12].copy_from_slice(&sectors.to_le_bytes());
    entry[12..].copy_from_slice(&flags.to_le_bytes());
    entry
}

/// The device behind the driver, for what only it knows.
pub fn blk(driver: &mut Driver) -> &mut Blk {
    driver.function.as_any().downcast_mut::<VirtioBlk>().unwrap().device()
}

pub fn count(driver: &Driver, name: &str) -> u64 {
    driver.function.counters().iter().find(|counter| counter.name == name).unwrap().value
}
