//! Configuration mechanism #1: two 32-bit ports, an address and the data at it (PCI Local Bus Specification 3.0,
//! 3.2.2.3.2). It reaches the first 256 bytes of what ECAM reaches. Linux 6.1 does not believe in ECAM early in its boot where this is missing.

use std::ops::Range;

/// CONFIG_ADDRESS and CONFIG_DATA.
pub const CONFIG_PORTS: Range<u16> = 0xcf8..0xd00;
/// CONFIG_DATA alone.
const CONFIG_DATA: Range<u16> = 0xcfc..0xd00;

/// CONFIG_ADDRESS: configuration cycles are on.
const ENABLE: u32 = 1 << 31;
/// Bus 16-23, device 11-15, function 8-10, register 2-7.
const BUS_DEVICE_FUNCTION: u32 = 0x00ff_ff00;
const REGISTER: u32 = 0xfc;
/// The bits that are not reserved.
const WRITABLE: u32 = ENABLE | BUS_DEVICE_FUNCTION | REGISTER;

/// The register CONFIG_ADDRESS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConfigAddress(u32);

/// Where an access to the two ports goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigAccess {
    /// To CONFIG_ADDRESS itself.
    Address,
    /// To configuration space, at this offset of ECAM.
    Space(u64),
    /// Nowhere: an ordinary port, at which nobody answers.
    Nowhere,
}

impl ConfigAddress {
    /// One of this saved value, if it can be one.
    pub fn restore(value: u32) -> Option<Self> {
        (value & !WRITABLE == 0).then_some(ConfigAddress(value))
    }

    /// What it reads as.
    pub fn value(self) -> u32 {
        self.0
    }

    /// The guest writes it.
    pub fn write(&mut self, value: u32) {
        self.0 = value & WRITABLE;
    }

    /// Where an access of `bytes` bytes at `port` goes. CONFIG_ADDRESS takes 32-bit accesses alone; CONFIG_DATA is part of
    /// configuration space while that is switched on, for accesses that stay inside it.
    pub fn access(self, port: u16, bytes: usize) -> ConfigAccess {
        let end = usize::from(port).saturating_add(bytes);
        if port == CONFIG_PORTS.start && bytes == 4 {
            ConfigAccess::Address
        } else if CONFIG_DATA.contains(&port) && end <= usize::from(CONFIG_DATA.end) && self.0 & ENABLE != 0 {
            let function = u64::from(self.0 & BUS_DEVICE_FUNCTION) << 4;
            ConfigAccess::Space(function | u64::from(self.0 & REGISTER) | u64::from(port & 3))
        } else {
            ConfigAccess::Nowhere
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(value: u32) -> ConfigAddress {
        let mut address = ConfigAddress::default();
        address.write(value);
        address
    }

    #[test]
    fn reserved_bits_read_as_zero() {
        assert_eq!(at(u32::MAX).value(), 0x80ff_fffc);
        assert_eq!(ConfigAddress::restore(0x8000_0001), None);
        assert_eq!(ConfigAddress::restore(0x8000_0804), Some(at(0x8000_0804)));
    }

    #[test]
    fn an_address_names_bus_device_function_and_register() {
        // Bus 1, device 2, function 3, register 0x44: bus << 20 | device << 15 | function << 12 in ECAM.
        let address = at(0x8000_0000 | 1 << 16 | 2 << 11 | 3 << 8 | 0x44);
        let ecam = 1 << 20 | 2 << 15 | 3 << 12 | 0x44;
        assert_eq!(address.access(0xcfc, 4), ConfigAccess::Space(ecam));
        assert_eq!(address.access(0xcfe, 2), ConfigAccess::Space(ecam + 2));
        assert_eq!(address.access(0xcff, 1), ConfigAccess::Space(ecam + 3));
    }

    #[test]
    fn other_accesses_are_ordinary_ports() {
        let on = at(0x8000_0000);
        for (port, bytes) in
            [(0xcf8, 1), (0xcf8, 2), (0xcfa, 4), (0xcf9, 1), (0xcfb, 1), (0xcfe, 4), (0xcff, 2)]
        {
            assert_eq!(on.access(port, bytes), ConfigAccess::Nowhere, "{port:#x} of {bytes}");
        }
        assert_eq!(on.access(0xcf8, 4), ConfigAccess::Address);
        assert_eq!(at(0x7fff_ffff).access(0xcfc, 4), ConfigAccess::Nowhere, "switched off");
    }
}
