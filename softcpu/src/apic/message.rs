//! Interrupt messages: what an I/O APIC, an MSI or another CPU sends to local APICs.

use serde::{Deserialize, Serialize};

/// A destination that every local APIC answers to.
pub const BROADCAST: u32 = u32::MAX;

/// The kind of an interrupt message (Intel SDM vol. 3, 11.6.1 and 11.11.2: the delivery mode field).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum DeliveryMode {
    /// The vector, to every destination.
    Fixed,
    /// The vector, to the destination of lowest priority.
    LowestPriority,
    /// System management interrupt.
    Smi,
    /// Non-maskable interrupt.
    Nmi,
    /// Reset.
    Init,
    /// Start at page `vector`.
    Startup,
    /// Like an 8259A: the vector comes from an acknowledge cycle.
    ExtInt,
}

impl DeliveryMode {
    /// Decodes the three-bit field; 3 is reserved.
    pub fn from_bits(bits: u32) -> Option<Self> {
        Some(match bits & 7 {
            0 => Self::Fixed,
            1 => Self::LowestPriority,
            2 => Self::Smi,
            4 => Self::Nmi,
            5 => Self::Init,
            6 => Self::Startup,
            7 => Self::ExtInt,
            _ => return None,
        })
    }

    /// Whether the message's vector is an interrupt vector (and so must be at least 16).
    pub fn carries_vector(self) -> bool {
        matches!(self, Self::Fixed | Self::LowestPriority)
    }
}

/// One interrupt on its way to local APICs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct InterruptMessage {
    /// APIC id, or logical destination; [`BROADCAST`] is everyone.
    pub destination: u32,
    /// `destination` is a logical one.
    pub logical: bool,
    /// What kind of interrupt.
    pub delivery_mode: DeliveryMode,
    /// The vector.
    pub vector: u8,
    /// Level-triggered: its end must be reported to the I/O APICs.
    pub level: bool,
}

impl InterruptMessage {
    /// Decodes a write of `data` to `address` (Intel SDM vol. 3, 11.11). `None` when the address is not in
    /// 0xfee0_0000..0xfef0_0000, the delivery mode is reserved, or the message is a level de-assert.
    pub fn from_msi(address: u64, data: u32) -> Option<Self> {
        const DESTINATION_LOGICAL: u64 = 1 << 2;
        const LEVEL_ASSERT: u32 = 1 << 14;
        const TRIGGER_LEVEL: u32 = 1 << 15;
        if address >> 20 != 0xfee {
            return None;
        }
        let level = data & TRIGGER_LEVEL != 0;
        if level && data & LEVEL_ASSERT == 0 {
            return None;
        }
        let logical = address & DESTINATION_LOGICAL != 0;
        Some(InterruptMessage {
            destination: widen_destination((address >> 12) as u8, logical),
            logical,
            delivery_mode: DeliveryMode::from_bits(data >> 8)?,
            vector: data as u8,
            level,
        })
    }

    /// Decodes what [`ApicEffect::ipi`](super::ApicEffect::ipi) holds. `None` when the delivery mode is reserved.
    pub fn from_icr(icr: u64) -> Option<Self> {
        const LOGICAL: u64 = 1 << 11;
        Some(InterruptMessage {
            destination: (icr >> 32) as u32,
            logical: icr & LOGICAL != 0,
            delivery_mode: DeliveryMode::from_bits((icr >> 8) as u32)?,
            vector: icr as u8,
            level: false,
        })
    }
}

/// The 32-bit form of an 8-bit destination: the physical broadcast id stays a broadcast.
pub fn widen_destination(destination: u8, logical: bool) -> u32 {
    if destination == 0xff && !logical { BROADCAST } else { u32::from(destination) }
}
