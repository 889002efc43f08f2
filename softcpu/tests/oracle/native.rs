//! Runs one instruction on the host's processor: loads a whole machine state, jumps to the instruction, and stores the
//! state that follows. Exceptions arrive as signals, whose handler leaves by the same exit.

use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::layout::{CODE, CODE_BYTES, DATA, DATA_BYTES, Machine, Outcome, PAGE, START};

/// Entry and exit stubs, the entry to 32-bit code.
const STUB: u64 = 0x1800_0000;
const STUB_32: u64 = STUB + 0x800;
/// Linux's selectors of 32-bit code, data and 64-bit code.
const CODE_32: u64 = 0x23;
const DATA_32: u64 = 0x2b;
const CODE_64: u64 = 0x33;
/// States in and out, at addresses that 32-bit displacements reach, as no register is free to point at them.
const CONTEXT: u64 = 0x3000_0000;
const IN_GPR: u64 = CONTEXT;
const IN_FLAGS: u64 = CONTEXT + 0x80;
const TARGET: u64 = CONTEXT + 0x88;
const SAVED_RSP: u64 = CONTEXT + 0x90;
const SAVED_FLAGS: u64 = CONTEXT + 0x98;
const OUT_GPR: u64 = CONTEXT + 0x100;
const OUT_FLAGS: u64 = CONTEXT + 0x180;
const IN_FX: u64 = CONTEXT + 0x200;
const OUT_FX: u64 = CONTEXT + 0x400;
const HOST_FX: u64 = CONTEXT + 0x600;
const RSP: u8 = 4;

static EXIT: AtomicU64 = AtomicU64::new(0);
static RUNNING: AtomicBool = AtomicBool::new(false);
static SIGNAL_RIP: AtomicU64 = AtomicU64::new(0);
static SIGNAL_TRAP: AtomicU64 = AtomicU64::new(NO_SIGNAL);
const TRAP_FLAG: i64 = 0x100;
const ALIGNMENT_CHECK: i64 = 0x4_0000;
const NO_SIGNAL: u64 = u64::MAX;

/// Assembles instructions with an absolute 32-bit address.
struct Assembler(Vec<u8>);

impl Assembler {
    fn absolute(&mut self, opcode: &[u8], reg: u8, address: u64) {
        self.0.extend_from_slice(opcode);
        self.0.extend_from_slice(&[(reg & 7) << 3 | 4, 0x25]);
        self.0.extend_from_slice(&(address as u32).to_le_bytes());
    }

    fn store(&mut self, reg: u8, address: u64) {
        self.absolute(&[0x48 | (reg >> 3) << 2, 0x89], reg, address);
    }

    fn load(&mut self, reg: u8, address: u64) {
        self.absolute(&[0x48 | (reg >> 3) << 2, 0x8b], reg, address);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn fxsave(&mut self, address: u64) {
        self.absolute(&[0x48, 0x0f, 0xae], 0, address);
    }

    fn fxrstor(&mut self, address: u64) {
        self.absolute(&[0x48, 0x0f, 0xae], 1, address);
    }

    fn push(&mut self, address: u64) {
        self.absolute(&[0xff], 6, address);
    }

    fn pop(&mut self, address: u64) {
        self.absolute(&[0x8f], 0, address);
    }
}

const PUSHFQ: u8 = 0x9c;
const POPFQ: u8 = 0x9d;
/// The registers the ABI wants back: RBX, RBP, R12 to R15.
const PUSH_SAVED: [u8; 10] = [0x53, 0x55, 0x41, 0x54, 0x41, 0x55, 0x41, 0x56, 0x41, 0x57];
const POP_SAVED: [u8; 10] = [0x41, 0x5f, 0x41, 0x5e, 0x41, 0x5d, 0x41, 0x5c, 0x5d, 0x5b];

/// Entry to code of 64 or 32 bits, the latter with DS and ES that may be used.
fn entry_stub(bits: u32) -> Vec<u8> {
    let mut a = Assembler(Vec::new());
    a.bytes(&PUSH_SAVED);
    if bits == 32 {
        // mov eax, DATA_32; mov ds, eax; mov es, eax
        a.bytes(&[0xb8, DATA_32 as u8, 0, 0, 0, 0x8e, 0xd8, 0x8e, 0xc0]);
    }
    a.bytes(&[PUSHFQ]);
    a.pop(SAVED_FLAGS);
    a.store(RSP, SAVED_RSP);
    a.fxsave(HOST_FX);
    a.fxrstor(IN_FX);
    a.push(IN_FLAGS);
    a.bytes(&[POPFQ]);
    for reg in (0..16).filter(|&r| r != RSP).chain([RSP]) {
        a.load(reg, IN_GPR + 8 * u64::from(reg));
    }
    // JMP, or a far JMP to m16:32.
    a.absolute(&[0xff], if bits == 32 { 5 } else { 4 }, TARGET);
    a.0
}

fn exit_stub() -> Vec<u8> {
    let mut a = Assembler(Vec::new());
    for reg in 0..16 {
        a.store(reg, OUT_GPR + 8 * u64::from(reg));
    }
    a.load(RSP, SAVED_RSP);
    a.bytes(&[PUSHFQ]);
    a.pop(OUT_FLAGS);
    a.fxsave(OUT_FX);
    a.fxrstor(HOST_FX);
    a.push(SAVED_FLAGS);
    a.bytes(&[POPFQ]);
    a.bytes(&POP_SAVED);
    a.bytes(&[0xc3]);
    a.0
}

extern "C" fn on_signal(signal: i32, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel gives a valid context to a handler installed with SA_SIGINFO.
    let registers = unsafe { &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs };
    if !RUNNING.load(Ordering::Relaxed) {
        // Not ours: let it happen again with the default action.
        // SAFETY: restoring a default action has no precondition.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
        return;
    }
    SIGNAL_RIP.store(registers[libc::REG_RIP as usize] as u64, Ordering::Relaxed);
    SIGNAL_TRAP.store(registers[libc::REG_TRAPNO as usize] as u64, Ordering::Relaxed);
    registers[libc::REG_RIP as usize] = EXIT.load(Ordering::Relaxed) as i64;
    // POPF may have set them, and the exit stub must not trap.
    registers[libc::REG_EFL as usize] &= !(TRAP_FLAG | ALIGNMENT_CHECK);
    // On with 64-bit code in any case: CS lies in the lowest 16 bits, SS in the highest.
    let segments = &mut registers[libc::REG_CSGSFS as usize];
    *segments = *segments & 0x0000_ffff_ffff_0000 | (DATA_32 << 48 | CODE_64) as i64;
}

fn map(address: u64, bytes: usize, protection: i32) {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE;
    // SAFETY: a new mapping that replaces nothing.
    let at = unsafe { libc::mmap(address as *mut _, bytes, protection, flags, -1, 0) };
    assert_eq!(at as u64, address, "cannot map {address:#x}");
}

fn write(address: u64, bytes: &[u8]) {
    // SAFETY: callers pass addresses inside the mappings made by `Native::new`, which nothing else refers to.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), address as *mut u8, bytes.len()) };
}

/// The host's processor. There can be only one: its addresses are fixed and its signal handlers are the process's.
pub struct Native(());

/// Its pages, which another one may have then.
impl Drop for Native {
    fn drop(&mut self) {
        for (address, bytes) in
            [(CODE, CODE_BYTES), (DATA, DATA_BYTES), (STUB, PAGE as usize), (CONTEXT, PAGE as usize)]
        {
            // SAFETY: mappings that `new` made, to which nothing refers but what `self` lends.
            unsafe { libc::munmap(address as *mut _, bytes) };
        }
    }
}

impl Native {
    /// Maps the pages and installs the handlers.
    pub fn new() -> Native {
        let rw = libc::PROT_READ | libc::PROT_WRITE;
        map(CODE, CODE_BYTES, rw | libc::PROT_EXEC);
        map(DATA, DATA_BYTES, rw);
        map(STUB, PAGE as usize, rw | libc::PROT_EXEC);
        map(CONTEXT, PAGE as usize, rw);
        write(CODE, &[0xcc; CODE_BYTES]);
        let entry = entry_stub(64);
        write(STUB_32, &entry_stub(32));
        let exit = STUB + entry.len() as u64;
        write(STUB, &entry);
        write(exit, &exit_stub());
        EXIT.store(exit, Ordering::Relaxed);
        let stack = libc::stack_t { ss_sp: null_mut(), ss_flags: 0, ss_size: 1 << 16 };
        // SAFETY: plain system calls; the alternate stack is never freed, as the handlers are never removed.
        unsafe {
            let memory =
                libc::mmap(null_mut(), stack.ss_size, rw, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0);
            let stack = libc::stack_t { ss_sp: memory, ..stack };
            assert_eq!(libc::sigaltstack(&stack, null_mut()), 0);
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = on_signal as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER;
            for signal in [libc::SIGSEGV, libc::SIGILL, libc::SIGFPE, libc::SIGTRAP, libc::SIGBUS] {
                assert_eq!(libc::sigaction(signal, &action, null_mut()), 0);
            }
        }
        Native(())
    }

    /// The data pages.
    pub fn data(&mut self) -> &mut [u8] {
        // SAFETY: the mapping is `Native`'s own, and `run` is not running while this is borrowed.
        unsafe { std::slice::from_raw_parts_mut(DATA as *mut u8, DATA_BYTES) }
    }

    /// Runs the instruction `code`. What follows it traps, as does everything else in the code pages, so that a branch
    /// shows where it went.
    pub fn run(&mut self, before: &Machine, code: &[u8], bits: u32) -> Outcome {
        write(START, code);
        write(IN_GPR, &before.gpr.map(u64::to_le_bytes).concat());
        write(IN_FLAGS, &before.rflags.to_le_bytes());
        // A far pointer too: the selector above the offset.
        write(TARGET, &(if bits == 32 { START | CODE_32 << 32 } else { START }).to_le_bytes());
        write(IN_FX, &before.fx);
        SIGNAL_TRAP.store(NO_SIGNAL, Ordering::Relaxed);
        RUNNING.store(true, Ordering::SeqCst);
        let stub = if bits == 32 { STUB_32 } else { STUB };
        // SAFETY: the stub keeps what the ABI asks for; the instruction under test was chosen to touch nothing but
        // registers and the data pages, and whatever it raises comes back through the exit stub.
        unsafe { std::mem::transmute::<usize, extern "C" fn()>(stub as usize)() };
        RUNNING.store(false, Ordering::SeqCst);
        write(START, &vec![0xcc; code.len()]);
        self.outcome()
    }

    fn outcome(&self) -> Outcome {
        let mut after =
            Machine { gpr: [0; 16], rip: SIGNAL_RIP.load(Ordering::Relaxed), rflags: 0, fx: [0; 512] };
        // SAFETY: the context page is mapped, and the stub has finished writing it.
        unsafe {
            after.gpr = (OUT_GPR as *const [u64; 16]).read();
            after.rflags = (OUT_FLAGS as *const u64).read();
            after.fx = (OUT_FX as *const [u8; 512]).read();
        }
        let trap = SIGNAL_TRAP.load(Ordering::Relaxed);
        const BREAKPOINT: u64 = 3;
        if trap == BREAKPOINT {
            // The INT3 that every way out of the instruction meets, not an exception of its own.
            after.rip -= 1;
            return Outcome { exception: None, after };
        }
        assert_ne!(trap, NO_SIGNAL, "the instruction reached the exit without a trap");
        Outcome { exception: Some(trap as u8), after }
    }
}
