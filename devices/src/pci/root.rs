//! The root complex: bus 0, its host bridge and its list of functions.

use serde::{Deserialize, Serialize};

use crate::changes::{Change, Presence};
use crate::faults::FaultSpec;
use crate::function::{Counter, Function, Identity, Pin};
use crate::parameters::Parameters;
use crate::ports::Ports;
use crate::registers::RegisterFile;
use crate::state::{StateError, Stateful, require};

use super::bars::{Space, Windows};
use super::config;
use super::config_ports::{ConfigAccess, ConfigAddress};
use super::endpoint::{Endpoint, EndpointState, PlacedDoorbell};
use super::platform::{MsiWrite, Platform};
use super::{CONFIG_BYTES, requester_id};

/// Why a function was refused: errors of the host's configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PciError {
    /// Slot 0 is the host bridge, and a bus has 32.
    #[error("PCI slot {0} is not in 1..32")]
    Slot(u8),
    /// Two functions in one slot.
    #[error("PCI slot {0} is taken")]
    Taken(u8),
    /// A base address register that cannot be.
    #[error("BAR {bar}: {why}")]
    Bar {
        /// Which.
        bar: u8,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Interrupts that cannot be.
    #[error("Interrupts: {0}")]
    Interrupts(&'static str),
    /// PCI Express Base Specification 5.0, 1.3.2.3.
    #[error("An Express function integrated in the root complex has no port BAR")]
    ExpressPorts,
    /// The window for BARs is full.
    #[error("BARs do not fit in the PCI windows")]
    Window,
}

/// The saved state of a [`PciRoot`], with the functions on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PciRootState {
    /// Configuration space of the host bridge.
    pub host_bridge: Vec<u8>,
    /// The register at port 0xcf8.
    pub config_address: u32,
    /// The functions, by ascending requester id.
    pub endpoints: Vec<EndpointState>,
}

/// Bus 0. Accesses to addresses that nothing decodes are the machine's to answer (reads as all ones).
pub struct PciRoot {
    host_bridge: RegisterFile,
    config_address: ConfigAddress,
    endpoints: Vec<Endpoint>,
    /// Counts what may have changed [`PciRoot::open_vectors`] or [`PciRoot::doorbells`].
    revision: u64,
}

impl Default for PciRoot {
    fn default() -> Self {
        PciRoot {
            host_bridge: RegisterFile::new(&config::host_bridge(), config::HEADER_BYTES),
            config_address: ConfigAddress::default(),
            endpoints: Vec::new(),
            revision: 0,
        }
    }
}

impl PciRoot {
    /// A bus with a host bridge at 00:00.0 and nothing else.
    pub fn new() -> Self {
        Self::default()
    }

    /// Plugs `function` into `slot` (1..32) as function 0.
    pub fn add(&mut self, slot: u8, function: Box<dyn Function>) -> Result<(), PciError> {
        if !(1..32).contains(&slot) {
            return Err(PciError::Slot(slot));
        }
        let bars = config::check(&function.identity())?;
        let rid = requester_id(slot);
        match self.endpoints.binary_search_by_key(&rid, |endpoint| endpoint.rid) {
            Ok(_) => Err(PciError::Taken(slot)),
            Err(place) => {
                self.endpoints.insert(place, Endpoint::new(rid, function, bars));
                Ok(())
            }
        }
    }

    /// Programs every BAR inside `windows`, as firmware would. Decoding stays off: the guest's drivers switch it on.
    pub fn assign_bars(&mut self, windows: &Windows) -> Result<(), PciError> {
        let mut free = windows.clone();
        let mut fits = self.endpoints.iter_mut().map(|endpoint| endpoint.assign_bars(&mut free));
        fits.all(|fits| fits.is_some()).then_some(()).ok_or(PciError::Window)
    }

    fn endpoint(&mut self, rid: u16) -> Option<&mut Endpoint> {
        self.endpoints.iter_mut().find(|endpoint| endpoint.rid == rid)
    }

    /// The requester ids of the functions, ascending; the host bridge is not among them.
    pub fn requester_ids(&self) -> impl Iterator<Item = u16> + '_ {
        self.endpoints.iter().map(|endpoint| endpoint.rid)
    }

    /// The functions by ascending requester id, and how each introduces itself.
    pub fn functions(&self) -> impl Iterator<Item = (u16, Identity)> + '_ {
        self.endpoints.iter().map(|endpoint| (endpoint.rid, endpoint.identity()))
    }

    /// The core with requester id `rid`, for what the machine asks of it through [`Function::as_any`].
    pub fn function_mut(&mut self, rid: u16) -> Option<&mut dyn Function> {
        self.endpoint(rid).map(Endpoint::function_mut)
    }

    /// What each function has counted, by ascending requester id. Writes to BARs narrower than a register are among it:
    /// they are ignored, and a sign of a broken driver.
    pub fn counters(&self) -> impl Iterator<Item = (&'static str, Vec<Counter>)> + '_ {
        self.endpoints.iter().map(|endpoint| (endpoint.name(), endpoint.counters()))
    }

    /// Tells the function that `spec` names to have a fault, with draws by `seed`.
    ///
    /// # Errors
    ///
    /// There is no such function, or it cannot have it: as part of a line.
    pub fn give_fault(
        &mut self,
        spec: &FaultSpec,
        seed: u64,
        platform: &mut Platform<'_>,
    ) -> Result<(), String> {
        self.check_fault(spec)?;
        let endpoint = self.endpoints.iter_mut().find(|endpoint| endpoint.is(spec.told()));
        endpoint.map_or(Ok(()), |endpoint| endpoint.give_fault(spec, seed, platform))
    }

    /// Whether there is a function that can have the fault.
    ///
    /// # Errors
    ///
    /// Why not, as part of a line.
    pub fn check_fault(&self, spec: &FaultSpec) -> Result<(), String> {
        let none = || format!("{spec}: the machine has no such device");
        let endpoint = self.endpoints.iter().find(|endpoint| endpoint.is(spec.told())).ok_or_else(none)?;
        spec.check_model(endpoint.name())
    }

    /// Gives parameters of a function other values; its slot, and the values.
    ///
    /// # Errors
    ///
    /// There is no such function, or it does not take them: as part of a line.
    pub fn change(
        &mut self,
        change: &Change,
        platform: &mut Platform<'_>,
    ) -> Result<(u8, Parameters), String> {
        let none = || format!("{change}: the machine has no such device");
        let endpoint =
            self.endpoints.iter_mut().find(|endpoint| endpoint.is(change.told())).ok_or_else(none)?;
        let parameters = endpoint.with_ports(platform, |function, ports| change.make(function, ports))?;
        Ok(((endpoint.rid >> 3) as u8, parameters))
    }

    /// Takes a function from the bus, or puts it back as it is after power-on. Nobody tells the guest.
    ///
    /// # Errors
    ///
    /// There is no such function, or it is so already: as part of a line.
    pub fn set_there(&mut self, presence: &Presence, platform: &mut Platform<'_>) -> Result<(), String> {
        let none = || format!("{presence}: the machine has no such device");
        let mut endpoints = self.endpoints.iter_mut();
        let endpoint = endpoints.find(|endpoint| endpoint.is(presence.told())).ok_or_else(none)?;
        let changes = endpoint.set_there(presence.there, platform);
        self.heed_faults();
        let already = if presence.there { "there" } else { "gone" };
        changes.then_some(()).ok_or_else(|| format!("{presence}: it is {already} already"))
    }

    /// What each function was told to have, how many occasions that has seen, and how often it took place.
    pub fn faults(&self) -> Vec<(FaultSpec, u64, u64)> {
        let of = |endpoint: &Endpoint| -> Vec<_> {
            endpoint.faults.borrow().all().map(|(spec, seen, struck)| (spec.clone(), seen, struck)).collect()
        };
        self.endpoints.iter().flat_map(of).collect()
    }

    /// Asks the clock again for every call that the functions of a restored bus wait for.
    pub fn rearm(&mut self, platform: &mut Platform<'_>) {
        for endpoint in &mut self.endpoints {
            endpoint.rearm(platform);
        }
    }

    /// Reads ECAM at byte `offset` of bus 0. No function there reads as all ones.
    pub fn ecam_read(&mut self, offset: u64, data: &mut [u8], platform: &mut Platform<'_>) {
        let (rid, register) = ecam_target(offset);
        data.fill(0xff);
        if rid == Some(0) {
            self.host_bridge.read(register, data);
        } else if let Some(endpoint) = rid.and_then(|rid| self.endpoint(rid)) {
            endpoint.config_read(register, data, platform);
        }
    }

    /// Writes ECAM at byte `offset` of bus 0.
    pub fn ecam_write(&mut self, offset: u64, data: &[u8], platform: &mut Platform<'_>) {
        let (rid, register) = ecam_target(offset);
        if rid == Some(0) {
            self.host_bridge.write(register, data);
        } else if let Some(endpoint) = rid.and_then(|rid| self.endpoint(rid)) {
            endpoint.config_write(register, data, platform);
            self.revision = self.revision.wrapping_add(1);
        }
    }

    /// Reads [`CONFIG_PORTS`](super::CONFIG_PORTS), from `port` on. False, with `data` untouched, when nobody answers there.
    pub fn port_read(&mut self, port: u16, data: &mut [u8], platform: &mut Platform<'_>) -> bool {
        match self.config_address.access(port, data.len()) {
            ConfigAccess::Address => data.copy_from_slice(&self.config_address.value().to_le_bytes()),
            ConfigAccess::Space(offset) => self.ecam_read(offset, data, platform),
            ConfigAccess::Nowhere => return false,
        }
        true
    }

    /// Writes them. False when nobody answers there.
    pub fn port_write(&mut self, port: u16, data: &[u8], platform: &mut Platform<'_>) -> bool {
        match (self.config_address.access(port, data.len()), data) {
            (ConfigAccess::Address, &[a, b, c, d]) => {
                self.config_address.write(u32::from_le_bytes([a, b, c, d]))
            }
            (ConfigAccess::Space(offset), _) => self.ecam_write(offset, data, platform),
            _ => return false,
        }
        true
    }

    /// A number that is another one whenever [`open_vectors`](Self::open_vectors) or [`doorbells`](Self::doorbells) may
    /// have changed.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// What each vector of MSI-X or MSI that is not held back would send now, by ascending requester id and vector.
    pub fn open_vectors(&self) -> impl Iterator<Item = MsiWrite> + '_ {
        self.endpoints.iter().flat_map(Endpoint::open_vectors)
    }

    /// The doorbells of all functions, by ascending requester id: always the same ones, at changing addresses.
    pub fn doorbells(&self) -> Vec<PlacedDoorbell> {
        self.endpoints.iter().flat_map(Endpoint::doorbells).collect()
    }

    /// The lines that functions assert, by slot and pin.
    pub fn asserted(&self) -> impl Iterator<Item = (u8, Pin)> + '_ {
        let slot = |endpoint: &Endpoint| (endpoint.rid >> 3) as u8;
        self.endpoints.iter().filter_map(move |endpoint| Some((slot(endpoint), endpoint.asserted_pin()?)))
    }

    /// Whether some function's memory BAR decodes `gpa` now.
    pub fn decodes(&self, gpa: u64) -> bool {
        self.endpoints.iter().any(|endpoint| endpoint.decode(Space::Memory, gpa).is_some())
    }

    /// Reads a BAR at `address`. False, with `data` untouched, when no BAR decodes it.
    pub fn read(&mut self, space: Space, address: u64, data: &mut [u8], platform: &mut Platform<'_>) -> bool {
        let answered = self.endpoints.iter_mut().any(|endpoint| match endpoint.decode(space, address) {
            Some((bar, offset)) => {
                endpoint.read(bar, offset, data, platform);
                true
            }
            None => false,
        });
        self.heed_faults();
        answered
    }

    /// Writes a BAR at `address`. False when no BAR decodes it.
    pub fn write(&mut self, space: Space, address: u64, data: &[u8], platform: &mut Platform<'_>) -> bool {
        let msix = self.endpoints.iter_mut().find_map(|endpoint| {
            let (bar, offset) = endpoint.decode(space, address)?;
            Some(endpoint.write(bar, offset, data, platform))
        });
        if msix == Some(true) {
            self.revision = self.revision.wrapping_add(1);
        }
        self.heed_faults();
        msix.is_some()
    }

    /// A fault may have changed where a function is, or what its vectors send.
    fn heed_faults(&mut self) {
        let rerouted = |endpoint: &mut Endpoint| std::mem::take(&mut endpoint.rerouted);
        if self.endpoints.iter_mut().map(rerouted).fold(false, |any, it| any | it) {
            self.revision = self.revision.wrapping_add(1);
        }
    }

    /// Makes the call that `rid` asked its clock for. Unknown requester ids are ignored.
    pub fn timer(&mut self, rid: u16, token: u32, platform: &mut Platform<'_>) {
        if let Some(endpoint) = self.endpoint(rid) {
            endpoint.timer(token, platform);
            self.heed_faults();
        }
    }

    /// Calls the core of `rid` with its ports, for what the host does to a device (a hotplug, a new picture).
    pub fn with_function<R>(
        &mut self,
        rid: u16,
        platform: &mut Platform<'_>,
        call: impl FnOnce(&mut dyn Function, &mut Ports<'_>) -> R,
    ) -> Option<R> {
        self.endpoint(rid).map(|endpoint| endpoint.with_ports(platform, call))
    }
}

impl Stateful for PciRoot {
    const KIND: &'static str = "pci";
    const VERSION: u32 = 5;
    /// The functions, each restored from its state, in the order of [`PciRootState::endpoints`].
    type Parts = Vec<Box<dyn Function>>;
    type State = PciRootState;

    fn save(&self) -> PciRootState {
        PciRootState {
            host_bridge: self.host_bridge.save(),
            config_address: self.config_address.value(),
            endpoints: self.endpoints.iter().map(Endpoint::save).collect(),
        }
    }

    fn restore(functions: Vec<Box<dyn Function>>, state: PciRootState) -> Result<Self, StateError> {
        let slots = state.endpoints.iter().map(|endpoint| endpoint.rid);
        require::<Self>(slots.is_sorted_by(|a, b| a < b), "its functions are not in order")?;
        require::<Self>(functions.len() == state.endpoints.len(), "another number of functions")?;
        let bridge = RegisterFile::restore(&config::host_bridge(), config::HEADER_BYTES, &state.host_bridge);
        let pairs = functions.into_iter().zip(&state.endpoints);
        let endpoints: Option<Vec<_>> =
            pairs.map(|(function, endpoint)| Endpoint::restore(function, endpoint)).collect();
        let config_address = ConfigAddress::restore(state.config_address);
        match (bridge, config_address, endpoints) {
            (Some(host_bridge), Some(config_address), Some(endpoints)) => {
                Ok(PciRoot { host_bridge, config_address, endpoints, revision: 1 })
            }
            _ => {
                Err(StateError::Impossible { kind: Self::KIND, why: "a function's registers are another's" })
            }
        }
    }
}

/// The requester id and register that an ECAM offset names (bus << 20 | device << 15 | function << 12 | register).
fn ecam_target(offset: u64) -> (Option<u16>, usize) {
    let register = offset as usize % CONFIG_BYTES;
    let rid = u16::try_from(offset >> 12).ok().filter(|&rid| rid < 0x100);
    (rid, register)
}
