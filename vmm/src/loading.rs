//! A kernel and its initramfs in new guest memory.

use fencepost_firmware as firmware;
use fencepost_firmware::Entry;
use fencepost_firmware::kernel::KernelError;
use vm_memory::GuestMemoryMmap;

use crate::cache::{self, Cache};
use crate::config::{COMMAND_LINE_DEFAULT, IommuKind, MachineConfig};
use crate::console_size::ConsoleSize;
use crate::error::HostError;
use crate::initrd;
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
    let path = config.kernel.path.as_deref().ok_or_else(|| {
        HostError::input(
            "no kernel",
            "name one with --kernel, or as path under [kernel] in the file of --machine",
        )
    })?;
    let mut kernel = kernel::open(path, config.memory.0, cache.as_ref(), say)?;
    let own = std::mem::take(&mut kernel.initrd);
    let initrd = initrd::read(own, &config.kernel.initramfs, &kernel.image, config.memory.0)?;
    let image = initrd.as_ref().map(|initrd| initrd.image.as_slice());
    let mut memory = memory::map(config.memory.0)?;
    let mut placed = place((config, size), &memory, &mut kernel, image);
    if let Err(firmware::Error::Kernel(KernelError::KeptDamaged)) = placed {
        kernel.unpack_again(cache.as_ref(), say)?;
        // The guest must find nothing of what was loaded first.
        memory = memory::map(config.memory.0)?;
        placed = place((config, size), &memory, &mut kernel, image);
    }
    let entry = placed.map_err(|error| load_error(&error))?;
    let release = || {
        let told = kernel.release().map(str::to_owned);
        told.or_else(|| modules::release_in(&memory, kernel.image.extent()))
    };
    let mismatch = initrd.and_then(|initrd| modules::mismatch(initrd.files(), release));
    mismatch.iter().for_each(|line| say(line));
    Ok((memory, entry))
}

fn place(
    (config, size): (&MachineConfig, Option<ConsoleSize>),
    memory: &GuestMemoryMmap,
    kernel: &mut Kernel,
    initrd: Option<&[u8]>,
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
    firmware::load(memory, &mut kernel.image, initrd, command_line, config.cpus, &options)
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
