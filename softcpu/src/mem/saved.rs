//! The software TLB as data. A CPU that resumes exactly needs it: the cached translations decide when page tables are
//! walked, and a walk sets accessed and dirty bits in guest memory.

use serde::{Deserialize, Serialize};

use super::ram::Ram;
use super::tlb::{CodeEntry, DataEntry, ENTRIES, PAGE_MASK, Tlb};
use super::view::VIEWS;
use crate::code::CodePages;

/// A page that data accesses may use; whether it is RAM is the machine's to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct DataPage {
    slot: u16,
    linear: u64,
    physical: u64,
    write: bool,
}

/// A page that code may be fetched from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct CodePage {
    slot: u16,
    linear: u64,
    physical: u64,
}

/// The translations that a CPU holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlbState {
    data: Vec<DataPage>,
    code: Vec<CodePage>,
    /// Slots with a translation that a load of CR3 drops, in the order of filling.
    local: Vec<u16>,
    /// Which 1 GiB stretches have had a translation from a large page.
    large: u64,
}

impl Tlb {
    /// What it holds.
    pub fn save(&self) -> TlbState {
        let data = (0u16..).zip(&self.data).filter(|(_, entry)| !entry.is_empty()).map(|(slot, entry)| {
            DataPage { slot, linear: entry.linear(), physical: entry.gpa(), write: entry.writable() }
        });
        let code = (0u16..)
            .zip(&self.code)
            .filter(|(_, entry)| !entry.is_empty())
            .map(|(slot, entry)| CodePage { slot, linear: entry.tag, physical: entry.gpa });
        TlbState { data: data.collect(), code: code.collect(), local: self.local.clone(), large: self.large }
    }

    /// A TLB that holds `state`, by which a page is written as `code` has it; none when that names a slot that does not
    /// exist, or a page in another's. A page of code may be a device's: the guest has jumped there, and the fetch failed.
    pub fn restore(state: &TlbState, ram: &Ram, code: &CodePages) -> Option<Tlb> {
        let mut tlb = Tlb::new();
        for page in &state.data {
            check(page.slot, page.linear, page.physical)?;
            let open = code.may_be_written(page.physical >> 12);
            *tlb.data.get_mut(usize::from(page.slot))? = match ram.host(page.physical, 4096) {
                Some(host) => DataEntry::new(page.linear, page.physical, host, page.write, open),
                None => DataEntry::device(page.linear, page.physical, page.write),
            };
        }
        for page in &state.code {
            check(page.slot, page.linear, page.physical)?;
            *tlb.code.get_mut(usize::from(page.slot))? = CodeEntry { tag: page.linear, gpa: page.physical };
        }
        let slots = state.local.iter().all(|&slot| usize::from(slot) < VIEWS * ENTRIES);
        (tlb.local, tlb.large) = (state.local.clone(), state.large);
        (slots && state.local.len() <= super::tlb::MOST_LOCAL).then_some(tlb)
    }
}

/// None unless both are pages, and the linear one belongs in the slot.
fn check(slot: u16, linear: u64, physical: u64) -> Option<()> {
    let fits = usize::from(slot) % ENTRIES == super::tlb::slot(0, linear);
    (fits && (linear | physical) & !PAGE_MASK == 0).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mem::tlb::Fill;

    fn ram() -> Ram {
        let ranges = [(vm_memory::GuestAddress(0), 0x10_0000)];
        Ram::new(vm_memory::GuestMemoryMmap::from_ranges(&ranges).unwrap())
    }

    fn code() -> CodePages {
        CodePages::new(0x10_0000)
    }

    fn filled(ram: &Ram) -> Tlb {
        let mut tlb = Tlb::new();
        let fill = |page, gpa, global, writable| Fill { page, gpa, global, large: global, writable };
        let place = |gpa| ram.host(gpa, 4096).unwrap();
        tlb.fill_data(0, fill(0xffff_8000_0000_5000, 0x5000, true, true), place(0x5000), true);
        tlb.fill_data(1, fill(0x40_0000, 0x7000, false, false), place(0x7000), false);
        tlb.fill_device(0, fill(0x6000, 0xfee0_0000, false, true));
        tlb.fill_code(1, fill(0x40_1000, 0x8000, false, false));
        tlb
    }

    #[test]
    fn a_restored_tlb_saves_as_the_same() {
        let ram = ram();
        let state = filled(&ram).save();
        assert_eq!((state.data.len(), state.code.len(), state.local.len()), (3, 1, 3));
        assert_eq!(Tlb::restore(&state, &ram, &code()).unwrap().save(), state);
    }

    #[test]
    fn a_load_of_cr3_drops_the_same_translations_after_a_restore() {
        let ram = ram();
        let mut original = filled(&ram);
        let mut restored = Tlb::restore(&original.save(), &ram, &code()).unwrap();
        original.flush_local();
        restored.flush_local();
        assert_eq!(restored.save(), original.save());
        assert_eq!(restored.save().data.len(), 1);
    }

    #[test]
    fn what_is_held_does_not_depend_on_decoded_code_or_on_tracking() {
        let ram = ram();
        let state = filled(&ram).save();
        let (holding, tracking) = (code(), code());
        holding.set_holds_code(5, true);
        tracking.track();
        for (code, open) in [(code(), true), (holding, false), (tracking, false)] {
            let restored = Tlb::restore(&state, &ram, &code).unwrap();
            assert_eq!(restored.save(), state);
            assert_eq!(restored.entry(0, 0xffff_8000_0000_5000).is_open(), open);
        }
    }

    #[test]
    fn translations_that_cannot_be_are_refused() {
        let ram = ram();
        let good = filled(&ram).save();
        let refused = |change: &dyn Fn(&mut TlbState)| {
            let mut state = good.clone();
            change(&mut state);
            Tlb::restore(&state, &ram, &code()).is_none()
        };
        assert!(!refused(&|_| {}));
        assert!(!refused(&|state| state.data[0].physical = 0x20_0000), "a device's");
        assert!(
            !refused(&|state| state.code[0].physical = 0x20_0000),
            "a device's, into which a guest jumped"
        );
        assert!(refused(&|state| state.code[0].physical += 8), "not a page");
        assert!(refused(&|state| state.data[0].linear += 0x1000), "another slot's");
        assert!(refused(&|state| state.data[0].linear += 8), "not a page");
        assert!(refused(&|state| state.code[0].slot += 2048), "no such slot");
        assert!(refused(&|state| state.local.push(u16::MAX)), "no such slot");
    }
}
