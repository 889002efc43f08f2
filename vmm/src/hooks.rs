//! What a run is given beside its description: where output goes, and what the caller adds.

use std::io::Write;
use std::sync::Arc;

use fencepost_devices::function::Function;
use fencepost_devices::virtio_net::Wire;

use crate::allowance::Allowance;
use crate::conductor::Conductor;
use crate::control::Control;
use crate::frames::{FrameSink, Watcher};
use crate::machine::log::Keep;
use crate::outlet::Gate;
use crate::sandbox::Sandbox;
use crate::say;

/// What the caller of [`run`](crate::run::run) wants of it beside the command line.
pub struct Hooks {
    /// Where the guest's serial output goes.
    pub console: Box<dyn Write + Send>,
    /// Where the output of a virtio console's terminal goes; nowhere when absent.
    pub terminal: Option<Box<dyn Write + Send>>,
    /// Where the output of the serial ports beside the console goes, in their order.
    pub serial: Vec<Box<dyn Write + Send>>,
    /// Stops the guest and gives it console input, from any thread.
    pub control: Arc<Control>,
    /// Gets every picture that a flip brings to a screen.
    pub frames: Option<Box<dyn FrameSink>>,
    /// Looks at every frame of every screen.
    pub watcher: Option<Arc<dyn Watcher>>,
    /// Where what a guest writes to a virtio console's channel goes; nowhere when absent.
    pub channel: Option<Box<dyn Write + Send>>,
    /// The wire of the first network device; with nobody at its end when absent.
    pub wire: Option<Box<dyn Wire>>,
    /// Devices of the caller's own and their slots, beside those of the machine's description. Such a machine cannot be saved,
    /// for a snapshot restores what the description names.
    pub devices: Vec<(u8, Box<dyn Function>)>,
    /// Gets the machine whenever it pauses; nobody when absent.
    pub conductor: Option<Box<dyn Conductor>>,
    /// How many of the newest records to keep in memory for [`Outcome::log`](crate::run::Outcome::log); none unless told otherwise.
    pub records: usize,
    /// Which of them to keep; all when absent.
    pub keep: Option<Keep>,
    /// Outlets behind `console` and `frames` that the machine must wait for.
    pub gates: Vec<Arc<Gate>>,
    /// What the run's files may take of the host's disks yet; [`run`](crate::run::run) makes it that of the launch.
    pub allowance: Allowance,
    /// Takes from the whole process, for good, all that the run does not need, and leaves what is named here; without it the process
    /// keeps its powers.
    pub sandbox: Option<Sandbox>,
    /// Shows a line to the user while the run is prepared.
    pub say: Box<dyn FnMut(&str)>,
}

impl Hooks {
    /// Output to `console`, nothing else.
    pub fn new(console: Box<dyn Write + Send>) -> Self {
        Hooks {
            console,
            terminal: None,
            channel: None,
            wire: None,
            serial: Vec::new(),
            control: Arc::default(),
            frames: None,
            watcher: None,
            devices: Vec::new(),
            conductor: None,
            records: 0,
            keep: None,
            gates: Vec::new(),
            allowance: Allowance::default(),
            sandbox: None,
            say: Box::new(|line| say::line(format_args!("fencepost: {line}"))),
        }
    }
}
