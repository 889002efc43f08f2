//! The host's side: a far jump into the program, and a signal handler that leaves it by way of 64-bit code.

use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, Ordering};

use iced_x86::code_asm::*;

use super::{
    CODE, CODE_BYTES, DATA, DATA_BYTES, Descriptor, FLAGS, FLAT_CODE, FLAT_DATA, LONG_CODE, Outcome,
};

const STUB: u64 = 0x1800_0000;
/// What the stubs remember: RSP, and the far pointer of the program.
const CONTEXT: u64 = 0x1801_0000;
const REGISTERS: u64 = CONTEXT + 0x40;
const PAGE: usize = 4096;

static RUNNING: AtomicBool = AtomicBool::new(false);
/// Where the handler leaves what it saw, and where it goes.
static mut SEEN: Outcome = Outcome { vector: 0, error: 0, gpr: [0; 8], eip: 0, cs: 0, ss: 0, flags: 0 };
static mut EXIT: i64 = 0;

/// Sends SIGVTALRM after 100 ms of the process's own time and every 20 ms after it, or no more: a million instructions,
/// which is what our side gives a program, take a few.
fn watch(on: bool) {
    let time = |us| libc::timeval { tv_sec: 0, tv_usec: if on { us } else { 0 } };
    let timer = libc::itimerval { it_interval: time(20_000), it_value: time(100_000) };
    // SAFETY: the kernel reads one structure, and writes none.
    assert_eq!(unsafe { libc::setitimer(libc::ITIMER_VIRTUAL, &raw const timer, null_mut()) }, 0);
}

extern "C" fn on_signal(signal: i32, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel gives a valid context to a handler installed with SA_SIGINFO.
    let g = unsafe { &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs };
    let long_code = g[libc::REG_CSGSFS as usize] as u16 == LONG_CODE;
    let alarm = signal == libc::SIGVTALRM;
    if alarm && (long_code || !RUNNING.load(Ordering::Relaxed)) {
        // The program has not begun, or has ended already.
        return;
    }
    if !RUNNING.load(Ordering::Relaxed) {
        // SAFETY: restoring a default action has no precondition; it happens again with it.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
        return;
    }
    let at = |n: i32| g[n as usize] as u32;
    let segments = g[libc::REG_CSGSFS as usize] as u64;
    let seen = Outcome {
        vector: at(libc::REG_TRAPNO) as u8,
        error: at(libc::REG_ERR),
        gpr: [
            at(libc::REG_RAX),
            at(libc::REG_RCX),
            at(libc::REG_RDX),
            at(libc::REG_RBX),
            at(libc::REG_RSP),
            at(libc::REG_RBP),
            at(libc::REG_RSI),
            at(libc::REG_RDI),
        ],
        eip: at(libc::REG_RIP),
        cs: segments as u16,
        ss: (segments >> 48) as u16,
        flags: at(libc::REG_EFL) & FLAGS,
    };
    let seen = if alarm { Outcome::endless() } else { seen };
    // SAFETY: one thread runs programs, and it waits in `run` for this.
    let exit = unsafe {
        SEEN = seen;
        EXIT
    };
    const TRAP_FLAG: i64 = 0x100;
    g[libc::REG_RIP as usize] = exit;
    g[libc::REG_EFL as usize] &= !TRAP_FLAG;
    let long = u64::from(FLAT_DATA) << 48 | u64::from(LONG_CODE);
    g[libc::REG_CSGSFS as usize] = (segments & 0x0000_ffff_ffff_0000 | long) as i64;
}

fn map(address: u64, bytes: usize) {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE;
    let protection = libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC;
    // SAFETY: a new mapping that replaces nothing.
    let at = unsafe { libc::mmap(address as *mut _, bytes, protection, flags, -1, 0) };
    assert_eq!(at as u64, address, "cannot map {address:#x}");
}

/// Entry and exit; the offset of the exit.
fn stubs() -> Result<(Vec<u8>, u64), iced_x86::IcedError> {
    let saved = [rbx, rbp, r12, r13, r14, r15];
    let mut a = CodeAssembler::new(64)?;
    for register in saved {
        a.push(register)?;
    }
    a.mov(qword_ptr(CONTEXT), rsp)?;
    a.mov(eax, u32::from(FLAT_DATA))?;
    a.mov(ds, eax)?;
    a.mov(es, eax)?;
    // As our side starts.
    a.fninit()?;
    for register in [xmm0, xmm1, xmm2, xmm3, xmm4, xmm5, xmm6, xmm7] {
        a.xorps(register, register)?;
    }
    a.push(0x202)?;
    a.popfq()?;
    for (n, register) in [eax, ecx, edx, ebx, esp, ebp, esi, edi].into_iter().enumerate() {
        a.mov(register, dword_ptr(REGISTERS + 4 * n as u64))?;
    }
    a.db(&[0xff, 0x2c, 0x25])?; // jmp far [CONTEXT + 8]
    a.db(&(CONTEXT as u32 + 8).to_le_bytes())?;
    let entry = a.assemble(STUB)?;
    let exit = STUB + entry.len() as u64;
    let mut a = CodeAssembler::new(64)?;
    a.mov(rsp, qword_ptr(CONTEXT))?;
    a.xor(eax, eax)?;
    a.mov(ds, eax)?;
    a.mov(es, eax)?;
    a.mov(gs, eax)?;
    a.cld()?;
    a.emms()?;
    for register in saved.into_iter().rev() {
        a.pop(register)?;
    }
    a.ret()?;
    let code = [entry, a.assemble(exit)?].concat();
    Ok((code, exit))
}

/// modify_ldt(2)'s `struct user_desc`.
#[repr(C)]
struct UserDesc {
    entry: u32,
    base: u32,
    limit: u32,
    bits: u32,
}

fn set_ldt(entry: usize, d: &Descriptor) {
    const USEABLE: u32 = 1 << 6;
    let bits = u32::from(d.big)
        | u32::from(d.contents) << 1
        | u32::from(d.restricted) << 3
        | u32::from(d.pages) << 4
        | u32::from(d.absent) << 5
        | USEABLE;
    let desc = UserDesc { entry: entry as u32, base: d.base, limit: d.limit, bits };
    const WRITE: i32 = 0x11;
    // SAFETY: the kernel reads as many bytes as the structure has. The result is 32 bits wide.
    let result =
        unsafe { libc::syscall(libc::SYS_modify_ldt, WRITE, &raw const desc, size_of::<UserDesc>()) };
    assert_eq!(result as i32, 0, "modify_ldt of entry {entry}");
}

fn copy(to: u64, bytes: &[u8]) {
    // SAFETY: callers pass addresses inside the mappings made by `Native::new`, which nothing else refers to.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to as *mut u8, bytes.len()) };
}

/// The host's processor.
pub struct Native(());

impl Native {
    /// Maps the pages, fills the LDT, installs the handlers. On one thread, as its signal stack is.
    pub fn new(table: &[Descriptor]) -> Native {
        map(CODE, CODE_BYTES);
        map(DATA, DATA_BYTES);
        map(STUB, PAGE);
        map(CONTEXT, PAGE);
        let (code, exit) = stubs().expect("stubs");
        copy(STUB, &code);
        for (entry, descriptor) in table.iter().enumerate() {
            set_ldt(entry, descriptor);
        }
        const STACK_BYTES: usize = 1 << 16;
        // SAFETY: plain system calls; the alternate stack is never freed, as the handlers are never removed.
        unsafe {
            EXIT = exit as i64;
            let (rw, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
            let memory = libc::mmap(null_mut(), STACK_BYTES, rw, flags, -1, 0);
            let stack = libc::stack_t { ss_sp: memory, ss_flags: 0, ss_size: STACK_BYTES };
            assert_eq!(libc::sigaltstack(&stack, null_mut()), 0);
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = on_signal as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER;
            for signal in
                [libc::SIGSEGV, libc::SIGILL, libc::SIGFPE, libc::SIGTRAP, libc::SIGBUS, libc::SIGVTALRM]
            {
                assert_eq!(libc::sigaction(signal, &action, null_mut()), 0);
            }
        }
        Native(())
    }

    /// Runs a program to its first exception, or until it is stopped; the data after it.
    pub fn run(&mut self, code: &[u8], gpr: [u32; 8], data: &[u8]) -> (Outcome, Vec<u8>) {
        copy(CODE, &[0xcc; CODE_BYTES]);
        copy(CODE, code);
        copy(DATA, data);
        copy(CONTEXT + 8, &(CODE as u32).to_le_bytes());
        copy(CONTEXT + 12, &FLAT_CODE.to_le_bytes());
        copy(REGISTERS, &gpr.map(u32::to_le_bytes).concat());
        RUNNING.store(true, Ordering::SeqCst);
        watch(true);
        // SAFETY: the stub keeps what the ABI asks for; the program was chosen to touch nothing but its pages, and
        // whatever ends it comes back through the exit stub.
        unsafe { std::mem::transmute::<usize, extern "C" fn()>(STUB as usize)() };
        watch(false);
        RUNNING.store(false, Ordering::SeqCst);
        let mut after = vec![0; DATA_BYTES];
        // SAFETY: the pages are mapped; the handler has run, and no program runs now.
        let seen = unsafe {
            std::ptr::copy_nonoverlapping(DATA as *const u8, after.as_mut_ptr(), DATA_BYTES);
            #[allow(static_mut_refs)]
            SEEN.clone()
        };
        (seen, after)
    }
}
