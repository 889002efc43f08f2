//! The device: a queue of buffers for what arrives, and one of frames to send.

use fencepost_trace::{EngineSpec, Role};

use super::config::{NetConfig, PARAMETERS};
use super::state::{KEPT_MAX_FRAMES, NetState};
use super::{FRAME_MAX_BYTES, VirtioNet, Wire};
use crate::cost::CostModel;
use crate::function::Counter;
use crate::parameters::Parameter;
use crate::ports::DmaFault;
use crate::registers::{Register, read_only};
use crate::registry::Host;
use crate::state::{StateError, require};
use crate::virtio::{Device, Io};

/// The device has an address (VIRTIO_NET_F_MAC), and says whether the link is up (VIRTIO_NET_F_STATUS).
const F_MAC: u64 = 1 << 5;
const F_STATUS: u64 = 1 << 16;
/// Status: the link is up.
const LINK_UP: u16 = 1;

const RECEIVE: u16 = 0;
const TRANSMIT: u16 = 1;
/// The header before each frame (5.1.6): no offload is offered, so all of it but the number of buffers is zero.
const HEADER_BYTES: usize = 12;
/// The number of buffers that a frame is in, at its end.
const HEADER: [u8; HEADER_BYTES] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0];
/// The shortest frame: two addresses and a type.
const FRAME_MIN_BYTES: usize = 14;
/// The most frames to send that one look takes.
const LOOK_MAX_FRAMES: usize = 32;

/// What the device is built from.
pub struct NetParts {
    /// Configuration.
    pub config: NetConfig,
    /// Where frames go.
    pub wire: Box<dyn Wire>,
}

/// The device core.
pub struct Net {
    config: NetConfig,
    wire: Box<dyn Wire>,
    state: NetState,
}

impl Net {
    /// Has the device look at its queues when `bytes` have moved.
    fn look_soon(&mut self, bytes: usize, io: &mut Io<'_, '_>) {
        self.state.looker.look_soon(self.config.cost().cycles(bytes as u64), io);
    }

    fn refuse(&mut self) {
        self.state.refused = self.state.refused.saturating_add(1);
    }

    /// Sends what waits; how many bytes, if there may be more.
    fn transmit(&mut self, io: &mut Io<'_, '_>) -> Result<Option<usize>, DmaFault> {
        let mut moved = 0usize;
        for _ in 0..LOOK_MAX_FRAMES {
            if io.has_taken_enough() {
                break;
            }
            let Some(chain) = io.pop(TRANSMIT) else { return Ok(None) };
            let most = HEADER_BYTES.saturating_add(FRAME_MAX_BYTES);
            let data = chain.read_all(io.ports.dma, most)?;
            match data.get(HEADER_BYTES..) {
                Some(frame) if frame.len() >= FRAME_MIN_BYTES && chain.readable_bytes() <= most as u64 => {
                    self.wire.send(frame);
                    self.state.sent = self.state.sent.saturating_add(1);
                }
                _ => self.refuse(),
            }
            moved = moved.saturating_add(data.len());
            io.finish(TRANSMIT, &chain, 0);
        }
        Ok(Some(moved))
    }

    /// Gives the driver the frames for which it has buffers.
    fn give(&mut self, io: &mut Io<'_, '_>) -> Result<(), DmaFault> {
        while let Some(frame) = self.state.waiting.front().filter(|_| !io.has_taken_enough()) {
            let Some(chain) = io.pop(RECEIVE) else { break };
            let data = [&HEADER[..], frame].concat();
            let fits = chain.writable_bytes() >= data.len() as u64;
            let written = if fits { chain.write(io.ports.dma, 0, &data)? } else { 0 };
            self.state.waiting.pop_front();
            if fits {
                self.state.received = self.state.received.saturating_add(1);
            } else {
                self.refuse();
            }
            io.finish(RECEIVE, &chain, u32::try_from(written).unwrap_or(u32::MAX));
        }
        Ok(())
    }
}

impl Device for Net {
    const KIND: &'static str = "virtio-net";
    const ABOUT: &'static str = "virtio network device";
    const VERSION: u32 = 1;
    const TYPE: u16 = 1;
    /// Network controller, Ethernet.
    const CLASS: u32 = 0x02_00_00;
    const QUEUES: &'static [u16] = &[256; 2];
    const ENGINES: &'static [EngineSpec] = &[EngineSpec { name: "virtio-net", role: Role::Other }];
    const PARAMETERS: &'static [Parameter] = PARAMETERS;
    type Config = NetConfig;
    type Parts = NetParts;
    type State = NetState;

    fn parts(config: NetConfig, host: &mut dyn Host) -> Result<NetParts, String> {
        Ok(NetParts { config, wire: host.wire() })
    }

    fn power_on(NetParts { config, wire }: NetParts) -> Result<Self, String> {
        Ok(Net { config, wire, state: NetState::default() })
    }

    fn config_table() -> Vec<Register> {
        vec![read_only("mac", 0, 1, 0).each(6, 1).configured(), read_only("status", 6, 2, LINK_UP.into())]
    }

    fn cost(config: &NetConfig) -> Option<CostModel> {
        Some(config.cost())
    }

    fn features(&self) -> u64 {
        F_MAC | F_STATUS
    }

    fn config(&self) -> Vec<u8> {
        [&self.config.address()[..], &LINK_UP.to_le_bytes()].concat()
    }

    fn notify(&mut self, _: u16, io: &mut Io<'_, '_>) {
        self.look_soon(0, io);
    }

    fn timer(&mut self, _: u32, io: &mut Io<'_, '_>) {
        if self.state.looker.is_time() {
            let looked = self.give(io).and_then(|()| self.transmit(io));
            let cost = self.config.cost();
            let left = looked.map(|more| more.map(|bytes| cost.cycles(bytes as u64)));
            self.state.looker.looked(left, io);
        }
    }

    fn receive(&mut self, data: &[u8], io: &mut Io<'_, '_>) -> usize {
        if !(FRAME_MIN_BYTES..=FRAME_MAX_BYTES).contains(&data.len()) {
            self.refuse();
        } else if self.state.waiting.len() < KEPT_MAX_FRAMES {
            self.state.waiting.push_back(data.to_vec());
            self.look_soon(data.len(), io);
        } else {
            return 0;
        }
        data.len()
    }

    /// What waited for a driver that is gone is nobody's.
    fn reset(&mut self, io: &mut Io<'_, '_>) {
        self.state.looker.reset(io);
        self.state.waiting.clear();
    }

    fn save(&self) -> NetState {
        self.state.clone()
    }

    fn restore(NetParts { config, wire }: NetParts, state: NetState) -> Result<Self, StateError> {
        let lengths = FRAME_MIN_BYTES..=FRAME_MAX_BYTES;
        let whole = state.waiting.iter().all(|frame| lengths.contains(&frame.len()));
        require::<VirtioNet>(
            whole && state.waiting.len() <= KEPT_MAX_FRAMES,
            "frames wait that it would not keep",
        )?;
        Ok(Net { config, wire, state })
    }

    fn rearm(&self, io: &mut Io<'_, '_>) {
        self.state.looker.rearm(io);
    }

    fn counters(&self) -> Vec<Counter> {
        vec![
            Counter { name: "sent", value: self.state.sent },
            Counter { name: "received", value: self.state.received },
            Counter { name: "refused", value: self.state.refused },
        ]
    }
}
