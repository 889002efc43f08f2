//! What consoles said, and what is made of it. The excerpts are of Debian's 6.12.117 and 6.1.192 where they have their
//! stamps and modules; the others are of the kernel's documentation or sources, for what Debian does not build.

use std::sync::{Arc, Mutex};

use super::*;

/// A console on which this was written.
fn after(on_panic: Option<OnPanic>, text: &str) -> Panics {
    let panics = Panics::new(on_panic);
    let mut console = panics.console(Console::Serial, Box::new(io::sink()));
    console.write_all(text.as_bytes()).unwrap();
    panics
}

fn findings(text: &str) -> Findings {
    after(None, text).findings()
}

const NULL_6_12: &str = "\
[    0.505611] BUG: kernel NULL pointer dereference, address: 0000000000000010\r
[    0.505620] #PF: supervisor write access in kernel mode\r
[    0.505628] #PF: error_code(0x0002) - not-present page\r
[    0.505637] PGD 612f067 P4D 612f067 PUD 6130067 PMD 0 \r
[    0.505655] Oops: Oops: 0002 [#1] PREEMPT SMP NOPTI\r
[    0.505666] CPU: 0 UID: 0 PID: 118 Comm: test_panic Tainted: G           OE      6.12.117+deb12-amd64 #1\r
[    0.505692] RIP: 0010:fppanic_store+0xc/0x20 [fencepost_panic_test]\r
[    0.505703] RSP: 0018:ffffc900006f7c60 EFLAGS: 00010246\r
[    0.506021] RIP: 0033:0x43bc09\r
";
const NULL_6_12_END: &str = "\
[    0.506381] ---[ end trace 0000000000000000 ]---\r
[    0.506387] RIP: 0010:fppanic_store+0xc/0x20 [fencepost_panic_test]\r
";
const GP_6_1: &str = "\
[    0.433301] general protection fault, probably for non-canonical address 0x4141414141414141: 0000 [#1] PREEMPT SMP NOPTI\r
[    0.433328] RIP: 0010:fppanic_store+0xc/0x20 [fencepost_panic_test]\r
[    0.433744] ---[ end trace 0000000000000000 ]---\r
";
const SYSRQ: &str = "\
[    0.505397] sysrq: Trigger a crash\r
[    0.505404] Kernel panic - not syncing: sysrq triggered crash\r
[    0.505440] Call Trace:\r
[    0.505703] RIP: 0033:0x43aea0\r
";
const SYSRQ_OFFSET: &str = "[    0.505811] Kernel Offset: disabled\r\n";
const SYSRQ_END: &str = "[    0.505805] ---[ end Kernel panic - not syncing: sysrq triggered crash ]---\r\n";

/// First lines, and the class and text that they are. A place is text of the line itself.
const FIRST_LINES: &[(&str, Class, &str)] = &[
    // Consoles of the kernels above.
    ("BUG: unable to handle page fault for address: ffffc900ffffff00", Class::Oops, "BUG: unable"),
    (
        "Oops: general protection fault, probably for non-canonical address 0x4141414141414141: 0000 [#1] PREEMPT SMP NOPTI",
        Class::Oops,
        "Oops: general",
    ),
    ("kernel BUG at /panic_test/panic_test.c:42!", Class::Oops, "kernel BUG at"),
    ("invalid opcode: 0000 [#1] PREEMPT SMP NOPTI", Class::Oops, "invalid opcode"),
    (
        "WARNING: CPU: 0 PID: 117 at /panic_test/panic_test.c:37 fppanic_warn+0x18/0x20 [fencepost_panic_test]",
        Class::Warning,
        "WARNING: CPU",
    ),
    (
        "BUG: KFENCE: use-after-free read in fppanic_use_after_free+0x32/0x60 [fencepost_panic_test]",
        Class::Sanitizer,
        "BUG: KFENCE",
    ),
    ("INFO: task test_panic:117 blocked for more than 5 seconds.", Class::HungTask, "INFO: task"),
    ("rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:", Class::Stall, "INFO: rcu_preempt"),
    // Documentation/dev-tools/kasan.rst, Documentation/dev-tools/ubsan.rst, Documentation/dev-tools/kcsan.rst, kmsan.rst.
    (
        "BUG: KASAN: slab-out-of-bounds in kmalloc_oob_right+0xa8/0xbc [kasan_test]",
        Class::Sanitizer,
        "BUG: KASAN",
    ),
    ("BUG: KASAN: slab-use-after-free in f+0x1/0x2", Class::Sanitizer, "BUG: KASAN"),
    ("UBSAN: Undefined behaviour in ../include/linux/bitops.h:110:33", Class::Sanitizer, "UBSAN: "),
    ("UBSAN: array-index-out-of-bounds in lib/x.c:3:5", Class::Sanitizer, "UBSAN: "),
    ("BUG: KCSAN: data-race in test_kernel_read / test_kernel_write", Class::Sanitizer, "BUG: KCSAN"),
    (
        "BUG: KMSAN: uninit-value in test_uninit_kmsan_check_memory+0x1be/0x380 [kmsan_test]",
        Class::Sanitizer,
        "BUG: KMSAN",
    ),
    // Documentation/locking/lockdep-design.rst, Documentation/RCU/lockdep-splat.rst, kernel/locking/lockdep.c.
    ("WARNING: possible circular locking dependency detected", Class::Lockdep, "WARNING: possible"),
    ("WARNING: possible recursive locking detected", Class::Lockdep, "WARNING: possible"),
    ("WARNING: possible irq lock inversion dependency detected", Class::Lockdep, "WARNING: possible"),
    ("WARNING: inconsistent lock state", Class::Lockdep, "WARNING: inconsistent"),
    ("WARNING: suspicious RCU usage", Class::Lockdep, "WARNING: suspicious"),
    ("WARNING: bad unlock balance detected!", Class::Lockdep, "WARNING: bad"),
    ("WARNING: HARDIRQ-safe -> HARDIRQ-unsafe lock order detected", Class::Lockdep, "WARNING: HARDIRQ"),
    ("WARNING: swapper/0/1 still has locks held!", Class::Lockdep, "WARNING: swapper"),
    ("[ BUG: Invalid wait context ]", Class::Lockdep, "[ BUG: Invalid"),
    // Documentation/RCU/stallwarn.rst; kernel/rcu/tree_exp.h; kernel/watchdog.c; kernel/workqueue.c.
    ("INFO: rcu_sched detected stalls on CPUs/tasks:", Class::Stall, "INFO: rcu_sched"),
    ("rcu: INFO: rcu_preempt self-detected stall on CPU", Class::Stall, "INFO: rcu_preempt"),
    (
        "rcu: INFO: rcu_preempt detected expedited stalls on CPUs/tasks: { 1-... }",
        Class::Stall,
        "INFO: rcu_preempt",
    ),
    ("watchdog: BUG: soft lockup - CPU#0 stuck for 26s! [test_panic:117]", Class::Lockup, "BUG: soft lockup"),
    ("NMI watchdog: Watchdog detected hard LOCKUP on cpu 0", Class::Lockup, "Watchdog"),
    ("watchdog: CPU1: Watchdog detected hard LOCKUP on cpu 1", Class::Lockup, "CPU1: Watchdog"),
    (
        "BUG: workqueue lockup - pool cpus=0 node=0 flags=0x0 nice=0 stuck for 60s!",
        Class::Lockup,
        "BUG: workqueue",
    ),
    // kernel/sched/core.c, mm/page_alloc.c, arch/x86/kernel/traps.c, kernel/panic.c since 6.18.
    (
        "BUG: sleeping function called from invalid context at kernel/locking/mutex.c:580",
        Class::Bug,
        "BUG: sleeping",
    ),
    ("BUG: scheduling while atomic: test_panic/117/0x00000002", Class::Bug, "BUG: scheduling"),
    ("BUG: Bad page state in process test_panic  pfn:06130", Class::Bug, "BUG: Bad page"),
    (
        "BUG: TASK stack guard page was hit at ffffc9000070bff8 (stack is ffffc9000070c000..ffffc9000070ffff)",
        Class::Oops,
        "BUG: TASK",
    ),
    ("divide error: 0000 [#2] SMP PTI", Class::Oops, "divide error"),
    ("WARNING: kernel/x.c:12 at f+0x1/0x2, CPU#0: test_panic/117", Class::Warning, "WARNING: kernel"),
];

#[test]
fn every_class_is_known_by_its_first_line() {
    for (line, class, text) in FIRST_LINES {
        for stamp in ["", "[    1.000000] ", "[    1.000000][  T117] "] {
            let found = findings(&format!("{stamp}{line}\r\n"));
            assert_eq!(found.panic, None, "{line}");
            let [(of, Reports { count: 1, text: told, place: None })] =
                &found.reports.iter().collect::<Vec<_>>()[..]
            else {
                panic!("{line}: {found:?}")
            };
            assert_eq!(*of, class, "{line}");
            assert!(told.starts_with(text) && line.ends_with(told.as_str()), "{line}: {told}");
        }
    }
}

#[test]
fn lines_like_them_are_no_reports() {
    for line in [
        "traps: test[117] general protection fault ip:43bc09 sp:7fff error:0 in test[401000+7f000]",
        "test[117]: segfault at 10 ip 0000000000401136 sp 00007ffd error 6 in test[401000+1000]",
        "Kernel panic test passed",
        "WARNING: this module is out of tree",
        "INFO: task accounting is on",
        "INFO: rcu is up",
        "debug: BUG: is a word",
        "Modules linked in: fencepost_panic_test(OE+) [last unloaded: x]",
        "usb 1-1: new device [#12] found",
        "item: zzzz [#1]",
        "---[ end trace 0000000000000000 ]---",
        "RIP: 0010:f+0x1/0x2",
        "Rebooting in 5 seconds..",
        "Kernel Offset: disabled",
    ] {
        let panics = after(Some(OnPanic::Exit), &format!("[    1.000000] {line}\n{line}\n"));
        assert_eq!((panics.findings(), panics.take_ending()), (Findings::default(), None), "{line}");
    }
}

#[test]
fn an_oops_is_one_report_with_its_place() {
    for (text, first) in [
        (
            format!("{NULL_6_12}{NULL_6_12_END}"),
            "BUG: kernel NULL pointer dereference, address: 0000000000000010",
        ),
        (
            GP_6_1.into(),
            "general protection fault, probably for non-canonical address 0x4141414141414141: 0000 [#1] PREEMPT SMP NOPTI",
        ),
    ] {
        let found = findings(&text);
        let place = Some("fppanic_store+0xc/0x20 [fencepost_panic_test]".to_string());
        let oops = Reports { count: 1, text: first.into(), place };
        assert_eq!(found, Findings { reports: [(Class::Oops, oops)].into(), ..Findings::default() });
    }
}

#[test]
fn a_second_oops_is_another_one_even_before_the_first_has_ended() {
    let second = "[    0.6] x\n[    0.600000] Oops: general protection fault: 0000 [#2] SMP\n";
    assert_eq!(findings(&format!("{NULL_6_12}{second}")).reports[&Class::Oops].count, 2);
    assert_eq!(findings(&format!("{NULL_6_12}{NULL_6_12_END}{GP_6_1}")).reports[&Class::Oops].count, 2);
}

#[test]
fn a_run_ends_when_the_report_is_whole() {
    let exit = Some(OnPanic::Exit);
    let (null, panic) = (format!("{NULL_6_12}{NULL_6_12_END}"), format!("{SYSRQ}{SYSRQ_OFFSET}"));
    let rebooting = format!("{SYSRQ}[    0.505900] Rebooting in 10 seconds..\n");
    let warning =
        "[    1.000000] WARNING: CPU: 0 PID: 1 at a.c:1 f+0x1/0x2\n[    1.000000] ---[ end trace 0 ]---\n";
    for (on_panic, text, ends) in [
        (exit, NULL_6_12, false),
        (exit, &null, true),
        (None, &null, false),
        (exit, SYSRQ, false),
        (exit, &panic, true),
        (None, &panic, false),
        (exit, &rebooting, true),
        (None, &rebooting, false),
        (None, &format!("{panic}{SYSRQ_END}"), true),
        (exit, warning, false),
        (exit, &format!("{NULL_6_12}{warning}"), false),
    ] {
        let ending = ends.then_some(Ending::Failed);
        let panics = after(on_panic, text);
        assert_eq!(panics.take_ending(), ending, "{on_panic:?}: {text}");
        assert_eq!(panics.take_ending(), None, "once only");
    }
}

#[test]
fn why_the_kernel_panicked_is_told_by_the_first_line_or_the_last() {
    for text in [SYSRQ, SYSRQ_END, &format!("{SYSRQ}{SYSRQ_END}")] {
        assert_eq!(findings(text).panic.as_deref(), Some("sysrq triggered crash"));
    }
}

#[test]
fn bytes_may_come_in_any_pieces() {
    let text = format!("~ # \x1b[0m{NULL_6_12}{NULL_6_12_END}{SYSRQ}{SYSRQ_END}");
    let whole = findings(&text);
    for size in [1, 2, 3, 7, 64] {
        let panics = Panics::new(None);
        let mut console = panics.console(Console::Serial, Box::new(io::sink()));
        text.as_bytes().chunks(size).for_each(|piece| console.write_all(piece).unwrap());
        assert_eq!(panics.findings(), whole, "{size}");
    }
    assert!(whole.panic.is_some() && whole.reports[&Class::Oops].count == 1);
}

#[test]
fn a_message_behind_an_unfinished_line_of_a_program_is_found() {
    let found = findings(&format!("~ # \x1b[1m{}", SYSRQ.replace("[    0.505404]", "50% [    0.505404]")));
    assert_eq!(found.panic.as_deref(), Some("sysrq triggered crash"));
}

#[test]
fn without_a_stamp_a_line_counts_only_where_the_kernel_prints_none() {
    let fake = "Kernel panic - not syncing: I am a program\n---[ end Kernel panic - not syncing: x ]---\n";
    assert_eq!(findings(fake).panic.as_deref(), Some("I am a program"));
    let stamped = after(Some(OnPanic::Exit), &format!("[    0.000000] Linux version 6.12\n{fake}"));
    assert_eq!((stamped.findings(), stamped.take_ending()), (Findings::default(), None));
}

#[test]
fn texts_are_cut_and_reports_counted_however_many_there_are() {
    let long = format!("[    1.000000] WARNING: CPU: 0 {}\n", "\u{e4}".repeat(2000));
    let found = findings(&long.repeat(1000));
    let warning = &found.reports[&Class::Warning];
    assert_eq!(warning.count, 1000);
    assert!((200..=240).contains(&warning.text.len()), "{}", warning.text.len());
    assert!(
        found
            .line()
            .unwrap()
            .starts_with("the guest's kernel reported 1000 warnings (the first: WARNING: CPU: 0 ")
    );
}

#[test]
fn the_last_line_names_the_panic_and_then_the_others_by_gravity() {
    let others = "[    0.1] x\n[    0.100000] WARNING: possible recursive locking detected\n\
                  [    0.200000] WARNING: CPU: 0 PID: 1 at a.c:1 f+0x1/0x2\n";
    assert_eq!(findings("").line(), None);
    assert_eq!(
        findings(&format!("{others}{GP_6_1}")).line().unwrap(),
        "the guest's kernel reported 1 oops (general protection fault, probably for non-canonical address \
         0x4141414141414141: 0000 [#1] PREEMPT SMP NOPTI, at fppanic_store+0xc/0x20 [fencepost_panic_test]), \
         1 lockdep report (WARNING: possible recursive locking detected), \
         1 warning (WARNING: CPU: 0 PID: 1 at a.c:1 f+0x1/0x2)"
    );
    assert_eq!(findings(SYSRQ).line().unwrap(), "the guest's kernel panicked: sysrq triggered crash");
    let both = "[    0.100000] WARNING: CPU: 0 PID: 1 at a.c:1 f+0x1/0x2\n".to_owned() + SYSRQ;
    assert_eq!(
        findings(&both).line().unwrap(),
        "the guest's kernel panicked: sysrq triggered crash; it also reported 1 warning (WARNING: CPU: 0 PID: 1 at a.c:1 f+0x1/0x2)"
    );
}

#[test]
fn the_device_ends_the_run_at_a_panic_whatever_is_on_the_console() {
    for (event, ending, line) in [
        (GuestEvent::Panicked, Some(Ending::Failed), Some("the guest's kernel panicked: it did not say why")),
        (GuestEvent::Shutdown, Some(Ending::Shutdown), None),
        (
            GuestEvent::CrashLoaded,
            None,
            Some("the guest's kernel reported a panic that a crash kernel was to deal with"),
        ),
    ] {
        let panics = Panics::new(None);
        panics.listener().event(event);
        assert_eq!((panics.take_ending(), panics.findings().line().as_deref()), (ending, line));
    }
    let panics = after(None, SYSRQ);
    panics.listener().event(GuestEvent::Panicked);
    assert_eq!(panics.take_ending(), Some(Ending::Failed));
    assert_eq!(panics.findings().panic.as_deref(), Some("sysrq triggered crash"));
}

#[test]
fn what_was_heard_is_saved_in_the_midst_of_a_line_and_goes_on() {
    let text = format!("{NULL_6_12}{NULL_6_12_END}{SYSRQ}{SYSRQ_END}");
    let whole = findings(&text);
    for at in (0..text.len()).step_by(13) {
        let first = after(None, &text[..at]);
        let bytes = postcard::to_stdvec(&first.save()).unwrap();
        let second = Panics::new(None);
        second.restore(postcard::from_bytes(&bytes).unwrap());
        second.console(Console::Serial, Box::new(io::sink())).write_all(&text.as_bytes()[at..]).unwrap();
        let ending = first.take_ending().or(second.take_ending());
        assert_eq!((second.findings(), ending), (whole.clone(), Some(Ending::Failed)), "{at}");
    }
}

#[test]
fn the_console_gets_every_byte_and_a_broken_one_makes_no_difference() {
    #[derive(Clone, Default)]
    struct Seen(Arc<Mutex<Vec<u8>>>);
    impl Write for Seen {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let some = bytes.len().min(5);
            self.0.lock().unwrap().extend_from_slice(&bytes[..some]);
            Ok(some)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    struct Broken;
    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let (seen, panics) = (Seen::default(), Panics::new(None));
    panics.console(Console::Serial, Box::new(seen.clone())).write_all(SYSRQ.as_bytes()).unwrap();
    assert_eq!(*seen.0.lock().unwrap(), SYSRQ.as_bytes());
    let panics = Panics::new(None);
    assert!(panics.console(Console::Serial, Box::new(Broken)).write_all(SYSRQ.as_bytes()).is_err());
    assert!(panics.findings().panic.is_some());
}

#[test]
fn either_console_is_heard_and_what_both_say_is_found_once() {
    let text = format!("{NULL_6_12}{NULL_6_12_END}");
    let panics = Panics::new(Some(OnPanic::Exit));
    let mut serial = panics.console(Console::Serial, Box::new(io::sink()));
    let mut terminal = panics.console(Console::Terminal, Box::new(io::sink()));
    // By turns, as a kernel prints, whose lines are whole on each.
    for line in text.split_inclusive('\n') {
        serial.write_all(line.as_bytes()).unwrap();
        terminal.write_all(line.as_bytes()).unwrap();
    }
    assert_eq!(panics.findings(), findings(&text));
    assert_eq!(panics.take_ending(), Some(Ending::Failed));
    terminal.write_all(format!("{SYSRQ}{SYSRQ_END}").as_bytes()).unwrap();
    assert_eq!(panics.findings(), findings(&format!("{text}{SYSRQ}{SYSRQ_END}")));
    let saved = panics.save();
    let again = Panics::new(None);
    again.restore(saved);
    assert_eq!(again.findings(), panics.findings());
    let quiet = Panics::new(None);
    let mut terminal = quiet.console(Console::Terminal, Box::new(io::sink()));
    terminal.write_all(format!("{SYSRQ}{SYSRQ_END}").as_bytes()).unwrap();
    assert_eq!(quiet.take_ending(), Some(Ending::Failed), "and ends the run");
}
