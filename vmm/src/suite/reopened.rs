//! A scenario that failed, opened to a debugger at its end.
//!
//! It is played once more: a run under `soft` is exact, so it ends as it did, and those that pass cost nothing. This time its past is
//! kept, so that the debugger can go back.

use std::sync::Arc;

use super::order::Play;
use super::play::Wanted;
use super::tasks;
use super::worker::{judge_into, launched, run_player};
use crate::config::Accel;
use crate::control::Control;
use crate::error::{HostError, plain};
use crate::gdb::{GdbAt, Place};
use crate::say;
use crate::scenario::Found;
use crate::signals;
use crate::tail::Tail;

/// Plays `order` again, and waits at its end for a debugger that comes to `place`, until that has gone.
///
/// # Errors
///
/// Those of the host.
pub fn open(order: &Play, place: &Place) -> Result<(), HostError> {
    if order.machine.accel == Accel::Kvm {
        say::line(format_args!(
            "fencepost: --gdb: {} runs under kvm, where no run is had again; give it accel = \"soft\"",
            order.name
        ));
        return Ok(());
    }
    let folder = tempfile::tempdir();
    let folder = folder.map_err(|error| HostError::Host(format!("--gdb: no folder: {}", plain(&error))))?;
    let order = Play { folder: folder.path().to_path_buf(), ..order.clone() };
    let found = Found::of(&order.path, &order.text)?.as_variant(order.variant.as_deref());
    let wanted = Wanted {
        waiting: order.restore.is_some(),
        limit_ns: found.scenario.scenario.timeout.ns(),
        judge: judge_into(&found, &Arc::default())?,
        ..tasks::wanted(&order, &found)?
    };
    let mut launch = launched(&order, &found);
    launch.gdb = Some(GdbAt { place: place.clone(), waits: false });
    launch.gdb_at_end = Some(format!("{} has failed, and stands at its end for", order.name));
    let control = Arc::<Control>::default();
    let _signals = signals::watch(Arc::clone(&control));
    run_player(&launch, wanted, (&Tail::in_memory(), None), None, &control).map(drop)
}
