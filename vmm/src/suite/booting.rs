//! A machine from which scenarios start: booted by the first that needs it, while others run.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::AtomicI32;
use std::sync::{Mutex, PoisonError, TryLockError};

use fencepost_devices::parameters::Value;

use super::base::{Hold, Place};
use super::order::{Boot, Order};
use super::pool;
use crate::config::MachineConfig;
use crate::error::HostError;

/// The machine that several scenarios share.
pub struct Base {
    machine: MachineConfig,
    release: String,
    place: Place,
    made: Mutex<Option<Result<Hold, String>>>,
}

impl Base {
    /// The machine whose snapshot is, or will be, in `place`. `nothing` is an empty folder: scenarios bring their own shared ones.
    pub fn new(machine: &MachineConfig, release: &str, place: Place, nothing: &str) -> Base {
        let mut machine = machine.clone();
        for device in machine.devices.iter_mut().filter(|device| device.kind == "virtio-fs") {
            device.parameters.insert("dir".to_string(), Value::Text(nothing.to_string()));
        }
        Base { machine, release: release.to_string(), place, made: Mutex::default() }
    }

    /// Whether somebody boots it now.
    pub fn is_booting(&self) -> bool {
        matches!(self.made.try_lock(), Err(TryLockError::WouldBlock))
    }

    /// The snapshot, which stays until this is dropped; or why the machine does not boot.
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
                None => self.boot(signal, say)?,
            });
        }
        let why = made.as_ref().and_then(|made| made.as_ref().err().cloned());
        Ok(why.map_or_else(|| Ok(self.place.path()), Err))
    }

    fn boot(&self, signal: &AtomicI32, say: &dyn Fn(&str)) -> Result<Result<Hold, String>, HostError> {
        let why = self.place.stale().map(|why| format!(" anew: {why}")).unwrap_or_default();
        say(&format!("booting {}{why}", self.release));
        self.place.make_room()?;
        let console = self.place.path().with_extension("console");
        let machine = self.machine.clone();
        let order = Order::Boot(Box::new(Boot { machine, to: self.place.path(), console: console.clone() }));
        match pool::alone(&order, signal)? {
            Ok(_) => {
                let _ = fs::remove_file(console);
                self.place.keep().map(Ok)
            }
            Err(why) => Ok(Err(why)),
        }
    }
}
