//! A scatter-gather list in guest memory, and accesses through it, beside a list that is read byte by byte.
#![no_main]

use fencepost_devices::ports::Iova;
use fencepost_devices::sg::SgList;
use fencepost_devices::testing::World;
use fencepost_fuzz::bytes::Bytes;
use libfuzzer_sys::fuzz_target;

const MEMORY_BYTES: usize = 0x1_0000;
/// Where the list is; what an input says of it goes there.
const TABLE: usize = 0x100;
/// The largest buffer that is looked at byte by byte.
const MODEL_MAX: u64 = 0x4000;

fuzz_target!(|data: &[u8]| {
    let mut from = Bytes::new(data);
    let (count, accesses) = (u32::from(from.u16()), from.u8() % 16);
    let asked: Vec<(u64, usize, bool)> = (0..accesses).map(|_| access(&mut from)).collect();
    let mut world = World::new(MEMORY_BYTES);
    (0..).zip(world.memory_mut()).for_each(|(at, byte): (u32, _)| *byte = (at ^ at >> 8) as u8);
    let table = from.rest();
    let len = table.len().min(MEMORY_BYTES - TABLE);
    world.memory_mut()[TABLE..][..len].copy_from_slice(&table[..len]);
    let Ok(list) = SgList::fetch(Iova(TABLE as u64), count, &mut world.ports()) else { return };
    assert_eq!(list.segments().len(), count as usize);
    assert_eq!(SgList::from_segments(list.segments().to_vec()).as_ref(), Ok(&list));
    for (offset, len, write) in asked {
        let mut buffer = vec![0xa5; len];
        let done = match write {
            true => list.write(offset, &buffer, &mut world.ports()),
            false => list.read(offset, &mut buffer, &mut world.ports()),
        };
        if offset + len as u64 > list.len_bytes() {
            assert!(done.is_err(), "beyond the end");
        } else if let (Ok(()), Some(places)) = (done, places(&list)) {
            let places = &places[offset as usize..][..len];
            let memory = world.memory_mut();
            let seen: Vec<u8> = places.iter().map(|&at| memory[at as usize]).collect();
            assert_eq!(seen, buffer, "at {offset:#x}, written: {write}");
        }
    }
});

fn access(from: &mut Bytes<'_>) -> (u64, usize, bool) {
    let (offset, len) = (from.u32(), from.u16());
    (u64::from(offset & 0xf_ffff), usize::from(len & 0xfff), len & 0x8000 != 0)
}

/// The address of each byte of the buffer.
fn places(list: &SgList) -> Option<Vec<u64>> {
    let of = |segment: &fencepost_devices::sg::Segment| {
        segment.iova.0..segment.iova.0 + u64::from(segment.len_bytes)
    };
    (list.len_bytes() <= MODEL_MAX).then(|| list.segments().iter().flat_map(of).collect())
}
