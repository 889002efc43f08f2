//! Random commands, and a model of pictures as plain vectors that does them pixel by pixel.

use std::collections::BTreeMap;

use super::*;
use crate::testing::Random;

/// Resources are so large at most, and scan-outs so many.
const SIDE: u64 = 24;
const OUTPUTS: usize = 2;

/// A picture of pixels.
struct Image {
    width: u32,
    height: u32,
    pixels: Vec<[u8; 4]>,
}

/// Resource, rectangle, the picture, and whether nothing was shown yet.
type View = (u32, [u32; 4], Vec<[u8; 4]>, bool);

#[derive(Default)]
struct Naive {
    images: BTreeMap<u32, Image>,
    shown: [Option<View>; OUTPUTS],
}

fn inside(rect: &[u32; 4], x: u32, y: u32) -> bool {
    x >= rect[0] && x < rect[0] + rect[2] && y >= rect[1] && y < rect[1] + rect[3]
}

fn fits(rect: &[u32; 4], image: &Image) -> bool {
    rect[2] > 0 && rect[3] > 0 && rect[0] + rect[2] <= image.width && rect[1] + rect[3] <= image.height
}

impl Naive {
    /// What a flush shows: the scan-out, its size and its pixels.
    fn flush(&mut self, id: u32, rect: &[u32; 4]) -> Vec<(u32, (u32, u32), Vec<u8>)> {
        let mut shots = Vec::new();
        for (number, shown) in self.shown.iter_mut().enumerate() {
            let Some((resource, view, picture, new)) = shown.as_mut().filter(|it| it.0 == id) else {
                continue;
            };
            let image = &self.images[resource];
            let mut touched = false;
            for at in 0..view[2] * view[3] {
                let (x, y) = (view[0] + at % view[2], view[1] + at / view[2]);
                if *new || inside(rect, x, y) {
                    let [blue, green, red, _] = image.pixels[(y * image.width + x) as usize];
                    picture[at as usize] = [blue, green, red, 0];
                    touched = true;
                }
            }
            *new &= !touched;
            if touched {
                shots.push((number as u32, (view[2], view[3]), picture.concat()));
            }
        }
        shots
    }
}

fn rect(dice: &mut Random) -> [u32; 4] {
    [dice.below(6), dice.below(6), 1 + dice.below(SIDE / 3), 1 + dice.below(SIDE / 3)].map(|it| it as u32)
}

/// Where the memory of resource `id` is: two runs, the second before the first.
fn spans(id: u32, bytes: u32) -> [(u64, u32); 2] {
    let at = PICTURE + u64::from(id) * 0x4000;
    let first = bytes / 2 / 3 + 1;
    [(at + 0x2000, first), (at, bytes - first)]
}

fn store(bench: &mut Bench, id: u32, bytes: &[u8]) {
    let [(first, len), (second, _)] = spans(id, bytes.len() as u32);
    bench.driver.store(first, &bytes[..len as usize]);
    bench.driver.store(second, &bytes[len as usize..]);
}

fn create(dice: &mut Random, bench: &mut Bench, naive: &mut Naive, id: u32) {
    let (width, height) = (1 + dice.below(SIDE) as u32, 1 + dice.below(SIDE) as u32);
    let code = bench.send(0x101, &[id, 1, width, height]);
    if naive.images.contains_key(&id) {
        return assert_eq!(code, RESOURCE_ID);
    }
    assert_eq!(code, OK);
    assert_eq!(bench.attach(id, &spans(id, width * height * 4)), OK);
    let pixels = vec![[0; 4]; (width * height) as usize];
    naive.images.insert(id, Image { width, height, pixels });
}

/// New bytes in guest memory, and a part of them to the picture.
fn transfer(dice: &mut Random, bench: &mut Bench, naive: &mut Naive, id: u32) {
    let area = rect(dice);
    let Some(image) = naive.images.get_mut(&id) else {
        return assert_eq!(bench.send(0x105, &[0, 0, 1, 1, 0, 0, id, 0]), RESOURCE_ID);
    };
    let bytes: Vec<u8> = (0..image.pixels.len() * 4).map(|_| dice.bits() as u8).collect();
    store(bench, id, &bytes);
    let offset = if dice.below(3) == 0 { 0 } else { (area[1] * image.width + area[0]) * 4 };
    let code = bench.send(0x105, &[area[0], area[1], area[2], area[3], offset, 0, id, 0]);
    let last = offset + ((area[3] - 1) * image.width + area[2]) * 4;
    if !fits(&area, image) || last as usize > bytes.len() {
        return assert_eq!(code, PARAMETER);
    }
    assert_eq!(code, OK);
    for (y, x) in (0..area[3]).flat_map(|y| (0..area[2]).map(move |x| (y, x))) {
        let from = (offset + (y * image.width + x) * 4) as usize;
        let to = ((area[1] + y) * image.width + area[0] + x) as usize;
        image.pixels[to].copy_from_slice(&bytes[from..from + 4]);
    }
}

fn scan_out(dice: &mut Random, bench: &mut Bench, naive: &mut Naive, id: u32) {
    let (area, number) = (rect(dice), dice.below(OUTPUTS as u64) as u32);
    let code = bench.send(0x103, &[area[0], area[1], area[2], area[3], number, id]);
    let Some(image) = naive.images.get(&id) else { return assert_eq!(code, RESOURCE_ID) };
    if !fits(&area, image) {
        return assert_eq!(code, PARAMETER);
    }
    assert_eq!(code, OK);
    let picture = vec![[0; 4]; (area[2] * area[3]) as usize];
    naive.shown[number as usize] = Some((id, area, picture, true));
}

fn flush(dice: &mut Random, bench: &mut Bench, naive: &mut Naive, id: u32) -> usize {
    let area = rect(dice);
    let code = bench.send(0x104, &[area[0], area[1], area[2], area[3], id, 0]);
    let shots = bench.shots();
    let expected = match naive.images.get(&id) {
        None => (RESOURCE_ID, Vec::new()),
        Some(image) if !fits(&area, image) => (PARAMETER, Vec::new()),
        Some(_) => (OK, naive.flush(id, &area)),
    };
    let found = shots.into_iter().map(|shot| (shot.scanout, shot.size, shot.pixels)).collect::<Vec<_>>();
    let count = found.len();
    assert_eq!((code, found), expected);
    count
}

fn unref(bench: &mut Bench, naive: &mut Naive, id: u32) {
    let there = naive.images.remove(&id).is_some();
    assert_eq!(bench.send(0x102, &[id, 0]), if there { OK } else { RESOURCE_ID });
    let off = naive.shown.iter_mut().filter(|it| it.as_ref().is_some_and(|it| it.0 == id));
    let off = off.map(|it| *it = None).count();
    assert_eq!(bench.shots().iter().filter(|shot| shot.pixels.iter().all(|byte| *byte == 0)).count(), off);
}

#[test]
fn pictures_are_those_of_a_naive_model() {
    let mut dice = Random::new(0x9b0);
    let (mut bench, mut naive, mut shown) = (Bench::new(OUTPUTS as u32), Naive::default(), 0);
    for _ in 0..6000 {
        let id = 1 + dice.below(4) as u32;
        match dice.below(16) {
            0 => unref(&mut bench, &mut naive, id),
            1..4 => create(&mut dice, &mut bench, &mut naive, id),
            4..8 => transfer(&mut dice, &mut bench, &mut naive, id),
            8..10 => scan_out(&mut dice, &mut bench, &mut naive, id),
            _ => shown += flush(&mut dice, &mut bench, &mut naive, id),
        }
    }
    assert!(shown > 300, "{shown} pictures");
}

/// Guest memory as a resource: rows with gaps, an offset, a part of it.
#[test]
fn a_blob_is_shown_as_it_is_in_memory_at_the_flush() {
    let mut dice = Random::new(0xb10b);
    let mut bench = Bench::new(1);
    for turn in 0..200 {
        let (width, height) = (1 + dice.below(SIDE) as u32, 1 + dice.below(SIDE) as u32);
        let (stride, offset) = (width * 4 + 4 * dice.below(5) as u32, 4 * dice.below(9) as u32);
        let bytes = offset + stride * height;
        assert_eq!(bench.blob(1, bytes.into(), &spans(1, bytes)), OK);
        let (x, y) = (dice.below(width.into()) as u32, dice.below(height.into()) as u32);
        let (w, h) = (1 + dice.below((width - x).into()) as u32, 1 + dice.below((height - y).into()) as u32);
        let words = [x, y, w, h, 0, 1, width, height, 1, 0, stride, 0, 0, 0, offset, 0, 0, 0];
        assert_eq!(bench.send(0x10d, &words), OK, "turn {turn}");
        for _ in 0..2 {
            let memory: Vec<u8> = (0..bytes).map(|_| dice.bits() as u8).collect();
            store(&mut bench, 1, &memory);
            assert_eq!(bench.send(0x104, &[0, 0, width, height, 1, 0]), OK);
            let expected: Vec<u8> = (0..w * h)
                .map(|at| (offset + (y + at / w) * stride + (x + at % w) * 4) as usize)
                .flat_map(|at| [memory[at], memory[at + 1], memory[at + 2], 0])
                .collect();
            let shot = bench.shot();
            assert_eq!((shot.size, shot.pixels), ((w, h), expected), "turn {turn}");
        }
        assert_eq!(bench.send(0x102, &[1, 0]), OK);
        bench.shots();
    }
}
