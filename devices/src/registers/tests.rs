//! Every device's table is that of its page in docs/, and every device keeps to its table.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::function::{Bar, Function, Registers};
use crate::iommu::registers::REGISTERS;
use crate::iommu::tests::Bench;
use crate::parameters::Parameters;
use crate::pci;
use crate::registry::{self, MODELS, NoHost};
use crate::state::{SavedState, pack};
use crate::testing::World;
use crate::testing::page::{number, page, registers_and_resets};

/// The tables of the models and of the IOMMU: whose, the rows, and how many bytes registers can be in.
fn tables() -> Vec<(&'static str, Vec<Register>, usize)> {
    let models =
        MODELS.iter().map(|model| (model.kind, (model.register_table)(), bar0_bytes(&*power_on(model.kind))));
    models.chain([("iommu", REGISTERS.to_vec(), 4096)]).collect()
}

fn power_on(kind: &str) -> Box<dyn Function> {
    registry::find(kind).unwrap().build(&Parameters::new(), &mut NoHost).unwrap()
}

fn bar0_bytes(function: &dyn Function) -> usize {
    match function.identity().bars[0] {
        Bar::None => 0,
        Bar::Memory32 { bytes, .. } | Bar::Port { bytes } => bytes as usize,
        Bar::Memory64 { bytes, .. } => bytes as usize,
    }
}

/// The text of a device's page, behind that of what all virtio devices have in common if it is one.
fn page_of(kind: &str) -> String {
    let common = if kind.starts_with("virtio-") { page("virtio.md") } else { String::new() };
    common + &page(&format!("{kind}.md"))
}

/// The rows of a page, with what they state of the reset value.
fn documented_rows(name: &str) -> Vec<(Register, String)> {
    registers_and_resets(&page_of(name))
}

#[test]
fn every_table_is_that_of_its_page() {
    for (name, mut coded, bytes) in tables() {
        coded.sort_by_key(|register| register.offset);
        let stated: Vec<Register> = documented_rows(name).into_iter().map(|(register, _)| register).collect();
        assert_eq!(stated, coded, "{name}");
        assert_eq!(flaw(&coded, bytes), None, "{name}");
    }
}

/// GPU, camera and display have the same registers in configuration space, but for what their identity says.
#[test]
fn configuration_space_is_that_of_its_page() {
    let page = documented_rows("pci");
    for kind in ["gpu", "camera", "display"] {
        let mut coded = pci::configuration_space(&power_on(kind).identity());
        coded.sort_by_key(|register| register.offset);
        for (register, (_, stated)) in
            coded.iter_mut().zip(&page).filter(|(_, (_, stated))| stated == "identity")
        {
            assert!(
                register.reset.is_none_or(|reset| reset & register.writable == 0),
                "{stated} of {register:?}"
            );
            register.reset = None;
        }
        let mut stated: Vec<Register> = page.iter().map(|(register, _)| *register).collect();
        // The page's is of 4096 bytes; a larger one has fewer bits.
        let bar = stated.iter_mut().find(|register| register.name == "BAR 0").unwrap();
        bar.writable &= !(bar0_bytes(&*power_on(kind)) as u64 - 1);
        assert_eq!(stated, coded, "{kind}");
        assert_eq!(flaw(&coded, 256), None, "{kind}");
    }
}

#[test]
fn every_page_says_what_lies_between_the_registers() {
    for (name, ..) in tables() {
        let text = page_of(name).to_lowercase().replace('\n', " ");
        let said = ["offsets not listed", "unlisted offsets"].iter().any(|words| text.contains(words));
        assert!(said, "{name}");
    }
}

/// A device that was just made, with registers to access in words.
enum Subject {
    Function(Box<dyn Function>, Box<World>),
    Iommu(Box<Bench>),
}

impl Subject {
    fn new(kind: &str) -> Self {
        match kind {
            "iommu" => Subject::Iommu(Box::new(Bench::new())),
            _ => Subject::Function(power_on(kind), Box::new(World::new(0x1000))),
        }
    }

    fn word(&mut self, offset: usize) -> u32 {
        match self {
            Subject::Iommu(bench) => bench.read32(offset as u64),
            Subject::Function(function, world) => match function.registers() {
                Registers::Words(words) => words.read(offset as u32, &mut world.ports()),
                Registers::AsIssued(any) => {
                    let mut data = [0; 4];
                    any.read(0, offset as u64, &mut data, &mut world.ports());
                    u32::from_le_bytes(data)
                }
            },
        }
    }

    fn set_word(&mut self, offset: usize, value: u32) {
        match self {
            Subject::Iommu(bench) => bench.write32(offset as u64, value),
            Subject::Function(function, world) => match function.registers() {
                Registers::Words(words) => words.write(offset as u32, value, &mut world.ports()),
                Registers::AsIssued(any) => {
                    any.write(0, offset as u64, &value.to_le_bytes(), &mut world.ports());
                }
            },
        }
    }

    /// The register of `width` bytes. One of less than a word belongs to a function that takes accesses as issued.
    fn read(&mut self, offset: usize, width: usize) -> u64 {
        if width < 4 {
            return u64::from(self.word(offset)) & all(width);
        }
        let low = self.word(offset);
        let high = if width == 8 { self.word(offset + 4) } else { 0 };
        u64::from(high) << 32 | u64::from(low)
    }

    fn write(&mut self, offset: usize, width: usize, value: u64) {
        if let Subject::Function(function, world) = self
            && let (Registers::AsIssued(any), true) = (function.registers(), width < 4)
        {
            return any.write(0, offset as u64, &value.to_le_bytes()[..width], &mut world.ports());
        }
        (offset..offset + width).step_by(4).zip([value as u32, (value >> 32) as u32]).for_each(
            |(offset, word)| {
                self.set_word(offset, word);
            },
        );
    }

    fn state(&self) -> SavedState {
        match self {
            Subject::Iommu(bench) => pack(&bench.unit),
            Subject::Function(function, _) => function.save_state(),
        }
    }
}

/// Every register of a table: its row and its offset.
fn each(rows: &[Register]) -> impl Iterator<Item = (&Register, usize)> {
    rows.iter().flat_map(|row| (0..row.all()).map(move |index| (row, row.place(index))))
}

#[test]
fn every_register_has_the_reset_value_of_its_page() {
    for (name, ..) in tables() {
        let (mut subject, mut values) = (Subject::new(name), BTreeMap::new());
        for (row, stated) in documented_rows(name) {
            let value = subject.read(row.offset, row.width);
            let derived = match stated.split_once(" x ") {
                Some((factor, of)) => number(factor).zip(values.get(of)).map(|(factor, of)| factor * of),
                None => values.get(&stated).copied(),
            };
            let decided_elsewhere = ["source", "config", "configured", "clock"].contains(&stated.as_str());
            assert_eq!(row.reset.or(derived).is_none(), decided_elsewhere, "{name}: {}", row.name);
            if let Some(expected) = row.reset.or(derived) {
                for index in 0..row.all() {
                    assert_eq!(subject.read(row.place(index), row.width), expected, "{name}: {}", row.name);
                }
            }
            values.insert(row.name.to_string(), value);
        }
    }
}

#[test]
fn read_only_registers_and_gaps_ignore_writes_and_gaps_read_as_zero() {
    for (name, rows, bytes) in tables() {
        let mut subject = Subject::new(name);
        let before = subject.state();
        let mut listed = BTreeSet::new();
        for (row, offset) in each(&rows) {
            listed.extend((offset..offset + row.width).step_by(4));
            if row.access == Access::ReadOnly {
                subject.write(offset, row.width, u64::MAX);
                assert!(subject.state() == before, "{name}: {}", row.name);
            }
        }
        for offset in (0..bytes).step_by(4).filter(|offset| !listed.contains(offset)) {
            subject.write(offset, 4, u64::MAX);
            assert_eq!(subject.word(offset), 0, "{name}: {offset:#x}");
        }
        assert!(subject.state() == before, "{name}");
    }
}

#[test]
fn registers_keep_the_bits_that_their_row_names_and_no_others() {
    for (name, rows, _) in tables() {
        let kept = |row: &Register| !matches!(row.access, Access::ReadOnly | Access::Acting);
        for (row, offset) in each(&rows).filter(|(row, _)| kept(row)) {
            let mut subject = Subject::new(name);
            let before = subject.read(offset, row.width);
            subject.write(offset, row.width, u64::MAX);
            let after = subject.read(offset, row.width);
            if matches!(row.access, Access::ReadWrite | Access::Locked) {
                assert_eq!(after & row.writable, row.writable, "{name}: {}", row.name);
            }
            assert_eq!(after & !row.writable, before & !row.writable, "{name}: {}", row.name);
        }
    }
}

#[test]
fn a_table_with_a_flaw_is_rejected() {
    let good = [read_only("A", 0, 4, 0), read_write("B", 4, 8, 0, 1), clear_by_ones("C", 12, 4, 0, 1)];
    assert_eq!(flaw(&good, 16), None);
    let bad = [
        (read_only("D", 10, 2, 0), "two registers overlap"),
        (read_only("D", 0, 1, 0), "two registers overlap"),
        (read_only("D", 18, 4, 0), "a register is not aligned"),
        (read_only("D", 16, 3, 0), "a register is 1, 2, 4 or 8 bytes wide"),
        (read_only("D", 28, 8, 0), "a register lies outside the BAR"),
        (read_only("D", 16, 4, 0).each(5, 4), "a register lies outside the BAR"),
        (read_only("D", 16, 8, 0).each(2, 4), "registers of one row overlap"),
        (read_only("D", 16, 4, 0).each(2, 4).in_sets(2, 4), "registers of one row overlap"),
        (read_only("D", 16, 4, 0).in_sets(2, 16), "a register lies outside the BAR"),
        (read_only("", 16, 4, 0), "a register has no name"),
        (read_write("D", 16, 2, 0, 0x1_0000), "bits beyond the register, or both written and cleared"),
        (read_write("D", 16, 4, 0, 0), "access and bits do not fit together"),
        (clear_by_ones("D", 16, 4, 0, 0), "access and bits do not fit together"),
    ];
    for (register, why) in bad {
        assert_eq!(flaw(&[&good[..], &[register]].concat(), 32), Some(why), "{register:?}");
    }
}

#[test]
fn a_map_finds_halves_and_registers_of_a_row() {
    const ROWS: &[Register<u8>] =
        &[read_only("A", 0, 8, 0).id(1), read_write("B", 0x10, 4, 0, 3).each(2, 8).id(2)];
    static MAP: Map<u8> = Map::new(ROWS, 0x20);
    let found = |offset| MAP.at(offset).map(|place| (place.register.id, place.index, place.half));
    let all: Vec<_> = (0..0x24).step_by(4).map(found).collect();
    let (low, high) = (Some((1, 0, Half::Low)), Some((1, 0, Half::High)));
    let (first, second) = (Some((2, 0, Half::Low)), Some((2, 1, Half::Low)));
    assert_eq!(all, [low, high, None, None, first, None, second, None, None]);
    assert_eq!(MAP.offsets(2).collect::<Vec<_>>(), [0x10, 0x18]);
    assert_eq!(MAP.at(0x18).and_then(|place| place.write(0xff)), Some(3));
    assert_eq!(MAP.at(4).and_then(|place| place.write(0xff)), None);
}
