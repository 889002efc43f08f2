//! The device's configuration (5.2.4) and features (5.2.3).

use super::disk::SECTOR_BYTES;
use crate::registers::{Register, read_only, read_write};

/// `VIRTIO_BLK_F_SEG_MAX`: `seg_max` is there.
pub const SEG_MAX: u64 = 1 << 2;
/// `VIRTIO_BLK_F_RO`: the disk cannot be written.
pub const READ_ONLY: u64 = 1 << 5;
/// `VIRTIO_BLK_F_BLK_SIZE`: `blk_size` is there.
pub const BLK_SIZE: u64 = 1 << 6;
/// `VIRTIO_BLK_F_FLUSH`: the device has a cache and can flush it.
pub const FLUSH: u64 = 1 << 9;
/// `VIRTIO_BLK_F_TOPOLOGY`: the four fields of the topology are there.
pub const TOPOLOGY: u64 = 1 << 10;
/// `VIRTIO_BLK_F_CONFIG_WCE`: the driver may switch the cache off and on.
pub const CONFIG_WCE: u64 = 1 << 11;
/// `VIRTIO_BLK_F_DISCARD`.
pub const DISCARD: u64 = 1 << 13;
/// `VIRTIO_BLK_F_WRITE_ZEROES`.
pub const WRITE_ZEROES: u64 = 1 << 14;

/// Entries of the queue.
pub const QUEUE_ENTRIES: u16 = 256;
/// The most parts of data in a request: the queue without the header and the status.
pub const SEGMENTS_MAX: u32 = QUEUE_ENTRIES as u32 - 2;
/// The most ranges of one request to discard or zero.
pub const RANGES_MAX: u32 = 16;
/// The most sectors of a range to discard: 1 GiB.
pub const DISCARD_MAX_SECTORS: u32 = 1 << 21;
/// The most sectors of a range to zero: 32 MiB.
pub const ZERO_MAX_SECTORS: u32 = 1 << 16;
/// The host's pages are 8 sectors: what is smaller or lies across them costs a read before each write.
const PHYSICAL_BLOCK_EXPONENT: u8 = 3;
const IO_MIN_BLOCKS: u16 = 8;
/// Where the driver writes whether there is a cache.
pub const WRITEBACK: usize = 32;

/// The rows.
pub fn table() -> Vec<Register> {
    vec![
        read_only("capacity", 0, 8, 0).configured(),
        read_only("seg_max", 12, 4, SEGMENTS_MAX.into()),
        read_only("blk_size", 20, 4, SECTOR_BYTES),
        read_only("physical_block_exp", 24, 1, PHYSICAL_BLOCK_EXPONENT.into()),
        read_only("alignment_offset", 25, 1, 0),
        read_only("min_io_size", 26, 2, IO_MIN_BLOCKS.into()),
        read_only("opt_io_size", 28, 4, 0),
        read_write("writeback", WRITEBACK, 1, 1, 1),
        read_only("max_discard_sectors", 36, 4, DISCARD_MAX_SECTORS.into()),
        read_only("max_discard_seg", 40, 4, RANGES_MAX.into()),
        read_only("discard_sector_alignment", 44, 4, 8),
        read_only("max_write_zeroes_sectors", 48, 4, ZERO_MAX_SECTORS.into()),
        read_only("max_write_zeroes_seg", 52, 4, RANGES_MAX.into()),
        read_only("write_zeroes_may_unmap", 56, 1, 1),
    ]
}

/// The bytes, of a disk of so many bytes.
pub fn bytes(disk_bytes: u64, writeback: bool) -> Vec<u8> {
    let mut bytes = vec![0; 60];
    for row in table() {
        let value = match row.offset {
            0 => disk_bytes / SECTOR_BYTES,
            WRITEBACK => writeback.into(),
            _ => row.reset.unwrap_or_default(),
        };
        let end = row.offset.saturating_add(row.width);
        if let Some(place) = bytes.get_mut(row.offset..end) {
            place.iter_mut().zip(value.to_le_bytes()).for_each(|(to, from)| *to = from);
        }
    }
    bytes
}
