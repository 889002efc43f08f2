//! Errors of the camera, and how the guest learns of them.

use serde::{Deserialize, Serialize};

use crate::ports::DmaFault;

/// The guest-visible error codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[repr(u32)]
pub enum ErrorCode {
    /// Stream-on with a value out of its limits.
    BadConfig = 1,
    /// A descriptor's field is not as documented.
    BadDescriptor = 2,
    /// An SG list without entries, too long, or with a bad entry.
    BadSg = 3,
    /// No room for the frame.
    TooSmall = 4,
    /// DMA fault reading an SG list.
    SgFault = 5,
    /// DMA fault writing pixels.
    BufferFault = 6,
    /// DMA fault on a ring.
    RingFault = 7,
    /// The host could not deliver the picture.
    Source = 8,
    /// Write to a locked register while streaming.
    Locked = 9,
    /// QUEUE_TAIL too far ahead.
    QueueOverflow = 10,
    /// The pixels came faster than memory took them: a fault that was asked for.
    Overflow = 11,
    /// Lines of the picture are wrong: a fault that was asked for.
    Line = 12,
    /// DMA fault on what a buffer waits for or signals.
    SyncFault = 13,
    /// What a buffer waits for was not reached in time.
    SyncTimeout = 14,
}

/// An error and the address it is about (0: none).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What.
    pub code: ErrorCode,
    /// Where.
    pub iova: u64,
}

impl Failure {
    /// An error about no address.
    pub fn plain(code: ErrorCode) -> Self {
        Failure { code, iova: 0 }
    }

    /// A DMA fault.
    pub fn fault(code: ErrorCode, fault: &DmaFault) -> Self {
        Failure { code, iova: fault.address().map_or(0, |iova| iova.0) }
    }
}
