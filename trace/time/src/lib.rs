//! One type for each time base, and the only conversions between them.
//!
//! | type | what it counts | set by the guest |
//! |---|---|---|
//! | [`Cycles`] | the machine's own counter, from which every deadline of the machine and every stamp of a trace is taken | never |
//! | [`Tsc`] | what the guest's RDTSC gives, and its TSC deadline | yes |
//! | [`HostTsc`] | the host's own counter, from which `kvm` has its time | never |
//!
//! [`Cycles`] and [`Tsc`] advance together; a [`TscOffset`] lies between them, and changes when the guest writes its
//! counter. A [`Moment`] is a point in time together with the offset then in force. How many [`Cycles`] are a second is the
//! machine's to say; nanoseconds, the time of its devices, are plain numbers whose names end in `ns`.
//!
//! ```
//! use fencepost_time::{Cycles, Moment, Tsc, TscOffset};
//!
//! // The machine has counted to 1000 when the guest sets its own counter to 50.
//! let now = Cycles(1000);
//! let offset = TscOffset::between(now, Tsc(50));
//! assert_eq!(now.tsc(offset), Tsc(50));
//!
//! // Its deadline of 80 is 30 cycles ahead of the machine, whatever the guest's counter says.
//! assert_eq!(Moment { cycles: now, offset }.when(Tsc(80)), Cycles(1030));
//! ```

#![warn(missing_docs)]
#![deny(clippy::arithmetic_side_effects)]
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

mod history;
mod host;
mod moment;
mod units;

pub use history::OffsetHistory;
pub use host::{HostOffset, HostTsc};
pub use moment::{Moment, TscOffset};
pub use units::{Cycles, Tsc};
