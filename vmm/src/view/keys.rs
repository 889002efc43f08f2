//! Which key of Linux's a key of a browser or of X is.
//!
//! A browser names the key by its place (`KeyboardEvent.code`), whatever is printed on it. VNC says which symbol the viewer's own layout
//! gave; it is the key that has this symbol on a US keyboard, and the guest's layout makes of that what it likes.

use keycode::{KeyMap, KeyMappingCode};
use xkeysym::key;

/// The number (KEY_*) of the key that a browser names, if it has one.
pub fn of_browser(code: &str) -> Option<u16> {
    code.parse::<KeyMappingCode>().ok().and_then(number)
}

/// The number (KEY_*) of the key with this X keysym on a US keyboard, if it has one.
pub fn of_keysym(keysym: u32) -> Option<u16> {
    let printed = char::from_u32(keysym).filter(char::is_ascii).and_then(on_us_keyboard);
    let named = || NAMED.iter().find(|(symbol, _)| *symbol == keysym).map(|(_, key)| *key);
    printed.or_else(named).and_then(number)
}

fn number(key: KeyMappingCode) -> Option<u16> {
    Some(KeyMap::from(key).evdev).filter(|&number| number != 0)
}

/// The key that has this letter, digit or sign on a US keyboard, alone or with Shift.
fn on_us_keyboard(printed: char) -> Option<KeyMappingCode> {
    let by_name = |name: String| name.parse().ok();
    match printed {
        'a'..='z' | 'A'..='Z' => by_name(format!("Key{}", printed.to_ascii_uppercase())),
        '0'..='9' => by_name(format!("Digit{printed}")),
        _ => {
            let digit = ")!@#$%^&*(".find(printed);
            let sign = SIGNS.iter().find(|(signs, _)| signs.contains(printed)).map(|(_, key)| *key);
            digit.and_then(|digit| by_name(format!("Digit{digit}"))).or(sign)
        }
    }
}

const SIGNS: [(&str, KeyMappingCode); 12] = [
    (" ", KeyMappingCode::Space),
    ("-_", KeyMappingCode::Minus),
    ("=+", KeyMappingCode::Equal),
    ("[{", KeyMappingCode::BracketLeft),
    ("]}", KeyMappingCode::BracketRight),
    ("\\|", KeyMappingCode::Backslash),
    (";:", KeyMappingCode::Semicolon),
    ("'\"", KeyMappingCode::Quote),
    ("`~", KeyMappingCode::Backquote),
    (",<", KeyMappingCode::Comma),
    (".>", KeyMappingCode::Period),
    ("/?", KeyMappingCode::Slash),
];

/// Keys that print nothing, and the keypad, with Num Lock and without.
const NAMED: &[(u32, KeyMappingCode)] = {
    use KeyMappingCode as K;
    &[
        (key::Escape, K::Escape),
        (key::BackSpace, K::Backspace),
        (key::Tab, K::Tab),
        (key::ISO_Left_Tab, K::Tab),
        (key::Return, K::Enter),
        (key::Delete, K::Delete),
        (key::Insert, K::Insert),
        (key::Home, K::Home),
        (key::End, K::End),
        (key::Page_Up, K::PageUp),
        (key::Page_Down, K::PageDown),
        (key::Left, K::ArrowLeft),
        (key::Right, K::ArrowRight),
        (key::Up, K::ArrowUp),
        (key::Down, K::ArrowDown),
        (key::Shift_L, K::ShiftLeft),
        (key::Shift_R, K::ShiftRight),
        (key::Control_L, K::ControlLeft),
        (key::Control_R, K::ControlRight),
        (key::Alt_L, K::AltLeft),
        (key::Alt_R, K::AltRight),
        (key::ISO_Level3_Shift, K::AltRight),
        (key::Meta_L, K::AltLeft),
        (key::Meta_R, K::AltRight),
        (key::Super_L, K::MetaLeft),
        (key::Super_R, K::MetaRight),
        (key::Menu, K::ContextMenu),
        (key::Caps_Lock, K::CapsLock),
        (key::Num_Lock, K::NumLock),
        (key::Scroll_Lock, K::ScrollLock),
        (key::Print, K::PrintScreen),
        (key::Sys_Req, K::PrintScreen),
        (key::Pause, K::Pause),
        (key::F1, K::F1),
        (key::F2, K::F2),
        (key::F3, K::F3),
        (key::F4, K::F4),
        (key::F5, K::F5),
        (key::F6, K::F6),
        (key::F7, K::F7),
        (key::F8, K::F8),
        (key::F9, K::F9),
        (key::F10, K::F10),
        (key::F11, K::F11),
        (key::F12, K::F12),
        (key::KP_0, K::Numpad0),
        (key::KP_1, K::Numpad1),
        (key::KP_2, K::Numpad2),
        (key::KP_3, K::Numpad3),
        (key::KP_4, K::Numpad4),
        (key::KP_5, K::Numpad5),
        (key::KP_6, K::Numpad6),
        (key::KP_7, K::Numpad7),
        (key::KP_8, K::Numpad8),
        (key::KP_9, K::Numpad9),
        (key::KP_Insert, K::Numpad0),
        (key::KP_End, K::Numpad1),
        (key::KP_Down, K::Numpad2),
        (key::KP_Page_Down, K::Numpad3),
        (key::KP_Left, K::Numpad4),
        (key::KP_Begin, K::Numpad5),
        (key::KP_Right, K::Numpad6),
        (key::KP_Home, K::Numpad7),
        (key::KP_Up, K::Numpad8),
        (key::KP_Page_Up, K::Numpad9),
        (key::KP_Delete, K::NumpadDecimal),
        (key::KP_Decimal, K::NumpadDecimal),
        (key::KP_Add, K::NumpadAdd),
        (key::KP_Subtract, K::NumpadSubtract),
        (key::KP_Multiply, K::NumpadMultiply),
        (key::KP_Divide, K::NumpadDivide),
        (key::KP_Enter, K::NumpadEnter),
    ]
};

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers from linux/input-event-codes.h, keysyms from X11/keysymdef.h.
    #[test]
    fn keys_have_the_numbers_of_linux() {
        let browser = [
            ("Escape", 1),
            ("Digit1", 2),
            ("Digit0", 11),
            ("KeyQ", 16),
            ("Enter", 28),
            ("ControlLeft", 29),
            ("KeyA", 30),
            ("ShiftLeft", 42),
            ("KeyZ", 44),
            ("Space", 57),
            ("F1", 59),
            ("F12", 88),
            ("IntlBackslash", 86),
            ("NumpadEnter", 96),
            ("AltRight", 100),
            ("ArrowUp", 103),
            ("ArrowDown", 108),
            ("Delete", 111),
            ("Pause", 119),
            ("MetaLeft", 125),
            ("ContextMenu", 127),
        ];
        for (code, number) in browser {
            assert_eq!(of_browser(code), Some(number), "{code}");
        }
        let keysyms = [
            (0x20, 57),
            (0x21, 2),
            (0x29, 11),
            (0x31, 2),
            (0x41, 30),
            (0x61, 30),
            (0x7a, 44),
            (0x7e, 41),
            (0x2f, 53),
            (0x5c, 43),
            (0xff08, 14),
            (0xff0d, 28),
            (0xff1b, 1),
            (0xff51, 105),
            (0xff8d, 96),
            (0xffb0, 82),
            (0xffbe, 59),
            (0xffc9, 88),
            (0xffe1, 42),
            (0xffe9, 56),
            (0xffeb, 125),
            (0xffff, 111),
        ];
        for (keysym, number) in keysyms {
            assert_eq!(of_keysym(keysym), Some(number), "{keysym:#x}");
        }
    }

    #[test]
    fn every_printed_sign_is_on_the_keyboard() {
        for printed in ' '..='~' {
            assert!(of_keysym(u32::from(printed)).is_some(), "{printed}");
        }
        for (keysym, _) in NAMED {
            assert!(of_keysym(*keysym).is_some(), "{keysym:#x}");
        }
    }

    #[test]
    fn what_is_no_key_has_no_number() {
        assert_eq!([of_browser(""), of_browser("KeyÄ"), of_browser("Fn")], [None; 3]);
        assert_eq!([of_keysym(0), of_keysym(7), of_keysym(0xe4), of_keysym(u32::MAX)], [None; 4]);
    }
}
