//! What the kernel's first lines of its reports are, by their text (Linux 6.1 to 6.12; each is named with where it is printed).

use serde::{Deserialize, Serialize};

/// A kind of report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Class {
    /// The kernel cannot go on with what it did: a bad access, a failed BUG_ON.
    Oops,
    /// Memory or arithmetic was used wrongly: KASAN, KFENCE, KMSAN, KCSAN, UBSAN.
    Sanitizer,
    /// Locks or RCU are used in a way that can go wrong: lockdep.
    Lockdep,
    /// A CPU, or a pool of workers, does nothing else any more.
    Lockup,
    /// RCU waits for a CPU or a task.
    Stall,
    /// A task waits for too long.
    HungTask,
    /// Any other line that begins with `BUG:`.
    Bug,
    /// A WARN.
    Warning,
}

impl Class {
    /// Its name, for one and for several.
    pub fn names(self) -> [&'static str; 2] {
        match self {
            Class::Oops => ["oops", "oopses"],
            Class::Sanitizer => ["sanitizer report", "sanitizer reports"],
            Class::Lockdep => ["lockdep report", "lockdep reports"],
            Class::Lockup => ["lockup", "lockups"],
            Class::Stall => ["RCU stall", "RCU stalls"],
            Class::HungTask => ["hung task", "hung tasks"],
            Class::Bug => ["bug", "bugs"],
            Class::Warning => ["warning", "warnings"],
        }
    }

    /// Whether the place is told by a later line, `RIP: 0010:`, and not by the first one.
    pub fn has_place(self) -> bool {
        matches!(self, Class::Oops | Class::Lockup)
    }
}

/// What may stand before a report's first word: the prefix of its file's messages.
const PREFIXES: [&str; 3] = ["watchdog: ", "NMI watchdog: ", "rcu: "];

/// Beginnings of first lines; the first that fits counts.
const BEGINNINGS: &[(&str, Class)] = &[
    // arch/x86/mm/fault.c, show_fault_oops.
    ("BUG: kernel NULL pointer dereference", Class::Oops),
    ("BUG: unable to handle ", Class::Oops),
    // lib/bug.c; arch/x86/kernel/traps.c and dumpstack.c, whose later versions begin each with "Oops: ".
    ("kernel BUG at ", Class::Oops),
    ("Oops: ", Class::Oops),
    ("general protection fault", Class::Oops),
    // mm/kasan/report.c, mm/kfence/report.c, mm/kmsan/report.c, kernel/kcsan/report.c, lib/ubsan.c.
    ("BUG: KASAN: ", Class::Sanitizer),
    ("BUG: KFENCE: ", Class::Sanitizer),
    ("BUG: KMSAN: ", Class::Sanitizer),
    ("BUG: KCSAN: ", Class::Sanitizer),
    ("UBSAN: ", Class::Sanitizer),
    // kernel/watchdog.c, kernel/workqueue.c.
    ("BUG: soft lockup", Class::Lockup),
    ("BUG: workqueue lockup", Class::Lockup),
    ("Watchdog detected hard LOCKUP", Class::Lockup),
    // kernel/locking/lockdep.c.
    ("WARNING: possible ", Class::Lockdep),
    ("WARNING: suspicious RCU usage", Class::Lockdep),
    ("WARNING: inconsistent lock state", Class::Lockdep),
    ("WARNING: bad unlock balance detected", Class::Lockdep),
    ("WARNING: bad contention detected", Class::Lockdep),
    ("WARNING: held lock freed", Class::Lockdep),
    ("WARNING: lock held when returning to user space", Class::Lockdep),
    ("WARNING: Nested lock was not taken", Class::Lockdep),
    ("[ BUG: Invalid wait context ]", Class::Lockdep),
    ("INFO: trying to register non-static key", Class::Lockdep),
    // kernel/panic.c, __warn.
    ("WARNING: CPU: ", Class::Warning),
];

/// Beginnings that count with what must stand somewhere behind them.
const PAIRS: &[(&str, &str, Class)] = &[
    // arch/x86/kernel/traps.c: which stack stands between.
    ("BUG: ", "stack guard page was hit", Class::Oops),
    ("WARNING: ", " lock order detected", Class::Lockdep),
    ("WARNING: ", " still has locks held", Class::Lockdep),
    // kernel/watchdog.c, with the CPU first since Linux 6.6.
    ("CPU", ": Watchdog detected hard LOCKUP", Class::Lockup),
    // kernel/hung_task.c.
    ("INFO: task ", " blocked for more than ", Class::HungTask),
    // kernel/rcu/tree_stall.h, tree_exp.h.
    ("INFO: rcu", "stall", Class::Stall),
    // kernel/panic.c since Linux 6.18: file and line first.
    ("WARNING: ", ", CPU#", Class::Warning),
    ("BUG: ", "", Class::Bug),
];

/// What the message begins, and its text without the prefix.
pub fn classify(message: &str) -> Option<(Class, &str)> {
    let text = PREFIXES.iter().find_map(|prefix| message.strip_prefix(prefix)).unwrap_or(message);
    let beginning = BEGINNINGS.iter().find(|(start, _)| text.starts_with(start)).map(|(_, class)| *class);
    let pair = || PAIRS.iter().find(|(start, has, _)| text.starts_with(start) && text.contains(has));
    let other = || is_die_header(text).then_some(Class::Oops);
    let class = beginning.or_else(|| pair().map(|(.., class)| *class)).or_else(other)?;
    Some((class, text))
}

/// Whether this is the line with the number of the oops, such as `invalid opcode: 0000 [#1] PREEMPT SMP NOPTI`
/// (arch/x86/kernel/dumpstack.c, __die_header).
pub fn is_die_header(text: &str) -> bool {
    let Some((what, number)) = text.split_once(" [#") else { return false };
    let code = what.rsplit_once(": ").map_or("", |(_, code)| code);
    let count = number.split_once(']').map_or("", |(count, _)| count);
    let hex = code.len() == 4 && code.bytes().all(|byte| byte.is_ascii_hexdigit());
    hex && !count.is_empty() && count.bytes().all(|byte| byte.is_ascii_digit())
}
