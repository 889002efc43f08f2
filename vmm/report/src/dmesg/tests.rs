use fencepost_random::Random;

use super::*;
use crate::class::Class;
use crate::outcome::Verdict;

/// Debian's 6.12 and 6.1, as `dmesg --raw` shows them.
const RAW: &str = "\
<6>[    0.100000] DMAR: IOMMU enabled
<3>[    0.200000] my_driver 0000:00:03.0: no answer
<4>[    0.400000] ------------[ cut here ]------------
<4>[    0.400001] refcount_t: underflow; use-after-free.
<4>[    0.400002] WARNING: CPU: 0 PID: 117 at lib/refcount.c:28 refcount_warn_saturate+0xba/0x110
<4>[    0.400003] Modules linked in: my_driver(OE)
<4>[    0.400004] CPU: 0 UID: 0 PID: 117 Comm: insmod Tainted: G           OE      6.12.117+deb12-amd64 #1
<4>[    0.400005] RIP: 0010:refcount_warn_saturate+0xba/0x110
<4>[    0.400006] RSP: 0018:ffffc900006f7c60 EFLAGS: 00010246
<4>[    0.400007] Call Trace:
<4>[    0.400008]  <TASK>
<4>[    0.400009]  ? __warn+0x7d/0xc0
<4>[    0.400010]  a+0x1/0x2 [my_driver]
<4>[    0.400011]  b+0x1/0x2
<4>[    0.400012]  c+0x1/0x2
<4>[    0.400013]  d+0x1/0x2
<4>[    0.400014]  e+0x1/0x2
<4>[    0.400015]  f+0x1/0x2
<4>[    0.400016]  g+0x1/0x2
<4>[    0.400017]  </TASK>
<4>[    0.400018] ---[ end trace 0000000000000000 ]---
<3>[    0.500000] DMAR: DRHD: handling fault status reg 2
<3>[    0.500001] DMAR: [DMA Read NO_PASID] Request device [00:02.0] fault addr 0xfffff000 [fault reason 0x06] PTE Read access is not set
<3>[    0.600000] DMAR: DRHD: handling fault status reg 2
<3>[    0.600001] DMAR: [DMA Write NO_PASID] Request device [00:02.0] fault addr 0xffffe000 [fault reason 0x05] PTE Write access is not set
<6>[    0.700000] done
";

/// Consoles with carriage returns.
const OOPS: &str = "\
[    0.505611] BUG: kernel NULL pointer dereference, address: 0000000000000010\r
[    0.505620] #PF: supervisor write access in kernel mode\r
[    0.505655] Oops: Oops: 0002 [#1] PREEMPT SMP NOPTI\r
[    0.505692] RIP: 0010:fppanic_store+0xc/0x20 [fencepost_panic_test]\r
[    0.506381] ---[ end trace 0000000000000000 ]---\r
[    0.507000] Kernel panic - not syncing: Fatal exception\r
[    0.507001] ---[ end Kernel panic - not syncing: Fatal exception ]---\r
";

/// Documentation/dev-tools/kasan.rst, shortened, and a message behind it.
const KASAN: &str = "\
[    1.000000] ==================================================================
[    1.000001] BUG: KASAN: slab-out-of-bounds in kmalloc_oob_right+0xa8/0xbc [kasan_test]
[    1.000002] Write of size 1 at addr ffff8801f44ec37b by task insmod/2760
[    1.000003] Call Trace:
[    1.000004]  <TASK>
[    1.000005]  dump_stack+0x94/0xd8
[    1.000006]  </TASK>
[    1.000007] Allocated by task 2760:
[    1.000008] ==================================================================
[    1.100000] BUG: scheduling while atomic: insmod/117/0x00000002
[    1.100001] Call Trace:
[    1.100002]  <TASK>
[    1.100003]  schedule+0x1/0x2
[    1.100004]  </TASK>
";

fn kinds(text: &str) -> Vec<(Kind, String)> {
    find(text).events.into_iter().map(|event| (event.kind, event.text)).collect()
}

#[test]
fn each_report_is_one_event_with_its_first_lines() {
    let events = find(RAW).events;
    let kinds: Vec<(Kind, usize)> = events.iter().map(|event| (event.kind, event.line)).collect();
    assert_eq!(
        kinds,
        [(Kind::Error(3), 2), (Kind::Corruption, 5), (Kind::IommuFault, 22), (Kind::IommuFault, 24)]
    );
    let warning = &events[1];
    assert_eq!(
        warning.text,
        "WARNING: CPU: 0 PID: 117 at lib/refcount.c:28 refcount_warn_saturate+0xba/0x110"
    );
    assert_eq!(
        warning.lines,
        [
            "refcount_t: underflow; use-after-free.",
            "CPU: 0 UID: 0 PID: 117 Comm: insmod Tainted: G           OE      6.12.117+deb12-amd64 #1",
            "RIP: 0010:refcount_warn_saturate+0xba/0x110",
            "Call Trace:",
            " a+0x1/0x2 [my_driver]",
            " b+0x1/0x2",
            " c+0x1/0x2",
            " d+0x1/0x2",
            " e+0x1/0x2",
            " f+0x1/0x2",
            "---[ end trace 0000000000000000 ]---",
        ]
    );
    assert_eq!(warning.stamp.as_deref(), Some("0.400002"));
    assert!(events[2].text.contains("[00:02.0] fault addr 0xfffff000"), "{:?}", events[2]);
}

/// Consoles of several CPUs: what is printed on another one stands between the two lines.
#[test]
fn a_faults_second_line_is_found_behind_other_cpus_lines() {
    let header = "DMAR: DRHD: handling fault status reg 102";
    let which = |device| format!("DMAR: [DMA Write] Request device [{device}] fault addr 0x1000");
    let text = |lines: &[&str]| -> String {
        let stamped = |(at, line): (usize, &&str)| format!("[    1.{at:06}] {line}\n");
        lines.iter().enumerate().map(stamped).collect()
    };
    let (first, second) = (which("00:01.0"), which("00:02.0"));
    let of = |text: &str| -> Vec<(String, usize)> {
        find(text).events.into_iter().map(|event| (event.text, event.line)).collect()
    };
    let good = "fencepost_gpu 0000:00:01.0: the ring begins anew";
    assert_eq!(of(&text(&[header, good, &first, good])), [(first.clone(), 1)]);
    let twice = text(&[header, good, header, &first, &second]);
    assert_eq!(of(&twice), [(first.clone(), 1), (second.clone(), 3)]);
    // Neither is hidden by the other.
    let bug = "BUG: scheduling while atomic: insmod/117/0x00000002";
    assert_eq!(of(&text(&[header, bug, &first])), [(first.clone(), 1), (bug.to_owned(), 2)]);
    assert_eq!(of(&text(&[bug, header, " a+0x1/0x2", &first])), [(bug.to_owned(), 1), (first.clone(), 2)]);
    // One whose second line does not come is one too, and does not take a later one's.
    let late = format!("{}[    9.000000] {first}\n", text(&[header]));
    assert_eq!(of(&late), [(header.to_owned(), 1), (first, 2)]);
    assert_eq!(of(&text(&[header, good])), [(header.to_owned(), 1)]);
}

#[test]
fn an_oops_a_panic_and_sanitizers_are_told_apart() {
    let null = "BUG: kernel NULL pointer dereference, address: 0000000000000010".to_owned();
    let panic = "Kernel panic - not syncing: Fatal exception".to_owned();
    assert_eq!(kinds(OOPS), [(Kind::Report(Class::Oops), null), (Kind::Panic, panic)]);
    let events = find(KASAN).events;
    let kinds: Vec<Kind> = events.iter().map(|event| event.kind).collect();
    assert_eq!(kinds, [Kind::Report(Class::Sanitizer), Kind::Report(Class::Bug)]);
    assert!(events[0].lines.iter().any(|line| line == "Allocated by task 2760:"), "{events:?}");
    assert_eq!(events[1].lines, ["Call Trace:", " schedule+0x1/0x2"]);
}

/// Single messages, with the file of the kernel that prints each.
#[test]
fn each_kind_is_known_by_its_message() {
    for (message, kind) in [
        // mm/slub.c
        ("BUG kmalloc-64 (Tainted: G           OE     ): Poison overwritten", Kind::Corruption),
        // lib/list_debug.c
        ("list_del corruption. prev->next should be ffff, but was dead", Kind::Corruption),
        // kernel/dma/debug.c
        ("DMA-API: my_driver 0000:00:03.0: device driver frees DMA memory with different size", Kind::DmaApi),
        ("my_driver 0000:00:03.0: DMA-API: device driver has pending DMA allocations", Kind::DmaApi),
        // kernel/irq/spurious.c
        ("irq 24: nobody cared (try booting with the \"irqpoll\" option)", Kind::Interrupt),
        // mm/kmemleak.c, mm/oom_kill.c, mm/page_alloc.c
        ("kmemleak: 3 new suspected memory leaks (see /sys/kernel/debug/kmemleak)", Kind::Memory),
        ("Out of memory: Killed process 117 (a)", Kind::Memory),
        ("insmod: page allocation failure: order:4, mode:0xcc0(GFP_KERNEL)", Kind::Memory),
        // drivers/iommu/virtio-iommu.c
        ("virtio_iommu virtio0: page fault from EP 16 at 0x1000 [R]", Kind::IommuFault),
        // kernel/sched/core.c, kernel/watchdog.c, kernel/hung_task.c, kernel/rcu/tree_stall.h
        ("BUG: sleeping function called from invalid context at mm/slab.h:1", Kind::Report(Class::Bug)),
        ("watchdog: BUG: soft lockup - CPU#0 stuck for 26s! [a:117]", Kind::Report(Class::Lockup)),
        ("INFO: task a:117 blocked for more than 120 seconds.", Kind::Report(Class::HungTask)),
        ("rcu: INFO: rcu_preempt self-detected stall on CPU", Kind::Report(Class::Stall)),
        ("WARNING: possible circular locking dependency detected", Kind::Report(Class::Lockdep)),
        (
            "general protection fault, probably for non-canonical address 0x1: 0000 [#1]",
            Kind::Report(Class::Oops),
        ),
        ("UBSAN: shift-out-of-bounds in a.c:1:2", Kind::Report(Class::Sanitizer)),
    ] {
        for text in
            [format!("[    1.000000] {message}\n"), format!("<4>[    1.000000] {message}"), message.into()]
        {
            assert_eq!(kinds(&text), [(kind, message.to_owned())], "{text}");
        }
    }
}

#[test]
fn what_is_no_kernels_message_or_says_nothing_wrong_is_no_event() {
    for text in [
        "",
        "[    0.100000] Linux version 6.12\nBUG: this is a program's word\n",
        "[    1.000000] DMA-API: preallocated 65536 debug entries\n",
        "[    1.000000] DMAR: Host address width 46\n",
        "<4>[    1.000000] my_driver: warning: slow\n",
        "[    1.000000] irq 24: Affinity broken due to vector space exhaustion.\n",
        "[    1.000000] debug: no BUG in this\n",
    ] {
        assert_eq!(kinds(text), [], "{text}");
    }
    // A program's unfinished line is no hiding place.
    assert_eq!(kinds("~ # [    1.000000] BUG: x\n")[0].1, "BUG: x");
}

#[test]
fn a_flood_of_one_message_is_one_event_and_of_many_is_cut() {
    let flood: String = (0..5000).map(|_| "<3>[    1.000000] same\n").collect();
    let found = find(&flood);
    assert_eq!((found.events.len(), found.events[0].times, found.more), (1, 5000, 0));
    let many: String = (0..5000).map(|n| format!("<3>[    1.000000] number {n}\n")).collect();
    let found = find(&many);
    assert_eq!((found.events.len(), found.more), (1000, 4000));
}

#[test]
fn what_is_allowed_is_a_note_and_all_else_a_failure() {
    let allowed = |pattern: &str| Allowed::new(pattern, "issue 7").unwrap();
    let policy = Policy {
        errors: true,
        allowed: vec![allowed("no answer$"), allowed("refcount_t: underflow"), allowed("never there")],
    };
    let judged = judge(&find(RAW), &policy, "dmesg");
    let at: Vec<&str> = judged.failures.iter().map(|failure| &failure.at[..]).collect();
    assert_eq!(at, ["dmesg: IOMMU fault, line 22", "dmesg: IOMMU fault, line 24"]);
    let notes: Vec<&str> = judged.checks.iter().skip(2).map(|check| &check.message[..]).collect();
    assert_eq!(
        notes,
        [
            "it came once; allowed: issue 7",
            "it came once; allowed: issue 7",
            "it never came; allowed: issue 7"
        ]
    );
    let errors = |errors| judge(&find(RAW), &Policy { errors, allowed: vec![] }, "dmesg").failures.len();
    assert_eq!((errors(false), errors(true)), (3, 4));
    let clean = judge(&find("[    1.000000] x\n"), &Policy::default(), "dmesg");
    assert_eq!((&clean.checks[0].name[..], clean.checks[0].verdict), ("dmesg", Verdict::Passed));
    assert!(Allowed::new("(", "").unwrap_err().to_string().contains("`(`"));
}

#[test]
fn no_text_makes_it_panic() {
    let mut random = Random::new(13);
    let samples: Vec<&str> = [RAW, OOPS, KASAN].iter().flat_map(|text| text.lines()).collect();
    for _ in 0..3_000 {
        let mut text = String::new();
        for _ in 0..random.below(30) {
            let line: String = random.pick(&samples).chars().filter(|_| !random.once_in(60)).collect();
            text += &line;
            text += if random.once_in(20) { "" } else { "\n" };
        }
        let found = find(&text);
        let lines = text.lines().count();
        assert!(found.events.iter().all(|it| it.line <= lines && it.lines.len() <= 24), "{text}");
    }
}
