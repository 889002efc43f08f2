//! Device models as pure state machines.
//!
//! A device owns registers, queues and timing, and nothing else: no lock, thread, file or clock of its own.
//! All that it may do to the world goes through the four [`ports`]. The machine owns buses and threads.
//!
//! A driver's first steps with the GPU, in a world of fakes: one packet on a ring, which writes a fence.
//!
//! ```
//! use fencepost_devices::function::Words;
//! use fencepost_devices::gpu::{Gpu, GpuConfig};
//! use fencepost_devices::testing::World;
//!
//! const PACKETS: u32 = 0x1000;
//! const FENCE: u32 = 0x2000;
//! let (mut gpu, mut world) = (Gpu::new(GpuConfig::default()), World::new(0x3000));
//!
//! // Opcode 6 writes the packet's sequence number, 7, to the ring's fence word (docs/gpu.md).
//! let packet = &mut world.memory_mut()[PACKETS as usize..];
//! (packet[0], packet[8]) = (6, 7);
//! // RING_BASE, RING_SIZE, RING_FENCE; RING_CONTROL enables; RING_TAIL is the doorbell.
//! for (register, value) in [(0x100, PACKETS), (0x108, 2), (0x120, FENCE), (0x114, 1), (0x110, 1)] {
//!     gpu.write(register, value, &mut world.ports());
//! }
//! assert_eq!(world.memory_mut()[FENCE as usize], 0, "the packet takes its time");
//!
//! world.advance_to(GpuConfig::default().fixed_cycles, &mut gpu);
//! assert_eq!(world.memory_mut()[FENCE as usize], 7);
//! assert_eq!(world.take_raised(), [0], "the first ring's vector");
//! ```

#![warn(missing_docs)]
#![deny(clippy::unwrap_used, clippy::arithmetic_side_effects)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::arithmetic_side_effects))]
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

/// The device models: each line is a folder of this crate and the type in it that is the model.
///
/// rustfmt does not look into a macro for modules: `ci/format` names these folders to it.
macro_rules! models {
    ($($(#[$doc:meta])* $name:ident: $model:ident,)*) => {
        $($(#[$doc])* pub mod $name;)*

        /// The models, in the order in which they are plugged.
        pub static MODELS: &[registry::Entry] = &[$(registry::Entry::of::<$name::$model>(),)*];
    };
}

models! {
    gpu: Gpu,
    camera: Camera,
    display: Display,
    edu: Edu,
    pvpanic: Pvpanic,
    virtio_console: VirtioConsole,
    virtio_net: VirtioNet,
    virtio_rng: VirtioRng,
    virtio_gpu: VirtioGpu,
    virtio_keyboard: VirtioKeyboard,
    virtio_tablet: VirtioTablet,
    virtio_fs: VirtioFs,
    virtio_blk: VirtioBlk,
    virtio_iommu: VirtioIommu,
}

pub mod changes;
pub mod cost;
pub mod crc;
pub mod faults;
pub mod function;
pub mod iommu;
pub mod parameters;
pub mod pci;
pub mod pixel;
pub mod ports;
pub mod registers;
pub mod registry;
pub mod sg;
pub mod state;
pub mod testing;
pub mod virtio;
pub mod virtio_input;
