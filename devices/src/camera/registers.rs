//! The register map of docs/camera.md, as one table.

use super::controls::{CONTRAST_UNIT, LIGHT_UNIT};
use super::format::{self, MAX_STRIDE, PixelFormat, STRIDE_ALIGN};
use crate::registers::{Map, Register, acting, all, locked, read_only, read_write, write_only};

/// Size of BAR 0 in bytes.
pub const BAR_BYTES: u32 = 4096;
/// Value of ID: "FCAM".
pub const ID: u32 = u32::from_le_bytes(*b"FCAM");
/// Value of VERSION.
pub const VERSION: u32 = 0x0001_0004;
/// Value of FORMATS.
pub const FORMATS: u32 = (1 << format::FORMATS.len()) - 1;
/// Value of SIZE_STEP, pixels.
pub const SIZE_STEP: u32 = 2;
/// Value of MAX_RATE, frames a second.
pub const MAX_RATE: u32 = 240;
/// Largest RATE_NUM and RATE_DEN.
pub const MAX_RATE_PART: u32 = 1_000_000;
/// Value of MAX_RING_ENTRIES.
pub const MAX_RING_ENTRIES: u32 = 256;
/// CONTROL: the stream is on.
pub const CONTROL_STREAM: u32 = 1;
/// STATUS: the stream is on.
pub const STATUS_STREAMING: u32 = 1;
/// STATUS: a frame is being written.
pub const STATUS_BUSY: u32 = 2;
/// STATUS: a ring faulted; nothing happens until the stream is stopped.
pub const STATUS_HALTED: u32 = 4;
/// STATUS: the next buffer waits for a semaphore.
pub const STATUS_WAITING: u32 = 8;
/// Reset value of SYNC_TIMEOUT, microseconds.
pub const SYNC_TIMEOUT_US: u32 = 1_000_000;

/// MSI-X vector: a completion record was written.
pub const VECTOR_FRAME_DONE: u16 = 0;
/// MSI-X vector: ERROR_CODE was set.
pub const VECTOR_ERROR: u16 = 1;
/// MSI-X vector: a frame was dropped.
pub const VECTOR_OVERRUN: u16 = 2;
/// Number of MSI-X vectors.
pub const VECTORS: u16 = 3;

/// A register, by its name in docs/camera.md.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reg {
    Id,
    Version,
    Formats,
    Colour,
    MinWidth,
    MaxWidth,
    MinHeight,
    MaxHeight,
    SizeStep,
    StrideAlign,
    MaxStride,
    MaxRate,
    NativeRateNum,
    NativeRateDen,
    MaxRingEntries,
    CostFixed,
    CostBytesPerCycle,
    Format,
    Width,
    Height,
    Stride,
    RateNum,
    RateDen,
    QueueBase,
    CompletionBase,
    RingEntries,
    QueueTailAddress,
    Control,
    Status,
    QueueTail,
    QueueHead,
    Completed,
    Sequence,
    QueueDoorbell,
    SyncTimeout,
    ErrorCode,
    ErrorIova,
    ErrorCount,
    OverrunCount,
    FrameCount,
    SyncTimeoutCount,
    Brightness,
    Contrast,
    Exposure,
    Gain,
    Flip,
    Pattern,
    ControlsLatch,
    ControlsCount,
    SourceWidth,
    SourceHeight,
    CropLeft,
    CropTop,
    CropWidth,
    CropHeight,
    ComposeLeft,
    ComposeTop,
}

/// BAR 0.
pub static MAP: Map<Reg> = Map::new(REGISTERS, BAR_BYTES as usize);

const REGISTERS: &[Register<Reg>] = &[
    read_only("ID", 0x000, 4, ID as u64).id(Reg::Id),
    read_only("VERSION", 0x004, 4, VERSION as u64).id(Reg::Version),
    read_only("FORMATS", 0x008, 4, FORMATS as u64).id(Reg::Formats),
    read_only("COLOUR", 0x00c, 4, 0).configured().id(Reg::Colour),
    read_only("MIN_WIDTH", 0x010, 4, 0).configured().id(Reg::MinWidth),
    read_only("MAX_WIDTH", 0x014, 4, 0).configured().id(Reg::MaxWidth),
    read_only("MIN_HEIGHT", 0x018, 4, 0).configured().id(Reg::MinHeight),
    read_only("MAX_HEIGHT", 0x01c, 4, 0).configured().id(Reg::MaxHeight),
    read_only("SIZE_STEP", 0x020, 4, SIZE_STEP as u64).id(Reg::SizeStep),
    read_only("STRIDE_ALIGN", 0x024, 4, STRIDE_ALIGN as u64).id(Reg::StrideAlign),
    read_only("MAX_STRIDE", 0x028, 4, MAX_STRIDE as u64).id(Reg::MaxStride),
    read_only("MAX_RATE", 0x02c, 4, MAX_RATE as u64).id(Reg::MaxRate),
    read_only("NATIVE_RATE_NUM", 0x030, 4, 0).configured().id(Reg::NativeRateNum),
    read_only("NATIVE_RATE_DEN", 0x034, 4, 0).configured().id(Reg::NativeRateDen),
    read_only("MAX_RING_ENTRIES", 0x038, 4, MAX_RING_ENTRIES as u64).id(Reg::MaxRingEntries),
    read_only("COST_FIXED", 0x03c, 4, 0).configured().id(Reg::CostFixed),
    read_only("COST_BYTES_PER_CYCLE", 0x040, 4, 0).configured().id(Reg::CostBytesPerCycle),
    locked("FORMAT", 0x080, 4, PixelFormat::Yuyv.fourcc() as u64).id(Reg::Format),
    locked("WIDTH", 0x084, 4, 0).configured().id(Reg::Width),
    locked("HEIGHT", 0x088, 4, 0).configured().id(Reg::Height),
    locked("STRIDE", 0x08c, 4, 0).configured().id(Reg::Stride),
    locked("RATE_NUM", 0x090, 4, 0).configured().id(Reg::RateNum),
    locked("RATE_DEN", 0x094, 4, 0).configured().id(Reg::RateDen),
    locked("QUEUE_BASE", 0x098, 8, 0).id(Reg::QueueBase),
    locked("COMPLETION_BASE", 0x0a0, 8, 0).id(Reg::CompletionBase),
    locked("RING_ENTRIES", 0x0a8, 4, 0).id(Reg::RingEntries),
    locked("QUEUE_TAIL_ADDR", 0x0b0, 8, 0).id(Reg::QueueTailAddress),
    acting("CONTROL", 0x0c0, 4, 0, CONTROL_STREAM as u64).id(Reg::Control),
    read_only("STATUS", 0x0c4, 4, 0).id(Reg::Status),
    acting("QUEUE_TAIL", 0x0c8, 4, 0, all(4)).id(Reg::QueueTail),
    read_only("QUEUE_HEAD", 0x0cc, 4, 0).id(Reg::QueueHead),
    read_only("COMPLETED", 0x0d0, 4, 0).id(Reg::Completed),
    read_only("SEQUENCE", 0x0d4, 4, 0).id(Reg::Sequence),
    write_only("QUEUE_DOORBELL", 0x0d8, 4, all(4)).id(Reg::QueueDoorbell),
    read_write("SYNC_TIMEOUT", 0x0dc, 4, SYNC_TIMEOUT_US as u64, all(4)).id(Reg::SyncTimeout),
    acting("ERROR_CODE", 0x100, 4, 0, all(4)).id(Reg::ErrorCode),
    read_only("ERROR_IOVA", 0x104, 8, 0).id(Reg::ErrorIova),
    read_only("ERROR_COUNT", 0x10c, 4, 0).id(Reg::ErrorCount),
    read_only("OVERRUN_COUNT", 0x110, 4, 0).id(Reg::OverrunCount),
    read_only("FRAME_COUNT", 0x114, 4, 0).id(Reg::FrameCount),
    read_only("SYNC_TIMEOUT_COUNT", 0x118, 4, 0).id(Reg::SyncTimeoutCount),
    read_write("BRIGHTNESS", 0x140, 4, 0, all(4)).id(Reg::Brightness),
    read_write("CONTRAST", 0x144, 4, CONTRAST_UNIT as u64, all(4)).id(Reg::Contrast),
    read_write("EXPOSURE", 0x148, 4, LIGHT_UNIT as u64, all(4)).id(Reg::Exposure),
    read_write("GAIN", 0x14c, 4, LIGHT_UNIT as u64, all(4)).id(Reg::Gain),
    read_write("FLIP", 0x150, 4, 0, 3).id(Reg::Flip),
    read_write("PATTERN", 0x154, 4, 0, all(4)).id(Reg::Pattern),
    write_only("CONTROLS_LATCH", 0x158, 4, all(4)).id(Reg::ControlsLatch),
    read_only("CONTROLS_COUNT", 0x15c, 4, 0).id(Reg::ControlsCount),
    locked("SOURCE_WIDTH", 0x180, 4, 0).id(Reg::SourceWidth),
    locked("SOURCE_HEIGHT", 0x184, 4, 0).id(Reg::SourceHeight),
    locked("CROP_LEFT", 0x188, 4, 0).id(Reg::CropLeft),
    locked("CROP_TOP", 0x18c, 4, 0).id(Reg::CropTop),
    locked("CROP_WIDTH", 0x190, 4, 0).id(Reg::CropWidth),
    locked("CROP_HEIGHT", 0x194, 4, 0).id(Reg::CropHeight),
    locked("COMPOSE_LEFT", 0x198, 4, 0).id(Reg::ComposeLeft),
    locked("COMPOSE_TOP", 0x19c, 4, 0).id(Reg::ComposeTop),
];
