//! The cursor on top of pictures.

use super::*;

/// A scan-out of 80 x 70 pixels that is all `background`, as resource 1; a cursor of `pixel` in resource 2.
fn bench(background: [u8; 4], pixel: [u8; 4]) -> Bench {
    let mut bench = Bench::new(1);
    for (id, width, height, pixel) in [(1, 80, 70, background), (2, 64, 64, pixel)] {
        let bytes = width * height * 4;
        bench.driver.store(PICTURE, &pixel.repeat((width * height) as usize));
        assert_eq!(bench.send(0x101, &[id, 1, width, height]), OK);
        assert_eq!(bench.attach(id, &[(PICTURE, bytes)]), OK);
        assert_eq!(bench.send(0x105, &[0, 0, width, height, 0, 0, id, 0]), OK);
        assert_eq!(bench.send(0x107, &[id, 0]), OK);
    }
    assert_eq!(bench.send(0x103, &[0, 0, 80, 70, 0, 1]), OK);
    assert_eq!(bench.send(0x104, &[0, 0, 80, 70, 1, 0]), OK);
    assert_eq!(bench.shot().pixels, [background[0], background[1], background[2], 0].repeat(80 * 70));
    bench
}

/// The first and the last column and row: x, y, x, y.
type Extent = (usize, usize, usize, usize);

/// Columns and rows that differ from the background.
fn extent(shot: &Shot, background: &[u8]) -> Option<Extent> {
    let pixels = shot.pixels.chunks(4).enumerate().filter(|(_, pixel)| *pixel != background);
    let places: Vec<_> = pixels.map(|(at, _)| (at % 80, at / 80)).collect();
    let (xs, ys) = (places.iter().map(|it| it.0), places.iter().map(|it| it.1));
    Some((xs.clone().min()?, ys.clone().min()?, xs.max()?, ys.max()?))
}

#[test]
fn a_cursor_is_cut_at_the_edges() {
    let mut bench = bench([10, 20, 30, 0], [1, 2, 3, 255]);
    let places: [(i32, i32, Option<Extent>); 7] = [
        (0, 0, Some((0, 0, 63, 63))),
        (5, 3, Some((5, 3, 68, 66))),
        (70, 60, Some((70, 60, 79, 69))),
        (-60, -63, Some((0, 0, 3, 0))),
        (80, 0, None),
        (79, -63, Some((79, 0, 79, 0))),
        (i32::MIN, i32::MAX, None),
    ];
    for (x, y, expected) in places {
        assert_eq!(bench.cursor(0x300, &[0, x as u32, y as u32, 0, 2, 9, 9, 0]), OK);
        let shot = bench.shot();
        assert_eq!(extent(&shot, &[10, 20, 30, 0]), expected, "{x} {y}");
        assert_eq!(shot.crc, crc32fast::hash(&shot.pixels));
    }
}

#[test]
fn a_cursor_that_moves_is_no_new_picture() {
    let mut bench = bench([10, 20, 30, 0], [1, 2, 3, 255]);
    let seen = |bench: &mut Bench| {
        bench.shots().iter().map(|shot| (shot.frame, shot.flip, shot.fresh)).collect::<Vec<_>>()
    };
    assert_eq!(bench.cursor(0x300, &[0, 1, 1, 0, 2, 0, 0, 0]), OK);
    assert_eq!(bench.cursor(0x301, &[0, 7, 5, 0, 0, 0, 0, 0]), OK);
    assert_eq!(seen(&mut bench), [(2, 1, false), (3, 1, false)]);
    // Nothing looks different: it is where it was, goes from one place outside to another, or has the same pixels.
    assert_eq!(bench.cursor(0x301, &[0, 7, 5, 0, 0, 0, 0, 0]), OK);
    assert_eq!(bench.cursor(0x300, &[0, 7, 5, 0, 2, 9, 9, 0]), OK);
    assert_eq!(seen(&mut bench), []);
    assert_eq!(bench.cursor(0x301, &[0, 80, 0, 0, 0, 0, 0, 0]), OK);
    assert_eq!(bench.cursor(0x301, &[0, 0, 70, 0, 0, 0, 0, 0]), OK);
    assert_eq!(seen(&mut bench), [(4, 1, false)]);
    // A flush is one, though its pixels are those that were there.
    assert_eq!(bench.send(0x104, &[0, 0, 80, 70, 1, 0]), OK);
    assert_eq!(seen(&mut bench), [(5, 2, true)]);
    assert_eq!((bench.counter("pictures"), bench.counter("cursors")), (2, 3));
}

#[test]
fn a_cursor_moves_and_goes() {
    let mut bench = bench([10, 20, 30, 0], [1, 2, 3, 255]);
    assert_eq!(bench.cursor(0x301, &[0, 1, 1, 0, 0, 0, 0, 0]), OK);
    assert!(bench.shots().is_empty(), "there is none yet");
    assert_eq!(bench.cursor(0x300, &[0, 1, 1, 0, 2, 0, 0, 0]), OK);
    assert_eq!(bench.shot().frame, 2);
    assert_eq!(bench.cursor(0x301, &[0, 7, 5, 0, 0, 0, 0, 0]), OK);
    assert_eq!(extent(&bench.shot(), &[10, 20, 30, 0]), Some((7, 5, 70, 68)));
    // Under the next flush it still is.
    assert_eq!(bench.send(0x104, &[0, 0, 80, 70, 1, 0]), OK);
    assert_eq!(extent(&bench.shot(), &[10, 20, 30, 0]), Some((7, 5, 70, 68)));
    // Its resource may go.
    assert_eq!(bench.send(0x102, &[2, 0]), OK);
    assert_eq!(bench.cursor(0x301, &[0, 0, 0, 0, 0, 0, 0, 0]), OK);
    assert_eq!(extent(&bench.shot(), &[10, 20, 30, 0]), Some((0, 0, 63, 63)));
    assert_eq!(bench.cursor(0x300, &[0, 0, 0, 0, 0, 0, 0, 0]), OK);
    assert_eq!(extent(&bench.shot(), &[10, 20, 30, 0]), None);
}

#[test]
fn half_a_cursor_is_mixed_with_what_is_below() {
    // Premultiplied: 100 is what 199 is at an alpha of 128. 200 * 127 / 255 = 99.6.
    let mut bench = bench([200, 0, 255, 0], [100, 128, 0, 128]);
    assert_eq!(bench.cursor(0x300, &[0, 0, 0, 0, 2, 0, 0, 0]), OK);
    assert_eq!(bench.shot().pixels[..4], [200, 128, 127, 0]);
    // A cursor that is guest memory.
    bench.driver.store(PICTURE, &[0, 0, 0, 0].repeat(64 * 64));
    assert_eq!(bench.blob(3, 0x4000, &[(PICTURE, 0x4000)]), OK);
    assert_eq!(bench.send(0x105, &[0, 0, 64, 64, 0, 0, 3, 0]), OK, "nothing to do");
    assert_eq!(bench.cursor(0x300, &[0, 0, 0, 0, 3, 0, 0, 0]), OK);
    assert_eq!(bench.shot().pixels[..4], [200, 0, 255, 0]);
}
