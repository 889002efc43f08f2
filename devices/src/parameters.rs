//! Parameters of a device: what the host's user may set, by key, on the command line and in a machine's file.
//!
//! A device declares its keys as [`Parameter`]s. One parser serves all devices: it knows which keys there are and which
//! values each takes, so that a wrong one is refused by name. What passes becomes the device's own typed configuration
//! ([`typed`]).

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{DeserializeOwned, Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// The value of a parameter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Value {
    /// A whole number.
    Number(u64),
    /// A word, or the name of a file.
    Text(String),
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl Visitor<'_> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number from 0 or a text")
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Number(number))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Value, E> {
        let negative = |_| E::invalid_value(Unexpected::Signed(number), &self);
        u64::try_from(number).map(Value::Number).map_err(negative)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Number(number) => number.fmt(f),
            Value::Text(text) => text.fmt(f),
        }
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Value::Number(number)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::Text(text.to_string())
    }
}

/// What was set, by key. A key that is not there has its default.
pub type Parameters = BTreeMap<String, Value>;

/// The values that a parameter takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// Whole numbers, both ends inclusive.
    Whole {
        /// The least.
        min: u64,
        /// The greatest.
        max: u64,
    },
    /// Even whole numbers, both ends inclusive.
    Even {
        /// The least.
        min: u64,
        /// The greatest.
        max: u64,
    },
    /// One of these words.
    Word(&'static [&'static str]),
    /// A text of 1 to so many bytes.
    Text {
        /// The most bytes.
        max_bytes: usize,
    },
    /// A time such as `2s` or `1500ms`; also `+5ms`, from some other moment on, where that means something.
    Time {
        /// Whether it may begin with a `+`.
        relative: bool,
    },
    /// A part of one, more than 0: at most six digits behind the point.
    Fraction,
    /// The name of a file on the host that is read.
    File,
    /// The name of a file on the host that is written, unless this key has one of these values.
    WrittenFile {
        /// The key, and its values.
        unless: (&'static str, &'static [&'static str]),
    },
}

impl Takes {
    /// The range of a fixed cost, in cycles: a second at most.
    pub const LATENCY: Takes = Takes::Whole { min: 0, max: 1_000_000_000 };
    /// The range of a speed, in bytes a cycle.
    pub const RATE: Takes = Takes::Whole { min: 1, max: 1 << 20 };

    /// Whether its values are names of files.
    pub fn is_file(self) -> bool {
        matches!(self, Takes::File | Takes::WrittenFile { .. })
    }

    /// What to write, as the end of a sentence.
    fn wanted(self) -> String {
        match self {
            Takes::Whole { min, max } => format!("a whole number from {min} to {max}"),
            Takes::Even { min, max } => format!("an even number from {min} to {max}"),
            Takes::Word(words) => words.join(" or "),
            Takes::Text { max_bytes } => format!("1 to {max_bytes} bytes"),
            Takes::Time { relative: false } => "a time such as 2s, 1500ms, 20us or 5ns".to_string(),
            Takes::Time { relative: true } => "a time such as 2s or 1500ms, or +5ms from then on".to_string(),
            Takes::Fraction => "a number above 0, at most 1, such as 0.25".to_string(),
            Takes::File | Takes::WrittenFile { .. } => "the name of a file".to_string(),
        }
    }

    fn takes(self, value: &Value) -> bool {
        match (self, value) {
            (Takes::Whole { min, max }, Value::Number(number)) => (min..=max).contains(number),
            (Takes::Even { min, max }, Value::Number(number)) => {
                (min..=max).contains(number) && number % 2 == 0
            }
            (Takes::Word(words), Value::Text(word)) => words.contains(&word.as_str()),
            (Takes::Text { max_bytes }, Value::Text(text)) => (1..=max_bytes).contains(&text.len()),
            (Takes::Time { relative }, Value::Text(text)) => {
                time_ns(text.strip_prefix('+').filter(|_| relative).unwrap_or(text)).is_some()
            }
            (Takes::Fraction, Value::Text(text)) => fraction_millionths(text).is_some(),
            (Takes::File | Takes::WrittenFile { .. }, Value::Text(name)) => !name.is_empty(),
            _ => false,
        }
    }

    /// The value that `text` stands for.
    fn read(self, text: &str) -> Value {
        let is_number = matches!(self, Takes::Whole { .. } | Takes::Even { .. });
        let number = text.parse().ok().filter(|_| is_number);
        number.map_or_else(|| Value::Text(text.to_string()), Value::Number)
    }
}

impl fmt::Display for Takes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Takes::Whole { min, max } => write!(f, "{min}..{max}"),
            Takes::Even { min, max } => write!(f, "{min}..{max}, even"),
            Takes::Word(words) => f.write_str(&words.join("|")),
            Takes::Text { .. } => f.write_str("TEXT"),
            Takes::Time { .. } => f.write_str("TIME"),
            Takes::Fraction => f.write_str("0..1"),
            Takes::File | Takes::WrittenFile { .. } => f.write_str("FILE"),
        }
    }
}

/// A key that a device declares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// The key: lower case, words joined by hyphens.
    pub key: &'static str,
    /// Its values.
    pub takes: Takes,
    /// What it sets, in a few words.
    pub about: &'static str,
}

/// Reads `key=value,...`. A comma inside a value is written twice. The empty text sets nothing.
///
/// # Errors
///
/// What is wrong and what to write instead, as part of a line.
pub fn parse(text: &str, declared: &[Parameter]) -> Result<Parameters, String> {
    read(pairs(text)?, declared)
}

/// Reads keys and values that [`pairs`] gave.
///
/// # Errors
///
/// As [`parse`].
pub fn read(pairs: Vec<(String, String)>, declared: &[Parameter]) -> Result<Parameters, String> {
    let one = |(key, text): (String, String)| {
        let parameter = find(&key, declared)?;
        let value = parameter.takes.read(&text);
        check_value(parameter, &value)?;
        Ok((key, value))
    };
    pairs.into_iter().map(one).collect()
}

/// Refuses keys and values that are not declared.
///
/// # Errors
///
/// As [`parse`].
pub fn check(parameters: &Parameters, declared: &[Parameter]) -> Result<(), String> {
    parameters.iter().try_for_each(|(key, value)| check_value(find(key, declared)?, value))
}

/// The typed configuration that has these parameters, and its defaults for the others.
///
/// # Errors
///
/// A key or value that `T` does not take, as part of a line; [`check`] gives better ones.
pub fn typed<T: DeserializeOwned>(parameters: &Parameters) -> Result<T, String> {
    serde_json::to_value(parameters).and_then(serde_json::from_value).map_err(|error| error.to_string())
}

/// Splits `a=1,b=2` into keys and values.
///
/// # Errors
///
/// What is wrong, as part of a line: a part without `=`, or a key that is there twice.
pub fn pairs(text: &str) -> Result<Vec<(String, String)>, String> {
    const COMMA: char = '\u{0}';
    if text.contains(COMMA) {
        return Err("a zero byte cannot be in an option".into());
    }
    let text = text.replace(",,", &COMMA.to_string());
    let mut pairs = Vec::<(String, String)>::new();
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let (key, value) =
            part.split_once('=').ok_or_else(|| format!("'{part}' is not KEY=VALUE; write both"))?;
        if pairs.iter().any(|(known, _)| known == key) {
            return Err(format!("{key} is given twice; leave one out"));
        }
        pairs.push((key.to_string(), value.replace(COMMA, ",")));
    }
    Ok(pairs)
}

/// "; did you mean NAME?" of the known name that is nearest to `name`, or nothing if none is near.
pub fn did_you_mean<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let distance = |known: &str| strsim::damerau_levenshtein(name, known);
    let near = known.into_iter().filter(|known| distance(known) <= known.len().div_ceil(3));
    let nearest = near.min_by_key(|known| distance(known));
    nearest.map(|known| format!("; did you mean {known}?")).unwrap_or_default()
}

/// The time that `text` is, such as `1500ms`, in nanoseconds.
pub fn time_ns(text: &str) -> Option<u64> {
    // The longer names first: each ends in that of a second.
    let units = [("ms", 1_000_000), ("us", 1_000), ("ns", 1), ("s", 1_000_000_000)];
    let (number, unit_ns) = units.iter().find_map(|(name, ns)| Some((text.strip_suffix(name)?, *ns)))?;
    let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    number.parse::<u64>().ok().filter(|_| digits)?.checked_mul(unit_ns)
}

/// The fraction that `text` is, such as `0.25`, in millionths: 1 to 1 000 000.
pub fn fraction_millionths(text: &str) -> Option<u64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if part.len() > 6 || !digits(whole) || !digits(part) {
        return None;
    }
    let millionths: u64 = format!("{part:0<6}").parse().ok()?;
    let whole: u64 = whole.parse().ok()?;
    let all = whole.checked_mul(1_000_000)?.checked_add(millionths)?;
    (1..=1_000_000).contains(&all).then_some(all)
}

fn find<'a>(key: &str, declared: &'a [Parameter]) -> Result<&'a Parameter, String> {
    declared.iter().find(|parameter| parameter.key == key).ok_or_else(|| {
        let keys: Vec<_> = declared.iter().map(|parameter| parameter.key).collect();
        let known = match keys.is_empty() {
            true => "there are no keys".to_string(),
            false => format!("there are {}", keys.join(", ")),
        };
        format!("there is no '{key}', {known}{}", did_you_mean(key, keys))
    })
}

fn check_value(parameter: &Parameter, value: &Value) -> Result<(), String> {
    let wrong = || format!("{}={value}: write {}", parameter.key, parameter.takes.wanted());
    if parameter.takes.takes(value) { Ok(()) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DECLARED: &[Parameter] = &[
        Parameter { key: "latency", takes: Takes::LATENCY, about: "cycles" },
        Parameter { key: "width", takes: Takes::Even { min: 16, max: 4096 }, about: "pixels" },
        Parameter { key: "scanout", takes: Takes::Word(&["always", "on-flip"]), about: "when" },
        Parameter { key: "source", takes: Takes::File, about: "pictures" },
    ];

    #[test]
    fn values_are_read_by_what_the_key_takes() {
        let parameters = parse("latency=5,width=640,,scanout=on-flip", DECLARED);
        assert!(parameters.is_err(), "a doubled comma belongs to the value: {parameters:?}");
        let parameters = parse("latency=5,width=640,scanout=on-flip,source=7,,8.y4m", DECLARED).unwrap();
        let expected: [(&str, Value); 4] = [
            ("latency", 5.into()),
            ("scanout", "on-flip".into()),
            ("source", "7,8.y4m".into()),
            ("width", 640.into()),
        ];
        assert_eq!(parameters, expected.map(|(key, value)| (key.to_string(), value)).into());
        assert_eq!(parse("", DECLARED), Ok(Parameters::new()));
    }

    #[test]
    fn wrong_keys_and_values_are_named_with_their_fix() {
        for (text, said) in [
            (
                "latecy=1",
                "there is no 'latecy', there are latency, width, scanout, source; did you mean latency?",
            ),
            ("zoom=1", "there is no 'zoom', there are latency, width, scanout, source"),
            ("latency", "'latency' is not KEY=VALUE; write both"),
            ("latency=1,latency=2", "latency is given twice; leave one out"),
            ("latency=-1", "latency=-1: write a whole number from 0 to 1000000000"),
            ("latency=1000000001", "latency=1000000001: write a whole number from 0 to 1000000000"),
            ("width=17", "width=17: write an even number from 16 to 4096"),
            ("scanout=never", "scanout=never: write always or on-flip"),
            ("source=", "source=: write the name of a file"),
            ("source=\0", "a zero byte cannot be in an option"),
        ] {
            assert_eq!(parse(text, DECLARED), Err(said.to_string()));
        }
        assert_eq!(parse("a=1", &[]), Err("there is no 'a', there are no keys".to_string()));
    }

    #[test]
    fn values_of_another_type_are_refused() {
        let with = |key: &str, value: Value| check(&[(key.to_string(), value)].into(), DECLARED);
        assert_eq!(with("latency", 7.into()), Ok(()));
        assert!(with("latency", "7".into()).is_err_and(|why| why.contains("whole number")));
        assert!(with("scanout", 7.into()).is_err_and(|why| why.contains("always or on-flip")));
        assert!(with("latecy", 7.into()).is_err_and(|why| why.contains("did you mean latency")));
    }
}
