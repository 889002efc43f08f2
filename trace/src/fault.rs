//! The faults that hardware is told to have.

use serde::{Deserialize, Serialize};

/// What goes wrong (docs/faults.md).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum FaultKind {
    /// An engine begins a job and never ends it.
    Hang,
    /// A job ends with an error.
    JobError,
    /// A job takes longer.
    Slow,
    /// A job's completion is told after those behind it.
    OutOfOrder,
    /// A frame is lost.
    Drop,
    /// A frame has fewer bytes than it should.
    Short,
    /// Lines of a frame are wrong.
    Corrupt,
    /// A frame is not taken in time.
    Overrun,
    /// The sensor gives no pictures.
    SensorLost,
    /// A sink cannot fetch its picture in time.
    Underrun,
    /// A vertical blank is not told of.
    VblankLost,
    /// A flip is not done.
    FlipStuck,
    /// A request ends with an input/output error.
    IoError,
    /// An interrupt message does not arrive.
    IrqLost,
    /// An interrupt message arrives late.
    IrqLate,
    /// An interrupt message arrives twice.
    IrqTwice,
    /// An interrupt message that nobody had a reason for.
    IrqSpurious,
    /// A DMA access that the bus refuses.
    DmaError,
    /// A descriptor that cannot be read.
    DescriptorError,
    /// A translation that the IOMMU refuses.
    Translation,
    /// An invalidation that leaves the translation in the IOTLB.
    Stale,
    /// An invalidation that takes long.
    SlowInvalidation,
    /// The function is taken from the bus.
    Removal,
    /// The link is reset, and the function with it.
    LinkReset,
    /// Reads of configuration space that return all ones.
    ConfigOnes,
}

impl FaultKind {
    /// Its name in docs/faults.md: lower case, words joined by hyphens.
    pub fn name(self) -> String {
        let mut name = String::new();
        for letter in format!("{self:?}").chars() {
            if letter.is_ascii_uppercase() && !name.is_empty() {
                name.push('-');
            }
            name.push(letter.to_ascii_lowercase());
        }
        name
    }
}
