//! The forms of sentences, and what each means.

/// How many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    AtLeast(u64),
    AtMost(u64),
    Exactly(u64),
}

/// How long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    Ns(u64),
    Cycles(u64),
    Vblanks(u64),
}

/// Engines by name; all where there is none.
pub type Name = Option<String>;

/// What a condition asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    EveryFrameShown { of: Name, within: Option<Limit> },
    FramesShown { of: Name, count: Count },
    NoFrameDropped { of: Name },
    NoFrameLost { of: Name },
    NoUnderrun,
    NoFenceWaits { limit: Limit },
    EveryJobEnds { of: Name, well: bool },
    NoJobTakes { of: Name, limit: Limit },
    JobsEnd { of: Name, count: Count },
    NoIommuFault,
    IommuFaults { count: Count },
    NoInterruptLate { limit: Limit },
    Causality,
}

/// What the places in a form were filled with.
#[derive(Clone, Debug, Default)]
struct Filled {
    name: Name,
    number: u64,
    time: Option<Limit>,
}

impl Filled {
    fn limit(&self) -> Limit {
        self.time.unwrap_or(Limit::Ns(0))
    }
}

/// A form: words, of which `N` is a number, `TIME` a number with a unit, and `[NAME]` an engine's name or nothing. Words joined by `|` may
/// stand for each other.
type Form = (&'static str, fn(Filled) -> What);

const FORMS: &[Form] = &[
    ("every [NAME] frame is scanned out", |it| What::EveryFrameShown { of: it.name, within: None }),
    ("every [NAME] frame is scanned out within N vblanks|vblank", |it| What::EveryFrameShown {
        of: it.name,
        within: Some(Limit::Vblanks(it.number)),
    }),
    ("every [NAME] frame is scanned out within TIME", |it| What::EveryFrameShown {
        within: Some(it.limit()),
        of: it.name,
    }),
    ("at least N [NAME] frames|frame are|is scanned out", |it| What::FramesShown {
        of: it.name,
        count: Count::AtLeast(it.number),
    }),
    ("at most N [NAME] frames|frame are|is scanned out", |it| What::FramesShown {
        of: it.name,
        count: Count::AtMost(it.number),
    }),
    ("exactly N [NAME] frames|frame are|is scanned out", |it| What::FramesShown {
        of: it.name,
        count: Count::Exactly(it.number),
    }),
    ("no [NAME] frame is dropped", |it| What::NoFrameDropped { of: it.name }),
    ("no [NAME] frame is lost", |it| What::NoFrameLost { of: it.name }),
    ("no underrun", |_| What::NoUnderrun),
    ("no fence waits longer than TIME", |it| What::NoFenceWaits { limit: it.limit() }),
    ("every [NAME] job ends", |it| What::EveryJobEnds { of: it.name, well: false }),
    ("every [NAME] job ends well", |it| What::EveryJobEnds { of: it.name, well: true }),
    ("no [NAME] job takes longer than TIME", |it| What::NoJobTakes { limit: it.limit(), of: it.name }),
    ("at least N [NAME] jobs|job end|ends", |it| What::JobsEnd {
        of: it.name,
        count: Count::AtLeast(it.number),
    }),
    ("at most N [NAME] jobs|job end|ends", |it| What::JobsEnd {
        of: it.name,
        count: Count::AtMost(it.number),
    }),
    ("exactly N [NAME] jobs|job end|ends", |it| What::JobsEnd {
        of: it.name,
        count: Count::Exactly(it.number),
    }),
    ("no IOMMU fault", |_| What::NoIommuFault),
    ("at least N IOMMU faults|fault", |it| What::IommuFaults { count: Count::AtLeast(it.number) }),
    ("at most N IOMMU faults|fault", |it| What::IommuFaults { count: Count::AtMost(it.number) }),
    ("exactly N IOMMU faults|fault", |it| What::IommuFaults { count: Count::Exactly(it.number) }),
    ("no interrupt is later than TIME", |it| What::NoInterruptLate { limit: it.limit() }),
    ("causality", |_| What::Causality),
];

/// All forms, as the documentation writes them: of words that may stand for each other the first.
pub fn forms() -> impl Iterator<Item = String> {
    FORMS.iter().map(|(form, _)| shown(form))
}

fn shown(form: &str) -> String {
    let first = |word: &str| word.split('|').next().unwrap_or_default().to_owned();
    form.split(' ').map(first).collect::<Vec<_>>().join(" ")
}

/// The longest sentence, in words.
const WORDS_MAX: usize = 32;
/// The longest name of an engine, in words.
const NAME_MAX_WORDS: usize = 4;

/// Reads a sentence; the error says why it is none.
pub fn parse(text: &str) -> Result<What, String> {
    let words = words(text);
    if words.len() <= WORDS_MAX {
        for (form, make) in FORMS {
            let pattern: Vec<&str> = form.split(' ').collect();
            if let Some(filled) = fit(&pattern, &words) {
                return Ok(make(filled));
            }
        }
    }
    let sentence: String = words.join(" ").chars().take(200).collect();
    let near = |form: &String| {
        (strsim::normalized_levenshtein(&generalised(&sentence).to_lowercase(), &form.to_lowercase()) * 1e6)
            as u64
    };
    // The first of those that are equally near.
    let forms: Vec<String> = forms().collect();
    let nearest = forms.iter().rev().max_by_key(|form| near(form)).map_or("", |form| form);
    Err(format!("the nearest form is '{nearest}'"))
}

/// The words of a sentence, a number and its unit apart, without the stop at its end.
fn words(text: &str) -> Vec<String> {
    let text = text.trim();
    let text = text.strip_suffix('.').unwrap_or(text);
    let mut words = Vec::new();
    for word in text.split_whitespace() {
        let digits = word.find(|letter: char| !letter.is_ascii_digit() && letter != '.');
        match digits.filter(|at| *at > 0) {
            Some(at) if unit(word.get(at..).unwrap_or_default()).is_some() => {
                let (number, unit) = word.split_at(at);
                words.extend([number.to_owned(), unit.to_owned()]);
            }
            _ => words.push(word.to_owned()),
        }
    }
    words
}

/// A sentence with its numbers as forms have them, to be compared with those.
fn generalised(sentence: &str) -> String {
    let mut words: Vec<&str> = Vec::new();
    for word in sentence.split(' ') {
        match (number(word).is_some(), words.last()) {
            (true, _) => words.push("N"),
            (false, Some(&"N")) if unit(word).is_some() => {
                words.pop();
                words.push("TIME");
            }
            _ => words.push(word),
        }
    }
    words.join(" ")
}

fn fit(pattern: &[&str], words: &[String]) -> Option<Filled> {
    let Some((first, pattern)) = pattern.split_first() else {
        return words.is_empty().then(Filled::default);
    };
    if *first == "[NAME]" {
        let most = words.len().min(NAME_MAX_WORDS);
        return (0..=most).find_map(|count| {
            let (name, rest) = words.split_at(count);
            let filled = fit(pattern, rest)?;
            Some(if count == 0 { filled } else { Filled { name: Some(name.join(" ")), ..filled } })
        });
    }
    let (word, rest) = words.split_first()?;
    match *first {
        "N" => Some(Filled { number: number(word)?.parse().ok()?, ..fit(pattern, rest)? }),
        "TIME" => {
            let (unit, rest) = rest.split_first()?;
            Some(Filled { time: Some(time(number(word)?, unit)?), ..fit(pattern, rest)? })
        }
        literal => {
            literal.split('|').any(|one| one.eq_ignore_ascii_case(word)).then(|| fit(pattern, rest)).flatten()
        }
    }
}

fn number(word: &str) -> Option<&str> {
    let digits = word.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    (digits && word.parse::<f64>().is_ok()).then_some(word)
}

/// Nanoseconds of a unit, or none for cycles; `None` if it is no unit.
fn unit(word: &str) -> Option<Option<f64>> {
    Some(match word {
        "ns" => Some(1.0),
        "us" | "µs" | "μs" => Some(1e3),
        "ms" => Some(1e6),
        "s" => Some(1e9),
        "cycles" | "cycle" => None,
        _ => return None,
    })
}

fn time(number: &str, word: &str) -> Option<Limit> {
    match unit(word)? {
        Some(ns) => {
            // Within a day a float is exact to the nanosecond.
            let ns = number.parse::<f64>().ok()? * ns;
            (ns <= 86_400e9).then(|| Limit::Ns(ns.round() as u64))
        }
        None => number.parse().ok().map(Limit::Cycles),
    }
}
