//! The list of device models: who can be plugged, where, with which parameters.
//!
//! A model is a folder of this crate and its line in `lib.rs`, or of another crate and [added](add) by its program. It says about
//! itself what [`Model`] asks, and nothing else in the program knows it by name: the command line, a machine's file, the bus and
//! snapshots go by this list.
//!
//! ```
//! use fencepost_devices::parameters::Parameters;
//! use fencepost_devices::registry::{self, NoHost};
//!
//! let model = registry::find("gpu").unwrap();
//! let gpu = model.build(&Parameters::new(), &mut NoHost).unwrap();
//! let saved = gpu.save_state();
//! let again = model.restore(&Parameters::new(), &mut NoHost, &saved).unwrap();
//! assert_eq!(again.save_state(), saved);
//! ```

mod added;

use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::camera::FrameSource;
use crate::cost::CostModel;
use crate::display::{NoPictures, PictureSink};
use crate::function::Function;
use crate::parameters::{self, Parameter, Parameters, Takes, Value, did_you_mean};
use crate::pci::requester_id;
use crate::pvpanic::{GuestEvents, Nobody};
use crate::registers::Register;
use crate::state::{SavedState, StateError, Stateful, unpack};
use crate::virtio_blk::{Disk, Wanted};
use crate::virtio_console::{ByteSink, NoReader, Port};
use crate::virtio_fs::{FileServer, NoFiles, Share};
use crate::virtio_iommu::Unit;
use crate::virtio_net::{Unplugged, Wire};
use crate::virtio_rng::Entropy;

pub use crate::MODELS;
pub use added::{add, models};

/// What a device may ask of the host when it is built.
pub trait Host {
    /// Opens a source of pictures, such as a Y4M or PNG file.
    ///
    /// # Errors
    ///
    /// Which file, why not, and the fix, as one line.
    fn pictures(&mut self, path: &Path) -> Result<Box<dyn FrameSource>, String>;
    /// Where the frames of a network device go.
    fn wire(&mut self) -> Box<dyn Wire>;
    /// Who reads what the guest writes to `port` of a console.
    fn port(&mut self, port: Port) -> Box<dyn ByteSink>;
    /// Who is shown the pictures of a screen.
    fn screen(&mut self) -> Box<dyn PictureSink>;
    /// Who is told what the guest's kernel says of itself.
    fn guest_events(&mut self) -> Box<dyn GuestEvents>;
    /// Opens a directory for the guest.
    ///
    /// # Errors
    ///
    /// Which directory, why not, and the fix, as one line.
    fn share(&mut self, share: Share<'_>) -> Result<Box<dyn FileServer>, String>;
    /// Opens the file of a disk.
    ///
    /// # Errors
    ///
    /// As [`Self::pictures`].
    fn disk(&mut self, wanted: Wanted<'_>) -> Result<Box<dyn Disk>, String>;
    /// The host's random numbers; none where the guest's run must not depend on them.
    fn entropy(&mut self) -> Option<Box<dyn Entropy>>;
    /// What translates for the other devices as the driver of this one wants.
    ///
    /// # Errors
    ///
    /// The machine has no such unit, or another device has it: as one line.
    fn iommu(&mut self) -> Result<Unit, String>;
}

/// A host that has no files, and nobody who looks at a screen.
pub struct NoHost;

impl Host for NoHost {
    fn wire(&mut self) -> Box<dyn Wire> {
        Box::new(Unplugged)
    }

    fn port(&mut self, _: Port) -> Box<dyn ByteSink> {
        Box::new(NoReader)
    }

    fn pictures(&mut self, path: &Path) -> Result<Box<dyn FrameSource>, String> {
        Err(format!("{}: there are no files here; leave it out", path.display()))
    }

    fn screen(&mut self) -> Box<dyn PictureSink> {
        Box::new(NoPictures)
    }

    fn guest_events(&mut self) -> Box<dyn GuestEvents> {
        Box::new(Nobody)
    }

    fn share(&mut self, _: Share<'_>) -> Result<Box<dyn FileServer>, String> {
        Ok(Box::new(NoFiles))
    }

    fn disk(&mut self, wanted: Wanted<'_>) -> Result<Box<dyn Disk>, String> {
        Err(format!("{}: there are no files here; leave it out", wanted.path.display()))
    }

    fn entropy(&mut self) -> Option<Box<dyn Entropy>> {
        None
    }

    fn iommu(&mut self) -> Result<Unit, String> {
        Ok(Unit::new(0, (1..32).map(requester_id)))
    }
}

/// What a device's type says of itself to be in the list. Its kind is [`Stateful::KIND`].
pub trait Model: Function + Stateful + 'static {
    /// What it is, in a few words.
    const ABOUT: &'static str;
    /// The slot that a machine has one in unless told otherwise; none: it is plugged only when asked for.
    const SLOT: Option<u8>;
    /// The keys of [`Self::Config`] that the host's user may set: all of them, as serde names them.
    const PARAMETERS: &'static [Parameter];
    /// Its configuration: a struct whose fields all have defaults, and that refuses unknown ones.
    type Config: Serialize + DeserializeOwned + Default;

    /// What it is built from.
    ///
    /// # Errors
    ///
    /// Values that do not go together, or a host that does not have what they name: why, and the fix, as one line.
    fn parts(config: Self::Config, host: &mut dyn Host) -> Result<Self::Parts, String>;
    /// One after power-on.
    ///
    /// # Errors
    ///
    /// As [`Self::parts`].
    fn power_on(parts: Self::Parts) -> Result<Self, String>;
    /// The registers of BAR 0: of this crate's models those that the page `docs/KIND.md` lists.
    fn register_table() -> Vec<Register>;
    /// The cost model of its engine, if it has one.
    fn cost(config: &Self::Config) -> Option<CostModel>;
}

/// Why a device could not be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// A parameter: what is wrong and the fix.
    #[error("{0}")]
    Parameters(String),
    /// The state to restore.
    #[error(transparent)]
    State(#[from] StateError),
}

type Built = Result<Box<dyn Function>, BuildError>;

/// A model in the list.
#[derive(Clone, Copy)]
pub struct Entry {
    /// Its name, on the command line and in files.
    pub kind: &'static str,
    /// [`Model::ABOUT`].
    pub about: &'static str,
    /// [`Model::SLOT`].
    pub slot: Option<u8>,
    /// [`Model::PARAMETERS`].
    pub parameters: &'static [Parameter],
    /// [`Model::register_table`].
    pub register_table: fn() -> Vec<Register>,
    build: fn(&Parameters, &mut dyn Host, Option<&SavedState>) -> Built,
    cost: fn(&Parameters) -> Option<CostModel>,
    defaults: fn() -> serde_json::Value,
}

impl Entry {
    /// The entry of `M`.
    pub const fn of<M: Model>() -> Self {
        Entry {
            kind: M::KIND,
            about: M::ABOUT,
            slot: M::SLOT,
            parameters: M::PARAMETERS,
            register_table: M::register_table,
            build: build::<M>,
            cost: |parameters| M::cost(&parameters::typed(parameters).ok()?),
            defaults: || serde_json::to_value(M::Config::default()).unwrap_or_default(),
        }
    }

    /// A device after power-on.
    ///
    /// # Errors
    ///
    /// [`BuildError::Parameters`].
    pub fn build(&self, parameters: &Parameters, host: &mut dyn Host) -> Built {
        (self.build)(parameters, host, None)
    }

    /// A device in the state that [`Function::save_state`] gave of one with the same parameters.
    ///
    /// # Errors
    ///
    /// Both kinds of [`BuildError`].
    pub fn restore(&self, parameters: &Parameters, host: &mut dyn Host, saved: &SavedState) -> Built {
        (self.build)(parameters, host, Some(saved))
    }

    /// The cost model in words, if the device has one and the parameters are right.
    pub fn cost(&self, parameters: &Parameters) -> Option<String> {
        (self.cost)(parameters).map(|cost| cost.to_string())
    }

    /// The keys of its configuration.
    pub fn keys(&self) -> Vec<String> {
        let serde_json::Value::Object(fields) = (self.defaults)() else { return Vec::new() };
        fields.into_iter().map(|(key, _)| key).collect()
    }

    /// Whether the value of a key is the name of a file on the host.
    pub fn is_file(&self, key: &str) -> bool {
        self.parameters.iter().any(|parameter| parameter.key == key && parameter.takes.is_file())
    }

    /// Whether the file that a key names is written, with these parameters.
    pub fn writes(&self, key: &str, parameters: &Parameters) -> bool {
        let takes = self.parameters.iter().find(|parameter| parameter.key == key).map(|it| it.takes);
        let Some(Takes::WrittenFile { unless: (other, values) }) = takes else { return false };
        let set = |value: &Value| matches!(value, Value::Text(text) if values.contains(&text.as_str()));
        !parameters.get(other).is_some_and(set)
    }

    /// The default of a key in words, if it has one.
    pub fn default_of(&self, key: &str) -> Option<String> {
        match (self.defaults)().get(key)? {
            serde_json::Value::Null => None,
            serde_json::Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        }
    }
}

/// The model of this kind.
///
/// # Errors
///
/// Which kinds there are, as part of a line.
pub fn find(kind: &str) -> Result<&'static Entry, String> {
    models().find(|entry| entry.kind == kind).ok_or_else(|| {
        let kinds: Vec<_> = models().map(|entry| entry.kind).collect();
        let near = did_you_mean(kind, kinds.iter().copied());
        let there = if near.is_empty() { format!(", there are {}", kinds.join(", ")) } else { near };
        format!("there is no device '{kind}'{there}")
    })
}

fn build<M: Model>(parameters: &Parameters, host: &mut dyn Host, saved: Option<&SavedState>) -> Built {
    parameters::check(parameters, M::PARAMETERS).map_err(BuildError::Parameters)?;
    let config = parameters::typed(parameters).map_err(BuildError::Parameters)?;
    let parts = M::parts(config, host).map_err(BuildError::Parameters)?;
    Ok(Box::new(match saved {
        Some(saved) => unpack::<M>(parts, saved)?,
        None => M::power_on(parts).map_err(BuildError::Parameters)?,
    }))
}
