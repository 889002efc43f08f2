//! The debug registers that the host gives a vCPU (KVM_SET_GUEST_DEBUG): the guest's own stay as they are. There are four; where
//! SYSCALL is half done ([`super::syscalls`]) the first is taken.

use fencepost_softcpu::stops::{Access, Range, Stops};
use kvm_bindings::{
    KVM_GUESTDBG_BLOCKIRQ, KVM_GUESTDBG_ENABLE, KVM_GUESTDBG_SINGLESTEP, KVM_GUESTDBG_USE_HW_BP,
    kvm_guest_debug,
};
use kvm_ioctls::VcpuFd;
use vm_memory::GuestMemoryMmap;

use super::syscalls;
use crate::debug::{Most, Why};

/// How many there are.
const REGISTERS: usize = 4;
/// Of DR6: a single step.
const STEPPED: u64 = 1 << 14;

/// What stands in one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// The guest's page-fault handler.
    PageFaults(u64),
    Instruction(u64),
    Data(Range),
}

/// What is set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Setting {
    places: Vec<Place>,
    step: bool,
}

/// Those of one vCPU.
pub struct Breakpoints {
    /// KVM leaves SYSCALL half done, as one without hardware under it does.
    half_done: bool,
    set: Setting,
    stops: Stops,
    step: bool,
}

impl Breakpoints {
    /// None yet.
    pub fn new(half_done: bool) -> Self {
        Breakpoints { half_done, set: Setting::default(), stops: Stops::default(), step: false }
    }

    /// What a debugger can have. A KVM that emulates kernel code looks at breakpoints for instructions only.
    pub fn most(&self) -> Most {
        let stops = REGISTERS - usize::from(self.half_done);
        Most { stops, watches: !self.half_done, any_range: false, back: false }
    }

    /// From the next [`follow`](Self::follow) on stops there, and after one instruction if `step`.
    pub fn want(&mut self, stops: Stops, step: bool) {
        (self.stops, self.step) = (stops, step);
    }

    fn wanted(&self, handler: Option<u64>) -> Setting {
        let handler = handler.filter(|at| !self.stops.before(*at)).map(Place::PageFaults);
        let instructions = self.stops.instructions().iter().copied().map(Place::Instruction);
        let data = self.stops.data().iter().copied().map(Place::Data);
        Setting {
            places: handler.into_iter().chain(instructions).chain(data).take(REGISTERS).collect(),
            step: self.step,
        }
    }

    /// Sets what is wanted now, if that is not what is set: the guest's page-fault handler may be elsewhere.
    pub fn follow(&mut self, fd: &VcpuFd, memory: &GuestMemoryMmap) -> Result<(), kvm_ioctls::Error> {
        let handler = if self.half_done { syscalls::handler(fd, memory) } else { None };
        let wanted = self.wanted(handler);
        if wanted != self.set {
            let mut debug = request(&wanted);
            let mut done = fd.set_guest_debug(&debug);
            if done.is_err() && wanted.step {
                // Before Linux 5.15: a step may lead into an interrupt's handler.
                debug.control &= !KVM_GUESTDBG_BLOCKIRQ;
                done = fd.set_guest_debug(&debug);
            }
            done?;
            self.set = wanted;
        }
        Ok(())
    }

    /// Why a vCPU stands that has met one, by DR6 and RIP; none if that is the page-fault handler's alone.
    pub fn met(&self, dr6: u64, rip: u64) -> Option<Why> {
        let met =
            self.set.places.iter().enumerate().filter(|(n, _)| dr6 >> n & 1 != 0).map(|(_, place)| *place);
        let mut page_fault = false;
        for place in met {
            match place {
                Place::PageFaults(_) => page_fault = true,
                Place::Instruction(_) => return Some(Why::Breakpoint),
                Place::Data(range) => {
                    let access = Access { watched: range.start, write: range.kinds.write };
                    return Some(Why::Accessed(access));
                }
            }
        }
        if self.set.step && (dr6 & STEPPED != 0 || !page_fault) {
            return Some(Why::Stepped);
        }
        self.stops.before(rip).then_some(Why::Breakpoint)
    }
}

/// As KVM takes it (Intel SDM vol. 3, 18.2.4: DR7).
fn request(setting: &Setting) -> kvm_guest_debug {
    let mut debug = kvm_guest_debug::default();
    if !setting.places.is_empty() {
        debug.control |= KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP;
        debug.arch.debugreg[7] = 0x400;
    }
    if setting.step {
        debug.control |= KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP | KVM_GUESTDBG_BLOCKIRQ;
    }
    for (n, place) in setting.places.iter().enumerate() {
        let (at, kind, length) = match place {
            Place::PageFaults(at) | Place::Instruction(at) => (*at, 0, 0),
            Place::Data(range) => {
                let length = match range.bytes {
                    2 => 1,
                    4 => 3,
                    8 => 2,
                    _ => 0,
                };
                (range.start, if range.kinds.read { 3 } else { 1 }, length)
            }
        };
        debug.arch.debugreg[n] = at;
        debug.arch.debugreg[7] |= 2 << (2 * n) | kind << (16 + 4 * n) | length << (18 + 4 * n);
    }
    debug
}

#[cfg(test)]
mod tests {
    use fencepost_softcpu::stops::Kinds;

    use super::*;

    #[test]
    fn the_registers_say_what_is_wanted() {
        let kinds = Kinds { read: false, write: true };
        let mut breakpoints = Breakpoints::new(true);
        assert_eq!(breakpoints.most().stops, 3);
        breakpoints.want(Stops::new([0x1000], vec![Range { start: 0x2000, bytes: 4, kinds }]), false);
        breakpoints.set = breakpoints.wanted(Some(0x3000));
        let debug = request(&breakpoints.set);
        assert_eq!(debug.arch.debugreg[..3], [0x3000, 0x1000, 0x2000]);
        // G0 to G2; the third for writes (01) of four bytes (11).
        assert_eq!(debug.arch.debugreg[7], 0x400 | 0x2a | 0b1101 << 24);
        assert_eq!(breakpoints.met(1, 0x3000), None);
        assert_eq!(breakpoints.met(2, 0x1000), Some(Why::Breakpoint));
        assert_eq!(breakpoints.met(4, 7), Some(Why::Accessed(Access { watched: 0x2000, write: true })));
        breakpoints.want(Stops::default(), true);
        breakpoints.set = breakpoints.wanted(None);
        assert_eq!(breakpoints.met(STEPPED, 7), Some(Why::Stepped));
    }
}
