//! What the guest's agent writes to the trace port: the stream, layouts of events, pages of the ring buffer.
#![no_main]

use fencepost_fuzz::bytes::Bytes;
use fencepost_trace::ftrace::{DEFINITIONS_MAX_BYTES, Decoder, News};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut whole = Vec::new();
    let mut decoder = Decoder::new();
    decoder.push(data, &mut |news| whole.push(news));
    let defined = whole.iter().filter_map(|news| match news {
        News::Definition(definition) => Some(definition.size()),
        _ => None,
    });
    assert!(defined.sum::<usize>() <= DEFINITIONS_MAX_BYTES);
    // The same stream in pieces brings the same news.
    let (mut pieces, mut news) = (Decoder::new(), Vec::new());
    let mut from = Bytes::new(data);
    while !from.is_empty() {
        pieces.push(from.take(7), &mut |one| news.push(one));
    }
    assert!(whole == news && decoder.refused() == pieces.refused());
});
