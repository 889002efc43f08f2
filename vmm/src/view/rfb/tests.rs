//! A VNC viewer by the letter of RFC 6143, over a real socket.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use des::Des;
use des::cipher::{BlockCipherEncrypt, KeyInit};
use fencepost_random::Random;

use super::*;
use crate::input::testing::{Kept, devices};
use crate::view::hub::testing::{first, show};
use crate::view::{Addresses, View};

struct Viewer(TcpStream);

impl Viewer {
    fn connect(view: &View) -> (Self, String) {
        let line = view.lines()[0].strip_prefix("vnc: ").expect("an address");
        let (address, password) = line.split_once(", password ").expect("a password");
        let stream = TcpStream::connect(address).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("set");
        (Viewer(stream), password.to_string())
    }

    fn read<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.0.read_exact(&mut bytes).expect("so many bytes");
        bytes
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).expect("sent");
    }

    /// Version and password; the result.
    fn log_in(&mut self, version: &[u8; 12], password: &str) -> u32 {
        assert_eq!(&self.read::<12>(), b"RFB 003.008\n");
        self.write(version);
        if version == b"RFB 003.003\n" {
            assert_eq!(self.read::<4>(), [0, 0, 0, 2]);
        } else {
            assert_eq!(self.read::<2>(), [1, 2]);
            self.write(&[2]);
        }
        let mut key = [0; 8];
        for (key, letter) in key.iter_mut().zip(password.bytes()) {
            *key = (0..8).fold(0, |turned, bit| turned | (letter >> bit & 1) << (7 - bit));
        }
        let mut answer = self.read::<16>();
        for block in answer.chunks_exact_mut(8) {
            Des::new(&key.into()).encrypt_block(block.try_into().expect("8 bytes"));
        }
        self.write(&answer);
        u32::from_be_bytes(self.read())
    }

    /// Lets itself in; the size of the screen.
    fn enter(view: &View, version: &[u8; 12]) -> (Self, (u16, u16)) {
        let (mut viewer, password) = Viewer::connect(view);
        assert_eq!(viewer.log_in(version, &password), 0);
        viewer.write(&[1]);
        let init = viewer.read::<24>();
        assert_eq!(init[4..20], [32, 24, 0, 1, 0, 255, 0, 255, 0, 255, 16, 8, 0, 0, 0, 0]);
        assert_eq!((init[23], viewer.read::<9>()), (9, *b"Fencepost"));
        (viewer, (u16::from_be_bytes([init[0], init[1]]), u16::from_be_bytes([init[2], init[3]])))
    }

    fn ask(&mut self, incremental: bool) {
        self.write(&[3, incremental.into(), 0, 0, 0, 0, 0, 1, 0, 1]);
    }

    /// The one rectangle of an update: x, y, width, height, and its encoding.
    fn rectangle(&mut self) -> ([u16; 4], i32) {
        let head = self.read::<16>();
        assert_eq!(head[..4], [0, 0, 0, 1]);
        let number = |at: usize| u16::from_be_bytes([head[at], head[at + 1]]);
        let encoding = i32::from_be_bytes(head[12..].try_into().expect("four"));
        ([4, 6, 8, 10].map(number), encoding)
    }
}

fn open_view() -> (View, Arc<Kept>) {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let (devices, kept) = devices();
    (View::open(Addresses { page: None, vnc: Some(any) }, &devices).expect("a free port"), kept)
}

#[test]
fn a_second_screen_stands_beside_the_first() {
    let (view, kept) = open_view();
    let second = crate::frames::ScreenName { slot: 6, first: false, kind: "virtio-gpu".into(), scanout: 1 };
    show(&view.hub(), &first(), 1, 2, &[1; 2 * 2 * 4]);
    let (mut viewer, size) = Viewer::enter(&view, b"RFB 003.008\n");
    assert_eq!(size, (2, 2));
    // It follows the size.
    viewer.write(&[2, 0, 0, 2, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0x21]);
    show(&view.hub(), &second, 1, 1, &[2; 4]);
    viewer.ask(true);
    assert_eq!(viewer.rectangle(), ([0, 0, 3, 2], DESKTOP_SIZE));
    viewer.ask(true);
    assert_eq!(viewer.rectangle(), ([0, 0, 3, 2], RAW));
    let blue: Vec<u8> = viewer.read::<24>().iter().step_by(4).copied().collect();
    assert_eq!(blue, [1, 1, 2, 1, 1, 0]);
    // What changes on the second is sent alone, and the pointer is over both.
    show(&view.hub(), &second, 2, 1, &[3; 4]);
    viewer.ask(true);
    assert_eq!((viewer.rectangle(), viewer.read::<4>()), (([2, 0, 1, 1], RAW), [3; 4]));
    viewer.write(&[5, 0, 0, 2, 0, 0]);
    viewer.ask(false);
    viewer.rectangle();
    // EV_ABS, ABS_X: the right edge of both.
    assert!(kept.events().iter().any(|(_, kind, code, value)| (*kind, *code, *value) == (3, 0, 32767)));
}

#[test]
fn every_version_lets_in_with_the_password_and_none_without() {
    let (view, _) = open_view();
    for version in [b"RFB 003.008\n", b"RFB 003.007\n", b"RFB 003.003\n"] {
        assert_eq!(Viewer::enter(&view, version).1, (640, 480), "nothing was shown yet");
    }
    let (mut viewer, _) = Viewer::connect(&view);
    assert_eq!(viewer.log_in(b"RFB 003.008\n", "12345678"), 1);
    assert_eq!((viewer.read::<4>(), viewer.read::<14>()), ([0, 0, 0, 14], *b"wrong password"));
    assert_eq!(viewer.0.read(&mut [0; 1]).ok(), Some(0), "and the connection ends");
}

#[test]
fn a_viewer_gets_what_changed_since_it_last_asked() {
    let (view, _) = open_view();
    show(&view.hub(), &first(), 1, 2, &[9; 16]);
    let (mut viewer, size) = Viewer::enter(&view, b"RFB 003.008\n");
    assert_eq!(size, (2, 2));
    viewer.ask(true);
    assert_eq!(
        (viewer.rectangle(), viewer.read::<16>()),
        (([0, 0, 2, 2], RAW), [9; 16]),
        "it has nothing yet"
    );
    viewer.ask(true);
    let mut changed = [9; 16];
    changed[4..7].copy_from_slice(&[1, 2, 3]);
    show(&view.hub(), &first(), 2, 2, &changed);
    assert_eq!((viewer.rectangle(), viewer.read::<4>()), (([1, 0, 1, 1], RAW), [1, 2, 3, 9]));
    viewer.ask(false);
    assert_eq!((viewer.rectangle(), viewer.read::<16>()), (([0, 0, 2, 2], RAW), changed));
}

#[test]
fn a_new_size_is_announced_before_its_picture() {
    let (view, _) = open_view();
    show(&view.hub(), &first(), 1, 2, &[9; 16]);
    let (mut viewer, _) = Viewer::enter(&view, b"RFB 003.008\n");
    viewer.write(&[2, 0, 0, 2, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0x21]);
    viewer.ask(false);
    let _ = (viewer.rectangle(), viewer.read::<16>());
    show(&view.hub(), &first(), 2, 3, &[7; 12]);
    viewer.ask(true);
    assert_eq!(viewer.rectangle(), ([0, 0, 3, 1], -223));
    viewer.ask(true);
    assert_eq!((viewer.rectangle(), viewer.read::<12>()), (([0, 0, 3, 1], RAW), [7; 12]));
}

#[test]
fn a_picture_that_the_protocol_cannot_tell_of_is_left_out() {
    let (view, _) = open_view();
    let wide = vec![1; 4 * 65_536];
    show(&view.hub(), &first(), 1, 65_536, &wide);
    let (mut viewer, size) = Viewer::enter(&view, b"RFB 003.008\n");
    assert_eq!(size, (640, 480), "as if nothing was shown yet");
    drop(viewer);
    show(&view.hub(), &first(), 2, 2, &[9; 16]);
    (viewer, _) = Viewer::enter(&view, b"RFB 003.008\n");
    // What the viewer was told of has no pixels here yet, and is not sent without them.
    show(&view.hub(), &first(), 3, 65_536, &wide);
    viewer.ask(true);
    show(&view.hub(), &first(), 4, 2, &[7; 16]);
    assert_eq!((viewer.rectangle(), viewer.read::<16>()), (([0, 0, 2, 2], RAW), [7; 16]));
    show(&view.hub(), &first(), 5, 65_536, &wide);
    viewer.ask(true);
    show(&view.hub(), &first(), 6, 2, &[8; 16]);
    assert_eq!((viewer.rectangle(), viewer.read::<16>()), (([0, 0, 2, 2], RAW), [8; 16]));
}

#[test]
fn keys_and_pointer_reach_the_devices() {
    let (view, kept) = open_view();
    show(&view.hub(), &first(), 1, 2, &[9; 16]);
    let (mut viewer, _) = Viewer::enter(&view, b"RFB 003.008\n");
    // A clipboard, then "a", then the left button and the wheel at the lower right, then nothing held.
    viewer.write(&[6, 0, 0, 0, 0, 0, 0, 5, b'h', b'e', b'l', b'l', b'o']);
    viewer.write(&[4, 1, 0, 0, 0, 0, 0, 0x61]);
    viewer.write(&[5, 0b1_0001, 0, 1, 0, 1]);
    viewer.write(&[5, 0, 0, 1, 0, 1]);
    drop(viewer);
    drop(view);
    let at = [(6, 3, 0, 32767), (6, 3, 1, 32767)];
    let expected: Vec<_> = [(5, 1, 30, 1), (7, 1, 30, 1)]
        .into_iter()
        .chain(at)
        .chain([(6, 1, 0x110, 1), (6, 2, 8, -1)])
        .chain(at)
        .chain([(6, 1, 0x110, 0), (5, 1, 30, 0), (7, 1, 30, 0)])
        .collect();
    assert_eq!(kept.events(), expected);
}

#[test]
fn noise_ends_a_connection_and_nothing_else() {
    let (view, _) = open_view();
    show(&view.hub(), &first(), 1, 2, &[9; 16]);
    let mut random = Random::new(9);
    for turn in 0..100 {
        let mut viewer =
            if turn % 2 == 0 { Viewer::connect(&view).0 } else { Viewer::enter(&view, b"RFB 003.008\n").0 };
        let noise: Vec<u8> = (0..random.below(300)).map(|_| random.below(8) as u8).collect();
        // The other end may have closed already.
        let _ = viewer.0.write_all(&noise);
        let _ = viewer.0.shutdown(std::net::Shutdown::Write);
        let _ = viewer.0.read_to_end(&mut Vec::new());
    }
    let (mut viewer, _) = Viewer::enter(&view, b"RFB 003.008\n");
    viewer.ask(false);
    assert_eq!(viewer.rectangle(), ([0, 0, 2, 2], RAW));
}
