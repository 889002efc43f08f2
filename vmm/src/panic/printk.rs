//! What of a console's line is the kernel's: printk puts a time stamp before each of its lines, `[   12.345678] `, and with
//! `CONFIG_PRINTK_CALLER` the caller behind it, `[   12.345678][  T117] ` (kernel/printk/printk.c).

/// What stands behind each time stamp on a line.
pub fn stamped(line: &str) -> impl Iterator<Item = &str> {
    line.match_indices('[').filter_map(|(at, _)| behind_stamp(line.get(at..)?))
}

/// The text behind a stamp at the start of `text`.
fn behind_stamp(text: &str) -> Option<&str> {
    let (stamp, rest) = bracketed(text)?;
    let (seconds, micros) = stamp.trim_start_matches(' ').split_once('.')?;
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
    rest.strip_prefix(' ')
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
}
