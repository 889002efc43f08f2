//! Controls and charts, against a naive model: one sample at a time, in real numbers, by the formulae of `docs/camera.md`.

use super::*;
use crate::camera::controls::Controls;

const LATCH: u32 = 0x158;

/// What Ramp gives at luma pixel or chroma sample (x, y) of frame `n`.
fn ramp(plane: usize, x: usize, y: usize, n: usize) -> f64 {
    [(n + x + y) as u8, (2 * y) as u8, x as u8][plane].into()
}

/// Luma plane 0, Cb 1, Cr 2 of a full-range camera.
fn expected(controls: &Controls, plane: usize, x: usize, y: usize, n: usize) -> u8 {
    let width = if plane == 0 { 32 } else { 16 };
    let x = if controls.flip & 1 == 1 { width - 1 - x } else { x };
    let y = if controls.flip & 2 == 2 { 15 - y } else { y };
    let zero = if plane == 0 { 0.0 } else { 128.0 };
    let light = f64::from(controls.exposure) / 256.0 * f64::from(controls.gain) / 256.0;
    let byte = |value: f64| value.clamp(0.0, 255.0);
    let lit = byte(((ramp(plane, x, y, n) - zero) * light + 0.5).floor() + zero);
    if plane != 0 {
        return lit as u8;
    }
    let stretched = byte(((lit - 128.0) * f64::from(controls.contrast) / 128.0 + 0.5).floor() + 128.0);
    byte(stretched + f64::from(controls.brightness as i32)) as u8
}

fn set(bench: &mut Bench, controls: &Controls) {
    let values = [
        controls.brightness,
        controls.contrast,
        controls.exposure,
        controls.gain,
        controls.flip,
        controls.pattern,
    ];
    for (offset, value) in (0x140..).step_by(4).zip(values) {
        bench.write(offset, value);
    }
}

fn assert_yuyv(bytes: &[u8], controls: &Controls, n: usize) {
    for (i, &byte) in bytes.iter().enumerate() {
        let (x, y) = (i % 64, i / 64);
        let want = match x % 4 {
            1 => expected(controls, 1, x / 4, y, n),
            3 => expected(controls, 2, x / 4, y, n),
            _ => expected(controls, 0, x / 2, y, n),
        };
        assert_eq!(byte, want, "byte {x} of line {y} of frame {n} by {controls:?}");
    }
}

#[test]
fn every_control_does_what_its_formula_says() {
    let plain = Controls::default();
    let sets = [
        Controls { brightness: 37, ..plain },
        Controls { brightness: -60i32 as u32, ..plain },
        Controls { contrast: 0, ..plain },
        Controls { contrast: 201, ..plain },
        Controls { exposure: 100, ..plain },
        Controls { gain: 1000, ..plain },
        Controls { flip: 1, ..plain },
        Controls { flip: 2, ..plain },
        Controls { brightness: 5, contrast: 99, exposure: 333, gain: 77, flip: 3, pattern: 0 },
    ];
    for controls in sets {
        let mut bench = Bench::new();
        bench.configure(YUYV, 64);
        set(&mut bench, &controls);
        bench.write(LATCH, 0);
        bench.post(0, 0xc00);
        bench.stream_on();
        bench.run_to_frame(0);
        let bytes = bench.buffer(0, 64 * 16);
        assert_yuyv(&bytes, &controls, 0);
    }
}

#[test]
fn values_beyond_the_limits_act_as_the_nearest() {
    let far = Controls {
        brightness: 9000,
        contrast: u32::MAX,
        exposure: 0,
        gain: u32::MAX,
        flip: u32::MAX,
        pattern: 5,
    };
    let near = Controls { brightness: 127, contrast: 255, exposure: 16, gain: 4096, flip: 3, pattern: 0 };
    let picture = |controls: &Controls| controls.take(&mut Ramp, 1, SIZE, Band::whole(SIZE)).unwrap();
    assert_eq!(picture(&far), picture(&near));
}

#[test]
fn a_set_counts_from_the_read_out_after_its_latch() {
    let mut bench = Bench::new();
    bench.configure(YUYV, 64);
    (0..3).for_each(|index| bench.post(index, 0xc00));
    bench.stream_on();
    let brighter = Controls { brightness: 50, flip: 1, ..Controls::default() };
    // Written and not latched: frame 0 is plain.
    set(&mut bench, &brighter);
    // Latched while frame 0 is being written: frame 1 is the first.
    bench.world.advance_to(PERIOD_NS + 50, &mut bench.camera);
    assert_eq!(bench.read(0xc4), 3);
    bench.write(LATCH, 1);
    assert_eq!(bench.read(0x15c), 1);
    bench.run_to_frame(0);
    // Written and not latched again.
    set(&mut bench, &Controls { brightness: 99, ..Controls::default() });
    bench.run_to_frame(2);
    for (frame, controls) in [(0, Controls::default()), (1, brighter), (2, brighter)] {
        let bytes = bench.buffer(frame, 64 * 16);
        assert_yuyv(&bytes, &controls, frame as usize);
        assert_eq!(bench.word(RECORDS + u64::from(frame) * 64 + 56), u32::from(frame > 0));
    }
}

#[test]
fn charts_are_those_of_the_page() {
    let size = Size { width_px: 64, height_px: 32 };
    let chart = |pattern| {
        let controls = Controls { pattern, ..Controls::default() };
        controls.take(&mut Ramp, 300, size, Band::whole(size)).unwrap()
    };
    let luma = |picture: &Picture, x: usize, y: usize| picture.luma[y * 64 + x];
    let bars = chart(1);
    assert_eq!([0, 7, 8, 63].map(|x| luma(&bars, x, 31)), [180, 180, 162, 16]);
    assert_eq!((bars.cb[4], bars.cr[4]), (44, 142));
    let ramp = chart(2);
    assert_eq!([0, 1, 32, 63].map(|x| luma(&ramp, x, 3)), [0, 4, 129, 255]);
    let squares = chart(3);
    assert_eq!([(0, 0), (15, 15), (16, 15), (16, 16)].map(|(x, y)| luma(&squares, x, y)), [255, 255, 0, 255]);
    let waves = chart(4);
    // 300 is 44 modulo 256.
    assert_eq!(luma(&waves, 10, 20), 74);
    assert_eq!((waves.cb[32 * 5 + 7], waves.cr[32 * 5 + 7]), (58, 227));
}

#[test]
fn a_reset_forgets_the_controls_and_a_restart_of_the_stream_does_not() {
    let mut bench = Bench::new();
    set(&mut bench, &Controls { brightness: 9, ..Controls::default() });
    bench.write(LATCH, 0);
    bench.write(0xc0, 0);
    assert_eq!((bench.read(0x140), bench.read(0x15c)), (9, 1));
    bench.camera.reset(&mut bench.world.ports());
    assert_eq!((bench.read(0x140), bench.read(0x144), bench.read(0x15c)), (0, 128, 0));
}
