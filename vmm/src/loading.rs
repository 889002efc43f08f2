//! A kernel and its initramfs in new guest memory.

use std::thread;

use fencepost_firmware as firmware;
use fencepost_firmware::Entry;
use fencepost_firmware::initrd::{Initrd as Given, start};
use fencepost_firmware::kernel::KernelError;
use fencepost_firmware::layout::LOW_RAM_END;
use vm_memory::GuestMemoryMmap;

use crate::ahead::{Ahead, Placed};
use crate::cache::{self, Cache};
use crate::config::{COMMAND_LINE_DEFAULT, IommuKind, MachineConfig};
use crate::console_size::ConsoleSize;
use crate::error::HostError;
use crate::initrd::{self, Initrd};
use crate::kernel::{self, Kernel};
use crate::machine::memory;
use crate::modules;

/// Reads kernel and initramfs and puts them into new guest memory.
pub(crate) fn load(
    config: &MachineConfig,
    size: Option<ConsoleSize>,
    say: &mut dyn FnMut(&str),
) -> Result<(GuestMemoryMmap, Entry), HostError> {
    let cache = cache::folder().map(|folder| Cache::new(&folder));
    let (mut kernel, ahead) = open((config, size), cache.as_ref(), say)?;
    let (guest, entry) = match ahead {
        Some(loaded) => loaded,
        None => {
            let mut guest = Guest::new(config, &mut kernel)?;
            let mut placed = guest.place((config, size), &mut kernel);
            if let Err(firmware::Error::Kernel(KernelError::KeptDamaged)) = placed {
                kernel.unpack_again(cache.as_ref(), say)?;
                // The guest must find nothing of what was loaded first.
                guest.memory = memory::map(config.memory.0)?;
                placed = guest.place((config, size), &mut kernel);
            }
            (guest, placed.map_err(|error| load_error(&error))?)
        }
    };
    guest.mismatch(&kernel).iter().for_each(|line| say(line));
    Ok((guest.memory, entry))
}

/// Opens the kernel. If the initramfs can be read ahead, another thread does that meanwhile and while the kernel is placed. Where
/// anything comes in between, nothing is loaded: whoever does it again in new memory says why.
fn open(
    (config, size): (&MachineConfig, Option<ConsoleSize>),
    cache: Option<&Cache>,
    say: &mut dyn FnMut(&str),
) -> Result<(Kernel, Option<(Guest, Entry)>), HostError> {
    let path = config.kernel.path.as_deref().ok_or_else(|| {
        HostError::input(
            "no kernel",
            "name one with --kernel, or as path under [kernel] in the file of --machine",
        )
    })?;
    let bytes = config.memory.0;
    let (Some(ahead), Ok(memory)) = (Ahead::of(&config.kernel.initramfs, bytes), memory::map(bytes)) else {
        return Ok((kernel::open(path, bytes, cache, say)?, None));
    };
    let guest = Guest { initrd: Some(Source::Placed(ahead.placed())), memory };
    let memory = &guest.memory;
    let (kernel, entry) = thread::scope(|scope| {
        let reader = thread::Builder::new().spawn_scoped(scope, move || ahead.read(memory)).ok();
        let mut kernel = kernel::open(path, bytes, cache, say)?;
        let suits = reader.is_some() && guest.suits(&kernel, config);
        let placed = if suits { guest.place((config, size), &mut kernel).ok() } else { None };
        let read = reader.is_some_and(|reader| reader.join().is_ok_and(|all| all));
        Ok((kernel, placed.filter(|_| read)))
    })?;
    Ok((kernel, entry.map(|entry| (guest, entry))))
}

/// New guest memory, and the initramfs for it.
struct Guest {
    memory: GuestMemoryMmap,
    initrd: Option<Source>,
}

enum Source {
    Bytes(Initrd),
    Placed(Placed),
}

impl Guest {
    fn new(config: &MachineConfig, kernel: &mut Kernel) -> Result<Self, HostError> {
        let own = std::mem::take(&mut kernel.initrd);
        let initrd = initrd::read(own, &config.kernel.initramfs, &kernel.image, config.memory.0)?;
        Ok(Guest { memory: memory::map(config.memory.0)?, initrd: initrd.map(Source::Bytes) })
    }

    /// Whether an initramfs that is read ahead is all that the kernel is given, and where it takes it.
    fn suits(&self, kernel: &Kernel, config: &MachineConfig) -> bool {
        let low_end = config.memory.0.min(LOW_RAM_END);
        let there = |placed: &Placed| start(&kernel.image, low_end, placed.size).ok() == Some(placed.start);
        kernel.initrd.is_empty() && matches!(&self.initrd, Some(Source::Placed(placed)) if there(placed))
    }

    fn place(
        &self,
        (config, size): (&MachineConfig, Option<ConsoleSize>),
        kernel: &mut Kernel,
    ) -> Result<Entry, firmware::Error> {
        let options = firmware::Options {
            iommu: match config.iommu {
                IommuKind::Off => firmware::Iommu::None,
                IommuKind::Vtd => firmware::Iommu::Vtd { interrupts: false },
                IommuKind::Intremap => firmware::Iommu::Vtd { interrupts: true },
                IommuKind::Virtio => firmware::Iommu::Virtio { slot: IommuKind::SLOT },
            },
            more_serial: config.serial.len(),
            ..firmware::Options::default()
        };
        let given = config.kernel.command_line.as_ref().or(kernel.command_line.as_ref());
        let command_line = given.map_or(COMMAND_LINE_DEFAULT, String::as_str);
        let sized = size.map(|size| size.told_in(command_line));
        let command_line = sized.as_deref().unwrap_or(command_line);
        let initrd = self.initrd.as_ref().map(|initrd| match initrd {
            Source::Bytes(initrd) => Given::Bytes(&initrd.image),
            Source::Placed(placed) => Given::InPlace(placed.size),
        });
        firmware::load(&self.memory, &mut kernel.image, initrd, command_line, config.cpus, &options)
    }

    /// What the user is told if the modules in the initramfs are for another kernel.
    fn mismatch(&self, kernel: &Kernel) -> Option<String> {
        let release = || {
            let told = kernel.release().map(str::to_owned);
            told.or_else(|| modules::release_in(&self.memory, kernel.image.extent()))
        };
        match self.initrd.as_ref()? {
            Source::Bytes(initrd) => modules::mismatch(initrd.files(), release),
            Source::Placed(placed) => modules::mismatch_in(&self.memory, &placed.files, release),
        }
    }
}

fn load_error(error: &firmware::Error) -> HostError {
    match error {
        firmware::Error::Kernel(error) => kernel::input_error(error),
        firmware::Error::InitrdTooLarge { .. } | firmware::Error::TooLittleMemory(_) => {
            HostError::input(error, "give the guest more with --memory")
        }
        firmware::Error::CommandLineTooLong { .. } | firmware::Error::CommandLineNul => {
            HostError::input(format!("--append: {error}"), "change it")
        }
        _ => HostError::Host(error.to_string()),
    }
}
