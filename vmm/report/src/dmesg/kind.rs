//! Which message says what: the reports that [`crate::class`] knows, and what drivers' tests want to know beyond them.

use crate::class::{Class, classify};

/// A kind of event. What comes first is the graver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The kernel has given up.
    Panic,
    /// A report that is recognised in every run (docs/panic.md).
    Report(Class),
    /// An IOMMU stopped a device's access.
    IommuFault,
    /// Memory was written that was not the writer's: slub's checks, list corruption, reference counts.
    Corruption,
    /// DMA's interface is used wrongly (`CONFIG_DMA_API_DEBUG`).
    DmaApi,
    /// An interrupt that no driver takes.
    Interrupt,
    /// Memory was not given back (kmemleak), or there is none left.
    Memory,
    /// A message of level 0 to 3, `KERN_EMERG` to `KERN_ERR`.
    Error(u8),
}

impl Kind {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Panic => "panic",
            Kind::Report(class) => {
                let [one, _] = class.names();
                one
            }
            Kind::IommuFault => "IOMMU fault",
            Kind::Corruption => "corruption",
            Kind::DmaApi => "wrong use of DMA's interface",
            Kind::Interrupt => "interrupt that nobody takes",
            Kind::Memory => "memory problem",
            Kind::Error(_) => "message of an error",
        }
    }
}

/// What a message must begin with, and have behind that.
const OTHERS: &[(&str, &str, Kind)] = &[
    ("Kernel panic - not syncing: ", "", Kind::Panic),
    // drivers/iommu/intel/dmar.c: dmar_fault, dmar_fault_do_one.
    ("DMAR: DRHD: handling fault status", "", Kind::IommuFault),
    ("DMAR: [", "fault", Kind::IommuFault),
    ("DMAR: QI", "", Kind::IommuFault),
    ("DMAR: VT-d detected", "", Kind::IommuFault),
    // drivers/iommu/virtio-iommu.c, viommu_fault_handler; drivers/iommu/amd/iommu.c.
    ("virtio_iommu ", "fault from EP ", Kind::IommuFault),
    ("AMD-Vi: Event logged [", "FAULT", Kind::IommuFault),
    // lib/refcount.c, lib/list_debug.c, mm/slub.c.
    ("refcount_t: ", "", Kind::Corruption),
    ("list_add corruption", "", Kind::Corruption),
    ("list_add double add", "", Kind::Corruption),
    ("list_del corruption", "", Kind::Corruption),
    ("slab ", "corruption", Kind::Corruption),
    ("BUG ", "): ", Kind::Corruption),
    // lib/debugobjects.c.
    ("ODEBUG: ", "", Kind::Corruption),
    // kernel/dma/debug.c, kernel/dma/swiotlb.c.
    ("DMA-API: ", "", Kind::DmaApi),
    // kernel/irq/spurious.c.
    ("irq ", "nobody cared", Kind::Interrupt),
    // mm/kmemleak.c, mm/oom_kill.c, mm/page_alloc.c.
    ("kmemleak: ", "new suspected memory leaks", Kind::Memory),
    ("Out of memory: ", "", Kind::Memory),
    ("page allocation failure", "", Kind::Memory),
];

/// What the message begins, whatever its level.
pub fn of(message: &str) -> Option<Kind> {
    let fits = |(start, has, _): &&(&str, &str, Kind)| message.starts_with(start) && message.contains(has);
    // A device's messages have its driver and name first: `my_driver 0000:00:03.0: DMA-API: ...`, `insmod: page allocation failure: ...`.
    let behind = |(start, has, kind): &&(&str, &str, Kind)| {
        matches!(kind, Kind::DmaApi | Kind::Memory)
            && message
                .match_indices(start)
                .any(|(at, _)| message.get(..at).is_some_and(|it| it.ends_with(": ")))
            && message.contains(has)
    };
    let other = OTHERS.iter().find(fits).or_else(|| OTHERS.iter().find(behind));
    other.map(|(.., kind)| *kind).or_else(|| classify(message).map(|(class, _)| Kind::Report(class)))
}

/// Lines that say only how `CONFIG_DMA_API_DEBUG` and kmemleak begin.
pub fn is_harmless(message: &str) -> bool {
    let starts = ["DMA-API: preallocated ", "DMA-API: debugging ", "DMA-API: dma_debug"];
    starts.iter().any(|start| message.starts_with(start))
}
