//! One instruction at a time, as a back end asks for it that met one it does not know.

mod machine;

use fencepost_softcpu::apic::InterruptMessage;
use fencepost_softcpu::one::{Executed, Outcome};
use fencepost_softcpu::state::{PendingException, reg};
use fencepost_time::Moment;
use iced_x86::code_asm::*;
use machine::*;
use vm_memory::{Bytes, GuestAddress};

fn one(m: &mut Machine) -> Executed {
    m.cpu.execute_one(&mut m.bus)
}

fn executed(name: &str, outcome: Outcome) -> Executed {
    Executed { name: name.into(), outcome }
}

#[test]
fn only_the_instruction_at_rip_runs() {
    let mut m = Machine::new();
    m.assemble(CODE, |a| {
        a.cmpxchg16b(xmmword_ptr(rdi)).unwrap();
        a.mov(ebx, 7).unwrap();
    });
    m.write(0x4_0000u64, [5u64, 6]);
    m.with_state(|s| {
        s.gpr[reg::RDI] = 0x4_0000;
        (s.gpr[reg::RAX], s.gpr[reg::RDX]) = (5, 6);
        (s.gpr[reg::RBX], s.gpr[reg::RCX]) = (1, 2);
    });
    assert_eq!(one(&mut m), executed("cmpxchg16b", Outcome::Retired));
    assert_eq!(m.read::<[u64; 2]>(0x4_0000), [1, 2]);
    let state = m.cpu.state();
    assert_eq!((state.rip, state.gpr[reg::RBX], state.retired), (CODE + 4, 1, 1));
}

#[test]
fn a_breakpoint_enters_its_handler() {
    let mut m = Machine::new();
    m.assemble(CODE, |a| a.int3().unwrap());
    assert_eq!(one(&mut m), executed("int3", Outcome::Retired));
    let state = m.cpu.state();
    assert_eq!(state.rip, HANDLERS + 16 * 3);
    assert_eq!(m.read::<u64>(state.gpr[reg::RSP]), CODE + 1, "it comes back behind the breakpoint");
}

#[test]
fn an_exception_of_the_instruction_is_delivered() {
    let mut m = Machine::new();
    m.assemble(CODE, |a| a.mov(rax, qword_ptr(rdi)).unwrap());
    m.with_state(|s| s.gpr[reg::RDI] = 0x70_0000);
    assert_eq!(one(&mut m), executed("mov", Outcome::Raised(14)));
    let state = m.cpu.state();
    assert_eq!((state.rip, state.cr2), (HANDLERS + 16 * 14, 0x70_0000));
    assert_eq!(state.retired, 0);
}

#[test]
fn code_that_cannot_be_fetched_faults() {
    let mut m = Machine::new();
    m.with_state(|s| s.rip = 0x70_0000);
    assert_eq!(one(&mut m), executed("?", Outcome::Raised(14)));
}

#[test]
fn a_pending_event_stays_pending() {
    let mut m = Machine::new();
    m.assemble(CODE, |a| a.nop().unwrap());
    let waiting = PendingException { vector: 13, error_code: Some(0) };
    m.with_state(|s| {
        s.rflags |= 0x200;
        s.pending_exception = Some(waiting);
        s.nmi_pending = true;
    });
    let _ = m.cpu.apic_mut().write(0xf0, 0x1ff, Moment::default());
    m.cpu.deliver(InterruptMessage::from_msi(0xfee0_0000, 0x41).unwrap());
    assert_eq!(one(&mut m), executed("nop", Outcome::Retired));
    let state = m.cpu.state();
    assert_eq!((state.rip, state.pending_exception, state.nmi_pending), (CODE + 1, Some(waiting), true));
    assert_eq!(m.cpu.apic().highest_pending(), Some(0x41));
}

#[test]
fn unreported_writes_to_code_are_seen() {
    let mut m = Machine::new();
    m.assemble(CODE, |a| a.nop().unwrap());
    assert_eq!(one(&mut m).name, "nop");
    m.with_state(|s| s.rip = CODE);
    // Not by `assemble`, which reports it: STC.
    m.memory.write_obj(0xf9u8, GuestAddress(CODE)).unwrap();
    assert_eq!(one(&mut m).name, "stc");
    assert_eq!(m.cpu.state().rflags & 1, 1);
}

#[test]
fn an_exception_without_a_handler_is_a_triple_fault() {
    let mut m = Machine::new();
    m.assemble(CODE, |a| a.ud2().unwrap());
    m.with_state(|s| s.idtr.limit = 0);
    assert_eq!(one(&mut m), executed("ud2", Outcome::TripleFault));
}
