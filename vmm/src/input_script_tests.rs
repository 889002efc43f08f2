//! Lines of a script, right and wrong.

use super::*;
use crate::config::DeviceConfig;

fn machine(kinds: &[&str]) -> MachineConfig {
    let devices = (5..).zip(kinds).map(|(slot, kind)| DeviceConfig::new(kind, slot)).collect();
    MachineConfig { devices, ..MachineConfig::default() }
}

#[test]
fn lines_say_when_and_what() {
    let key = |code, pressed| Input::Key { code, pressed };
    let cases: [(&str, Vec<Step>); 9] = [
        ("", vec![]),
        ("  # nothing", vec![]),
        ("2s press KeyA", vec![(None, 2_000_000_000, key(30, true))]),
        ("1500ms release Enter # done", vec![(None, 1_500_000_000, key(28, false))]),
        ("mark:3 tap 57", vec![(Some(3), 0, key(57, true)), (Some(3), 0, key(57, false))]),
        ("mark:3+20us move 0 32767", vec![(Some(3), 20_000, Input::Absolute { x: 0, y: 32767 })]),
        ("0s wheel -2", vec![(None, 0, Input::Wheel(-2))]),
        ("1ns press left", vec![(None, 1, Input::Button { button: Button::Left, pressed: true })]),
        ("1ns release ArrowLeft", vec![(None, 1, key(105, false))]),
    ];
    for (line, steps) in cases {
        assert_eq!(parse(line), Ok(steps), "{line}");
    }
}

#[test]
fn wrong_lines_say_what_to_write() {
    for (line, said) in [
        ("soon press KeyA", "'soon' is no time; write 1500ms, mark:3 or mark:3+20ms"),
        ("2s+3s press KeyA", "'2s+3s' is no time; write 1500ms, mark:3 or mark:3+20ms"),
        ("mark:1+mark:2 press KeyA", "is no time"),
        ("mark:256 press KeyA", "is no time"),
        ("2s", "'' is nothing to do; write press KEY, release KEY, tap KEY, move X Y or wheel N"),
        ("2s hit KeyA", "'hit KeyA' is nothing to do"),
        ("2s press", "'press' is nothing to do"),
        (
            "2s press Any",
            "there is no key 'Any'; write a browser's name such as KeyA or Enter, a number from 1 to 248",
        ),
        ("2s press 0", "there is no key '0'"),
        ("2s press 249", "there is no key '249'"),
        ("2s move 0 32768", "'32768' is no place; write a whole number from 0 to 32767"),
        ("2s move -1 0", "'-1' is no place"),
        ("2s wheel 200", "'200' is no whole number from -128 to 127"),
    ] {
        let why = parse(line).expect_err(line);
        assert!(why.contains(said), "{line}: {why}");
    }
}

#[test]
fn a_script_is_for_devices_that_there_are() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("script");
    std::fs::write(&path, "1s tap KeyA\n\n2s move 1 2\n").unwrap();
    assert!(read(&path, &machine(&[KEYBOARD, TABLET, KEYBOARD])).is_ok());
    let error = read(&path, &machine(&[KEYBOARD])).unwrap_err().to_string();
    assert!(error.contains("line 3: the machine has no virtio-tablet"), "{error}");
    assert!(error.contains("--device virtio-tablet"), "{error}");
    std::fs::write(&path, "\n1s tap\n").unwrap();
    assert!(read(&path, &machine(&[KEYBOARD])).unwrap_err().to_string().contains("script: line 2: 'tap'"));
    assert!(read(&folder.path().join("none"), &machine(&[])).unwrap_err().to_string().contains("none: "));
}

#[test]
fn what_has_no_end_is_no_script() {
    for endless in ["/dev/zero", "/dev/urandom"] {
        let error = read(Path::new(endless), &machine(&[KEYBOARD])).unwrap_err().to_string();
        assert!(error.contains(&format!("--input {endless}: ")), "{error}");
    }
    let folder = tempfile::tempdir().unwrap();
    let (path, large) = (folder.path().join("large"), "# nothing\n".repeat(2 << 20));
    std::fs::write(&path, &large[..MAX_BYTES as usize]).unwrap();
    assert!(read(&path, &machine(&[])).is_ok());
    std::fs::write(&path, &large[..MAX_BYTES as usize + 1]).unwrap();
    assert!(read(&path, &machine(&[])).unwrap_err().to_string().contains("larger than 16 MiB"));
}
