use fencepost_random::Random;

use super::*;

/// Reads a whole index, as the format is described: every key with its values in their order.
fn read(bytes: &[u8]) -> Vec<(String, u32, String)> {
    let word = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().expect("4 bytes"));
    assert_eq!((word(0), word(4)), (0xb007_f457, 0x0002_0001));
    let text = |at: usize| {
        let end = at + bytes[at..].iter().position(|byte| *byte == 0).expect("it ends");
        (String::from_utf8(bytes[at..end].to_vec()).expect("text"), end + 1)
    };
    let mut found = Vec::new();
    let mut left = vec![(word(8), String::new())];
    while let Some((place, mut key)) = left.pop() {
        let mut at = (place & 0x0fff_ffff) as usize;
        if place & 0x8000_0000 != 0 {
            let (prefix, end) = text(at);
            key.push_str(&prefix);
            at = end;
        }
        if place & 0x2000_0000 != 0 {
            let (first, last) = (bytes[at], bytes[at + 1]);
            at += 2;
            for byte in first..=last {
                if word(at) != 0 {
                    left.push((word(at), format!("{key}{}", byte as char)));
                }
                at += 4;
            }
        }
        if place & 0x4000_0000 != 0 {
            let count = word(at);
            at += 4;
            for _ in 0..count {
                let (value, end) = text(at + 4);
                found.push((key.clone(), word(at), value));
                at = end;
            }
        }
    }
    found.sort_by(|(a, ..), (b, ..)| a.cmp(b));
    found
}

fn written(entries: &[(&str, u32, &str)]) -> Vec<u8> {
    let mut index = Index::default();
    entries
        .iter()
        .for_each(|(key, priority, value)| index.add(key.to_string(), *priority, value.to_string()));
    index.write().expect("small")
}

#[test]
fn a_small_index_is_what_the_format_says() {
    // By hand: the root has the child "on", which has the child "once".
    let mut expected = vec![0xb0, 0x07, 0xf4, 0x57, 0, 2, 0, 1];
    // The root's place is 42, and it has children.
    expected.extend([0x20, 0, 0, 42]);
    // At 12: a prefix behind "onc", and one value of priority 7.
    expected.extend(*b"e\0\0\0\0\x01\0\0\0\x07w\0");
    // At 24: a prefix behind "o"; one child, with prefix and values, at 12; one value of priority 1.
    expected.extend(*b"n\0cc\xc0\0\0\x0c\0\0\0\x01\0\0\0\x01v\0");
    // At 42: one child, with all three, at 24.
    expected.extend(*b"oo\xe0\0\0\x18");
    assert_eq!(written(&[("once", 7, "w"), ("on", 1, "v")]), expected);
}

#[test]
fn everything_is_found_again_with_low_priorities_first() {
    let mut random = Random::new(1);
    let mut entries = Vec::new();
    for _ in 0..2000 {
        let length = 1 + random.below(6) as usize;
        let key: String = (0..length).map(|_| (b'a' + random.below(4) as u8) as char).collect();
        entries.push((key, random.below(5) as u32, format!("v{}", random.below(3))));
    }
    let mut index = Index::default();
    entries.iter().cloned().for_each(|(key, priority, value)| index.add(key, priority, value));
    entries.sort();
    assert_eq!(read(&index.write().expect("small")), entries);
}

#[test]
fn keys_that_no_index_can_have_are_left_out() {
    let long = "k".repeat(1024);
    let bytes = written(&[
        ("plain", 0, "x"),
        ("größe", 0, "x"),
        ("a\0b", 0, "x"),
        (&long, 0, "x"),
        (&long[1..], 0, "y"),
    ]);
    let keys: Vec<String> = read(&bytes).into_iter().map(|(key, ..)| key).collect();
    assert_eq!(keys, [&long[1..], "plain"]);
    assert_eq!(read(&written(&[])), []);
}
