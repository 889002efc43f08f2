//! Several planes, their formats and how they are mixed. What each must give is worked out by hand.

use super::*;

const OVERLAY: u32 = 0x480;
const SCALER: u32 = 0x500;
const CURSOR: u32 = 0x580;
/// Where each plane's pixels are, behind a list of one entry.
const PIXELS: u32 = 0x4000;

impl Bench {
    /// Plane at `base` of `size`, whose buffer's bytes are these, at a pitch.
    fn put(&mut self, base: u32, fourcc: &[u8; 4], (width, height): (u32, u32), pitch: u32, bytes: &[u8]) {
        let place = (base - 0x400) / 0x80;
        let (table, pixels) = (0x2000 + place * 16, PIXELS + place * 0x1000);
        let memory = self.world.memory_mut();
        memory[table as usize..][..8].copy_from_slice(&u64::from(pixels).to_le_bytes());
        memory[table as usize + 8..][..4].copy_from_slice(&0x1000u32.to_le_bytes());
        memory[pixels as usize..][..bytes.len()].copy_from_slice(bytes);
        for (offset, value) in [
            (0, 1),
            (4, u32::from_le_bytes(*fourcc)),
            (8, table),
            (0x10, 1),
            (0x14, 0),
            (0x18, pitch),
            (0x1c, width | height << 16),
        ] {
            self.write(base + offset, value);
        }
    }

    /// A plane of this colour, as XRGB8888 or ARGB8888.
    fn fill(&mut self, base: u32, fourcc: &[u8; 4], (width, height): (u32, u32), bgra: [u8; 4]) {
        let bytes = bgra.repeat((width * height) as usize);
        self.put(base, fourcc, (width, height), width * 4, &bytes);
    }

    /// Commits, and gives what the next frame shows: lines of pixels as XRGB8888.
    fn show(&mut self) -> Vec<Vec<u32>> {
        self.write(COMMIT, 1);
        assert_eq!(self.errors(), 0, "the commit is refused");
        let now = self.world.ports().clock.now().ns;
        self.at(now + 2 * FRAME_NS - 1);
        assert_eq!(self.errors(), 0, "the frame is black");
        let seen = self.seen().pop().unwrap().xrgb;
        let pixels: Vec<u32> =
            seen.chunks(4).map(|bytes| u32::from_le_bytes(bytes.try_into().unwrap())).collect();
        pixels.chunks(WIDTH as usize).map(<[u32]>::to_vec).collect()
    }

    /// Whether a commit is refused.
    fn refuses(&mut self) -> bool {
        self.write(COMMIT, 1);
        let refused = self.errors() == 1 << 2;
        self.write(ERROR_STATUS, 0x3f);
        self.write(CRTC_ENABLE, 0);
        self.write(CRTC_ENABLE, 1);
        refused
    }
}

#[test]
fn planes_lie_where_they_are_put_and_what_is_beyond_the_screen_is_cut() {
    let mut bench = Bench::on("");
    bench.fill(OVERLAY, b"XR24", (3, 2), [1, 2, 3, 0xaa]);
    for (x, y, lit) in
        [(2i16, 1i16, 6), (-1, -1, 2), (7, 3, 1), (-3, 0, 0), (8, 0, 0), (0, 4, 0), (i16::MIN, 0, 0)]
    {
        bench.write(OVERLAY + 0x24, u32::from(x as u16) | u32::from(y as u16) << 16);
        let rows = bench.show();
        for (line, row) in (0i16..).zip(&rows) {
            for (column, pixel) in (0i16..).zip(row) {
                let inside = (x..x.saturating_add(3)).contains(&column) && (y..y + 2).contains(&line);
                assert_eq!(*pixel, if inside { 0x03_0201 } else { 0 }, "{x},{y}: {column},{line}");
            }
        }
        assert_eq!(rows.concat().iter().filter(|pixel| **pixel != 0).count(), lit);
    }
}

#[test]
fn a_plane_begins_at_its_crop() {
    let mut bench = Bench::on("");
    let bytes: Vec<u8> = (0..5 * 4 * 4).collect();
    bench.put(OVERLAY, b"XR24", (2, 2), 20, &bytes);
    bench.write(OVERLAY + 0x20, 3 | 1 << 16);
    let rows = bench.show();
    // Line 1, pixel 3 begins at byte 1 * 20 + 3 * 4.
    assert_eq!(rows[0][..3], [0x22_2120, 0x26_2524, 0]);
    assert_eq!(rows[1][..2], [0x36_3534, 0x3a_3938]);
}

#[test]
fn the_order_says_what_is_above_and_the_number_where_orders_are_equal() {
    let mut bench = Bench::on("");
    bench.fill(0x400, b"XR24", (WIDTH, HEIGHT), [1, 0, 0, 0]);
    bench.fill(OVERLAY, b"XR24", (WIDTH, HEIGHT), [2, 0, 0, 0]);
    bench.fill(SCALER, b"XR24", (WIDTH, HEIGHT), [3, 0, 0, 0]);
    for (orders, top) in [([0, 0, 0], 3), ([1, 0, 0], 1), ([0, 2, 1], 2), ([2, 2, 1], 2), ([3, 1, 2], 1)] {
        for (place, order) in (0u32..).zip(orders) {
            bench.write(0x434 + place * 0x80, order);
        }
        assert_eq!(bench.show()[0][0], top, "{orders:?}");
    }
}

/// A plane that fills the screen is the picture as it was read; of what is held of it no other picture is made.
#[test]
fn pixels_that_were_the_picture_are_read_anew_when_something_is_above_them_or_their_alpha_counts() {
    let mut bench = Bench::on("");
    bench.fill(0x400, b"XR24", (WIDTH, HEIGHT), [1, 2, 3, 0x80]);
    assert_eq!(bench.show()[3][7], 0x03_0201);
    assert_eq!(bench.show()[3][7], 0x03_0201, "the same bytes");
    bench.write(0x404, u32::from_le_bytes(*b"AR24"));
    bench.write(0x42c, 0xff02);
    // (100 * 128 / 255)
    bench.fill(0x400, b"AR24", (WIDTH, HEIGHT), [100, 100, 100, 0x80]);
    assert_eq!(bench.show()[3][7], 0x32_3232);
    bench.write(0x404, u32::from_le_bytes(*b"XR24"));
    assert_eq!(bench.show()[3][7], 0x64_6464);
    bench.write(0x404, u32::from_le_bytes(*b"AR24"));
    assert_eq!(bench.show()[3][7], 0x32_3232);
    bench.write(0x404, u32::from_le_bytes(*b"XR24"));
    bench.fill(OVERLAY, b"XR24", (1, 1), [9, 9, 9, 9]);
    assert_eq!(bench.show()[0][..2], [0x09_0909, 0x64_6464]);
    bench.write(OVERLAY, 0);
    assert_eq!(bench.show()[0][..2], [0x64_6464; 2]);
    bench.write(0x400, 0);
    assert_eq!(bench.show()[0][..2], [0; 2]);
}

#[test]
fn alpha_is_mixed_by_the_equations_of_the_page() {
    // Pixel 200 of alpha 100 over 50; plane alpha 128.
    for (fourcc, mode, alpha, want) in [
        (b"XR24", 1, 255, 200),
        (b"AR24", 0, 255, 200),
        // 200 + 50 * 155 / 255 = 230.4
        (b"AR24", 1, 255, 230),
        // (200 * 100 + 50 * 155) / 255 = 108.8
        (b"AR24", 2, 255, 109),
        // (200 * 128 + 50 * 127) / 255 = 125.3
        (b"AR24", 0, 128, 125),
        // 200 * 128 / 255 + 50 * (1 - 100 * 128 / 65025) = 140.55
        (b"AR24", 1, 128, 141),
        // 200 * 12800 / 65025 + 50 * 52225 / 65025 = 79.53
        (b"AR24", 2, 128, 80),
        (b"AR24", 2, 0, 50),
    ] {
        let mut bench = Bench::on("");
        bench.fill(0x400, b"XR24", (WIDTH, HEIGHT), [50, 50, 50, 0]);
        bench.fill(OVERLAY, fourcc, (1, 1), [200, 200, 200, 100]);
        bench.write(OVERLAY + 0x2c, mode | alpha << 8);
        let got = bench.show()[0][0];
        assert_eq!(got, want * 0x01_0101, "{fourcc:?} mode {mode}, alpha {alpha}: {got:#x}");
    }
    // More than all of a colour is all of it.
    let mut bench = Bench::on("");
    bench.fill(0x400, b"XR24", (WIDTH, HEIGHT), [250, 0, 0, 0]);
    bench.fill(OVERLAY, b"AR24", (1, 1), [200, 0, 0, 0]);
    bench.write(OVERLAY + 0x2c, 0xff01);
    assert_eq!(bench.show()[0][0], 0xff);
}

#[test]
fn every_format_has_its_colours() {
    // Two pixels each.
    let rows: [(&[u8; 4], &[u8], [u32; 2]); 5] = [
        (b"XR24", &[1, 2, 3, 4, 5, 6, 7, 8], [0x03_0201, 0x07_0605]),
        (b"AR24", &[1, 2, 3, 4, 5, 6, 7, 8], [0x03_0201, 0x07_0605]),
        (b"XB24", &[1, 2, 3, 4, 5, 6, 7, 8], [0x01_0203, 0x05_0607]),
        // Red 16, green 33, blue 1; all ones.
        (b"RG16", &[0x21, 0x84, 0xff, 0xff], [0x84_8608, 0xff_ffff]),
        // Blue of SMPTE's bars, as in crate::pixel; and black with its chroma: B = 2.0172 * 112.
        (b"YUYV", &[41, 240, 16, 110], [0x00_00ff, 0x00_00e2]),
    ];
    for (fourcc, bytes, want) in rows {
        let mut bench = Bench::on("");
        bench.put(OVERLAY, fourcc, (2, 1), 8, bytes);
        let row = &bench.show()[0];
        assert_eq!(row[..2], want, "{fourcc:?}: {:x?}", &row[..2]);
    }
}

#[test]
fn nv12_has_a_chroma_sample_for_four_pixels_in_either_buffer() {
    for own_buffer in [false, true] {
        let mut bench = Bench::on("");
        let mut bytes = [0u8; 64];
        // Lines 0 to 3 of luma, at a pitch of 8; two lines of chroma behind them.
        bytes[..32].fill(128);
        bytes[32..48]
            .copy_from_slice(&[128, 128, 255, 128, 128, 128, 0, 0, 128, 128, 128, 255, 128, 128, 0, 0]);
        bench.put(OVERLAY, b"NV12", (2, 2), 8, &bytes);
        bench.write(OVERLAY + 0x20, 1 | 1 << 16);
        bench.write(OVERLAY + 0x30, 2);
        bench.write(OVERLAY + 0x4c, 32);
        bench.write(OVERLAY + 0x50, 8);
        if own_buffer {
            // The list of the next plane: the same bytes, four further on.
            bench.put(SCALER, b"XR24", (1, 1), 4, &bytes[28..48]);
            bench.write(SCALER, 0);
            bench.write(OVERLAY + 0x40, 0x2020);
            bench.write(OVERLAY + 0x48, 1);
            bench.write(OVERLAY + 0x4c, 4);
        }
        let rows = bench.show();
        // From pixel (1, 1): chroma (0, 0) is grey, (1, 0) has Cb 255: B = 128 + 1.772 * 127 clamps, G = 128 - 0.344 * 127.
        assert_eq!(rows[0][..2], [0x80_8080, 0x80_54ff], "{:x?}", rows[0]);
        // Chroma (0, 1) is grey, (1, 1) has Cr 255: R clamps, G = 128 - 0.714 * 127.
        assert_eq!(rows[1][..2], [0x80_8080, 0xff_2580], "{:x?}", rows[1]);
    }
}

#[test]
fn a_scaled_plane_is_sampled_as_the_page_says() {
    // Two pixels to four: their middles are at -1/4, 1/4, 3/4 and 5/4 of the source.
    for (nearest, want) in [(0, [0, 64, 191, 255]), (1, [0, 0, 255, 255])] {
        let mut bench = Bench::on("");
        bench.put(SCALER, b"XR24", (2, 1), 8, &[0, 0, 0, 0, 255, 0, 0, 0]);
        bench.write(SCALER + 0x28, 4 | 1 << 16);
        bench.write(SCALER + 0x38, nearest);
        assert_eq!(bench.show()[0][..4], want);
        // Cut on the left by one.
        bench.write(SCALER + 0x24, 0xffff);
        assert_eq!(bench.show()[0][..4], [want[1], want[2], want[3], 0]);
    }
    // Four pixels to two: the middles are at 1/2 and 5/2.
    let mut bench = Bench::on("");
    bench.put(SCALER, b"XR24", (4, 1), 16, &[10, 0, 0, 0, 20, 0, 0, 0, 30, 0, 0, 0, 40, 0, 0, 0]);
    bench.write(SCALER + 0x28, 2 | 1 << 16);
    assert_eq!(bench.show()[0][..2], [15, 35]);
}

#[test]
fn planes_that_there_are_not_are_refused() {
    type Writes<'a> = &'a [(u32, u32)];
    let rows: [(&str, u32, Writes<'_>, bool); 16] = [
        ("as it is", OVERLAY, &[], false),
        ("another format", OVERLAY, &[(4, 0x3432_5241 + 1)], true),
        ("blend mode 3", OVERLAY, &[(0x2c, 3)], true),
        ("a crop beyond the pitch", OVERLAY, &[(0x20, 1)], true),
        ("the same size on the screen", OVERLAY, &[(0x28, 64 | 64 << 16)], false),
        ("scaling on another plane", OVERLAY, &[(0x28, 64 | 65 << 16)], true),
        ("8 times", SCALER, &[(0x28, 512 | 512 << 16)], false),
        ("more than 8 times", SCALER, &[(0x28, 513 | 512 << 16)], true),
        ("an eighth", SCALER, &[(0x28, 8 | 8 << 16)], false),
        ("less than an eighth", SCALER, &[(0x28, 8 | 7 << 16)], true),
        ("no lines", SCALER, &[(0x28, 8)], true),
        ("a cursor", CURSOR, &[(4, 0x3432_5241)], false),
        ("a cursor without alpha", CURSOR, &[], true),
        ("a small cursor", CURSOR, &[(4, 0x3432_5241), (0x1c, 63 | 64 << 16)], true),
        (
            "a chroma list that is not aligned",
            OVERLAY,
            &[(4, 0x3231_564e), (0x50, 64), (0x40, 8), (0x48, 1)],
            true,
        ),
        ("an odd chroma pitch", OVERLAY, &[(4, 0x3231_564e), (0x50, 65)], true),
    ];
    for (name, base, writes, refused) in rows {
        let mut bench = Bench::on("");
        bench.put(base, b"XR24", (64, 64), 256, &[]);
        for (offset, value) in writes {
            bench.write(base + offset, *value);
        }
        assert_eq!(bench.refuses(), refused, "{name}");
    }
}

#[test]
fn a_frame_takes_the_bytes_of_all_planes() {
    let mut bench = Bench::on(&format!("latency={},bytes-per-cycle=1", FRAME_NS - 8 * 4 * 4 - 8 - 1));
    bench.fill(0x400, b"XR24", (WIDTH, HEIGHT), [1, 0, 0, 0]);
    bench.fill(OVERLAY, b"XR24", (2, 1), [2, 0, 0, 0]);
    bench.show();
    bench.fill(OVERLAY, b"XR24", (3, 1), [2, 0, 0, 0]);
    bench.write(COMMIT, 1);
    let now = bench.world.ports().clock.now().ns;
    bench.at(now + 2 * FRAME_NS);
    assert_eq!(bench.errors(), 1 << 5);
}

#[test]
fn a_plane_that_goes_leaves_what_was_under_it() {
    let mut bench = Bench::on("");
    bench.fill(0x400, b"XR24", (WIDTH, HEIGHT), [9, 0, 0, 0]);
    bench.fill(OVERLAY, b"XR24", (WIDTH, HEIGHT), [2, 0, 0, 0]);
    assert_eq!(bench.show()[3][7], 2);
    bench.write(OVERLAY, 0);
    assert_eq!(bench.show()[3][7], 9);
}
