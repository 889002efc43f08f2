//! Texts as people are to read them: those of a guest's made safe to print, since a guest must not steer the terminal or the report's
//! reader; and errors.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Whether a terminal shows the character and does nothing else with it: no control character, none that turns the direction of the
/// text or joins what stands apart (Unicode's categories Cc, and those of Cf that do such things).
pub fn is_plain(character: char) -> bool {
    !character.is_control()
        && !matches!(character, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// The text on one line: tabs and ends of lines become spaces, what is not plain becomes U+FFFD.
pub fn one_line(text: &str) -> String {
    let shown = |character| match character {
        '\t' | '\n' | '\r' => ' ',
        character if is_plain(character) => character,
        _ => '\u{fffd}',
    };
    text.trim_end().chars().map(shown).collect()
}

/// The lines of a text, each made plain; an empty text has none.
pub fn lines(text: &str) -> impl Iterator<Item = String> {
    text.lines().map(one_line)
}

/// Columns that a terminal needs for the text.
pub fn width(text: &str) -> usize {
    text.width()
}

/// The text, cut to at most so many columns; where something was cut, it ends with an ellipsis.
pub fn cut(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let mut left = columns.saturating_sub(1);
    let fits = |character: &char| {
        let needs = character.width().unwrap_or(0);
        let fits = needs <= left;
        left = left.saturating_sub(needs);
        fits
    };
    let kept: String = text.chars().take_while(fits).collect();
    if columns == 0 { kept } else { kept + "…" }
}

/// The text in lines of at most so many columns, broken between words where that is possible.
pub fn wrap(text: &str, columns: usize) -> Vec<String> {
    let columns = columns.max(8);
    let mut lines = vec![String::new()];
    for mut word in text.split(' ').filter(|word| !word.is_empty()).map(str::to_owned) {
        loop {
            let line = lines.last_mut().expect("there is always one");
            let space = usize::from(!line.is_empty());
            if line.width() + space + word.width() <= columns {
                line.push_str(if space == 1 { " " } else { "" });
                line.push_str(&word);
                break;
            }
            if !line.is_empty() {
                lines.push(String::new());
                continue;
            }
            let mut used = 0;
            let end = word.char_indices().find(|(_, character)| {
                used += character.width().unwrap_or(0);
                used > columns
            });
            let rest = word.split_off(end.map_or(word.len(), |(at, _)| at));
            line.push_str(&word);
            lines.push(String::new());
            word = rest;
        }
    }
    if lines.len() > 1 && lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    lines
}

/// The start of a text, at most so many bytes of it.
pub fn at_most(text: &str, bytes: usize) -> &str {
    let end = (0..=bytes.min(text.len())).rev().find(|&end| text.is_char_boundary(end));
    text.get(..end.unwrap_or(0)).unwrap_or_default()
}

/// An I/O error without "(os error N)".
pub fn plain(error: &std::io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error") {
        Some(end) => text[..end].to_string(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_is_replaced() {
        assert_eq!(one_line("a\x1b[2Jb\tc\r\nd\u{202e}e\n"), "a\u{fffd}[2Jb c  d\u{fffd}e");
        assert_eq!(lines("one\ntwo\n").collect::<Vec<_>>(), ["one", "two"]);
        assert_eq!(lines("").count(), 0);
    }

    #[test]
    fn wide_characters_count_twice_when_a_line_is_cut() {
        assert_eq!(cut("abcdef", 6), "abcdef");
        assert_eq!(cut("abcdefg", 6), "abcde…");
        assert_eq!(cut("漢字漢字", 6), "漢字…");
        assert_eq!(cut("abc", 0), "");
    }

    #[test]
    fn lines_break_between_words_and_in_long_ones() {
        assert_eq!(wrap("the quick brown fox", 10), ["the quick", "brown fox"]);
        assert_eq!(wrap("abcdefghijkl x", 8), ["abcdefgh", "ijkl x"]);
        assert_eq!(wrap("", 10), [""]);
        assert_eq!(wrap("abcdefgh", 8), ["abcdefgh"]);
    }

    #[test]
    fn a_text_is_not_cut_within_a_character() {
        assert_eq!((at_most("aä", 2), at_most("aä", 3), at_most("", 3)), ("a", "aä", ""));
    }
}
