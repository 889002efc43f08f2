//! What a person does at the machine's keyboard and pointer, on its way to the guest's input devices.
//!
//! Keys and buttons have the numbers of Linux (`include/uapi/linux/input-event-codes.h`); an event reaches a device as `struct
//! virtio_input_event` (Virtual I/O Device 1.2, 5.8.6).

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::config::MachineConfig;
use crate::control::Control;

/// The kind of device that takes keys.
pub const KEYBOARD: &str = "virtio-keyboard";
/// The kind of device that takes a position, buttons and the wheel.
pub const TABLET: &str = "virtio-tablet";

/// The largest coordinate: the right and the lower edge of the screen.
pub const ABSOLUTE_MAX: u16 = 32767;

const EV_SYN: u16 = 0;
const EV_KEY: u16 = 1;
const EV_REL: u16 = 2;
const EV_ABS: u16 = 3;
const REL_WHEEL: u16 = 8;
const ABS_X: u16 = 0;
const ABS_Y: u16 = 1;

/// A button of a pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Button {
    /// The left one: BTN_LEFT.
    Left,
    /// The right one: BTN_RIGHT.
    Right,
    /// The one in the middle: BTN_MIDDLE.
    Middle,
}

impl Button {
    /// Its number.
    pub fn code(self) -> u16 {
        match self {
            Button::Left => 0x110,
            Button::Right => 0x111,
            Button::Middle => 0x112,
        }
    }
}

/// Something that a person did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// Pressed or released a key, by its number (KEY_*).
    Key {
        /// Its number.
        code: u16,
        /// Went down.
        pressed: bool,
    },
    /// Pressed or released a button.
    Button {
        /// Which.
        button: Button,
        /// Went down.
        pressed: bool,
    },
    /// Moved the pointer to a place, from the upper left corner (0, 0) to the lower right one (both [`ABSOLUTE_MAX`]).
    Absolute {
        /// From the left.
        x: u16,
        /// From the top.
        y: u16,
    },
    /// Turned the wheel by so many notches, away from the person where positive.
    Wheel(i8),
}

impl Input {
    /// Whether a keyboard takes it, not a tablet.
    pub fn is_key(&self) -> bool {
        matches!(self, Input::Key { .. })
    }

    /// The events that it is, with the one that ends them (SYN_REPORT): 8 bytes each.
    pub fn bytes(&self) -> Vec<u8> {
        let mut events = match *self {
            Input::Key { code, pressed } => vec![event(EV_KEY, code, pressed.into())],
            Input::Button { button, pressed } => vec![event(EV_KEY, button.code(), pressed.into())],
            Input::Absolute { x, y } => {
                let [x, y] = [x, y].map(|place| i32::from(place.min(ABSOLUTE_MAX)));
                vec![event(EV_ABS, ABS_X, x), event(EV_ABS, ABS_Y, y)]
            }
            Input::Wheel(notches) => vec![event(EV_REL, REL_WHEEL, notches.into())],
        };
        events.push(event(EV_SYN, 0, 0));
        events.concat()
    }
}

/// One `struct virtio_input_event`: type, code, value.
fn event(kind: u16, code: u16, value: i32) -> [u8; 8] {
    let mut bytes = [0; 8];
    bytes[..2].copy_from_slice(&kind.to_le_bytes());
    bytes[2..4].copy_from_slice(&code.to_le_bytes());
    bytes[4..].copy_from_slice(&value.to_le_bytes());
    bytes
}

/// Takes what a person did for a device in a slot. It must not wait for the guest: what a guest does not take is lost in the end.
pub trait Deliver: Send + Sync {
    /// Gives `bytes`, whole events, to the device in `slot`.
    fn give(&self, slot: u8, bytes: Vec<u8>);
}

impl Deliver for Control {
    fn give(&self, slot: u8, bytes: Vec<u8>) {
        // A guest that has not looked for thousands of keys misses the next.
        let _ = self.try_deliver(slot, bytes);
    }
}

/// The machine's input devices: every keyboard gets every key, every tablet the rest.
#[derive(Clone, Default)]
pub struct InputDevices {
    keyboards: Vec<u8>,
    tablets: Vec<u8>,
    to: Option<Arc<dyn Deliver>>,
}

impl InputDevices {
    /// Those of `machine`, reached through `to`.
    pub fn of(machine: &MachineConfig, to: Arc<dyn Deliver>) -> Self {
        let slots = |kind: &str| {
            machine.devices.iter().filter(|device| device.kind == kind).map(|device| device.slot).collect()
        };
        InputDevices { keyboards: slots(KEYBOARD), tablets: slots(TABLET), to: Some(to) }
    }

    /// Whether anybody takes keys.
    pub fn has_keyboard(&self) -> bool {
        !self.keyboards.is_empty()
    }

    /// Whether anybody takes the pointer.
    pub fn has_tablet(&self) -> bool {
        !self.tablets.is_empty()
    }

    fn send(&self, input: Input) {
        let slots = if input.is_key() { &self.keyboards } else { &self.tablets };
        for &slot in slots {
            self.to.iter().for_each(|to| to.give(slot, input.bytes()));
        }
    }
}

/// One person at the input devices. What is still held down when they leave is released.
pub struct Hands {
    devices: InputDevices,
    keys: BTreeSet<u16>,
    buttons: BTreeSet<Button>,
}

impl Hands {
    /// A person who holds nothing.
    pub fn new(devices: InputDevices) -> Self {
        Hands { devices, keys: BTreeSet::new(), buttons: BTreeSet::new() }
    }

    /// The devices.
    pub fn devices(&self) -> &InputDevices {
        &self.devices
    }

    /// Does `input`. A key that is down already is not pressed again (the guest repeats keys by itself), and one that is up not released.
    pub fn act(&mut self, input: Input) {
        let news = match input {
            Input::Key { code, pressed: true } => self.keys.insert(code),
            Input::Key { code, pressed: false } => self.keys.remove(&code),
            Input::Button { button, pressed: true } => self.buttons.insert(button),
            Input::Button { button, pressed: false } => self.buttons.remove(&button),
            Input::Absolute { .. } | Input::Wheel(_) => true,
        };
        if news {
            self.devices.send(input);
        }
    }

    /// Lets go of everything.
    pub fn let_go(&mut self) {
        for code in std::mem::take(&mut self.keys) {
            self.devices.send(Input::Key { code, pressed: false });
        }
        for button in std::mem::take(&mut self.buttons) {
            self.devices.send(Input::Button { button, pressed: false });
        }
    }
}

impl Drop for Hands {
    fn drop(&mut self) {
        self.let_go();
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use std::sync::Mutex;

    use super::*;
    use crate::config::DeviceConfig;

    /// Keeps what is delivered.
    #[derive(Default)]
    pub struct Kept(pub Mutex<Vec<(u8, Vec<u8>)>>);

    impl Deliver for Kept {
        fn give(&self, slot: u8, bytes: Vec<u8>) {
            self.0.lock().unwrap().push((slot, bytes));
        }
    }

    impl Kept {
        /// Slot, type, code and value of each event but those that end a group.
        pub fn events(&self) -> Vec<(u8, u16, u16, i32)> {
            let kept = self.0.lock().unwrap();
            let word = |bytes: &[u8], at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
            let value = |bytes: &[u8]| i32::from_le_bytes(bytes[4..8].try_into().unwrap());
            let events = kept.iter().flat_map(|(slot, all)| all.chunks(8).map(move |it| (*slot, it)));
            let all = events.map(|(slot, it)| (slot, word(it, 0), word(it, 2), value(it)));
            all.filter(|event| (event.1, event.2, event.3) != (0, 0, 0)).collect()
        }
    }

    /// A machine with two keyboards, in slots 5 and 7, and a tablet in slot 6.
    pub fn devices() -> (InputDevices, Arc<Kept>) {
        let mut machine = MachineConfig::default();
        for (kind, slot) in [(KEYBOARD, 5), (TABLET, 6), (KEYBOARD, 7)] {
            machine.devices.push(DeviceConfig::new(kind, slot));
        }
        let kept = Arc::<Kept>::default();
        let to: Arc<dyn Deliver> = kept.clone();
        (InputDevices::of(&machine, to), kept)
    }
}

#[cfg(test)]
mod tests {
    use super::testing::devices;
    use super::*;

    #[test]
    fn an_event_is_type_code_and_value_and_a_report_ends_it() {
        let wheel = Input::Wheel(-1).bytes();
        assert_eq!(wheel, [[2, 0, 8, 0, 0xff, 0xff, 0xff, 0xff], [0; 8]].concat());
        let place = Input::Absolute { x: 0x1234, y: 0xffff }.bytes();
        assert_eq!(place, [[3, 0, 0, 0, 0x34, 0x12, 0, 0], [3, 0, 1, 0, 0xff, 0x7f, 0, 0], [0; 8]].concat());
        let right = Input::Button { button: Button::Right, pressed: true }.bytes();
        assert_eq!(right, [[1, 0, 0x11, 1, 1, 0, 0, 0], [0; 8]].concat());
    }

    #[test]
    fn keys_go_to_every_keyboard_and_the_rest_to_the_tablet() {
        let (devices, kept) = devices();
        let mut hands = Hands::new(devices);
        hands.act(Input::Key { code: 30, pressed: true });
        hands.act(Input::Key { code: 30, pressed: true });
        hands.act(Input::Button { button: Button::Left, pressed: false });
        hands.act(Input::Wheel(1));
        assert_eq!(kept.events(), [(5, 1, 30, 1), (7, 1, 30, 1), (6, 2, 8, 1)]);
    }

    #[test]
    fn what_is_held_down_is_released_at_the_end() {
        let (devices, kept) = devices();
        let mut hands = Hands::new(devices);
        hands.act(Input::Key { code: 42, pressed: true });
        hands.act(Input::Button { button: Button::Middle, pressed: true });
        drop(hands);
        assert_eq!(kept.events()[3..], [(5, 1, 42, 0), (7, 1, 42, 0), (6, 1, 0x112, 0)]);
    }
}
