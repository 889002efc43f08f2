//! The kinds of faults: the table of docs/faults.md.

use fencepost_trace::FaultKind;

use crate::parameters::{Parameter, Takes};

/// In what a fault can take place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    /// Any function on the bus.
    Any,
    /// A device of this model.
    Model(&'static str),
    /// The IOMMU.
    Iommu,
}

/// A kind of fault.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// Which.
    pub kind: FaultKind,
    /// Its name: lower case, words joined by hyphens.
    pub name: &'static str,
    /// Where it can be.
    pub on: On,
    /// What it can take place at, as `after`, `every` and `--stats` count it.
    pub occasion: &'static str,
    /// The keys that it has beside [`COMMON`].
    pub keys: &'static [Parameter],
    /// Takes place by itself at the time of `at`, if that is given: no occasion is waited for.
    pub timed: bool,
}

const COUNT_MAX: u64 = 1_000_000_000_000;

/// The keys that every fault has.
pub const COMMON: &[Parameter] = &[
    Parameter {
        key: "at",
        takes: Takes::Time { relative: true },
        about: "occasions before this time of the guest's do not count; with a + from when the fault is given",
    },
    Parameter {
        key: "mark",
        takes: Takes::Whole { min: 0, max: 255 },
        about: "the fault is given when the guest writes this number to the mark port",
    },
    Parameter {
        key: "after",
        takes: Takes::Whole { min: 1, max: COUNT_MAX },
        about: "the first occasion that counts is this one; 1, or that of every, unless set",
    },
    Parameter {
        key: "every",
        takes: Takes::Whole { min: 1, max: COUNT_MAX },
        about: "of the occasions from the first on, each of this many",
    },
    Parameter { key: "probability", takes: Takes::Fraction, about: "drawn at each occasion by the seed" },
    Parameter {
        key: "count",
        takes: Takes::Whole { min: 1, max: COUNT_MAX },
        about: "how often at most; once unless set, without limit with every or probability",
    },
];

const VECTOR: Parameter = Parameter {
    key: "vector",
    takes: Takes::Whole { min: 0, max: 2047 },
    about: "interrupts of this vector alone",
};

const RING: Parameter =
    Parameter { key: "ring", takes: Takes::Whole { min: 0, max: 2 }, about: "packets of this ring alone" };

const LATE: Parameter =
    Parameter { key: "for", takes: Takes::Time { relative: false }, about: "how late; 1ms unless set" };

/// All kinds.
pub const KINDS: &[Kind] = &[
    Kind {
        kind: FaultKind::IrqLost,
        name: "irq-lost",
        on: On::Any,
        occasion: "interrupt",
        keys: &[VECTOR],
        timed: false,
    },
    Kind {
        kind: FaultKind::IrqLate,
        name: "irq-late",
        on: On::Any,
        occasion: "interrupt",
        keys: &[VECTOR, LATE],
        timed: false,
    },
    Kind {
        kind: FaultKind::IrqTwice,
        name: "irq-twice",
        on: On::Any,
        occasion: "interrupt",
        keys: &[
            VECTOR,
            Parameter {
                key: "for",
                takes: Takes::Time { relative: false },
                about: "how long behind the first message the second is sent; at once unless set",
            },
        ],
        timed: false,
    },
    Kind {
        kind: FaultKind::IrqSpurious,
        name: "irq-spurious",
        on: On::Any,
        occasion: "interrupt",
        keys: &[
            Parameter {
                key: "vector",
                takes: Takes::Whole { min: 0, max: 2047 },
                about: "the vector that nobody had a reason to raise; 0 unless set",
            },
            Parameter {
                key: "for",
                takes: Takes::Time { relative: false },
                about: "how long behind the interrupt that was its occasion; 1ms unless set",
            },
        ],
        timed: true,
    },
    Kind {
        kind: FaultKind::DmaError,
        name: "dma-error",
        on: On::Any,
        occasion: "DMA access",
        keys: &[Parameter {
            key: "access",
            takes: Takes::Word(&["read", "write"]),
            about: "accesses of this direction alone",
        }],
        timed: false,
    },
    Kind {
        kind: FaultKind::DescriptorError,
        name: "descriptor-error",
        on: On::Any,
        occasion: "descriptor",
        keys: &[],
        timed: false,
    },
    Kind {
        kind: FaultKind::Removal,
        name: "removal",
        on: On::Any,
        occasion: "register access",
        keys: &[],
        timed: true,
    },
    Kind {
        kind: FaultKind::LinkReset,
        name: "link-reset",
        on: On::Any,
        occasion: "register access",
        keys: &[],
        timed: true,
    },
    Kind {
        kind: FaultKind::ConfigOnes,
        name: "config-ones",
        on: On::Any,
        occasion: "read of configuration space",
        keys: &[],
        timed: false,
    },
    Kind {
        kind: FaultKind::Translation,
        name: "translation",
        on: On::Iommu,
        occasion: "DMA access",
        keys: &[Parameter {
            key: "slot",
            takes: Takes::Whole { min: 1, max: 31 },
            about: "accesses by the device in this slot alone",
        }],
        timed: false,
    },
    Kind {
        kind: FaultKind::Stale,
        name: "stale",
        on: On::Iommu,
        occasion: "invalidation",
        keys: &[],
        timed: false,
    },
    Kind {
        kind: FaultKind::SlowInvalidation,
        name: "slow-invalidation",
        on: On::Iommu,
        occasion: "wait",
        keys: &[LATE],
        timed: false,
    },
    Kind {
        kind: FaultKind::Hang,
        name: "hang",
        on: On::Model("gpu"),
        occasion: "job",
        keys: &[RING],
        timed: false,
    },
    Kind {
        kind: FaultKind::JobError,
        name: "job-error",
        on: On::Model("gpu"),
        occasion: "job",
        keys: &[RING],
        timed: false,
    },
    Kind {
        kind: FaultKind::Slow,
        name: "slow",
        on: On::Model("gpu"),
        occasion: "job",
        keys: &[
            RING,
            Parameter {
                key: "factor",
                takes: Takes::Whole { min: 2, max: 1_000_000 },
                about: "how many times as long; 10 unless set",
            },
        ],
        timed: false,
    },
    Kind {
        kind: FaultKind::OutOfOrder,
        name: "out-of-order",
        on: On::Model("gpu"),
        occasion: "fence",
        keys: &[RING],
        timed: false,
    },
    Kind {
        kind: FaultKind::Drop,
        name: "drop",
        on: On::Model("camera"),
        occasion: "frame",
        keys: &[],
        timed: false,
    },
    Kind {
        kind: FaultKind::Short,
        name: "short",
        on: On::Model("camera"),
        occasion: "frame",
        keys: &[],
        timed: false,
    },
    Kind {
        kind: FaultKind::Corrupt,
        name: "corrupt",
        on: On::Model("camera"),
        occasion: "frame",
        keys: &[Parameter {
            key: "lines",
            takes: Takes::Whole { min: 1, max: 4096 },
            about: "how many; 1 unless set",
        }],
        timed: false,
    },
    Kind {
        kind: FaultKind::Overrun,
        name: "overrun",
        on: On::Model("camera"),
        occasion: "frame",
        keys: &[],
        timed: false,
    },
    Kind {
        kind: FaultKind::SensorLost,
        name: "sensor-lost",
        on: On::Model("camera"),
        occasion: "frame",
        keys: &[],
        timed: false,
    },
    Kind {
        kind: FaultKind::Underrun,
        name: "underrun",
        on: On::Model("display"),
        occasion: "frame",
        keys: &[],
        timed: false,
    },
    Kind {
        kind: FaultKind::VblankLost,
        name: "vblank-lost",
        on: On::Model("display"),
        occasion: "vertical blank",
        keys: &[],
        timed: false,
    },
    Kind {
        kind: FaultKind::FlipStuck,
        name: "flip-stuck",
        on: On::Model("display"),
        occasion: "flip",
        keys: &[],
        timed: false,
    },
    Kind {
        kind: FaultKind::IoError,
        name: "io-error",
        on: On::Model("virtio-blk"),
        occasion: "request",
        keys: &[],
        timed: false,
    },
];

impl Kind {
    /// That of `kind` in what is called `target`.
    pub(super) fn of(kind: FaultKind, target: &str) -> Option<&'static Kind> {
        KINDS.iter().find(|it| it.kind == kind && it.fits(target))
    }

    /// Whether it can be in what is called `target`: a model, a slot or `iommu`.
    pub(super) fn fits(&self, target: &str) -> bool {
        let slot = target.parse::<u8>().is_ok();
        match self.on {
            On::Any => target != super::IOMMU,
            On::Model(model) => slot || target == model,
            On::Iommu => target == super::IOMMU,
        }
    }
}
