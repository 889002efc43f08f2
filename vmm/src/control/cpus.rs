//! What a run wants of the software CPUs, until they are made.

use fencepost_softcpu::Translate;

use super::Control;
use crate::state_log::StateLog;

impl Control {
    /// How the software CPU runs code: of CPUs that are made from now on.
    pub fn set_soft_cpu(&self, translate: Translate) {
        self.notes().soft_cpu = translate;
    }

    /// Has the next machine's software CPUs written down now and then.
    pub(crate) fn log_states(&self, log: StateLog) {
        self.notes().states = Some(log);
    }

    /// Where the states go, for who runs them.
    pub(crate) fn take_state_log(&self) -> Option<StateLog> {
        self.notes().states.take()
    }

    /// How the software CPU runs code.
    pub(crate) fn soft_cpu(&self) -> Translate {
        self.notes().soft_cpu
    }
}
