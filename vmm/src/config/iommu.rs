//! Which IOMMU a machine has.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The IOMMU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IommuKind {
    /// None: every address is physical.
    Off,
    /// VT-d.
    #[default]
    Vtd,
    /// VT-d, which remaps interrupts, too.
    Intremap,
    /// Virtio's, a device in slot [`IommuKind::SLOT`].
    Virtio,
}

/// As a file has it: `true`, `false`, `"intremap"` or `"virtio"`.
#[derive(Serialize, Deserialize)]
#[serde(untagged, expecting = "write true or false without quotes, or \"intremap\" or \"virtio\"")]
enum Written {
    Vtd(bool),
    Other(Word),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Word {
    Intremap,
    Virtio,
}

impl IommuKind {
    /// The slot of the virtio IOMMU. It is the last one, so that the slots that devices get are the same without it.
    pub const SLOT: u8 = 31;

    /// The slot that it takes, if it is a device.
    pub fn slot(self) -> Option<u8> {
        (self == IommuKind::Virtio).then_some(Self::SLOT)
    }
}

impl Serialize for IommuKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let written = match self {
            IommuKind::Off => Written::Vtd(false),
            IommuKind::Vtd => Written::Vtd(true),
            IommuKind::Intremap => Written::Other(Word::Intremap),
            IommuKind::Virtio => Written::Other(Word::Virtio),
        };
        written.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for IommuKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match Written::deserialize(deserializer)? {
            Written::Vtd(false) => IommuKind::Off,
            Written::Vtd(true) => IommuKind::Vtd,
            Written::Other(Word::Intremap) => IommuKind::Intremap,
            Written::Other(Word::Virtio) => IommuKind::Virtio,
        })
    }
}
