//! IN, OUT and the right to use them.

#![deny(clippy::arithmetic_side_effects)]
#![cfg_attr(test, allow(clippy::arithmetic_side_effects))]

use fencepost_time::Cycles;

use crate::bus::Flow;
use crate::cpu::{Cpu, Op};
use crate::file;
use crate::flags::IOPL;
use crate::step::{Step, Trap};
use crate::tri;
use crate::value::Int;
use crate::vector;

impl Cpu {
    /// Whether the running code may use these ports: by IOPL, or by the TSS's bitmap (Intel SDM vol. 1, 19.5.2).
    pub(crate) fn check_port(&mut self, port: u16, bytes: u16) -> Result<(), Trap> {
        if u64::from(self.cpl()) <= (self.control & IOPL) >> 12 {
            return Ok(());
        }
        let tr = self.sys.tr;
        let how = self.system();
        let limit = u64::from(tr.limit);
        let allowed = limit >= 103 && {
            let map = u64::from(self.load_as::<u16>(how, tr.base.wrapping_add(102))?);
            let at = map.saturating_add(u64::from(port) / 8);
            // Two bytes are always read, so both must be inside.
            at < limit && {
                let bits = self.load_as::<u16>(how, tr.base.wrapping_add(at))?;
                bits >> (port % 8) & !(!0 << bytes) == 0
            }
        };
        if allowed {
            return Ok(());
        }
        self.raise(vector::GP, Some(0));
        Err(Trap)
    }

    pub(crate) fn read_port(&mut self, now: Cycles, port: u16, bytes: usize) -> (u32, Flow) {
        let mut data = [0u8; 4];
        let flow = self.bus().port_read(now, port, &mut data[..bytes]);
        self.obey_guards();
        self.look_after_device();
        if flow == Flow::Yield {
            (self.yielding, self.returns) = (true, true);
        }
        let met = self.note_port(port, bytes);
        (u32::from_le_bytes(data), if met { Flow::Yield } else { flow })
    }

    pub(crate) fn write_port(&mut self, now: Cycles, port: u16, value: u32, bytes: usize) -> Flow {
        let flow = self.bus().port_write(now, port, &value.to_le_bytes()[..bytes]);
        self.obey_guards();
        self.look_after_device();
        if flow == Flow::Yield {
            (self.yielding, self.returns) = (true, true);
        }
        if self.note_port(port, bytes) { Flow::Yield } else { flow }
    }
}

/// The port: the immediate, or DX.
#[inline(always)]
fn port<const DX: bool>(cpu: &Cpu, op: &Op) -> u16 {
    if DX { cpu.reg::<u16>(file::RDX) } else { op.imm as u8 as u16 }
}

pub(super) fn input<const DX: bool, T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    let port = port::<DX>(cpu, op);
    tri!(cpu.check_port(port, T::SIZE as u16));
    let (value, flow) = cpu.read_port(cpu.now(op), port, T::SIZE);
    cpu.set_reg(file::RAX, T::cut(u64::from(value)));
    match flow {
        Flow::Yield | Flow::Message => Step::Stop,
        Flow::Continue => Step::Next,
    }
}

pub(super) fn output<const DX: bool, T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    let port = port::<DX>(cpu, op);
    tri!(cpu.check_port(port, T::SIZE as u16));
    let value = cpu.reg::<T>(file::RAX).wide() as u32;
    match cpu.write_port(cpu.now(op), port, value, T::SIZE) {
        Flow::Yield | Flow::Message => Step::Stop,
        Flow::Continue => Step::Next,
    }
}
