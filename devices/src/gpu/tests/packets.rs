use zerocopy::little_endian::U32;

use super::fixture::*;
use crate::gpu::packet::{RawOperand, RawPacket};
use crate::pixel::{self, Range};
use crate::testing::FakeTrace;
use fencepost_trace::{EngineId, Event, JobKind};

fn convert(flags: u32, planes: [RawOperand; 3], width: u32, height: u32) -> RawPacket {
    let [dst, src, src2] = planes;
    let (width, height) = (U32::new(width), U32::new(height));
    RawPacket { flags: U32::new(flags), dst, src, src2, width, height, ..packet(3) }
}

fn events(trace: &mut FakeTrace) -> Vec<Event> {
    std::mem::take(&mut trace.events)
}

#[test]
fn a_fill_writes_its_rows_and_nothing_else() {
    let mut driver = Driver::new();
    let list = driver.pages(&PAGES);
    // Rows of 3 pixels, a stride that makes the second row cross from the first page to the second.
    driver.run(0, &[fill(list.at(4080, 8 + 4), 8, 2, 0x4433_2211)]);
    let mut want = vec![0; 4 * 4096];
    want[4080..4088].copy_from_slice(&[0x11, 0x22, 0x33, 0x44, 0x11, 0x22, 0x33, 0x44]);
    want[4092..4100].copy_from_slice(&[0x11, 0x22, 0x33, 0x44, 0x11, 0x22, 0x33, 0x44]);
    assert_eq!(driver.contents(&PAGES), want);
}

#[test]
fn a_fill_keeps_its_phase_across_odd_segments() {
    let mut driver = Driver::new();
    let list = driver.list(&[(0x2_0000, 3), (0x2_1000, 5)]);
    driver.run(0, &[fill(list.at(0, 0), 8, 1, 0x0403_0201)]);
    assert_eq!(driver.world.memory_mut()[0x2_0000..0x2_0003], [1, 2, 3]);
    assert_eq!(driver.world.memory_mut()[0x2_1000..0x2_1005], [4, 1, 2, 3, 4]);
}

#[test]
fn a_linear_copy_moves_more_than_one_piece() {
    let mut driver = Driver::new();
    let (src, dst) = (0x4_0000u64, 0x8_0000u64);
    let bytes = noise(200_000);
    driver.world.memory_mut()[src as usize..][..bytes.len()].copy_from_slice(&bytes);
    let (from, to) =
        (driver.list(&[(src, 200_000)]), driver.list(&[(dst, 100_001), (dst + 100_001, 99_999)]));
    driver.run(0, &[copy(to.at(0, 0), from.at(0, 0), 200_000, 1)]);
    assert!(driver.world.memory_mut()[dst as usize..][..bytes.len()] == bytes);
}

#[test]
fn a_copy_of_rows_changes_the_stride() {
    let mut driver = Driver::new();
    let bytes = noise(64);
    driver.store(&PAGES, &bytes);
    let (from, to) = (driver.pages(&PAGES), driver.pages(&OTHER_PAGES));
    driver.run(0, &[copy(to.at(100, 7), from.at(1, 10), 5, 3)]);
    let mut want = vec![0; 4 * 4096];
    want[100..105].copy_from_slice(&bytes[1..6]);
    want[107..112].copy_from_slice(&bytes[11..16]);
    want[114..119].copy_from_slice(&bytes[21..26]);
    assert_eq!(driver.contents(&OTHER_PAGES), want);
}

#[test]
fn yuyv_is_converted_pixel_by_pixel() {
    let (width, height, stride) = (32usize, 24usize, 80usize);
    for (flags, range) in [(0, Range::Limited), (4, Range::Full)] {
        let mut driver = Driver::new();
        let bytes = noise(stride * height);
        driver.store(&PAGES, &bytes);
        let (from, to) = (driver.pages(&PAGES), driver.pages(&OTHER_PAGES));
        let planes = [to.at(4, 132), from.at(2, stride as u32), RawOperand::default()];
        driver.run(0, &[convert(flags, planes, width as u32, height as u32 - 1)]);
        let out = driver.contents(&OTHER_PAGES);
        for y in 0..height - 1 {
            for x in 0..width {
                let pair = 2 + y * stride + x / 2 * 4;
                let [r, g, b] =
                    pixel::ycbcr_to_rgb(range, bytes[pair + x % 2 * 2], bytes[pair + 1], bytes[pair + 3]);
                assert_eq!(out[4 + y * 132 + x * 4..][..4], [b, g, r, 0xff], "{x} {y}");
            }
        }
    }
}

#[test]
fn nv12_is_converted_from_two_windows_of_one_buffer() {
    let (width, height) = (32usize, 16usize);
    let mut driver = Driver::new();
    let bytes = noise(width * height * 3 / 2);
    driver.store(&PAGES, &bytes);
    let (from, to) = (driver.pages(&PAGES), driver.pages(&OTHER_PAGES));
    let planes = [to.at(0, 128), from.at(0, 32), from.at(512, 32)];
    driver.run(0, &[convert(1, planes, 32, 16)]);
    let out = driver.contents(&OTHER_PAGES);
    for y in 0..height {
        for x in 0..width {
            let chroma = 512 + y / 2 * 32 + x / 2 * 2;
            let [r, g, b] =
                pixel::ycbcr_to_rgb(Range::Limited, bytes[y * 32 + x], bytes[chroma], bytes[chroma + 1]);
            assert_eq!(out[y * 128 + x * 4..][..4], [b, g, r, 0xff], "{x} {y}");
        }
    }
}

#[test]
fn a_conversion_goes_across_odd_segments() {
    // Blocks of sixteen pixels, pixels and rows are cut by the ends of segments and of the row, wherever they are.
    let (width, height, at) = (50usize, 6usize, 0x5_0000u64);
    for (format, stride) in [(0, 4 * width), (1, 4 * width), (1, 4 * width + 3)] {
        let mut driver = Driver::new();
        let bytes = noise(width * height * 2);
        driver.store(&PAGES, &bytes);
        let lengths = [1, 3, 64, 5, 63, 200, 128, 130, 7, 57, 64, 64, 900];
        let mut segments = Vec::new();
        let mut start = at;
        for len in lengths {
            segments.push((start, len));
            start += u64::from(len) + 32;
        }
        let (from, to) = (driver.pages(&PAGES), driver.list(&segments));
        let luma = (width * height) as u32;
        let row = if format == 0 { 2 * width } else { width } as u32;
        let chroma = if format == 0 { RawOperand::default() } else { from.at(luma.into(), width as u32) };
        let planes = [to.at(1, stride as u32), from.at(0, row), chroma];
        driver.run(0, &[convert(format, planes, width as u32, height as u32)]);
        let memory = driver.world.memory_mut();
        let out: Vec<u8> = segments
            .iter()
            .flat_map(|&(start, len)| memory[start as usize..][..len as usize].to_vec())
            .collect();
        let mut want = vec![0; out.len()];
        for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
            let pair = y * row as usize + x / 2 * 4;
            let chroma = luma as usize + y / 2 * width + x / 2 * 2;
            let [luma, cb, cr] = match format {
                0 => [pair + x % 2 * 2, pair + 1, pair + 3],
                _ => [y * width + x, chroma, chroma + 1],
            };
            let [r, g, b] = pixel::ycbcr_to_rgb(Range::Limited, bytes[luma], bytes[cb], bytes[cr]);
            want[1 + y * stride + x * 4..][..4].copy_from_slice(&[b, g, r, 0xff]);
        }
        assert!(out == want, "format {format}, stride {stride}");
    }
}

#[test]
fn a_fence_writes_its_word_then_raises_its_rings_vector() {
    let mut driver = Driver::new();
    driver.run(1, &[fence(0x1_0000_0007)]);
    assert_eq!(driver.word(fence_word(1)), 0x1_0000_0007);
    assert_eq!(driver.read64(1, SEQNO), 0x1_0000_0007);
    assert_eq!(driver.world.take_raised(), [1]);
}

#[test]
fn the_ring_wraps_and_counts_packets() {
    let mut driver = Driver::new();
    for round in 0..5 {
        driver.run(0, &[packet(0), packet(0), fence(round)]);
    }
    assert_eq!(driver.read(0, HEAD), 15 % RING_PACKETS);
    assert_eq!(driver.read64(0, 0x48), 15);
    assert_eq!(driver.word(fence_word(0)), 4);
}

#[test]
fn a_job_is_traced_from_fetch_to_fence() {
    let mut driver = Driver::new();
    let list = driver.pages(&PAGES[..2]);
    let filled = RawPacket { seqno: 7.into(), ..fill(list.at(4092, 0), 8, 1, 1) };
    driver.run(0, &[filled, fence(8)]);
    let (rid, engine, queue) = (RID, EngineId::new(RID, 0), 0);
    assert_eq!(
        events(&mut driver.world.trace),
        [
            Event::Doorbell { engine, queue, tail: 2 },
            Event::DescriptorFetch { rid, iova: ring_base(0), len: 128 },
            Event::JobStart { engine, queue, seqno: 7, kind: JobKind::Fill },
            Event::DescriptorFetch { rid, iova: list.table, len: 32 },
            Event::JobEnd { engine, queue, seqno: 7, ok: true },
            Event::DescriptorFetch { rid, iova: ring_base(0) + 128, len: 128 },
            Event::JobStart { engine, queue, seqno: 8, kind: JobKind::Fence },
            Event::FenceWrite { engine, queue, seqno: 8 },
            Event::JobEnd { engine, queue, seqno: 8, ok: true },
        ],
    );
}
