//! Models of other crates, which a program adds to the list before it does anything else.

use std::sync::OnceLock;

use super::{Entry, MODELS};
use crate::faults;

/// The process has one list, as it has one command line: options are parsed, files are read and snapshots are restored in places that
/// nobody hands a list to.
static ADDED: OnceLock<Vec<Entry>> = OnceLock::new();

/// Every model, in the order in which they are plugged: this crate's own, then those that were added.
pub fn models() -> impl Iterator<Item = &'static Entry> {
    MODELS.iter().chain(ADDED.get().into_iter().flatten())
}

/// Adds models to the list, for all of the process. To be called once, before anything asks for the list.
///
/// # Errors
///
/// A model that cannot be told from another, or a second call: which and why, as one line.
pub fn add(added: &[Entry]) -> Result<(), String> {
    for (at, model) in added.iter().enumerate() {
        check(model, MODELS.iter().chain(&added[..at]))?;
    }
    ADDED
        .set(added.to_vec())
        .map_err(|_| "device models can be added only once; give them all in one call".into())
}

/// Whether `model` can stand in the list beside `others`.
fn check<'e>(model: &Entry, mut others: impl Iterator<Item = &'e Entry>) -> Result<(), String> {
    let kind = model.kind;
    let letter = |byte: u8| byte.is_ascii_lowercase();
    let word = kind.bytes().next().is_some_and(letter)
        && kind.bytes().all(|byte| letter(byte) || byte.is_ascii_digit() || byte == b'-');
    if !word {
        return Err(format!(
            "device '{kind}': a kind is lower-case letters, digits and hyphens, a letter first"
        ));
    }
    if kind == "help" || faults::means_other_than_a_model(kind) {
        return Err(format!(
            "device '{kind}': that word means something else on the command line; take another"
        ));
    }
    if model.slot.is_some_and(|slot| !(1..32).contains(&slot)) {
        return Err(format!("device '{kind}': a slot is a number from 1 to 31"));
    }
    let same = |other: &&Entry| other.kind == kind || model.slot.is_some() && other.slot == model.slot;
    match others.find(same) {
        Some(other) if other.kind == kind => {
            Err(format!("there are two devices '{kind}'; give one another kind"))
        }
        Some(other) => {
            Err(format!("device '{kind}': its slot is that of the {}; take another or none", other.kind))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_that_cannot_be_told_from_another_is_refused() {
        let known = MODELS[0];
        let of = |kind, slot| Entry { kind, slot, ..known };
        let refused = |models: &[Entry]| add(models).unwrap_err();
        assert_eq!(
            refused(&[known]),
            format!("there are two devices '{}'; give one another kind", known.kind)
        );
        assert_eq!(
            refused(&[of("a", None), of("a", None)]),
            "there are two devices 'a'; give one another kind"
        );
        let slot = "device 'a': its slot is that of the gpu; take another or none";
        assert_eq!(refused(&[of("a", Some(1))]), slot);
        assert!(refused(&[of("a", Some(4)), of("b", Some(4))]).contains("that of the a"));
        for slot in [0, 32, 255] {
            assert!(refused(&[of("a", Some(slot))]).contains("from 1 to 31"), "{slot}");
        }
        for kind in ["", "A", "1a", "-a", "a b", "a_b", "a,b", "a:b", "gerät"] {
            assert!(refused(&[of(kind, None)]).contains("lower-case"), "{kind}");
        }
        for kind in ["help", "iommu", "disk"] {
            assert!(refused(&[of(kind, None)]).contains("means something else"), "{kind}");
        }
        assert_eq!(check(&of("sensor-2", Some(4)), MODELS.iter()), Ok(()));
        assert_eq!(models().count(), MODELS.len(), "nothing that was refused is in the list");
    }
}
