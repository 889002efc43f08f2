//! What the PCI adapter needs of a device core.

use fencepost_trace::EngineSpec;

use crate::ports::Ports;
use crate::state::SavedState;

/// The PCI vendor id of every Fencepost function (unassigned by the PCI-SIG).
pub const VENDOR_ID: u16 = 0xfe9c;

/// Vendor and device ids: the function's own, and those of the card or board that it is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ids {
    /// Who made the function.
    pub vendor: u16,
    /// Which of the vendor's functions it is.
    pub device: u16,
    /// Who made the card.
    pub subsystem_vendor: u16,
    /// Which of that vendor's cards it is.
    pub subsystem: u16,
}

impl Ids {
    /// The ids of a function of Fencepost's own, on a card of Fencepost's own with the same number.
    pub const fn fencepost(device: u16) -> Self {
        Ids { vendor: VENDOR_ID, device, subsystem_vendor: VENDOR_ID, subsystem: device }
    }
}

/// One base address register, or a pair (PCI Local Bus Specification 3.0, 6.2.5.1). Every size is a power of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bar {
    /// No register: it reads as zero. Also what stands behind a [`Bar::Memory64`], whose upper half is there.
    None,
    /// Memory below 4 GiB, at least 16 bytes.
    Memory32 {
        /// Size.
        bytes: u32,
        /// Reads have no side effects.
        prefetchable: bool,
    },
    /// Memory anywhere, at least 16 bytes. Takes this register and the next.
    Memory64 {
        /// Size.
        bytes: u64,
        /// Reads have no side effects.
        prefetchable: bool,
    },
    /// I/O ports, 4 to 256.
    Port {
        /// Number of ports.
        bytes: u32,
    },
}

/// Base address registers of a type 0 header.
pub const BARS: usize = 6;

/// Where a function has its MSI-X table and pending bits. What else is in these BARs is the function's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MsixTable {
    /// Number of vectors, 1 to 2048.
    pub vectors: u16,
    /// The memory BAR that holds the table.
    pub table_bar: u8,
    /// Offset of the table in it, a multiple of 8.
    pub table_offset: u32,
    /// The memory BAR that holds the pending bits.
    pub pending_bar: u8,
    /// Offset of the pending bits in it, a multiple of 8.
    pub pending_offset: u32,
}

impl MsixTable {
    /// Bytes of one vector's entry in the table.
    pub const ENTRY_BYTES: u32 = 16;

    /// A table at the start of BAR `bar`, with the pending bits right behind it.
    pub const fn alone_in(bar: u8, vectors: u16) -> Self {
        let pending_offset = (vectors as u32).saturating_mul(Self::ENTRY_BYTES);
        MsixTable { vectors, table_bar: bar, table_offset: 0, pending_bar: bar, pending_offset }
    }

    /// Size of the table.
    pub const fn table_bytes(&self) -> u32 {
        (self.vectors as u32).saturating_mul(Self::ENTRY_BYTES)
    }

    /// Size of the pending bits, which come in words of 64.
    pub const fn pending_bytes(&self) -> u32 {
        (self.vectors as u32).div_ceil(64).saturating_mul(8)
    }

    /// A BAR that holds both and nothing else: at least a page.
    pub const fn own_bar(&self) -> Bar {
        let end = self.pending_offset.saturating_add(self.pending_bytes()).next_power_of_two();
        Bar::Memory32 { bytes: if end < 4096 { 4096 } else { end }, prefetchable: false }
    }
}

/// A line that a function can assert: INTA# to INTD#.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pin {
    /// INTA#.
    A = 1,
    /// INTB#.
    B = 2,
    /// INTC#.
    C = 3,
    /// INTD#.
    D = 4,
}

/// The ways in which a function can interrupt. The driver chooses one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interrupts {
    /// Messages from a table in a BAR.
    pub msix: Option<MsixTable>,
    /// Number of messages from configuration space (MSI): 1, 2, 4, 8, 16 or 32. Zero: none.
    pub msi: u8,
    /// A level-triggered line.
    pub pin: Option<Pin>,
}

/// How a function introduces itself in configuration space, and how large its parts are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// What people call it: lower case.
    pub name: &'static str,
    /// Its ids.
    pub ids: Ids,
    /// Class, subclass and programming interface (PCI Code and ID Assignment), as 0xCCSSPP.
    pub class: u32,
    /// Revision id.
    pub revision: u8,
    /// Base address registers.
    pub bars: [Bar; BARS],
    /// Interrupts.
    pub interrupts: Interrupts,
    /// Its engines, at most 64; an event names one by its place here ([`Ports::engine`]).
    pub engines: &'static [EngineSpec],
    /// Has a PCI Express capability, as an endpoint integrated in the root complex, and so function-level reset. Such a function
    /// has no port BAR, and MSI or MSI-X if it interrupts at all (PCI Express Base Specification 5.0, 1.3.2.3).
    pub express: bool,
    /// Vendor-specific capabilities (PCI Local Bus Specification 3.0, appendix H, id 9), each from its length byte on: read-only.
    pub vendor_capabilities: &'static [&'static [u8]],
}

impl Identity {
    /// What a function of Fencepost's own starts from: `bytes` of registers in BAR 0, and BAR 2 for the table of `vectors`
    /// MSI-X vectors. Name, ids, class and revision are the function's to fill in.
    pub const fn registers_and_msix(bytes: u32, vectors: u16) -> Self {
        let table = MsixTable::alone_in(2, vectors);
        let registers = Bar::Memory32 { bytes, prefetchable: false };
        Identity {
            name: "",
            ids: Ids::fencepost(0),
            class: 0,
            revision: 0,
            bars: [registers, Bar::None, table.own_bar(), Bar::None, Bar::None, Bar::None],
            interrupts: Interrupts { msix: Some(table), msi: 0, pin: None },
            engines: &[],
            express: true,
            vendor_capabilities: &[],
        }
    }
}

/// A register that only tells the function to look: what there is to see is in guest memory, or known beforehand. So
/// the machine may learn of the write without its value, and later (KVM's ioeventfd). It keeps PCI's order all the same:
/// doorbells rung are delivered, once or more, before the function sees any later access from the same CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Doorbell {
    /// Where in BAR 0 the write goes.
    pub offset: u32,
    /// How wide the write is: 2 or 4 bytes. One of another width is an ordinary write.
    pub bytes: u8,
    /// The one value that rings it, to be given to [`Words::write`]; other values are ordinary writes. None: any
    /// value does, and the function does not look at it.
    pub value: Option<u32>,
}

/// Something that a function counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counter {
    /// Its name: lower case, words joined by hyphens.
    pub name: &'static str,
    /// How many so far.
    pub value: u64,
}

/// Little-endian registers of BAR 0 as aligned 32-bit words.
///
/// The adapter splits what the guest does (`pci/words.rs`): `offset` is always 4-aligned, an 8-byte access arrives as low word,
/// then high, a narrower read gives its part of the word, and a write of less than a word is counted and ignored. Other
/// BARs of such a function read as zero.
pub trait Words {
    /// Reads the 32-bit register word at `offset` of BAR 0. Unknown offsets read as zero.
    fn read(&mut self, offset: u32, ports: &mut Ports<'_>) -> u32;
    /// Writes the 32-bit register word at `offset` of BAR 0. Unknown and read-only offsets ignore it.
    fn write(&mut self, offset: u32, value: u32, ports: &mut Ports<'_>);
}

/// Registers of any width in any BAR, accessed as the guest issued it.
///
/// `bar` is the number of the base address register (the lower one of a 64-bit pair), `offset` is in bytes from its base and
/// need not be aligned, and `data` is 1, 2, 4 or 8 bytes, little-endian, less where the BAR ends within the access. The
/// MSI-X table and pending bits are the adapter's.
pub trait AsIssued {
    /// Fills all of `data` with what a read gives.
    fn read(&mut self, bar: u8, offset: u64, data: &mut [u8], ports: &mut Ports<'_>);
    /// Takes a write of `data`.
    fn write(&mut self, bar: u8, offset: u64, data: &[u8], ports: &mut Ports<'_>);
}

/// What a function takes from the host while the machine runs: characters, packets, key presses. Its page says in which form.
pub trait Inbox {
    /// Takes of `data` as much as there is room for, from its start; how many bytes. A function whose data are messages takes a
    /// message whole or not at all. What was not taken is offered again after the driver's next write to the function's registers.
    fn receive(&mut self, data: &[u8], ports: &mut Ports<'_>) -> usize;
}

/// A function's registers, in the form in which it wants its accesses.
pub enum Registers<'a> {
    /// Split into words.
    Words(&'a mut dyn Words),
    /// As the guest issued them.
    AsIssued(&'a mut dyn AsIssued),
}

/// A device core behind the PCI adapter.
pub trait Function: Send {
    /// Constant over the function's life.
    fn identity(&self) -> Identity;
    /// The registers: `self`, always in the same form.
    fn registers(&mut self) -> Registers<'_>;
    /// The doorbells among the registers, constant over the function's life.
    fn doorbells(&self) -> Vec<Doorbell>;
    /// Where the host's data for it go, if it takes any: always or never.
    fn inbox(&mut self) -> Option<&mut dyn Inbox>;
    /// A call asked for with [`crate::ports::Clock::call_at`].
    fn timer(&mut self, token: u32, ports: &mut Ports<'_>);
    /// Function-level reset: back to the state after power-on, pending timers cancelled.
    fn reset(&mut self, ports: &mut Ports<'_>);
    /// The state now, from which a restored function goes on ([`crate::state`]).
    fn save_state(&self) -> SavedState;
    /// Asks the clock for the calls that a restored function waits for. No other effect; asking twice does no harm.
    fn rearm(&self, ports: &mut Ports<'_>);
    /// What the function has counted since power-on or reset, by name: always the same names in the same order.
    fn counters(&self) -> Vec<Counter>;
    /// Access for the machine to what a particular device offers the host (scanned-out pictures, counters).
    fn as_any(&mut self) -> &mut dyn std::any::Any;
}
