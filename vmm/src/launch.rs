//! One run of a machine on one host: what the user wants of it beside the machine itself.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use fencepost_devices::parameters::time_ns;
use fencepost_softcpu::Translate;

use crate::accel::Chosen;
use crate::config::MachineConfig;
use crate::console_size::ConsoleSize;
use crate::gdb::GdbAt;
use crate::net_at::NetAt;
use crate::outlet::Full;
use crate::panic::OnPanic;
use crate::view::Addresses;

/// A machine and what to do with it.
#[derive(Clone, Debug)]
pub struct Launch {
    /// The machine. Where it is restored, the snapshot holds its machine: of this one only back end and tracing count.
    pub machine: MachineConfig,
    /// The snapshot to go on from, instead of power-on.
    pub restore: Option<PathBuf>,
    /// From there on, the machine varies by this number what hardware may vary.
    pub restored_seed: Option<u64>,
    /// The marks at which the machine moves to another back end.
    pub moves: Vec<MoveAt>,
    /// Ends the machine after so much of the host's time.
    pub timeout: Option<Duration>,
    /// Gives up on a guest that has interrupts off and reaches no device for so long.
    pub watchdog: Option<Duration>,
    /// Under `soft` an idle guest's clock goes as the host's; otherwise idle time is skipped.
    pub realtime: bool,
    /// The size of the console, of which the kernel's command line tells the guest's init.
    pub console_size: Option<ConsoleSize>,
    /// The file that gets the guest's serial output too.
    pub console_log: Option<PathBuf>,
    /// The file to save the machine in.
    pub snapshot: Option<PathBuf>,
    /// When it is saved, beside SIGUSR1.
    pub snapshot_at: Vec<SnapshotAt>,
    /// What happens when the guest's kernel has failed; with none, the run ends when a panicked kernel will never do anything again.
    pub on_panic: Option<OnPanic>,
    /// Where a debugger comes to.
    pub gdb: Option<GdbAt>,
    /// The machine waits for it when it is over; this is said then.
    pub gdb_at_end: Option<String>,
    /// Computes the digests of guest memory and of the events.
    pub memory_hash: bool,
    /// The file for the states of the software CPUs, and the instructions from one to the next, on average.
    pub state_log: Option<(PathBuf, u64)>,
    /// The folder for each picture that the display flips to.
    pub frames: Option<PathBuf>,
    /// What is done at the keyboard and the tablet.
    pub input: Option<PathBuf>,
    /// Where the screens are shown live.
    pub view: Addresses,
    /// Where the console is.
    pub console: ConsoleAt,
    /// The socket at the other end of the guest's channel.
    pub channel: Option<PathBuf>,
    /// What is at the other end of the network device's wire; nothing when absent.
    pub net: Option<NetAt>,
    /// The file that what the host brings devices is recorded in.
    pub record_input: Option<PathBuf>,
    /// The file that has what is brought instead.
    pub replay_input: Option<PathBuf>,
    /// What happens to output for which there is no room.
    pub slow_output: Full,
    /// How the software CPU runs code. The guest sees no difference.
    pub soft_cpu: Translate,
    /// How much of its outputs a guest gets.
    pub bounds: Bounds,
}

/// How much may leave by a run's outputs; what comes beyond is left out and counted, and the guest goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes of each console: what is shown, and the files of the serial ports.
    pub console: Option<u64>,
    /// Pictures of `frames`.
    pub frames: Option<u64>,
    /// Bytes that the files of pictures and consoles and the writes to shares take together.
    pub disk: Option<u64>,
}

impl Launch {
    /// Runs `machine` from power-on to its end, nothing else.
    pub fn new(machine: MachineConfig) -> Self {
        Launch {
            machine,
            restore: None,
            restored_seed: None,
            moves: Vec::new(),
            timeout: None,
            watchdog: None,
            realtime: false,
            console_size: None,
            console_log: None,
            snapshot: None,
            snapshot_at: Vec::new(),
            on_panic: None,
            gdb: None,
            gdb_at_end: None,
            memory_hash: false,
            state_log: None,
            frames: None,
            input: None,
            view: Addresses::default(),
            console: ConsoleAt::Serial,
            channel: None,
            net: None,
            record_input: None,
            replay_input: None,
            slow_output: Full::Wait,
            soft_cpu: Translate::default(),
            bounds: Bounds::default(),
        }
    }
}

/// `--console`: where standard input goes. Output of both is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConsoleAt {
    /// The serial line.
    Serial,
    /// The terminal of a virtio console.
    Hvc0,
}

/// `--move`: where the machine goes at a mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MoveAt {
    /// What the guest writes to the mark port.
    pub mark: u8,
    /// The back end that takes over.
    pub to: Chosen,
}

impl FromStr for MoveAt {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("'{text}' is not MARK=kvm or MARK=soft, with a mark from 0 to 255");
        let (mark, to) = text.split_once('=').ok_or_else(wrong)?;
        let to = [Chosen::Kvm, Chosen::Soft].into_iter().find(|each| each.name() == to).ok_or_else(wrong)?;
        Ok(MoveAt { mark: mark.parse().map_err(|_| wrong())?, to })
    }
}

/// `--snapshot-at`: when the machine is saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotAt {
    /// When the guest writes this number to the mark port.
    Mark(u8),
    /// At the first stop of the CPU at or after this time of the guest's, in nanoseconds since it started.
    Time(u64),
}

impl FromStr for SnapshotAt {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            "write mark:N, with N from 0 to 255, or a time of the guest's such as 2s or 1500ms".to_string()
        };
        if let Some(mark) = text.strip_prefix("mark:") {
            return mark.parse().map(SnapshotAt::Mark).map_err(|_| wrong());
        }
        time_ns(text).map(SnapshotAt::Time).ok_or_else(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_move_is_a_mark_and_a_back_end() {
        assert_eq!("7=kvm".parse(), Ok(MoveAt { mark: 7, to: Chosen::Kvm }));
        assert_eq!("255=soft".parse(), Ok(MoveAt { mark: 255, to: Chosen::Soft }));
        for wrong in ["", "kvm", "256=kvm", "1=auto", "=soft", "1=kvm=2"] {
            assert!(wrong.parse::<MoveAt>().is_err_and(|e| e.contains("MARK=kvm")), "{wrong}");
        }
    }

    #[test]
    fn a_snapshot_is_taken_at_a_mark_or_a_time() {
        assert_eq!("mark:7".parse(), Ok(SnapshotAt::Mark(7)));
        assert_eq!("2s".parse(), Ok(SnapshotAt::Time(2_000_000_000)));
        assert_eq!("1500ms".parse(), Ok(SnapshotAt::Time(1_500_000_000)));
        assert_eq!(["3us", "3ns"].map(str::parse), [Ok(SnapshotAt::Time(3000)), Ok(SnapshotAt::Time(3))]);
        for wrong in ["", "7", "mark:", "mark:256", "s", "1.5s", "-1s", "99999999999999s", "1h"] {
            assert!(wrong.parse::<SnapshotAt>().is_err_and(|e| e.contains("1500ms")), "{wrong}");
        }
    }
}
