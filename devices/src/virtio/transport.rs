//! Virtio over PCI (Virtual I/O Device 1.2, 4.1), for any device: a [`Function`] around a [`Device`].

use super::device::Device;
use super::io::{ACCESS_PLATFORM, DRIVER_OK, EVENT_IDX, INDIRECT_DESC, Io, NEEDS_RESET, VERSION_1};
use super::queue::{NO_VECTOR, Queue};
use super::registers::{BAR_BYTES, CAPABILITIES, CONFIG, ISR, Id, NOTIFY, NOTIFY_MULTIPLIER, row};
use super::state::Common;
use crate::function::{AsIssued, Counter, Doorbell, Function, Identity, Ids, Inbox, Pin, Registers};
use crate::ports::Ports;
use crate::registers::{Access, Register};
use crate::state::{SavedState, pack};

/// Device status: the driver has taken its features.
const FEATURES_OK: u8 = 8;
/// Who makes virtio devices.
const VENDOR: u16 = 0x1af4;
/// The device id of type 0.
const FIRST_DEVICE: u16 = 0x1040;

/// The PCI function of a virtio device.
#[derive(Debug)]
pub struct Transport<D> {
    pub(super) common: Common,
    pub(super) device: D,
}

impl<D: Device> Transport<D> {
    /// The device behind it.
    pub fn device(&mut self) -> &mut D {
        &mut self.device
    }

    fn offered(&self) -> u64 {
        self.device.features() | INDIRECT_DESC | EVENT_IDX | VERSION_1 | ACCESS_PLATFORM
    }

    fn call<R>(&mut self, ports: &mut Ports<'_>, call: impl FnOnce(&mut D, &mut Io<'_, '_>) -> R) -> R {
        call(&mut self.device, &mut Io::new(&mut self.common, ports))
    }

    fn queue(&self) -> Option<&Queue> {
        self.common.queues.get(usize::from(self.common.queue_select))
    }

    fn value(&self, id: Id) -> u64 {
        let common = &self.common;
        let queue = |of: fn(&Queue) -> u64| self.queue().map_or(0, of);
        match id {
            Id::DeviceFeatureSelect => common.device_feature_select.into(),
            Id::DeviceFeature => half(self.offered(), common.device_feature_select).into(),
            Id::DriverFeatureSelect => common.driver_feature_select.into(),
            Id::DriverFeature => half(common.driver_features, common.driver_feature_select).into(),
            Id::ConfigVector => common.config_vector.into(),
            Id::QueueCount => D::QUEUES.len() as u64,
            Id::Status => common.status.into(),
            Id::Generation => common.generation.into(),
            Id::QueueSelect => common.queue_select.into(),
            Id::QueueSize => queue(|queue| queue.size.into()),
            Id::QueueVector => self.queue().map_or(NO_VECTOR, |queue| queue.vector).into(),
            Id::QueueEnable => queue(|queue| queue.enabled.into()),
            Id::QueueNotifyOffset => self.queue().map_or(0, |_| common.queue_select.into()),
            Id::QueueDescriptors => queue(|queue| queue.descriptors),
            Id::QueueDriver => queue(|queue| queue.driver),
            Id::QueueDevice => queue(|queue| queue.device),
        }
    }

    /// The byte at `offset` of the common configuration.
    fn common_byte(&self, offset: usize) -> u8 {
        row(offset).map_or(0, |row| {
            let bytes = self.value(row.id).to_le_bytes();
            offset.checked_sub(row.offset).and_then(|at| bytes.get(at)).copied().unwrap_or(0)
        })
    }

    fn set(&mut self, id: Id, value: u64, ports: &mut Ports<'_>) {
        match id {
            Id::DeviceFeatureSelect => self.common.device_feature_select = value as u32,
            Id::DriverFeatureSelect => self.common.driver_feature_select = value as u32,
            Id::DriverFeature if self.common.status & FEATURES_OK == 0 => {
                let shift = self.common.driver_feature_select.saturating_mul(32);
                if let (Some(mask), Some(bits)) =
                    (u64::from(u32::MAX).checked_shl(shift), value.checked_shl(shift))
                {
                    self.common.driver_features = self.common.driver_features & !mask | bits;
                }
            }
            Id::ConfigVector => self.common.config_vector = vector::<D>(value),
            Id::Status => self.set_status(value as u8, ports),
            Id::QueueSelect => self.common.queue_select = value as u16,
            _ => self.set_queue(id, value),
        }
    }

    /// The registers of the selected queue. All but its vector are locked once it is enabled.
    fn set_queue(&mut self, id: Id, value: u64) {
        let Some(queue) = self.common.queues.get_mut(usize::from(self.common.queue_select)) else { return };
        if id == Id::QueueVector {
            queue.vector = vector::<D>(value);
        } else if !queue.enabled {
            let size = value as u16;
            match id {
                Id::QueueSize if size.is_power_of_two() && size <= queue.max => queue.size = size,
                Id::QueueEnable if value == 1 => queue.enabled = true,
                Id::QueueDescriptors => queue.descriptors = value,
                Id::QueueDriver => queue.driver = value,
                Id::QueueDevice => queue.device = value,
                _ => {}
            }
        }
    }

    /// 2.1: zero resets. FEATURES_OK stays off when the driver took what is not offered, or left out what it must take.
    fn set_status(&mut self, status: u8, ports: &mut Ports<'_>) {
        if status == 0 {
            return self.reset(ports);
        }
        let must = VERSION_1 | ACCESS_PLATFORM;
        let taken = self.common.driver_features;
        let good = taken & !self.offered() == 0 && taken & must == must;
        // Bits are set and never cleared but by a reset; NEEDS_RESET is the device's own.
        let mut new = self.common.status | status & !NEEDS_RESET;
        if !good {
            new &= !FEATURES_OK;
        }
        if new & FEATURES_OK == 0 {
            new &= !DRIVER_OK;
        }
        let begins = new & DRIVER_OK != 0 && self.common.status & DRIVER_OK == 0;
        self.common.status = new;
        if begins {
            (0u16..).zip(D::QUEUES).for_each(|(queue, _)| self.notified(queue, ports));
        }
    }

    fn notified(&mut self, queue: u16, ports: &mut Ports<'_>) {
        if self.common.status & DRIVER_OK != 0 && usize::from(queue) < D::QUEUES.len() {
            self.call(ports, |device, io| device.notify(queue, io));
        }
    }

    fn write_common(&mut self, offset: usize, data: &[u8], ports: &mut Ports<'_>) {
        let Some(Register { id, offset: start, width, access, writable, .. }) = row(offset) else { return };
        let halves = *width == 8 && data.len() == 4;
        if *access == Access::ReadOnly || !(halves || offset == *start && data.len() == *width) {
            return;
        }
        let behind = offset.saturating_sub(*start);
        let mut bytes = self.value(*id).to_le_bytes();
        // A half at no half's place has no room here.
        if let Some(place) =
            bytes.get_mut(behind..behind.saturating_add(data.len())).filter(|_| behind % 4 == 0)
        {
            place.copy_from_slice(data);
            self.set(*id, u64::from_le_bytes(bytes) & *writable, ports);
        }
    }
}

/// The 32 bits of `features` that `select` means.
fn half(features: u64, select: u32) -> u32 {
    features.checked_shr(select.saturating_mul(32)).unwrap_or(0) as u32
}

/// The vector that the driver asks for, if there is one of that number (4.1.5.1.2).
fn vector<D: Device>(value: u64) -> u16 {
    let vectors = D::QUEUES.len().saturating_add(1) as u64;
    if value < vectors { value as u16 } else { NO_VECTOR }
}

impl<D: Device> AsIssued for Transport<D> {
    fn read(&mut self, bar: u8, offset: u64, data: &mut [u8], ports: &mut Ports<'_>) {
        data.fill(0);
        let (0, Ok(offset)) = (bar, usize::try_from(offset)) else { return };
        if offset < ISR {
            for (at, byte) in (offset..).zip(data) {
                *byte = self.common_byte(at);
            }
        } else if offset == ISR {
            // Reading acknowledges.
            let isr = std::mem::take(&mut self.common.isr);
            ports.msi.set_line(false);
            data.iter_mut().take(1).for_each(|byte| *byte = isr);
        } else if (CONFIG..NOTIFY).contains(&offset) {
            let config = self.device.config();
            let rest = config.get(offset.saturating_sub(CONFIG)..).unwrap_or_default();
            data.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
        }
    }

    fn write(&mut self, bar: u8, offset: u64, data: &[u8], ports: &mut Ports<'_>) {
        let (0, Ok(offset)) = (bar, usize::try_from(offset)) else { return };
        if offset < ISR {
            self.write_common(offset, data, ports);
        } else if (CONFIG..NOTIFY).contains(&offset) {
            let at = offset.saturating_sub(CONFIG);
            self.call(ports, |device, io| device.write_config(at, data, io));
        } else if let Some(place) = offset.checked_sub(NOTIFY) {
            // What is written is the queue's number again, and says nothing more.
            if place % NOTIFY_MULTIPLIER == 0 {
                let queue = u16::try_from(place / NOTIFY_MULTIPLIER).unwrap_or(u16::MAX);
                self.notified(queue, ports);
            }
        }
    }
}

impl<D: Device> Inbox for Transport<D> {
    fn receive(&mut self, data: &[u8], ports: &mut Ports<'_>) -> usize {
        self.call(ports, |device, io| device.receive(data, io))
    }
}

impl<D: Device> Function for Transport<D> {
    fn identity(&self) -> Identity {
        let device = FIRST_DEVICE.saturating_add(D::TYPE);
        let mut identity =
            Identity::registers_and_msix(BAR_BYTES, (D::QUEUES.len() as u16).saturating_add(1));
        identity.name = D::KIND;
        identity.ids = Ids { vendor: VENDOR, device, subsystem_vendor: VENDOR, subsystem: device };
        identity.class = D::CLASS;
        identity.revision = 1;
        identity.engines = D::ENGINES;
        identity.interrupts.pin = Some(Pin::A);
        identity.vendor_capabilities = CAPABILITIES;
        identity
    }

    fn registers(&mut self) -> Registers<'_> {
        Registers::AsIssued(self)
    }

    fn doorbells(&self) -> Vec<Doorbell> {
        let place = |queue: usize| NOTIFY.saturating_add(NOTIFY_MULTIPLIER.saturating_mul(queue)) as u32;
        (0..D::QUEUES.len()).map(|queue| Doorbell { offset: place(queue), bytes: 2, value: None }).collect()
    }

    fn inbox(&mut self) -> Option<&mut dyn Inbox> {
        Some(self)
    }

    fn timer(&mut self, token: u32, ports: &mut Ports<'_>) {
        self.call(ports, |device, io| device.timer(token, io));
    }

    fn reset(&mut self, ports: &mut Ports<'_>) {
        self.call(ports, |device, io| device.reset(io));
        ports.msi.set_line(false);
        self.common = Common::new(D::QUEUES, self.common.broken);
    }

    fn save_state(&self) -> SavedState {
        pack(self)
    }

    fn rearm(&self, ports: &mut Ports<'_>) {
        let mut common = self.common.clone();
        self.device.rearm(&mut Io::new(&mut common, ports));
    }

    fn counters(&self) -> Vec<Counter> {
        let mut counters = self.device.counters();
        counters.push(Counter { name: "broken-queues", value: self.common.broken });
        counters
    }

    fn as_any(&mut self) -> &mut dyn std::any::Any {
        self
    }
}
