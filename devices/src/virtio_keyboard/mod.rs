//! A keyboard with three LEDs (docs/virtio-keyboard.md).

use crate::virtio_input::{Bits, Facts, Input, Kind};

/// `EV_KEY`, `EV_LED`, `EV_REP` (Linux, `include/uapi/linux/input-event-codes.h`).
const EV_KEY: u8 = 1;
const EV_LED: u8 = 0x11;
const EV_REP: u8 = 0x14;

/// What a keyboard is.
#[derive(Debug)]
pub struct Keyboard;

impl Kind for Keyboard {
    const KIND: &'static str = "virtio-keyboard";
    const ABOUT: &'static str = "virtio keyboard";
    /// Input device, keyboard.
    const CLASS: u32 = 0x09_00_00;
    const FACTS: Facts = Facts {
        name: "Fencepost keyboard",
        product: 1,
        properties: &[],
        events: &[
            // KEY_ESC to KEY_KPDOT, KEY_ZENKAKUHANKAKU to KEY_MICMUTE: 0 and 84 are no keys.
            Bits { kind: EV_KEY, codes: &[(1, 83), (85, 248)] },
            // LED_NUML, LED_CAPSL, LED_SCROLLL.
            Bits { kind: EV_LED, codes: &[(0, 2)] },
            // The driver's kernel repeats keys: REP_DELAY, REP_PERIOD.
            Bits { kind: EV_REP, codes: &[(0, 1)] },
        ],
        axes: &[],
    };
}

/// The model.
pub type VirtioKeyboard = crate::virtio::Transport<Input<Keyboard>>;
