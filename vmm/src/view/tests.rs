//! The page's server over real sockets.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpStream};

use fencepost_random::Random;
use tungstenite::{Message, WebSocket};

use super::hub::testing::{first, show};
use super::*;
use crate::frames::ScreenName;
use crate::input::testing::devices;

fn any_port() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
}

/// A view with a page, and the page's address after `http://`.
fn open_view(devices: &InputDevices) -> (View, String) {
    let view = View::open(Addresses { page: Some(any_port()), vnc: None }, devices).expect("a free port");
    let url = view.lines()[0].strip_prefix("view: http://").expect("an address").to_string();
    (view, url)
}

fn connect(url: &str) -> TcpStream {
    let stream = TcpStream::connect(url.split('/').next().expect("a host")).expect("it listens");
    // So that a test that would hang fails.
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("set");
    stream
}

/// What is answered to `request`, until the end of the connection.
fn answered(url: &str, request: &str) -> String {
    let mut stream = connect(url);
    stream.write_all(request.as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("text");
    answer
}

fn web_socket(url: &str) -> WebSocket<TcpStream> {
    let at = format!("ws://{}", url.replace("/?", "/socket?"));
    tungstenite::client::client(at, connect(url)).map_err(|error| error.to_string()).expect("let in").0
}

/// The next message that is JSON, alone or before a picture.
fn next(socket: &mut WebSocket<TcpStream>) -> serde_json::Value {
    let message = socket.read().expect("a message");
    let json = match &message {
        Message::Text(text) => text.as_bytes(),
        Message::Binary(bytes) => {
            let length = u32::from_le_bytes(bytes[..4].try_into().expect("four")) as usize;
            &bytes[4..4 + length]
        }
        other => panic!("{other:?}"),
    };
    serde_json::from_slice(json).expect("JSON")
}

fn say(socket: &mut WebSocket<TcpStream>, text: &str) {
    socket.send(Message::text(text)).expect("sent");
}

#[test]
fn the_page_comes_once_and_whole() {
    let (_view, url) = open_view(&InputDevices::default());
    let (host, target) = url.split_once('/').expect("a path");
    let answer = answered(&url, &format!("GET /{target} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())), "{head}");
    assert!(
        head.contains("default-src 'none'") && head.contains(&format!("connect-src ws://{host};")),
        "{head}"
    );
    assert!(body.ends_with("</html>\n") && !body.contains("NONCE") && !body.contains("src="), "{body}");
    let wrong = answered(&url, &format!("GET /?token=x HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    assert!(wrong.starts_with("HTTP/1.1 403 Forbidden\r\n"), "{wrong}");
}

#[test]
fn a_viewer_gets_the_newest_picture_and_only_what_changed_of_it() {
    let (view, url) = open_view(&InputDevices::default());
    let hub = view.hub();
    show(&hub, &first(), 1, 2, &[1; 16]);
    let mut socket = web_socket(&url);
    let screens = next(&mut socket);
    assert_eq!(screens["screens"], serde_json::json!(["display@3"]));
    assert_eq!((&screens["keyboard"], &screens["pointer"]), (&false.into(), &false.into()));
    let picture = next(&mut socket);
    assert_eq!(
        (&picture["frame"], &picture["crc"], &picture["width"]),
        (&1.into(), &"00000010".into(), &2.into())
    );
    // While it is not on the page no other comes, and of many then the newest.
    for frame in 2..50 {
        let mut changed = [1; 16];
        changed[12] = frame as u8;
        show(&hub, &first(), frame, 2, &changed);
    }
    say(&mut socket, r#"{"type":"shown"}"#);
    let newest = next(&mut socket);
    assert_eq!((&newest["frame"], &newest["x"], &newest["y"]), (&49.into(), &1.into(), &1.into()));
    say(&mut socket, r#"{"type":"shown"}"#);
    let mut same = [1; 16];
    same[12] = 49;
    show(&hub, &first(), 50, 2, &same);
    let count = next(&mut socket);
    assert_eq!((&count["type"], &count["frame"]), (&"frame".into(), &50.into()));
}

#[test]
fn another_screen_is_shown_when_the_page_asks_for_it() {
    let (view, url) = open_view(&InputDevices::default());
    let hub = view.hub();
    let second = ScreenName { scanout: 1, first: false, ..first() };
    show(&hub, &first(), 1, 1, &[1; 4]);
    show(&hub, &second, 2, 1, &[2; 4]);
    let mut socket = web_socket(&url);
    assert_eq!(next(&mut socket)["screens"], serde_json::json!(["display@3", "display@3.1"]));
    assert_eq!(next(&mut socket)["screen"], "display@3");
    say(&mut socket, r#"{"type":"screen","name":"display@3.1"}"#);
    say(&mut socket, r#"{"type":"shown"}"#);
    assert_eq!(next(&mut socket)["screen"], "display@3.1");
}

#[test]
fn keys_and_pointer_reach_the_devices_and_are_let_go_at_the_end() {
    let (devices, kept) = devices();
    let (view, url) = open_view(&devices);
    let mut socket = web_socket(&url);
    let screens = next(&mut socket);
    assert_eq!((&screens["keyboard"], &screens["pointer"]), (&true.into(), &true.into()));
    say(&mut socket, r#"{"type":"key","code":"KeyA","pressed":true}"#);
    say(&mut socket, r#"{"type":"pointer","x":1,"y":32767}"#);
    say(&mut socket, r#"{"type":"wheel","notches":-1}"#);
    drop(socket);
    // It waits for its viewers.
    drop(view);
    let expected = [
        (5, 1, 30, 1),
        (7, 1, 30, 1),
        (6, 3, 0, 1),
        (6, 3, 1, 32767),
        (6, 2, 8, -1),
        (5, 1, 30, 0),
        (7, 1, 30, 0),
    ];
    let events = kept.events();
    assert_eq!(events, expected);
}

#[test]
fn at_the_end_the_last_picture_comes_and_the_word_that_it_is_the_last() {
    let (view, url) = open_view(&InputDevices::default());
    show(&view.hub(), &first(), 1, 1, &[1; 4]);
    let mut socket = web_socket(&url);
    let _ = (next(&mut socket), next(&mut socket));
    show(&view.hub(), &first(), 2, 1, &[2; 4]);
    let ends = std::thread::spawn(move || drop(view));
    assert_eq!(next(&mut socket)["frame"], 2);
    assert_eq!(next(&mut socket)["type"], "ended");
    assert!(matches!(socket.read(), Ok(Message::Close(_))));
    drop(socket);
    ends.join().expect("no panic");
    assert!(TcpStream::connect(url.split('/').next().expect("a host")).is_err(), "nobody listens any more");
}

#[test]
fn a_viewer_that_takes_nothing_holds_nobody_up_and_no_older_pictures() {
    let (view, url) = open_view(&InputDevices::default());
    let hub = view.hub();
    let mut random = Random::new(2);
    let mut noise = || -> Vec<u8> { (0..1 << 20).map(|_| random.bits() as u8).collect() };
    show(&hub, &first(), 1, 512, &noise());
    let mut stalled = web_socket(&url);
    let _ = (next(&mut stalled), next(&mut stalled));
    // It says that it has the picture, and that again and again, but reads no more: far more than sockets hold is on its way.
    for _ in 0..64 {
        say(&mut stalled, r#"{"type":"shown"}"#);
    }
    let pictures: Vec<Vec<u8>> = (0..4).map(|_| noise()).collect();
    let mut kept = Vec::new();
    for frame in 2..200 {
        show(&hub, &first(), frame, 512, &pictures[frame as usize % 4]);
        let (_, shown) = hub.shown(None).expect("shown");
        kept.push(Arc::downgrade(&shown.picture));
    }
    let alive = kept.iter().filter(|picture| picture.strong_count() > 0).count();
    assert!(alive <= 4, "the newest, the one before, and what the viewer has in hand: {alive}");
    assert_eq!(hub.shown(None).map(|(_, shown)| shown.frame), Some(199));
    drop(view);
}

#[test]
fn a_viewer_that_sends_what_no_page_sends_is_sent_away() {
    let (_view, url) = open_view(&InputDevices::default());
    for wrong in [Message::text("{}"), Message::text("x".repeat(5000)), Message::binary(vec![1, 2])] {
        let mut socket = web_socket(&url);
        let _ = next(&mut socket);
        socket.send(wrong).expect("sent");
        assert!(socket.read().is_err());
    }
    let mut random = Random::new(5);
    for _ in 0..200 {
        let mut socket = web_socket(&url);
        let noise: Vec<u8> = (0..random.below(200)).map(|_| random.below(256) as u8).collect();
        // The other end may have closed already.
        let _ = socket.get_mut().write_all(&noise);
        let _ = socket.get_mut().shutdown(Shutdown::Write);
        let _ = socket.get_mut().read_to_end(&mut Vec::new());
    }
    let (host, target) = url.split_once('/').expect("a path");
    let answer = answered(&url, &format!("GET /{target} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "it still serves: {answer}");
}

#[test]
fn connections_are_bounded_and_those_that_leave_make_room() {
    let (_view, url) = open_view(&InputDevices::default());
    let mut sockets: Vec<_> = (0..door::CONNECTIONS_MAX).map(|_| web_socket(&url)).collect();
    let mut one_more = connect(&url);
    assert_eq!(one_more.read(&mut [0; 1]).ok(), Some(0), "closed at once");
    let mut left = sockets.pop().expect("sixteen");
    left.close(None).expect("said");
    while left.read().is_ok() {}
    drop(left);
    let again = (0..600).any(|_| {
        std::thread::sleep(Duration::from_millis(100));
        let mut stream = connect(&url);
        let asked = stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let mut answer = String::new();
        asked.is_ok() && stream.read_to_string(&mut answer).is_ok() && answer.starts_with("HTTP/1.1 403")
    });
    assert!(again, "there is room again");
}

#[test]
fn a_request_that_does_not_come_to_its_end_is_given_up() {
    let (_view, url) = open_view(&InputDevices::default());
    let mut stream = connect(&url);
    stream.write_all(b"GET / HTTP/1.1\r\nHost:").expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("the end");
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
}

#[test]
fn an_address_that_others_can_reach_or_that_is_taken_is_refused() {
    let far = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    let open = |addresses| View::open(addresses, &InputDevices::default()).map(|_| ());
    let said = open(Addresses { page: Some(far), vnc: None }).expect_err("refused").to_string();
    assert!(said.contains("--view 0.0.0.0:0: not a loopback address"), "{said}");
    let taken = std::net::TcpListener::bind(any_port()).expect("a free port");
    let vnc = taken.local_addr().ok();
    let said = open(Addresses { page: None, vnc }).expect_err("refused").to_string();
    assert!(said.contains("--vnc 127.0.0.1:") && said.contains("in use"), "{said}");
}
