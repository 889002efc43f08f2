//! A driver for tests.

use zerocopy::IntoBytes;
use zerocopy::little_endian::{U32, U64};

use crate::function::Words;
use crate::gpu::packet::{RawOperand, RawPacket};
use crate::gpu::{Gpu, GpuConfig};
use crate::testing::World;

pub const RID: u16 = 8;
pub const MEMORY_BYTES: usize = 1 << 20;
pub const RING_PACKETS: u32 = 8;
pub const SEMAPHORE: u64 = 0x3000;
/// Where tests keep pictures: page-sized segments that are not in address order.
pub const PAGES: [u64; 4] = [0x2_2000, 0x2_0000, 0x2_1000, 0x2_3000];
pub const OTHER_PAGES: [u64; 4] = [0x3_0000, 0x3_3000, 0x3_2000, 0x3_1000];

pub const HEAD: u32 = 0x0c;
pub const TAIL: u32 = 0x10;
pub const CONTROL: u32 = 0x14;
pub const STATUS: u32 = 0x18;
pub const SEQNO: u32 = 0x28;
pub const ERROR_CODE: u32 = 0x30;
pub const ERROR_PACKET: u32 = 0x34;
pub const ERROR_ADDRESS: u32 = 0x38;
pub const ERROR_COUNT: u32 = 0x40;
pub const WAIT_TIMEOUT: u32 = 0x44;
pub const TAIL_ADDR: u32 = 0x50;
pub const DOORBELL: u32 = 0x58;
pub const BUSY_CYCLES: u32 = 0x60;

/// The ring that only copies.
pub const COPY_RING: u32 = 2;
/// The vector of errors.
pub const ERRORS: u16 = 3;

pub struct Driver {
    pub gpu: Gpu,
    pub world: World,
    tails: [u32; 3],
    next_table: u64,
}

/// A list in memory.
#[derive(Clone, Copy)]
pub struct List {
    pub table: u64,
    pub entries: u32,
}

pub fn ring_base(ring: u32) -> u64 {
    0x4000 + 0x1000 * u64::from(ring)
}

pub fn fence_word(ring: u32) -> u64 {
    0x7000 + 8 * u64::from(ring)
}

pub fn tail_word(ring: u32) -> u64 {
    0x7100 + 4 * u64::from(ring)
}

pub fn packet(opcode: u32) -> RawPacket {
    RawPacket { opcode: U32::new(opcode), ..RawPacket::default() }
}

pub fn fence(seqno: u64) -> RawPacket {
    RawPacket { seqno: U64::new(seqno), ..packet(6) }
}

pub fn wait(value: u64) -> RawPacket {
    RawPacket { address: U64::new(SEMAPHORE), value: U64::new(value), ..packet(4) }
}

pub fn signal(value: u64) -> RawPacket {
    RawPacket { address: U64::new(SEMAPHORE), value: U64::new(value), ..packet(5) }
}

pub fn copy(dst: RawOperand, src: RawOperand, width: u32, height: u32) -> RawPacket {
    RawPacket { dst, src, width: U32::new(width), height: U32::new(height), ..packet(2) }
}

pub fn fill(dst: RawOperand, width: u32, height: u32, value: u64) -> RawPacket {
    RawPacket { dst, width: U32::new(width), height: U32::new(height), value: U64::new(value), ..packet(1) }
}

impl List {
    pub fn at(self, offset: u64, stride: u32) -> RawOperand {
        RawOperand {
            table: U64::new(self.table),
            entries: U32::new(self.entries),
            stride: U32::new(stride),
            offset: U64::new(offset),
        }
    }
}

impl Driver {
    /// All rings enabled, default configuration.
    pub fn new() -> Self {
        let mut driver = Driver::disabled(GpuConfig::default());
        (0..3).for_each(|ring| driver.enable(ring));
        driver
    }

    pub fn disabled(config: GpuConfig) -> Self {
        Driver { gpu: Gpu::new(config), world: World::new(MEMORY_BYTES), tails: [0; 3], next_table: 0x1_0000 }
    }

    pub fn enable(&mut self, ring: u32) {
        self.tails[ring as usize] = 0;
        self.write64(ring, 0x00, ring_base(ring));
        self.write(ring, 0x08, RING_PACKETS);
        self.write64(ring, 0x20, fence_word(ring));
        self.write(ring, CONTROL, 1);
    }

    pub fn read(&mut self, ring: u32, offset: u32) -> u32 {
        self.gpu.read(0x100 * (ring + 1) + offset, &mut self.world.ports())
    }

    pub fn read64(&mut self, ring: u32, offset: u32) -> u64 {
        u64::from(self.read(ring, offset)) | u64::from(self.read(ring, offset + 4)) << 32
    }

    pub fn write(&mut self, ring: u32, offset: u32, value: u32) {
        self.gpu.write(0x100 * (ring + 1) + offset, value, &mut self.world.ports());
    }

    pub fn write64(&mut self, ring: u32, offset: u32, value: u64) {
        self.write(ring, offset, value as u32);
        self.write(ring, offset + 4, (value >> 32) as u32);
    }

    /// Writes packets at the tail, and writes that to its register.
    pub fn submit(&mut self, ring: u32, packets: &[RawPacket]) {
        let tail = self.put(ring, packets);
        self.write(ring, TAIL, tail);
    }

    /// Writes packets at the tail, which it returns.
    pub fn put(&mut self, ring: u32, packets: &[RawPacket]) -> u32 {
        let mut tail = self.tails[ring as usize];
        for packet in packets {
            let at = ring_base(ring) as usize + 128 * tail as usize;
            self.world.memory_mut()[at..at + 128].copy_from_slice(packet.as_bytes());
            tail = (tail + 1) % RING_PACKETS;
        }
        self.tails[ring as usize] = tail;
        tail
    }

    /// Submits, and runs for a millisecond.
    pub fn run(&mut self, ring: u32, packets: &[RawPacket]) {
        self.submit(ring, packets);
        self.wait_ns(1_000_000);
    }

    pub fn wait_ns(&mut self, ns: u64) {
        let to = self.world.ports().clock.now().ns + ns;
        self.world.advance_to(to, &mut self.gpu);
    }

    /// A list of whole pages.
    pub fn pages(&mut self, pages: &[u64]) -> List {
        self.list(&pages.iter().map(|&page| (page, 4096)).collect::<Vec<_>>())
    }

    pub fn list(&mut self, segments: &[(u64, u32)]) -> List {
        let table = self.next_table;
        self.next_table += 16 * segments.len() as u64;
        for (at, &(iova, len)) in (table as usize..).step_by(16).zip(segments) {
            let memory = self.world.memory_mut();
            memory[at..at + 8].copy_from_slice(&iova.to_le_bytes());
            memory[at + 8..at + 12].copy_from_slice(&len.to_le_bytes());
        }
        List { table, entries: segments.len() as u32 }
    }

    /// What a buffer of whole pages holds.
    pub fn contents(&mut self, pages: &[u64]) -> Vec<u8> {
        let memory = self.world.memory_mut();
        pages.iter().flat_map(|&page| memory[page as usize..page as usize + 4096].to_vec()).collect()
    }

    pub fn store(&mut self, pages: &[u64], bytes: &[u8]) {
        for (&page, bytes) in pages.iter().zip(bytes.chunks(4096)) {
            self.world.memory_mut()[page as usize..page as usize + bytes.len()].copy_from_slice(bytes);
        }
    }

    pub fn word(&mut self, at: u64) -> u64 {
        u64::from_le_bytes(self.world.memory_mut()[at as usize..at as usize + 8].try_into().unwrap())
    }

    pub fn set_word(&mut self, at: u64, value: u64) {
        self.world.memory_mut()[at as usize..at as usize + 8].copy_from_slice(&value.to_le_bytes());
    }
}

/// Bytes without an obvious pattern.
pub fn noise(bytes: usize) -> Vec<u8> {
    let mut random = crate::testing::Random::new(0x2545_f491_4f6c_dd1d);
    (0..bytes).map(|_| (random.bits() >> 32) as u8).collect()
}
