//! `[expect]`.

use std::path::PathBuf;

use serde::Deserialize;

/// What is expected of a scenario, beside its steps.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Expect {
    /// How the guest ends; without it, it is still there after the last step.
    pub end: Option<Ending>,
    /// The scenario fails, by this failure: a test of what is wrong, or of the test itself.
    pub fails: Option<Allowed>,
    /// Of the tests that steps report as KTAP.
    pub ktap: Ktap,
    /// Of the kernel's messages.
    pub dmesg: Dmesg,
    /// Of the pictures that the screens showed.
    pub frames: Frames,
    /// Of what devices count.
    pub counters: Vec<Counted>,
    /// Of the run's trace, in sentences (docs/scenarios.md).
    pub trace: Vec<String>,
}

/// How a guest ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// It powers off, or writes 0 to the exit port.
    PowerOff,
    /// It restarts.
    Reset,
    /// Its kernel panics.
    Panic,
}

/// `[expect.ktap]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Ktap {
    /// Tests that fail and may; one that passes is reported.
    pub known: Vec<Allowed>,
}

/// `[expect.dmesg]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Dmesg {
    /// Whether the messages are looked at: they are.
    pub clean: bool,
    /// What may be there: regular expressions.
    pub allow: Vec<Allowed>,
}

impl Default for Dmesg {
    fn default() -> Self {
        Dmesg { clean: true, allow: Vec::new() }
    }
}

/// Something that may be, and why.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Allowed {
    /// A regular expression.
    pub pattern: String,
    /// Why it may be.
    pub reason: String,
}

/// `[[expect.counters]]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Counted {
    /// The device, as `--stats` calls it.
    pub device: String,
    /// Its counter.
    pub counter: String,
    /// What the counter has at least at the end; it counts from power-on.
    pub at_least: u64,
}

/// `[expect.frames]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Frames {
    /// How many pictures are shown.
    pub count: Option<u64>,
    /// How many at least.
    pub at_least: Option<u64>,
    /// The CRC-32 of the last picture's pixels, in hexadecimal.
    pub crc: Option<String>,
    /// A picture that the last one must look like.
    pub png: Option<PathBuf>,
    /// How much each colour may differ from it, 0 to 255.
    pub tolerance: u8,
}
