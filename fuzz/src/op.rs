//! What a guest does to a device, and how it is written in an input: short, so that a mutation changes one thing.

use fencepost_devices::virtio::testing::Part;

use crate::bytes::Bytes;

/// One act of the guest, the host, or of who tests.
#[derive(Clone, Debug)]
pub enum Op {
    /// Writes `1 << width` bytes to a register.
    Write { bar: u8, offset: u16, width: u8, value: u64 },
    /// Reads them.
    Read { bar: u8, offset: u16, width: u8 },
    /// Puts bytes into guest memory.
    Store { at: u32, bytes: Vec<u8> },
    /// Lets `count << shift` nanoseconds pass.
    Wait { count: u8, shift: u8 },
    /// The host has data for the device.
    Receive(Vec<u8>),
    /// In the device's place one that is restored from its state.
    Restore,
    /// Function-level reset.
    Reset,
    /// The IOMMU refuses so many pages from this one on.
    Refuse { page: u8, pages: u8 },
    /// Makes a buffer available in a queue of a virtio device.
    Add { queue: u8, parts: Vec<Part> },
    /// Tells the device of the queue.
    Kick { queue: u8 },
    /// The driver of a virtio device begins anew.
    Restart,
}

/// The most that one wait is shifted by: 255 of them are a quarter of a second.
const SHIFT_MAX: u8 = 20;

impl Op {
    /// The next act of an input; none at its end.
    pub fn decode(from: &mut Bytes<'_>) -> Option<Op> {
        if from.is_empty() {
            return None;
        }
        let tag = from.u8();
        let (width, bar) = (tag >> 4 & 3, tag >> 6);
        Some(match tag & 15 {
            0..=2 => {
                let offset = from.u16();
                Op::Write { bar, offset, width, value: from.number(1 << width) }
            }
            3 => Op::Read { bar, offset: from.u16(), width },
            4 | 5 => {
                let (at, len) = (from.number(3) as u32, from.u8());
                Op::Store { at, bytes: from.take(len.into()).to_vec() }
            }
            6 | 7 => Op::Wait { count: from.u8(), shift: from.u8() % (SHIFT_MAX + 1) },
            8 => {
                let len = from.u8();
                Op::Receive(from.take(len.into()).to_vec())
            }
            9 => Op::Restore,
            10 => Op::Reset,
            11 => Op::Refuse { page: from.u8(), pages: from.u8() },
            12 => {
                let (queue, count) = (from.u8(), from.u8() & 15);
                Op::Add { queue, parts: (0..count).map(|_| part(from)).collect() }
            }
            13 | 14 => Op::Kick { queue: from.u8() },
            _ => Op::Restart,
        })
    }

    /// All acts of an input.
    pub fn all(mut from: Bytes<'_>) -> Vec<Op> {
        std::iter::from_fn(|| Op::decode(&mut from)).collect()
    }
}

/// Address of three bytes; length of three, whose uppermost bit says that the device may write.
fn part(from: &mut Bytes<'_>) -> Part {
    let (at, len) = (from.number(3), from.number(3) as u32);
    if len >> 23 != 0 { Part::Write(at, len & 0x7f_ffff) } else { Part::Read(at, len) }
}
