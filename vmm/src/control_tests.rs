//! Notes to a running machine.

use super::*;

#[test]
fn the_first_reason_to_stop_stays() {
    let control = Control::default();
    control.stop(StopReason::Signal(15));
    control.stop(StopReason::Timeout);
    assert_eq!(control.attend(), Some(StopReason::Signal(15)));
    assert!(!control.stop_flag().is_raised());
}

#[test]
fn input_comes_out_in_order_and_in_parts() {
    let control = Control::default();
    control.push_input(b"he");
    control.push_input(b"llo");
    control.push_break();
    let expected = b"hello".iter().map(|byte| Received::Character(*byte)).chain([Received::Break]);
    assert!(std::iter::from_fn(|| control.take_input()).eq(expected));
    assert!(!control.has_input());
}

#[test]
fn a_file_that_is_still_read_is_waited_for() {
    let control = Control::default();
    control.set_input_steady();
    control.set_input_open(true);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(20));
            control.push_input(b"a");
        });
        assert!(control.has_input());
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(20));
            control.set_input_open(false);
        });
        assert_eq!(control.take_input(), Some(Received::Character(b'a')));
        assert!(!control.has_input());
    });
}

#[test]
fn a_size_of_the_console_is_news_once() {
    let control = Control::default();
    let size = |columns| ConsoleSize { columns, rows: 24 };
    assert_eq!(control.console_size(), None);
    control.set_console_size(size(80));
    control.attend();
    assert_eq!(control.console_size(), Some(size(80)));
    control.set_console_size(size(80));
    assert!(!control.stop_flag().is_raised(), "the same again");
    assert_eq!(control.console_size(), Some(size(80)));
}

#[test]
fn a_machine_that_cannot_pause_is_not_asked_to() {
    let control = Control::default();
    assert!(!control.request_pause() && !control.take_pause_request());
    control.allow_pauses();
    assert!(!control.take_pause_request());
    assert!(control.request_pause() && control.take_pause_request());
    assert!(!control.take_pause_request(), "once");
}

#[test]
fn a_look_finds_what_came_since_the_last_one_and_what_is_still_there() {
    let control = Control::default();
    let first = control.look(None);
    assert!(first.is_quiet() && control.look(Some(first)).is_quiet());
    let brings: [&dyn Fn(); 4] = [
        &|| control.push_input(b"a"),
        &|| control.push_serial_input(1, b"b"),
        &|| control.deliver(5, vec![1]),
        &|| control.fault("gpu:removal".parse().expect("a fault")),
    ];
    for bring in brings {
        bring();
        let look = control.look(Some(first));
        assert!(look.brought && control.look(Some(look)).brought, "until it is taken");
        while control.take_input().or_else(|| control.take_serial_input(1)).is_some() {}
        while control.take_delivery().is_some() || control.take_fault().is_some() {}
        assert!(control.look(Some(look)).is_quiet());
    }
    control.allow_pauses();
    control.request_pause();
    let look = control.look(Some(first));
    assert!(look.pause && control.take_pause_request() && control.look(Some(look)).is_quiet());
    control.stop(StopReason::Quit);
    assert_eq!(control.look(Some(first)).stop, Some(StopReason::Quit));
}

#[test]
fn waiting_ends_when_input_ends() {
    let control = Control::default();
    assert!(!control.wait(None), "input was never open");
    control.set_input_open(true);
    let woken = std::thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            while control.wait(None) {
                control.attend();
            }
        });
        control.set_input_open(false);
        waiter.join().is_ok()
    });
    assert!(woken);
}

#[test]
fn a_device_that_is_the_console_gets_its_input_and_its_sizes() {
    let control = Control::default();
    let size = |columns| ConsoleSize { columns, rows: 25 };
    control.set_console_size(size(80));
    // Typed before anybody knew where it goes.
    control.push_input(b"ear");
    control.push_input(b"ly");
    control.route_console(Route {
        slot: 9,
        characters: |bytes| bytes.to_vec(),
        size: |size| vec![0, size.columns as u8],
    });
    control.push_input(&[b'a'; 5000]);
    control.set_console_size(size(100));
    control.set_console_size(size(100));
    let got: Vec<(u8, usize)> =
        std::iter::from_fn(|| control.take_delivery()).map(|(slot, data)| (slot, data.len())).collect();
    assert_eq!(got, [(9, 5), (9, 2), (9, 4096), (9, 904), (9, 2)]);
    assert!(!control.has_input(), "the serial line gets none");
}

fn characters(bytes: &[u8]) -> Vec<Received> {
    bytes.iter().copied().map(Received::Character).collect()
}

#[test]
fn a_guest_in_its_past_gets_what_it_had_and_then_what_is_new() {
    let control = Control::default();
    control.keep_input();
    control.push_input(b"abc");
    assert!(!control.has_input(), "not shown yet");
    assert_eq!(control.show_input(0), characters(b"abc"));
    assert_eq!(control.take_input(), Some(Received::Character(b'a')));
    // It goes back to before all of it, and more comes meanwhile.
    control.hold_input(true);
    control.push_input(b"d");
    assert!(control.deliveries_are_held(5) && !control.has_unshown() && !control.has_input());
    control.replay_input(0, &characters(b"ab"));
    control.replay_input(0, &characters(b"c"));
    let again = std::iter::from_fn(|| control.take_input());
    assert_eq!(again.collect::<Vec<_>>(), characters(b"abc"));
    control.hold_input(false);
    assert_eq!((control.show_input(0), control.take_delivery()), (characters(b"d"), Some((5, vec![1]))));
    control.keep_no_input(false);
    assert_eq!(control.take_input(), Some(Received::Character(b'd')));
}

#[test]
fn input_from_a_file_is_given_back() {
    let control = Control::default();
    control.set_input_steady();
    control.keep_input();
    control.push_input(b"abcd");
    let take = |count: usize| -> Vec<_> { (0..count).filter_map(|_| control.take_input()).collect() };
    assert_eq!(take(3), characters(b"abc"), "it need not be shown");
    control.hold_input(true);
    assert!(control.give_back(2) && !control.has_unshown());
    assert_eq!(take(4), characters(b"bcd"));
}

impl Control {
    /// Brings something for a device, and says whether the machine does not get it.
    fn deliveries_are_held(&self, slot: u8) -> bool {
        self.try_deliver(slot, vec![1]) && !self.has_delivery() && self.take_delivery().is_none()
    }
}
