//! `[[variant]]`: a scenario once more, with other modules, another command line of the kernel, another IOMMU or other variables.

use std::collections::BTreeMap;

use fencepost_softcpu::model::Model;
use serde::Deserialize;

use super::{Allowed, Kernel, Scenario};
use crate::config::{IommuKind, check_cpus};

/// What is another than in the scenario itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Variant {
    /// Its name, which stands behind the scenario's in reports.
    pub name: String,
    /// Variables for `make`, behind those of `[modules]`.
    pub make: Vec<String>,
    /// Words for the kernel's command line, behind those of `kernel.append`.
    pub append: String,
    /// Variables of the guest's commands, beside those of `guest.env`.
    pub env: BTreeMap<String, String>,
    /// The machine's IOMMU, in place of that of `machine`.
    pub iommu: Option<IommuKind>,
    /// How many CPUs the machine has, in place of those of `machine`.
    pub cpus: Option<u32>,
    /// What its CPUs can do, in place of what those of `machine` can.
    pub cpu: Option<Model>,
    /// The kernels, in place of those of `kernel`.
    pub matrix: Vec<String>,
    /// It fails, by this failure.
    pub fails: Option<Allowed>,
}

impl Scenario {
    /// The scenario with what the variant `name` changes; itself if there is none of that name.
    pub fn as_variant(mut self, name: &str) -> Scenario {
        let variants = std::mem::take(&mut self.variants);
        if let Some(variant) = variants.into_iter().find(|variant| variant.name == name) {
            self.modules.make.extend(variant.make);
            self.kernel.add_words(&variant.append);
            self.guest.env.extend(variant.env);
            self.iommu = variant.iommu;
            self.cpus = variant.cpus;
            self.cpu = variant.cpu;
            if !variant.matrix.is_empty() {
                self.kernel = Kernel { package: None, path: None, matrix: variant.matrix, ..self.kernel };
            }
            self.expect.fails = variant.fails;
        }
        self
    }

    /// Refuses variants, and variables for `make`, that cannot be.
    ///
    /// # Errors
    ///
    /// Why, as part of a line.
    pub(super) fn check_variants(&self) -> Result<(), String> {
        for (index, Variant { name, cpus, .. }) in self.variants.iter().enumerate() {
            cpus.map_or(Ok(()), check_cpus).map_err(|why| format!("the variant '{name}': {why}"))?;
            let good = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            if name.is_empty() || !name.chars().all(good) {
                return Err(format!("the variant's name '{name}' is not letters, digits, - _ . alone"));
            }
            if self.variants[..index].iter().any(|other| other.name == *name) {
                return Err(format!("there are two variants {name}; give one another name"));
            }
        }
        let of_variants = self.variants.iter().flat_map(|variant| &variant.make);
        let mut make = self.modules.make.iter().chain(of_variants).peekable();
        if make.peek().is_some() && self.modules.build.is_none() {
            return Err("'make' is for modules that are built; add [modules] build = \"DIR\"".to_string());
        }
        match make.find(|text| !is_assignment(text)) {
            Some(text) => Err(format!("'{text}' is not NAME=VALUE; write a variable for make so")),
            None => Ok(()),
        }
    }
}

/// Whether `make` takes a word as a variable's value, and no shell, and no other part of the line, is meant by it.
fn is_assignment(text: &str) -> bool {
    let Some((name, value)) = text.split_once('=') else { return false };
    let letter = |c: char| c.is_ascii_alphabetic() || c == '_';
    name.starts_with(letter)
        && name.chars().all(|c| letter(c) || c.is_ascii_digit())
        && !value.chars().any(|c| c.is_control() || c == '$')
}

#[cfg(test)]
mod tests {
    use super::super::read::parse;
    use super::*;

    const SCENARIO: &str = r#"[scenario]
[modules]
build = "."
make = ["A=1"]
[[variant]]
name = "bare"
make = ["B=2 3"]
fails = { pattern = "lost", reason = "it has no time-out" }
[[variant]]
name = "other"
[[step]]
run = "true"
"#;

    #[test]
    fn a_variant_adds_words_and_variables() {
        let text = "[scenario]\n[kernel]\nappend = 'a'\n[guest]\nenv = { X = '1', Y = '1' }\n[[variant]]\nname = 'v'\n\
            append = 'b c'\nenv = { X = '2', Z = '3' }\niommu = 'virtio'\ncpus = 4\ncpu = 'baseline'\nmatrix = ['6.1']\n[[step]]\nrun = 'true'\n";
        let scenario = parse(text).expect("good").as_variant("v");
        assert_eq!(scenario.kernel.append, "a b c");
        assert_eq!(scenario.guest.env.values().collect::<Vec<_>>(), ["2", "1", "3"]);
        assert_eq!((scenario.iommu, scenario.cpus), (Some(IommuKind::Virtio), Some(4)));
        assert_eq!(scenario.cpu, Some(Model::Baseline));
        assert_eq!(scenario.kernel.matrix, ["6.1"]);
    }

    #[test]
    fn a_variant_is_the_scenario_but_for_what_it_says() {
        let scenario = parse(SCENARIO).unwrap();
        assert_eq!(scenario.variants.len(), 2);
        let bare = scenario.clone().as_variant("bare");
        assert_eq!(bare.modules.make, ["A=1", "B=2 3"]);
        assert_eq!(bare.expect.fails.unwrap().pattern, "lost");
        let other = scenario.clone().as_variant("other");
        assert_eq!((other.modules.make.len(), other.expect.fails, other.steps.len()), (1, None, 1));
        assert_eq!(scenario.as_variant("none").modules.make.len(), 1);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for (from, to, words) in [
            ("other", "bare", "two variants bare"),
            ("other", "x y", "letters, digits"),
            ("other", "", "letters, digits"),
            ("A=1", "-k", "'-k' is not NAME=VALUE"),
            ("A=1", "A", "is not NAME=VALUE"),
            ("B=2 3", "B=$(shell true)", "is not NAME=VALUE"),
            ("build = \".\"\n", "", "for modules that are built"),
            ("lost", "(", "no regular expression"),
            ("fails =", "fail =", "did you mean fails?"),
        ] {
            let (_, why) = parse(&SCENARIO.replacen(from, to, 1)).expect_err(to);
            assert!(why.contains(words), "{to}: {why}");
        }
    }
}
