//! The register map, as one table. `docs/camera.md` describes it; a test holds the two together.

/// A register of BAR 0. A 64-bit register is two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Register {
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
    QueueBaseLow,
    QueueBaseHigh,
    CompletionBaseLow,
    CompletionBaseHigh,
    RingEntries,
    QueueTailAddressLow,
    QueueTailAddressHigh,
    Control,
    Status,
    QueueTail,
    QueueHead,
    Completed,
    Sequence,
    QueueDoorbell,
    ErrorCode,
    ErrorIovaLow,
    ErrorIovaHigh,
    ErrorCount,
    OverrunCount,
    FrameCount,
}

/// What the guest may do with a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rights {
    /// Writes are ignored.
    ReadOnly,
    /// Writes take effect at any time.
    ReadWrite,
    /// Writes take effect at any time; reads as zero.
    WriteOnly,
    /// Writes take effect while the stream is off.
    Locked,
}

/// Offset, register, rights and the name in `docs/camera.md`, in order of offset.
pub const TABLE: [(u32, Register, Rights, &str); 43] = [
    (0x000, Register::Id, Rights::ReadOnly, "ID"),
    (0x004, Register::Version, Rights::ReadOnly, "VERSION"),
    (0x008, Register::Formats, Rights::ReadOnly, "FORMATS"),
    (0x00c, Register::Colour, Rights::ReadOnly, "COLOUR"),
    (0x010, Register::MinWidth, Rights::ReadOnly, "MIN_WIDTH"),
    (0x014, Register::MaxWidth, Rights::ReadOnly, "MAX_WIDTH"),
    (0x018, Register::MinHeight, Rights::ReadOnly, "MIN_HEIGHT"),
    (0x01c, Register::MaxHeight, Rights::ReadOnly, "MAX_HEIGHT"),
    (0x020, Register::SizeStep, Rights::ReadOnly, "SIZE_STEP"),
    (0x024, Register::StrideAlign, Rights::ReadOnly, "STRIDE_ALIGN"),
    (0x028, Register::MaxStride, Rights::ReadOnly, "MAX_STRIDE"),
    (0x02c, Register::MaxRate, Rights::ReadOnly, "MAX_RATE"),
    (0x030, Register::NativeRateNum, Rights::ReadOnly, "NATIVE_RATE_NUM"),
    (0x034, Register::NativeRateDen, Rights::ReadOnly, "NATIVE_RATE_DEN"),
    (0x038, Register::MaxRingEntries, Rights::ReadOnly, "MAX_RING_ENTRIES"),
    (0x03c, Register::CostFixed, Rights::ReadOnly, "COST_FIXED"),
    (0x040, Register::CostBytesPerCycle, Rights::ReadOnly, "COST_BYTES_PER_CYCLE"),
    (0x080, Register::Format, Rights::Locked, "FORMAT"),
    (0x084, Register::Width, Rights::Locked, "WIDTH"),
    (0x088, Register::Height, Rights::Locked, "HEIGHT"),
    (0x08c, Register::Stride, Rights::Locked, "STRIDE"),
    (0x090, Register::RateNum, Rights::Locked, "RATE_NUM"),
    (0x094, Register::RateDen, Rights::Locked, "RATE_DEN"),
    (0x098, Register::QueueBaseLow, Rights::Locked, "QUEUE_BASE"),
    (0x09c, Register::QueueBaseHigh, Rights::Locked, "QUEUE_BASE"),
    (0x0a0, Register::CompletionBaseLow, Rights::Locked, "COMPLETION_BASE"),
    (0x0a4, Register::CompletionBaseHigh, Rights::Locked, "COMPLETION_BASE"),
    (0x0a8, Register::RingEntries, Rights::Locked, "RING_ENTRIES"),
    (0x0b0, Register::QueueTailAddressLow, Rights::Locked, "QUEUE_TAIL_ADDR"),
    (0x0b4, Register::QueueTailAddressHigh, Rights::Locked, "QUEUE_TAIL_ADDR"),
    (0x0c0, Register::Control, Rights::ReadWrite, "CONTROL"),
    (0x0c4, Register::Status, Rights::ReadOnly, "STATUS"),
    (0x0c8, Register::QueueTail, Rights::ReadWrite, "QUEUE_TAIL"),
    (0x0cc, Register::QueueHead, Rights::ReadOnly, "QUEUE_HEAD"),
    (0x0d0, Register::Completed, Rights::ReadOnly, "COMPLETED"),
    (0x0d4, Register::Sequence, Rights::ReadOnly, "SEQUENCE"),
    (QUEUE_DOORBELL, Register::QueueDoorbell, Rights::WriteOnly, "QUEUE_DOORBELL"),
    (0x100, Register::ErrorCode, Rights::ReadWrite, "ERROR_CODE"),
    (0x104, Register::ErrorIovaLow, Rights::ReadOnly, "ERROR_IOVA"),
    (0x108, Register::ErrorIovaHigh, Rights::ReadOnly, "ERROR_IOVA"),
    (0x10c, Register::ErrorCount, Rights::ReadOnly, "ERROR_COUNT"),
    (0x110, Register::OverrunCount, Rights::ReadOnly, "OVERRUN_COUNT"),
    (0x114, Register::FrameCount, Rights::ReadOnly, "FRAME_COUNT"),
];

/// Offset of QUEUE_DOORBELL.
pub const QUEUE_DOORBELL: u32 = 0x0d8;
/// Size of BAR 0 in bytes.
pub const BAR_BYTES: u32 = 4096;
/// Value of ID: "FCAM".
pub const ID: u32 = u32::from_le_bytes(*b"FCAM");
/// Value of VERSION.
pub const VERSION: u32 = 0x0001_0001;
/// Value of FORMATS.
pub const FORMATS: u32 = 0x3;
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

/// MSI-X vector: a completion record was written.
pub const VECTOR_FRAME_DONE: u16 = 0;
/// MSI-X vector: ERROR_CODE was set.
pub const VECTOR_ERROR: u16 = 1;
/// MSI-X vector: a frame was dropped.
pub const VECTOR_OVERRUN: u16 = 2;
/// Number of MSI-X vectors.
pub const VECTORS: u16 = 3;

/// The register at `offset` and its rights.
pub fn register(offset: u32) -> Option<(Register, Rights)> {
    TABLE.iter().find(|entry| entry.0 == offset).map(|&(_, register, rights, _)| (register, rights))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_ascend_without_overlap_inside_the_bar() {
        assert!(TABLE.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert!(TABLE.iter().all(|entry| entry.0 % 4 == 0 && entry.0 < BAR_BYTES));
    }

    /// The rows of the page's register table: offset, name, rights.
    fn documented() -> Vec<(u32, String, Rights)> {
        let page = include_str!("../../../docs/camera.md");
        let mut rows = Vec::new();
        for line in page.lines().filter(|line| line.starts_with("| 0x")) {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            let rights = match cells[3] {
                "RO" => Rights::ReadOnly,
                "RW" => Rights::ReadWrite,
                "W" => Rights::WriteOnly,
                "RW, locked" => Rights::Locked,
                other => panic!("unknown access {other} in {line}"),
            };
            for offset in cells[1].split(", ") {
                let offset = u32::from_str_radix(offset.trim_start_matches("0x"), 16).unwrap();
                rows.push((offset, cells[2].to_string(), rights));
            }
        }
        rows
    }

    #[test]
    fn the_page_and_the_table_say_the_same() {
        let table: Vec<_> =
            TABLE.iter().map(|&(offset, _, rights, name)| (offset, name.to_string(), rights)).collect();
        assert_eq!(documented(), table);
    }
}
