//! The consoles that are listened to. A kernel may print the same on both: each is heard by itself, and what is found once for all.

use serde::{Deserialize, Serialize};

use super::Recogniser;
use super::findings::Findings;

/// A console.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Console {
    /// The first serial port.
    Serial,
    /// The first virtio console's terminal.
    Terminal,
}

/// What was heard on each.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ears {
    serial: Recogniser,
    terminal: Recogniser,
}

impl Ears {
    /// That at a console.
    pub fn at(&mut self, console: Console) -> &mut Recogniser {
        match console {
            Console::Serial => &mut self.serial,
            Console::Terminal => &mut self.terminal,
        }
    }

    /// What was found on either.
    pub fn findings(&self) -> Findings {
        self.serial.findings().with(self.terminal.findings())
    }
}
