//! The registers that every virtio device has, in BAR 0 (Virtual I/O Device 1.2, 4.1.4).

use crate::registers::{Access, Register, all, check, locked, read_only, read_write};

/// Size of BAR 0.
pub const BAR_BYTES: u32 = 0x4000;
/// Where the ISR status is.
pub const ISR: usize = 0x1000;
/// Where the device's own configuration starts.
pub const CONFIG: usize = 0x2000;
/// Where the notification registers start: that of queue n is [`NOTIFY_MULTIPLIER`] n behind it.
pub const NOTIFY: usize = 0x3000;
/// Bytes from one queue's notification register to the next.
pub const NOTIFY_MULTIPLIER: usize = 4;
/// Bytes of the common configuration.
pub const COMMON_BYTES: usize = 0x38;

/// The registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Id {
    /// `device_feature_select`.
    DeviceFeatureSelect,
    /// `device_feature`.
    DeviceFeature,
    /// `driver_feature_select`.
    DriverFeatureSelect,
    /// `driver_feature`.
    DriverFeature,
    /// `config_msix_vector`.
    ConfigVector,
    /// `num_queues`.
    QueueCount,
    /// `device_status`.
    Status,
    /// `config_generation`.
    Generation,
    /// `queue_select`.
    QueueSelect,
    /// `queue_size`.
    QueueSize,
    /// `queue_msix_vector`.
    QueueVector,
    /// `queue_enable`.
    QueueEnable,
    /// `queue_notify_off`.
    QueueNotifyOffset,
    /// `queue_desc`.
    QueueDescriptors,
    /// `queue_driver`.
    QueueDriver,
    /// `queue_device`.
    QueueDevice,
}

/// The common configuration. What a queue's registers are depends on `queue_select`.
pub const COMMON: &[Register<Id>] = &[
    read_write("device_feature_select", 0x00, 4, 0, all(4)).id(Id::DeviceFeatureSelect),
    read_only("device_feature", 0x04, 4, 0).configured().id(Id::DeviceFeature),
    read_write("driver_feature_select", 0x08, 4, 0, all(4)).id(Id::DriverFeatureSelect),
    locked("driver_feature", 0x0c, 4, 0).id(Id::DriverFeature),
    acting("config_msix_vector", 0x10, 2, 0xffff).id(Id::ConfigVector),
    read_only("num_queues", 0x12, 2, 0).configured().id(Id::QueueCount),
    acting("device_status", 0x14, 1, 0).id(Id::Status),
    read_only("config_generation", 0x15, 1, 0).id(Id::Generation),
    read_write("queue_select", 0x16, 2, 0, all(2)).id(Id::QueueSelect),
    acting("queue_size", 0x18, 2, 0).configured().id(Id::QueueSize),
    acting("queue_msix_vector", 0x1a, 2, 0xffff).id(Id::QueueVector),
    acting("queue_enable", 0x1c, 2, 0).id(Id::QueueEnable),
    read_only("queue_notify_off", 0x1e, 2, 0).id(Id::QueueNotifyOffset),
    address("queue_desc", 0x20, 0xf).id(Id::QueueDescriptors),
    address("queue_driver", 0x28, 1).id(Id::QueueDriver),
    address("queue_device", 0x30, 3).id(Id::QueueDevice),
];

const _: () = check(COMMON, COMMON_BYTES);

const fn acting(name: &'static str, offset: usize, width: usize, reset: u64) -> Register {
    crate::registers::acting(name, offset, width, reset, all(width))
}

/// The address of a ring or table, whose `low` bits are not there (2.7).
const fn address(name: &'static str, offset: usize, low: u64) -> Register {
    Register { writable: !low, ..locked(name, offset, 8, 0) }
}

/// The row of the common configuration that `offset` is in.
pub fn row(offset: usize) -> Option<&'static Register<Id>> {
    COMMON.iter().find(|row| offset.checked_sub(row.offset).is_some_and(|behind| behind < row.width))
}

/// The rows of a device: the common ones, its own configuration's, and the notification registers of so many queues.
pub fn table(config: Vec<Register>, queues: usize) -> Vec<Register> {
    let moved = |row: Register| Register { offset: row.offset.saturating_add(CONFIG), ..row };
    let mut rows: Vec<Register> = COMMON.iter().map(Register::anonymous).collect();
    // Reading it clears it.
    rows.push(Register { access: Access::ReadOnly, ..read_only("isr", ISR, 1, 0) });
    rows.extend(config.into_iter().map(moved));
    let notify = crate::registers::write_only("notify", NOTIFY, 4, all(4));
    rows.push(if queues > 1 { notify.each(queues, NOTIFY_MULTIPLIER) } else { notify });
    rows
}

/// A capability of virtio's (4.1.4): `kind` says what is at `offset` of BAR 0. What follows is its 14 bytes behind id and next.
const fn capability(bytes: u8, kind: u8, offset: u32, length: u32) -> [u8; 14] {
    let (at, len) = (offset.to_le_bytes(), length.to_le_bytes());
    [bytes, kind, 0, 0, 0, 0, at[0], at[1], at[2], at[3], len[0], len[1], len[2], len[3]]
}

const fn with_multiplier(head: [u8; 14]) -> [u8; 18] {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n] = head;
    let [w, x, y, z] = (NOTIFY_MULTIPLIER as u32).to_le_bytes();
    [a, b, c, d, e, f, g, h, i, j, k, l, m, n, w, x, y, z]
}

/// The capabilities, without ids and links.
pub static CAPABILITIES: &[&[u8]] = &[
    &capability(16, 1, 0, COMMON_BYTES as u32),
    &with_multiplier(capability(20, 2, NOTIFY as u32, 0x1000)),
    &capability(16, 3, ISR as u32, 1),
    &capability(16, 4, CONFIG as u32, 0x1000),
];
