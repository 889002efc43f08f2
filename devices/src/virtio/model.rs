//! A virtio device as a model in the list.

use super::device::Device;
use super::registers;
use super::state::Common;
use super::transport::Transport;
use crate::cost::CostModel;
use crate::parameters::Parameter;
use crate::registers::Register;
use crate::registry::{Host, Model};

impl<D: Device> Model for Transport<D> {
    const ABOUT: &'static str = D::ABOUT;
    const SLOT: Option<u8> = None;
    const PARAMETERS: &'static [Parameter] = D::PARAMETERS;
    type Config = D::Config;

    fn parts(config: D::Config, host: &mut dyn Host) -> Result<D::Parts, String> {
        D::parts(config, host)
    }

    fn power_on(parts: D::Parts) -> Result<Self, String> {
        Ok(Transport { common: Common::new(D::QUEUES, 0), device: D::power_on(parts)? })
    }

    fn register_table() -> Vec<Register> {
        registers::table(D::config_table(), D::QUEUES.len())
    }

    fn cost(config: &D::Config) -> Option<CostModel> {
        D::cost(config)
    }
}
