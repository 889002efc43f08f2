//! A machine from which scenarios start: booted by the first that needs it, while others run.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::AtomicI32;
use std::sync::{Arc, Mutex, PoisonError, TryLockError};

use fencepost_devices::parameters::Value;

use super::base::Place;
use super::order::{Boot, Order};
use super::pool;
use crate::config::MachineConfig;
use crate::error::HostError;
use crate::in_use::Hold;

/// The machine that several scenarios share.
pub struct Base {
    machine: MachineConfig,
    /// Whether the worker that makes it gives up what it does not need.
    sandbox: bool,
    what: String,
    place: Place,
    /// The machine that this one goes on from, and by which script; it is booted without.
    from: Option<(Arc<Base>, String)>,
    made: Mutex<Option<Result<Hold, String>>>,
}

impl Base {
    /// The machine whose snapshot is, or will be, in `place`; `what` says which for people. `nothing` is an empty folder: scenarios bring
    /// their own shared ones in the place of those for which `brought` is true.
    pub fn new(
        (machine, sandbox): (&MachineConfig, bool),
        (what, place): (String, Place),
        from: Option<(Arc<Base>, String)>,
        nothing: &str,
        brought: impl Fn(&str) -> bool,
    ) -> Base {
        let mut machine = machine.clone();
        for device in machine.devices.iter_mut().filter(|device| device.kind == "virtio-fs") {
            let of_scenario = match device.parameters.get("tag") {
                Some(Value::Text(tag)) => brought(tag),
                _ => true,
            };
            if of_scenario {
                device.parameters.insert("dir".to_string(), Value::Text(nothing.to_string()));
            }
        }
        Base { machine, sandbox, what, place, from, made: Mutex::default() }
    }

    /// Whether somebody makes it now.
    pub fn is_booting(&self) -> bool {
        let below = self.from.as_ref().is_some_and(|(base, _)| base.is_booting());
        below || matches!(self.made.try_lock(), Err(TryLockError::WouldBlock))
    }

    /// The snapshot, which stays until this is dropped; or why there is none.
    ///
    /// # Errors
    ///
    /// A signal, or the host cannot write it.
    pub fn snapshot(
        &self,
        signal: &AtomicI32,
        say: &dyn Fn(&str),
    ) -> Result<Result<PathBuf, String>, HostError> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if made.is_none() {
            *made = Some(match self.place.find() {
                Some(hold) => Ok(hold),
                None => self.make(signal, say)?,
            });
        }
        let why = made.as_ref().and_then(|made| made.as_ref().err().cloned());
        Ok(why.map_or_else(|| Ok(self.place.path()), Err))
    }

    fn make(&self, signal: &AtomicI32, say: &dyn Fn(&str)) -> Result<Result<Hold, String>, HostError> {
        let from = match &self.from {
            None => None,
            Some((base, script)) => match base.snapshot(signal, say)? {
                Ok(path) => Some((path, script.clone())),
                Err(why) => return Ok(Err(why)),
            },
        };
        let why = self.place.stale().map(|why| format!(" anew: {why}")).unwrap_or_default();
        say(&format!("{}{why}", self.what));
        self.place.make_room()?;
        let console = self.place.path().with_extension("console");
        let (machine, to) = (self.machine.clone(), self.place.path());
        let order = Order::Boot(Box::new(Boot {
            machine,
            from,
            to,
            console: console.clone(),
            sandbox: self.sandbox,
        }));
        let ended = pool::alone(&order, signal)?;
        if ended.is_ok() || self.from.is_some() {
            let _ = fs::remove_file(console);
        }
        match ended {
            Ok(_) => self.place.keep().map(Ok),
            Err(why) => Ok(Err(why)),
        }
    }
}
