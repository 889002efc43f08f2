//! `--console-log`: the guest's serial output in a file, beside where it is shown.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use crate::allowance::Allowance;
use crate::control::Control;
use crate::error::HostError;
use crate::outlet::bytes::Bytes;
use crate::outlet::{Delivery, Full, Gate};

/// The file, and the thread that writes it.
pub struct ConsoleLog(Bytes);

impl ConsoleLog {
    /// Opens the file; what was in it is gone.
    ///
    /// # Errors
    ///
    /// A file that cannot be written, as bad input.
    pub fn create(path: &Path, control: &Arc<Control>) -> Result<Self, HostError> {
        let refused = |error: io::Error| {
            HostError::output("--console-log", path, &error, "name a file that can be written")
        };
        let name = format!("--console-log {}", path.display());
        Bytes::create(path, &name, control).map(ConsoleLog).map_err(refused)
    }

    /// A writer to `screen` and to the file; what goes there is taken from `allowance`.
    pub fn beside(
        &self,
        screen: Box<dyn Write + Send>,
        full: Full,
        allowance: &Allowance,
    ) -> Box<dyn Write + Send> {
        Both::of(screen, Box::new(self.0.writer(full).within(allowance)))
    }

    /// Its bound.
    pub fn gate(&self) -> Arc<Gate> {
        Arc::clone(self.0.gate())
    }

    /// Waits until all is written.
    pub fn finish(self) -> Delivery {
        self.0.finish()
    }
}

/// Writes to a screen and to a log.
pub struct Both {
    screen: Box<dyn Write + Send>,
    log: Box<dyn Write + Send>,
}

impl Both {
    /// A writer to both.
    pub fn of(screen: Box<dyn Write + Send>, log: Box<dyn Write + Send>) -> Box<dyn Write + Send> {
        Box::new(Both { screen, log })
    }
}

impl Write for Both {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Neither misses anything because the other is gone.
        let logged = self.log.write_all(bytes);
        self.screen.write_all(bytes).and(logged)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let logged = self.log.flush();
        self.screen.flush().and(logged)
    }
}
