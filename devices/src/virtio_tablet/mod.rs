//! A tablet: a pointer that says where on the screen it is, with buttons and a wheel (docs/virtio-tablet.md).

use crate::virtio_input::{Axis, Bits, Facts, Input, Kind};

/// `EV_KEY`, `EV_REL`, `EV_ABS` (Linux, `include/uapi/linux/input-event-codes.h`).
const EV_KEY: u8 = 1;
const EV_REL: u8 = 2;
const EV_ABS: u8 = 3;
/// The largest coordinate: the right and the lower edge of the screen.
const MAX: u32 = 32767;

/// What a tablet is.
#[derive(Debug)]
pub struct Tablet;

impl Kind for Tablet {
    const KIND: &'static str = "virtio-tablet";
    const ABOUT: &'static str = "virtio tablet: a pointer with absolute coordinates";
    /// Input device, mouse.
    const CLASS: u32 = 0x09_02_00;
    const FACTS: Facts = Facts {
        name: "Fencepost tablet",
        product: 2,
        // INPUT_PROP_POINTER: whoever shows the screen draws the pointer.
        properties: &[(0, 0)],
        events: &[
            // BTN_LEFT, BTN_RIGHT, BTN_MIDDLE, BTN_SIDE, BTN_EXTRA.
            Bits { kind: EV_KEY, codes: &[(0x110, 0x114)] },
            // REL_WHEEL.
            Bits { kind: EV_REL, codes: &[(8, 8)] },
            // ABS_X, ABS_Y.
            Bits { kind: EV_ABS, codes: &[(0, 1)] },
        ],
        axes: &[Axis { code: 0, max: MAX }, Axis { code: 1, max: MAX }],
    };
}

/// The model.
pub type VirtioTablet = crate::virtio::Transport<Input<Tablet>>;
