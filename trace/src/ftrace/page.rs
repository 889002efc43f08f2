//! Pages of the kernel's ring buffer, as `per_cpu/cpuN/trace_pipe_raw` gives them.
//!
//! Source: the kernel's `include/linux/ring_buffer.h` (the kinds of events), `events/header_page` and
//! `events/header_event` of a running kernel (where the parts are).

use serde::{Deserialize, Serialize};

use super::format::number;

/// Bits of an event's first word that say what it is; the rest is the time since the event before it.
const TYPE_BITS: u32 = 5;
const DELTA_BITS: u32 = 27;
/// `type_len` of the special events; smaller values are data of so many words, 0 is data whose length follows.
const PADDING: u32 = 29;
const TIME_EXTEND: u32 = 30;
const TIME_STAMP: u32 = 31;
/// Bits of the commit field: events are missing before this page; their number stands behind the data.
const MISSED: u64 = 1 << 31;
const MISSED_STORED: u64 = 1 << 30;
/// An absolute stamp has 59 bits; those above come from the time before it.
const STAMP_BITS: u32 = 59;
/// The length field of an event counts from its own place.
const WORD: usize = 4;

/// Where the parts of a page's header are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageLayout {
    commit: usize,
    commit_size: usize,
    data: usize,
}

impl PageLayout {
    /// Reads the text of `events/header_page`. `None` if it is not one.
    pub fn parse(text: &str) -> Option<PageLayout> {
        let part = |name: &str| {
            let line = text.lines().find(|line| line.split(';').next().is_some_and(|d| d.ends_with(name)))?;
            let value = |key| {
                let of = line.split(';').find_map(|part| part.trim().strip_prefix(key))?;
                of.parse::<u16>().ok().map(usize::from)
            };
            Some((value("offset:")?, value("size:")?))
        };
        let ((0, 8), (commit, commit_size)) = (part(" timestamp")?, part(" commit")?) else { return None };
        let (data, _) = part(" data")?;
        matches!(commit_size, 4 | 8).then_some(PageLayout { commit, commit_size, data })
    }
}

/// A page that breaks its own rules; what was read of it up to there counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken;

/// Calls `event` with the cycles and the record of each event on `page`, in order.
pub fn events(layout: PageLayout, page: &[u8], event: &mut dyn FnMut(u64, &[u8])) -> Result<(), Broken> {
    let mut time = number(page.get(..8).ok_or(Broken)?);
    let commit_end = layout.commit.checked_add(layout.commit_size).ok_or(Broken)?;
    let commit = number(page.get(layout.commit..commit_end).ok_or(Broken)?);
    let length = usize::try_from(commit & !(MISSED | MISSED_STORED)).map_err(|_| Broken)?;
    let end = layout.data.checked_add(length).ok_or(Broken)?;
    let mut rest = page.get(layout.data..end).ok_or(Broken)?;
    while !rest.is_empty() {
        let word = word_at(rest, 0)?;
        let (kind, delta) = (word & ((1 << TYPE_BITS) - 1), u64::from(word >> TYPE_BITS));
        let size = match kind {
            PADDING if delta == 0 => break,
            PADDING => {
                time = time.wrapping_add(delta);
                word_at(rest, WORD)?.checked_add(WORD as u32).ok_or(Broken)? as usize
            }
            TIME_EXTEND => {
                let high = u64::from(word_at(rest, WORD)?) << DELTA_BITS;
                time = time.wrapping_add(high).wrapping_add(delta);
                2 * WORD
            }
            TIME_STAMP => {
                time = absolute(time, u64::from(word_at(rest, WORD)?) << DELTA_BITS | delta);
                2 * WORD
            }
            _ => {
                time = time.wrapping_add(delta);
                let (start, size) = data(rest, kind)?;
                event(time, rest.get(start..size).ok_or(Broken)?);
                size
            }
        };
        rest = rest.get(size..).ok_or(Broken)?;
    }
    Ok(())
}

/// Where the record of a data event begins and ends.
fn data(event: &[u8], type_len: u32) -> Result<(usize, usize), Broken> {
    let (start, length) = match type_len {
        0 => (2 * WORD, word_at(event, WORD)? as usize),
        words => (WORD, (words as usize).saturating_mul(WORD)),
    };
    let end = length.checked_add(WORD).ok_or(Broken)?.checked_next_multiple_of(WORD).ok_or(Broken)?;
    if end < start { Err(Broken) } else { Ok((start, end)) }
}

/// An absolute stamp with the high bits of the time before it (`rb_fix_abs_ts` does the same).
fn absolute(before: u64, stamp: u64) -> u64 {
    let high = before >> STAMP_BITS << STAMP_BITS;
    let full = high | stamp;
    if high != 0 && full < before { full.wrapping_add(1 << STAMP_BITS) } else { full }
}

fn word_at(bytes: &[u8], at: usize) -> Result<u32, Broken> {
    let end = at.checked_add(WORD).ok_or(Broken)?;
    bytes.get(at..end).map(|word| number(word) as u32).ok_or(Broken)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "\tfield: u64 timestamp;\toffset:0;\tsize:8;\tsigned:0;\n\
        \tfield: local_t commit;\toffset:8;\tsize:8;\tsigned:1;\n\
        \tfield: int overwrite;\toffset:8;\tsize:1;\tsigned:1;\n\
        \tfield: char data;\toffset:16;\tsize:4080;\tsigned:0;\n";

    fn page(time: u64, words: &[u32]) -> Vec<u8> {
        let mut page = time.to_le_bytes().to_vec();
        page.extend((words.len() as u64 * 4).to_le_bytes());
        page.extend(words.iter().flat_map(|word| word.to_le_bytes()));
        page
    }

    fn head(kind: u32, delta: u32) -> u32 {
        kind | delta << 5
    }

    type Seen = Vec<(u64, Vec<u8>)>;

    fn read(page: &[u8]) -> (Seen, Result<(), Broken>) {
        let mut seen = Vec::new();
        let layout = PageLayout::parse(HEADER).expect("a header page");
        let result = events(layout, page, &mut |time, record| seen.push((time, record.to_vec())));
        (seen, result)
    }

    #[test]
    fn each_kind_of_event_moves_time_as_it_should() {
        let words = [
            head(1, 5),
            0x0403_0201,
            head(TIME_EXTEND, 3),
            2,
            head(0, 1),
            8,
            0x1111_1111,
            head(PADDING, 4),
            4,
            head(TIME_STAMP, 7),
            9,
            head(1, 0),
            0,
            head(PADDING, 0),
            head(1, 0),
        ];
        let (seen, result) = read(&page(1000, &words));
        let long = 1005 + (2 << 27) + 3 + 1;
        let expected = [(1005, vec![1, 2, 3, 4]), (long, vec![0x11; 4]), ((9 << 27) + 7, vec![0; 4])];
        assert_eq!((seen.as_slice(), result), (&expected[..], Ok(())));
    }

    #[test]
    fn an_absolute_stamp_keeps_the_high_bits_and_does_not_go_back() {
        assert_eq!(absolute(0, 5), 5);
        assert_eq!(absolute(1 << 60 | 9, 10), 1 << 60 | 10);
        assert_eq!(absolute(1 << 60 | 9, 8), (1 << 60 | 8) + (1 << 59));
    }

    #[test]
    fn a_length_beyond_the_page_ends_it() {
        for words in
            [&[head(0, 0), 0xffff_ffff][..], &[head(5, 0), 1], &[head(TIME_EXTEND, 0)], &[head(0, 0), 0]]
        {
            assert_eq!(read(&page(0, words)), (vec![], Err(Broken)), "{words:x?}");
        }
        let mut long = page(0, &[head(1, 0), 0]);
        long[8] = 200;
        assert_eq!(read(&long), (vec![], Err(Broken)));
    }

    #[test]
    fn missed_events_do_not_spoil_the_length() {
        let mut missed = page(0, &[head(1, 2), 7]);
        missed[11] = 0xc0;
        missed.extend(3u64.to_le_bytes());
        assert_eq!(read(&missed), (vec![(2, vec![7, 0, 0, 0])], Ok(())));
    }
}
