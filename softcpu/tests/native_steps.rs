//! Programs with the trap flag set, against the host's processor: after which instructions it traps, with which flags on
//! the stack, and what an exception on the way pushes.
#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

mod machine;
#[path = "oracle/vendor.rs"]
mod vendor;

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use fencepost_skip::Tested;
use fencepost_softcpu::bus::Exit;
use fencepost_softcpu::state::reg;
use iced_x86::code_asm::*;
use machine::{CODE as KERNEL, HANDLERS, Machine, PRESENT, USER, WRITE};
use vm_memory::{Bytes, GuestAddress};

/// Where programs are, on both; behind them a page of data, at whose end their stack is.
const CODE: u64 = 0x1000_0000;
const DATA: u64 = CODE + 0x1000;
const STACK: u64 = CODE + 0x1f00;
const PHYSICAL: u64 = 0x20_0000;
/// Exceptions that are logged, at most.
const MOST: usize = 64;

const TRAP: u64 = 1 << 8;
const RESUME: u64 = 1 << 16;
const BREAKPOINT: u64 = 3;

/// An exception: vector, RIP, and of the flags TF and RF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    vector: u64,
    rip: u64,
    flags: u64,
}

/// What sets the trap flag, runs the program, and ends with INT3.
fn assemble(program: &dyn Fn(&mut CodeAssembler)) -> Vec<u8> {
    let mut a = CodeAssembler::new(64).unwrap();
    a.mov(rsp, STACK).unwrap();
    a.mov(rsi, DATA + 0x100).unwrap();
    a.mov(rdi, DATA + 0x200).unwrap();
    a.mov(ecx, 5).unwrap();
    a.pushfq().unwrap();
    a.or(dword_ptr(rsp), TRAP as i32).unwrap();
    a.popfq().unwrap();
    program(&mut a);
    a.int3().unwrap();
    a.assemble(CODE).unwrap()
}

/// How far the handler goes on behind an exception that is not a trap: the length of UD2, which is the only one.
const UD2_BYTES: u64 = 2;

mod native {
    use super::*;

    static RUNNING: AtomicBool = AtomicBool::new(false);
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    static LOG: [[AtomicU64; 3]; MOST] = [const { [const { AtomicU64::new(0) }; 3] }; MOST];
    /// RSP of the caller and the stub's way back.
    static STUB: AtomicU64 = AtomicU64::new(0);
    const SAVED_RSP: u64 = CODE + 0x2000;
    const EXIT: u64 = CODE + 0x2100;

    extern "C" fn on_signal(signal: i32, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
        // SAFETY: the kernel gives a valid context to a handler installed with SA_SIGINFO.
        let g = unsafe { &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs };
        if !RUNNING.load(Ordering::Relaxed) {
            // SAFETY: restoring a default action has no precondition; it happens again with it.
            unsafe { libc::signal(signal, libc::SIG_DFL) };
            return;
        }
        let at = |n: i32| g[n as usize] as u64;
        let (vector, rip, flags) = (at(libc::REG_TRAPNO), at(libc::REG_RIP), at(libc::REG_EFL));
        let n = COUNT.fetch_add(1, Ordering::Relaxed);
        if let Some(entry) = LOG.get(n) {
            for (to, value) in entry.iter().zip([vector, rip, flags & (TRAP | RESUME)]) {
                to.store(value, Ordering::Relaxed);
            }
        }
        let over = vector == BREAKPOINT || n + 1 >= MOST;
        if over {
            g[libc::REG_RIP as usize] = EXIT as i64;
            g[libc::REG_EFL as usize] &= !(TRAP as i64);
        } else if vector != 1 {
            g[libc::REG_RIP as usize] += UD2_BYTES as i64;
        }
    }

    /// Three pages for programs, their data and the stubs; the handlers, on a stack of their own.
    fn prepare() {
        let rw = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE;
        // SAFETY: a new mapping that replaces nothing.
        let at = unsafe { libc::mmap(CODE as *mut _, 0x3000, rw | libc::PROT_EXEC, flags, -1, 0) };
        assert_eq!(at as u64, CODE, "cannot map it");
        let saved = [rbx, rbp, r12, r13, r14, r15];
        let mut a = CodeAssembler::new(64).unwrap();
        saved.into_iter().for_each(|register| a.push(register).unwrap());
        a.mov(qword_ptr(SAVED_RSP), rsp).unwrap();
        a.mov(rax, CODE).unwrap();
        a.jmp(rax).unwrap();
        let entry = SAVED_RSP + 0x40;
        write(entry, &a.assemble(entry).unwrap());
        let mut a = CodeAssembler::new(64).unwrap();
        a.mov(rsp, qword_ptr(SAVED_RSP)).unwrap();
        a.cld().unwrap();
        saved.into_iter().rev().for_each(|register| a.pop(register).unwrap());
        a.ret().unwrap();
        write(EXIT, &a.assemble(EXIT).unwrap());
        STUB.store(entry, Ordering::Relaxed);
        const STACK_BYTES: usize = 1 << 16;
        // SAFETY: plain system calls; the alternate stack is never freed, as the handlers are never removed.
        unsafe {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            let memory = libc::mmap(std::ptr::null_mut(), STACK_BYTES, rw, flags, -1, 0);
            let stack = libc::stack_t { ss_sp: memory, ss_flags: 0, ss_size: STACK_BYTES };
            assert_eq!(libc::sigaltstack(&stack, std::ptr::null_mut()), 0);
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = on_signal as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER;
            for signal in [libc::SIGTRAP, libc::SIGILL, libc::SIGSEGV] {
                assert_eq!(libc::sigaction(signal, &action, std::ptr::null_mut()), 0);
            }
        }
    }

    fn write(at: u64, bytes: &[u8]) {
        // SAFETY: callers pass addresses inside the pages that `prepare` mapped, which nothing else refers to.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), at as *mut u8, bytes.len()) };
    }

    /// What the host's processor raises. From one thread.
    pub fn run(code: &[u8]) -> Vec<Seen> {
        if STUB.load(Ordering::Relaxed) == 0 {
            prepare();
        }
        write(CODE, &[0xcc; 0x1000]);
        write(CODE, code);
        write(DATA, &[0; 0x1000]);
        COUNT.store(0, Ordering::Relaxed);
        RUNNING.store(true, Ordering::SeqCst);
        // SAFETY: the stub keeps what the ABI asks for; the programs touch their own pages alone, and end at INT3, from
        // where the handler leaves by the exit stub.
        unsafe {
            std::mem::transmute::<usize, extern "C" fn()>(STUB.load(Ordering::Relaxed) as usize)();
        }
        RUNNING.store(false, Ordering::SeqCst);
        let seen = |entry: &[AtomicU64; 3]| {
            let [vector, rip, flags] = entry.each_ref().map(|word| word.load(Ordering::Relaxed));
            Seen { vector, rip, flags }
        };
        LOG.iter().take(COUNT.load(Ordering::Relaxed)).map(seen).collect()
    }
}

/// What the software CPU raises: each handler halts, is looked at from outside, and is returned from.
fn soft(code: &[u8]) -> Vec<Seen> {
    let mut m = Machine::new();
    for page in 0..2 {
        m.map(CODE + (page << 12), PHYSICAL + (page << 12), PRESENT | WRITE | USER);
    }
    m.memory.write_slice(&[0xcc; 0x1000], GuestAddress(PHYSICAL)).unwrap();
    m.memory.write_slice(code, GuestAddress(PHYSICAL)).unwrap();
    m.set_gate(BREAKPOINT as u8, HANDLERS + 16 * BREAKPOINT, 0xee00);
    for vector in [1, 6] {
        m.assemble(HANDLERS + 16 * vector, |a| {
            a.hlt().unwrap();
            a.jmp(KERNEL).unwrap();
        });
    }
    m.assemble(KERNEL, |a| a.iretq().unwrap());
    m.with_state(|s| s.rip = CODE);
    m.enter_user();
    let mut log = Vec::new();
    loop {
        assert_eq!(m.run(), Exit::Halted);
        let state = m.cpu.state();
        let vector = (state.rip - 1 - HANDLERS) / 16;
        let frame = state.gpr[reg::RSP];
        let (rip, flags) = (m.read::<u64>(frame), m.read::<u64>(frame + 16));
        log.push(Seen { vector, rip, flags: flags & (TRAP | RESUME) });
        if vector == BREAKPOINT || log.len() == MOST {
            return log;
        }
        if vector != 1 {
            m.write(frame, rip + UD2_BYTES);
        }
        m.with_state(|s| s.halted = false);
    }
}

fn compare(name: &str, program: &dyn Fn(&mut CodeAssembler)) -> Vec<Seen> {
    let code = assemble(program);
    let host = native::run(&code);
    assert_eq!(soft(&code), host, "{name}: ours, and the host's");
    assert_eq!(host.last().map(|seen| seen.vector), Some(BREAKPOINT), "{name} runs to its end");
    host
}

fn repeated() {
    let each = compare("REP MOVSB of 5", &|a| a.rep().movsb().unwrap());
    assert_eq!(each.len(), 6, "a trap after each iteration, and the breakpoint: {each:x?}");
    compare("REP STOSQ of 5", &|a| a.rep().stosq().unwrap());
    compare("REP LODSW of 1", &|a| {
        a.mov(ecx, 1).unwrap();
        a.rep().lodsw().unwrap();
    });
    compare("REP MOVSB of 0", &|a| {
        a.xor(ecx, ecx).unwrap();
        a.rep().movsb().unwrap();
    });
    compare("REPE CMPSB that ends early", &|a| {
        a.mov(byte_ptr(rsi + 2), 1).unwrap();
        a.repe().cmpsb().unwrap();
        a.nop().unwrap();
    });
    compare("REPNE SCASD", &|a| {
        a.mov(eax, 1).unwrap();
        a.repne().scasd().unwrap();
    });
}

fn stack_segment() {
    for loads in 1..=3 {
        compare(&format!("{loads} loads of SS"), &|a| {
            a.mov(eax, ss).unwrap();
            (0..loads).for_each(|_| a.mov(ss, eax).unwrap());
            a.nop().unwrap();
            a.nop().unwrap();
        });
    }
    compare("a load of SS before UD2", &|a| {
        a.mov(eax, ss).unwrap();
        a.mov(ss, eax).unwrap();
        a.ud2().unwrap();
        a.nop().unwrap();
    });
    compare("a load of DS", &|a| {
        a.mov(eax, ss).unwrap();
        a.mov(ds, eax).unwrap();
        a.nop().unwrap();
    });
    compare("LSS", &|a| {
        a.mov(dword_ptr(rsi), STACK as u32).unwrap();
        a.mov(word_ptr(rsi + 4), ss).unwrap();
        a.lss(esp, fword_ptr(rsi)).unwrap();
        a.nop().unwrap();
    });
}

fn flags() {
    compare("POPFQ that clears TF", &|a| {
        a.pushfq().unwrap();
        a.and(dword_ptr(rsp), !(TRAP as i32)).unwrap();
        a.popfq().unwrap();
        a.nop().unwrap();
        a.nop().unwrap();
    });
    compare("IRETQ that leaves TF set", &|a| {
        let mut on = a.create_label();
        a.mov(rax, rsp).unwrap();
        a.mov(ecx, ss).unwrap();
        a.push(rcx).unwrap();
        a.push(rax).unwrap();
        a.pushfq().unwrap();
        a.mov(ecx, cs).unwrap();
        a.push(rcx).unwrap();
        a.lea(rax, ptr(on)).unwrap();
        a.push(rax).unwrap();
        a.iretq().unwrap();
        a.set_label(&mut on).unwrap();
        a.nop().unwrap();
    });
    compare("branches", &|a| {
        let (mut over, mut function) = (a.create_label(), a.create_label());
        a.call(function).unwrap();
        a.jmp(over).unwrap();
        a.set_label(&mut function).unwrap();
        a.ret().unwrap();
        a.set_label(&mut over).unwrap();
        a.nop().unwrap();
    });
    compare("UD2", &|a| {
        a.nop().unwrap();
        a.ud2().unwrap();
        a.nop().unwrap();
    });
    compare("CPUID and RDTSC", &|a| {
        a.xor(eax, eax).unwrap();
        a.cpuid().unwrap();
        a.rdtsc().unwrap();
    });
}

/// One test, since the host's processor is on one thread.
#[test]
fn single_steps_are_those_of_the_host() -> Tested {
    if !vendor::host_is_amd() {
        return Tested::skipped(
            "RF is pushed as one between the passes of REP on Intel's processors, and not on AMD's, nor here",
        );
    }
    repeated();
    stack_segment();
    flags();
    Tested::Ran
}
