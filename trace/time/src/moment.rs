//! A point in time as a CPU sees it.

use serde::{Deserialize, Serialize};

use crate::{Cycles, Tsc};

/// How far the guest's counter is ahead of the machine's, modulo 2^64. A guest's write to IA32_TSC or IA32_TSC_ADJUST
/// changes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TscOffset(pub u64);

impl TscOffset {
    /// The offset with which the guest's counter reads `tsc` at `cycles`.
    pub const fn between(cycles: Cycles, tsc: Tsc) -> Self {
        TscOffset(tsc.0.wrapping_sub(cycles.0))
    }

    /// The offset after the guest has added `by` to its counter, modulo 2^64.
    pub const fn moved(self, by: u64) -> Self {
        TscOffset(self.0.wrapping_add(by))
    }
}

/// A point in time, with the offset of the guest's counter at that time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// The machine's counter.
    pub cycles: Cycles,
    /// From it to the guest's.
    pub offset: TscOffset,
}

impl Moment {
    /// What the guest's counter reads.
    pub const fn tsc(self) -> Tsc {
        self.cycles.tsc(self.offset)
    }

    /// When the guest's counter will be at `deadline` or beyond it, if nobody sets it: now, if it is there already.
    pub const fn when(self, deadline: Tsc) -> Cycles {
        self.cycles.saturating_add(deadline.0.saturating_sub(self.tsc().0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_compared_with_what_the_guest_reads() {
        let far_ahead = Moment { cycles: Cycles(700), offset: TscOffset(1 << 50) };
        assert_eq!(far_ahead.tsc(), Tsc((1 << 50) + 700));
        assert_eq!(far_ahead.when(Tsc((1 << 50) + 1700)), Cycles(1700));
        assert_eq!(far_ahead.when(Tsc(1000)), Cycles(700), "long past");
        let set_back =
            Moment { cycles: Cycles(1 << 40), offset: TscOffset::between(Cycles(1 << 40), Tsc(5)) };
        assert_eq!(set_back.tsc(), Tsc(5));
        assert_eq!(set_back.when(Tsc(1005)), Cycles((1 << 40) + 1000));
        assert_eq!(set_back.when(Tsc(u64::MAX)), Cycles(u64::MAX), "the end of time");
    }
}
