//! A driver of a virtio device in a [`World`]: sets it up and gives it buffers, for device tests.

use crate::function::{Function, Registers};
use crate::testing::World;

use super::io::{ACCESS_PLATFORM, VERSION_1};
use super::registers::{COMMON, CONFIG, Id, NOTIFY, NOTIFY_MULTIPLIER};

/// Bytes of memory for the rings and table of one queue, from [`Driver::RINGS`] on.
const QUEUE_BYTES: u64 = 0x8000;
/// Of these: where the driver's ring is, and the device's.
const DRIVER_RING: u64 = 0x4000;
const DEVICE_RING: u64 = 0x6000;

/// A part of a buffer, at an address of the world's memory.
#[derive(Clone, Copy, Debug)]
pub enum Part {
    /// The device may read so many bytes there.
    Read(u64, u32),
    /// The device may write so many bytes there.
    Write(u64, u32),
    /// So many bytes of descriptors are there; the only part of a buffer.
    Table(u64, u32),
}

/// The driver of one device. Queues have at most 256 entries.
pub struct Driver {
    /// The device.
    pub function: Box<dyn Function>,
    /// Everything else.
    pub world: World,
    /// Features that it does not take.
    without: u64,
    /// For each queue: entries, the next descriptor, the driver's index, and how far the device's ring was read.
    queues: Vec<(u16, u16, u16, u16)>,
}

impl Driver {
    /// Where the rings start in the world's memory; below is for buffers.
    pub const RINGS: u64 = 0x10_0000;

    /// A driver that has set the device up: all queues of at most 256 entries, vector n for queue n and the last for the
    /// configuration, all features that are offered but those in `without`.
    pub fn new(function: Box<dyn Function>, without: u64) -> Self {
        let queues = function.doorbells().len();
        let bytes = Self::RINGS.saturating_add(QUEUE_BYTES.saturating_mul(queues as u64));
        let world = World::new(usize::try_from(bytes).unwrap_or(usize::MAX));
        let mut driver = Driver { function, world, without, queues: Vec::new() };
        driver.restart();
        driver
    }

    /// Resets the device and sets it up again, with empty queues.
    pub fn restart(&mut self) {
        let (queues, without) = (self.function.doorbells().len() as u16, self.without);
        self.queues.clear();
        if let Some(rings) = self.world.memory_mut().get_mut(Self::RINGS as usize..) {
            rings.fill(0);
        }
        self.set(Id::Status, 0);
        self.set(Id::Status, 3);
        self.set(Id::DeviceFeatureSelect, 0);
        let low = self.get(Id::DeviceFeature);
        self.set(Id::DeviceFeatureSelect, 1);
        let features = (low | self.get(Id::DeviceFeature) << 32) & !without | VERSION_1 | ACCESS_PLATFORM;
        for select in 0..2 {
            self.set(Id::DriverFeatureSelect, select);
            self.set(Id::DriverFeature, features >> select.saturating_mul(32) & 0xffff_ffff);
        }
        self.set(Id::Status, 0xb);
        self.set(Id::ConfigVector, queues.into());
        for queue in 0..queues {
            self.set(Id::QueueSelect, queue.into());
            let size = self.get(Id::QueueSize).min(256);
            self.set(Id::QueueSize, size);
            let base = Self::base(queue);
            self.set(Id::QueueDescriptors, base);
            self.set(Id::QueueDriver, base.saturating_add(DRIVER_RING));
            self.set(Id::QueueDevice, base.saturating_add(DEVICE_RING));
            self.set(Id::QueueVector, queue.into());
            self.set(Id::QueueEnable, 1);
            self.queues.push((size as u16, 0, 0, 0));
        }
        self.set(Id::Status, 0xf);
    }

    fn base(queue: u16) -> u64 {
        Self::RINGS.saturating_add(QUEUE_BYTES.saturating_mul(queue.into()))
    }

    fn row(id: Id) -> (u64, usize) {
        let row = COMMON.iter().find(|row| row.id == id);
        row.map_or((0, 4), |row| (row.offset as u64, row.width))
    }

    /// Reads a register of the common configuration.
    pub fn get(&mut self, id: Id) -> u64 {
        let (offset, width) = Self::row(id);
        self.read(offset, width)
    }

    /// Writes one.
    pub fn set(&mut self, id: Id, value: u64) {
        let (offset, width) = Self::row(id);
        self.write(offset, width, value);
    }

    /// Reads `width` bytes at `offset` of BAR 0.
    pub fn read(&mut self, offset: u64, width: usize) -> u64 {
        let mut bytes = [0; 8];
        if let (Registers::AsIssued(registers), Some(data)) =
            (self.function.registers(), bytes.get_mut(..width))
        {
            registers.read(0, offset, data, &mut self.world.ports());
        }
        u64::from_le_bytes(bytes)
    }

    /// Writes `width` bytes at `offset` of BAR 0.
    pub fn write(&mut self, offset: u64, width: usize, value: u64) {
        let bytes = value.to_le_bytes();
        if let (Registers::AsIssued(registers), Some(data)) = (self.function.registers(), bytes.get(..width))
        {
            registers.write(0, offset, data, &mut self.world.ports());
        }
    }

    /// Reads `width` bytes at `offset` of the device's own configuration.
    pub fn config(&mut self, offset: u64, width: usize) -> u64 {
        self.read(offset.saturating_add(CONFIG as u64), width)
    }

    /// Puts `bytes` into memory at `at`.
    pub fn store(&mut self, at: u64, bytes: &[u8]) {
        if let Some(place) = self.world.memory_mut().get_mut(at as usize..) {
            place.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        }
    }

    /// `len` bytes of memory at `at`.
    pub fn load(&mut self, at: u64, len: usize) -> Vec<u8> {
        let end = (at as usize).saturating_add(len);
        self.world.memory_mut().get(at as usize..end).unwrap_or_default().to_vec()
    }

    fn load_u16(&mut self, at: u64) -> u16 {
        self.load(at, 2).try_into().map_or(0, u16::from_le_bytes)
    }

    /// Makes a buffer of `parts` available in `queue`, those to read first, without telling the device; its head.
    pub fn add(&mut self, queue: u16, parts: &[Part]) -> u16 {
        let base = Self::base(queue);
        let Some((size, next, index, seen)) = self.queues.get(usize::from(queue)).copied() else { return 0 };
        let wrap = |descriptor: u16| descriptor & size.wrapping_sub(1);
        for (at, part) in (0u16..).zip(parts) {
            let (iova, bytes, write) = match *part {
                Part::Read(iova, bytes) => (iova, bytes, 0),
                Part::Write(iova, bytes) => (iova, bytes, 2),
                Part::Table(iova, bytes) => (iova, bytes, 4),
            };
            let more = u16::from(usize::from(at).saturating_add(1) < parts.len());
            let descriptor = wrap(next.wrapping_add(at));
            let mut bytes_of = [0u8; 16];
            let following = wrap(descriptor.wrapping_add(1)).to_le_bytes();
            let fields =
                [&iova.to_le_bytes()[..], &bytes.to_le_bytes(), &(write | more).to_le_bytes(), &following];
            bytes_of.iter_mut().zip(fields.concat()).for_each(|(to, from)| *to = from);
            self.store(base.saturating_add(u64::from(descriptor).saturating_mul(16)), &bytes_of);
        }
        let ring = base.saturating_add(DRIVER_RING);
        let head = wrap(next);
        let entry = ring.saturating_add(4).saturating_add(u64::from(wrap(index)).saturating_mul(2));
        self.store(entry, &head.to_le_bytes());
        self.store(ring.saturating_add(2), &index.wrapping_add(1).to_le_bytes());
        if let Some(state) = self.queues.get_mut(usize::from(queue)) {
            *state = (size, next.wrapping_add(parts.len() as u16), index.wrapping_add(1), seen);
        }
        head
    }

    /// Tells the device of `queue`.
    pub fn kick(&mut self, queue: u16) {
        let offset = NOTIFY.saturating_add(NOTIFY_MULTIPLIER.saturating_mul(queue.into()));
        self.write(offset as u64, 2, queue.into());
    }

    /// What the device has given back since this was asked last: heads, and how many bytes it wrote.
    pub fn used(&mut self, queue: u16) -> Vec<(u16, u32)> {
        let ring = Self::base(queue).saturating_add(DEVICE_RING);
        let index = self.load_u16(ring.saturating_add(2));
        let mut found = Vec::new();
        while let Some((size, .., seen)) = self.queues.get_mut(usize::from(queue)) {
            if *seen == index {
                break;
            }
            let slot = u64::from(*seen & size.wrapping_sub(1));
            *seen = seen.wrapping_add(1);
            let entry = self.load(ring.saturating_add(4).saturating_add(slot.saturating_mul(8)), 8);
            let value = entry.try_into().map_or(0, u64::from_le_bytes);
            found.push((value as u16, (value >> 32) as u32));
        }
        // It waits for the next one.
        if let Some((size, .., seen)) = self.queues.get(usize::from(queue)).copied() {
            let event = DRIVER_RING.saturating_add(4).saturating_add(u64::from(size).saturating_mul(2));
            self.store(Self::base(queue).saturating_add(event), &seen.to_le_bytes());
        }
        found
    }

    /// Lets `ns` nanoseconds pass.
    pub fn wait(&mut self, ns: u64) {
        use crate::ports::Clock;
        let until = self.world.clock.now().ns.saturating_add(ns);
        self.world.advance_to(until, &mut *self.function);
    }

    /// Makes one buffer available, tells the device, lets a second pass, and takes what it wrote: the number of bytes, if it gave the
    /// buffer back.
    pub fn request(&mut self, queue: u16, parts: &[Part]) -> Option<u32> {
        let head = self.add(queue, parts);
        self.kick(queue);
        self.wait(1_000_000_000);
        self.used(queue).iter().find(|(used, _)| *used == head).map(|(_, written)| *written)
    }
}
