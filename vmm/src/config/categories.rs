//! `--trace-categories`: which events are recorded.

use std::fmt;
use std::str::FromStr;

use fencepost_trace::{Category, Event};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A set of categories.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Categories(u32);

fn bit(category: Category) -> u32 {
    1 << category as u32
}

impl Default for Categories {
    fn default() -> Self {
        Categories::of(&Category::DEFAULT)
    }
}

impl Categories {
    fn of(list: &[Category]) -> Self {
        Categories(list.iter().fold(0, |set, category| set | bit(*category)))
    }

    /// Whether `event` is recorded. A move always is: it says what the stamps behind it are worth.
    pub fn has(self, event: &Event) -> bool {
        self.0 & bit(event.category()) != 0 || matches!(event, Event::Moved { .. } | Event::Mark { .. })
    }

    /// The categories in it, in order.
    pub fn list(self) -> Vec<Category> {
        Category::ALL.into_iter().filter(|category| self.0 & bit(*category) != 0).collect()
    }
}

impl FromStr for Categories {
    type Err = String;

    /// `all`, `default`, `none` and names, each of them with `+` (as without) or `-` before it; from nothing, or from the
    /// default when the first word has a sign.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut set = if text.starts_with(['+', '-']) { Categories::default().0 } else { 0 };
        for word in text.split(',') {
            let (off, name) = match word.strip_prefix('-') {
                Some(name) => (true, name),
                None => (false, word.strip_prefix('+').unwrap_or(word)),
            };
            let bits = match name {
                "all" => Categories::of(&Category::ALL).0,
                "default" => Categories::default().0,
                "none" => 0,
                name => Category::ALL
                    .into_iter()
                    .find(|category| category.name() == name)
                    .map(bit)
                    .ok_or_else(|| {
                        let names = Category::ALL.map(Category::name).join(", ");
                        format!("there is no category `{name}`; there are {names}, and all, default, none")
                    })?,
            };
            set = if off { set & !bits } else { set | bits };
        }
        Ok(Categories(set))
    }
}

impl fmt::Display for Categories {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.list().into_iter().map(Category::name).collect();
        match *self {
            it if it == Categories::default() => f.write_str("default"),
            Categories(0) => f.write_str("none"),
            _ => f.write_str(&names.join(",")),
        }
    }
}

impl Serialize for Categories {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Categories {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Vec<Category> {
        text.parse::<Categories>().expect("right").list()
    }

    #[test]
    fn a_plain_list_starts_from_nothing_and_a_signed_one_from_the_default() {
        assert_eq!(parsed("dma,engine"), [Category::Dma, Category::Engine]);
        assert_eq!(parsed("default"), Category::DEFAULT);
        let without = Category::DEFAULT.into_iter().filter(|c| *c != Category::Register);
        assert_eq!(parsed("-register"), without.collect::<Vec<_>>());
        let mut more = Category::DEFAULT.to_vec();
        more.push(Category::Vcpu);
        more.sort();
        assert_eq!(parsed("+vcpu"), more);
        assert_eq!(parsed("all,-guest").len(), Category::ALL.len() - 1);
        assert_eq!(parsed("none"), []);
    }

    #[test]
    fn what_is_written_reads_back() {
        for text in ["default", "none", "dma,engine", "all", "+vcpu"] {
            let set: Categories = text.parse().expect("right");
            assert_eq!(set.to_string().parse(), Ok(set), "{text}");
        }
        assert_eq!("-guest,+guest".parse::<Categories>().expect("right").to_string(), "default");
    }

    #[test]
    fn an_unknown_name_is_refused_with_those_there_are() {
        let error = "engine,dmaa".parse::<Categories>().expect_err("wrong");
        assert!(error.contains("`dmaa`") && error.contains("iotlb"), "{error}");
        assert!("".parse::<Categories>().is_err());
    }
}
