//! What printk puts before a message: `<6>[   12.345678] `, and with `CONFIG_PRINTK_CALLER` the caller behind that,
//! `[   12.345678][  T117] ` (kernel/printk/printk.c; the level is of `dmesg --raw` and of the console's own format).

/// What stands before a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prefix<'a> {
    /// The level, 0 to 7 (include/linux/kern_levels.h), of a message's `<N>`; the facility is taken out.
    pub level: Option<u8>,
    /// Seconds since the kernel began, as the line has them.
    pub stamp: Option<&'a str>,
}

/// Takes apart a line that may begin with a level and a stamp. What follows keeps its indentation.
pub fn split(line: &str) -> (Prefix<'_>, &str) {
    let (level, rest) = level(line).map_or((None, line), |(level, rest)| (Some(level), rest));
    match behind_stamp(rest) {
        Some((stamp, rest)) => (Prefix { level, stamp: Some(stamp) }, rest),
        None => (Prefix { level, stamp: None }, rest),
    }
}

/// The line without its level and stamp.
pub fn message(line: &str) -> &str {
    split(line).1
}

/// What stands behind each time stamp on a line: a console shows a message behind whatever stands there already.
pub fn stamped(line: &str) -> impl Iterator<Item = &str> {
    line.match_indices('[').filter_map(|(at, _)| Some(behind_stamp(line.get(at..)?)?.1))
}

fn level(line: &str) -> Option<(u8, &str)> {
    let (number, rest) = line.strip_prefix('<')?.split_once('>')?;
    let number: u16 = number.parse().ok()?;
    Some(((number % 8) as u8, rest))
}

/// A stamp at the start of `text`, and the text behind it.
fn behind_stamp(text: &str) -> Option<(&str, &str)> {
    let (stamp, rest) = bracketed(text)?;
    let stamp = stamp.trim_start_matches(' ');
    let (seconds, micros) = stamp.split_once('.')?;
    let number = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if !number(seconds) || !number(micros) || micros.len() != 6 {
        return None;
    }
    let rest = match bracketed(rest) {
        Some((caller, behind)) if number(caller.trim_start_matches(' ').trim_start_matches(['T', 'C'])) => {
            behind
        }
        _ => rest,
    };
    Some((stamp, rest.strip_prefix(' ')?))
}

/// What brackets at the start of `text` hold, and what follows them.
fn bracketed(text: &str) -> Option<(&str, &str)> {
    text.strip_prefix('[')?.split_once(']')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_stands_behind_its_stamp_wherever_that_is() {
        for (line, messages) in [
            ("[    0.505404] Kernel panic", &["Kernel panic"][..]),
            ("[123456.000001] x", &["x"]),
            ("[    1.000000][    T1] x", &["x"]),
            ("[    1.000000][   C0] x", &["x"]),
            ("~ # [   12.345678] x", &["x"]),
            ("[    1.000000] [drm] x", &["[drm] x"]),
            (
                "[    1.000000] ------------[ cut here ]------------",
                &["------------[ cut here ]------------"],
            ),
            ("[    1.000000] a [    2.000000] b", &["a [    2.000000] b", "b"]),
            ("[    1.000000] ", &[""]),
        ] {
            assert_eq!(stamped(line).collect::<Vec<_>>(), messages, "{line}");
        }
    }

    #[test]
    fn what_is_no_stamp_is_none() {
        for line in [
            "Kernel panic",
            "[1.5] x",
            "[    1.00000] x",
            "[    1.0000000] x",
            "[     .000000] x",
            "[   -1.000000] x",
            "[    1.000000]x",
            "[    1.000000",
            "[    1,000000] x",
            "",
            "[",
        ] {
            assert_eq!(stamped(line).count(), 0, "{line}");
        }
    }

    #[test]
    fn a_level_may_stand_before_it_and_the_text_keeps_its_indentation() {
        let prefix = |level, stamp| Prefix { level, stamp };
        for (line, is) in [
            ("<6>[    1.500000]     ok 1 x", (prefix(Some(6), Some("1.500000")), "    ok 1 x")),
            ("<3>x", (prefix(Some(3), None), "x")),
            ("<30>[    1.500000][  T12] x", (prefix(Some(6), Some("1.500000")), "x")),
            ("  x", (prefix(None, None), "  x")),
            ("<x>y", (prefix(None, None), "<x>y")),
            ("<3", (prefix(None, None), "<3")),
        ] {
            assert_eq!(split(line), is, "{line}");
        }
    }
}
