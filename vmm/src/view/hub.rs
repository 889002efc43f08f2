//! The newest picture of each screen, and who waits for newer ones.
//!
//! The machine's thread puts pictures in and never waits for a viewer: it holds the one lock here for as long as it takes to exchange a
//! pointer. An older picture lives on only while a viewer has it in hand.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::event::Event;
use crate::frames::{ScreenName, Watcher};
use fencepost_devices::display::Scanned;

/// Screens that are kept: a machine has up to 31 devices, each with up to 16 scan-outs; further ones are not shown.
const SCREENS_MAX: usize = 64;

/// A picture that was on a screen.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Picture {
    /// The commit that brought it.
    pub flip: u64,
    /// CRC-32 of its pixels.
    pub crc: u32,
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// XRGB8888, little-endian words (bytes B, G, R, X), rows without gaps.
    pub xrgb: Vec<u8>,
}

/// What a screen shows now.
#[derive(Clone, Debug)]
pub struct Shown {
    /// The last frame that was scanned out, as the display counts vertical blanks.
    pub frame: u64,
    /// Its picture.
    pub picture: Arc<Picture>,
}

/// Somebody who waits for pictures in a thread of their own.
#[derive(Debug)]
pub struct Waiter {
    /// Readable when there is something new, after [`Waiter::arm`].
    pub event: Event,
    armed: AtomicBool,
}

impl Waiter {
    fn new() -> io::Result<Self> {
        Ok(Waiter { event: Event::new()?, armed: AtomicBool::new(false) })
    }

    /// Wants to be told once. Whoever looks for news after this misses none.
    pub fn arm(&self) {
        self.event.clear();
        self.armed.store(true, Ordering::SeqCst);
    }

    fn tell(&self) {
        if self.armed.swap(false, Ordering::SeqCst) {
            self.event.set();
        }
    }
}

#[derive(Default)]
struct State {
    screens: BTreeMap<ScreenName, Shown>,
    waiters: Vec<Arc<Waiter>>,
    /// A picture that nobody has any more: its memory is used again.
    spare: Option<Arc<Picture>>,
    over: bool,
}

/// The newest pictures.
#[derive(Default)]
pub struct Hub(Mutex<State>);

impl Hub {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The screens that have shown something.
    pub fn screens(&self) -> Vec<ScreenName> {
        self.state().screens.keys().cloned().collect()
    }

    /// What a screen shows; the first one, or if that shows nothing the lowest, for none.
    pub fn shown(&self, screen: Option<&ScreenName>) -> Option<(ScreenName, Shown)> {
        let state = self.state();
        let first = || {
            let first = state.screens.iter().find(|(name, _)| name.first);
            first.or_else(|| state.screens.iter().next())
        };
        let found = screen.and_then(|name| state.screens.get_key_value(name));
        found.or_else(first).map(|(name, shown)| (name.clone(), shown.clone()))
    }

    /// What all screens show: the first one's, then the others in the order of their names.
    pub fn all(&self) -> Vec<Arc<Picture>> {
        let state = self.state();
        let mut all: Vec<_> = state.screens.iter().collect();
        all.sort_by_key(|(name, _)| !name.first);
        all.into_iter().map(|(_, shown)| Arc::clone(&shown.picture)).collect()
    }

    /// A new waiter, who is told of news until it is taken away by [`Hub::forget`].
    ///
    /// # Errors
    ///
    /// No descriptor is left.
    pub fn wait_for_news(&self) -> io::Result<Arc<Waiter>> {
        let waiter = Arc::new(Waiter::new()?);
        self.state().waiters.push(Arc::clone(&waiter));
        Ok(waiter)
    }

    /// Takes a waiter away.
    pub fn forget(&self, waiter: &Arc<Waiter>) {
        self.state().waiters.retain(|other| !Arc::ptr_eq(other, waiter));
    }

    /// There will be no more pictures: viewers send the last one and end.
    pub fn end(&self) {
        let mut state = self.state();
        state.over = true;
        for waiter in &state.waiters {
            waiter.armed.store(true, Ordering::SeqCst);
            waiter.tell();
        }
    }

    /// Whether that is so.
    pub fn is_over(&self) -> bool {
        self.state().over
    }

    /// Memory for a picture.
    fn spare(&self) -> Arc<Picture> {
        let spare = self.state().spare.take();
        spare.filter(|picture| Arc::strong_count(picture) == 1).unwrap_or_default()
    }

    fn put(&self, screen: &ScreenName, shown: Shown) {
        let mut state = self.state();
        if let Some(before) = state.screens.get_mut(screen) {
            let before = std::mem::replace(before, shown);
            state.spare = Some(before.picture);
        } else if state.screens.len() < SCREENS_MAX {
            state.screens.insert(screen.clone(), shown);
        }
        state.waiters.iter().for_each(|waiter| waiter.tell());
    }
}

impl Watcher for Hub {
    fn scanned(&self, screen: &ScreenName, picture: &Scanned<'_>) {
        let &Scanned { frame, flip, crc, width_px: width, height_px: height, xrgb, .. } = picture;
        let mut state = self.state();
        if let Some(shown) = state.screens.get_mut(screen) {
            let same = &shown.picture;
            shown.frame = frame;
            if (same.flip, same.crc, same.width, same.height) == (flip, crc, width, height) {
                state.waiters.iter().for_each(|waiter| waiter.tell());
                return;
            }
        }
        drop(state);
        let mut new = self.spare();
        let mut pixels =
            Arc::get_mut(&mut new).map(|spare| std::mem::take(&mut spare.xrgb)).unwrap_or_default();
        pixels.clear();
        pixels.extend_from_slice(xrgb);
        let picture = Arc::new(Picture { flip, crc, width, height, xrgb: pixels });
        self.put(screen, Shown { frame, picture });
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use fencepost_trace::Stamp;

    use super::*;

    /// The screen of a display in slot 3.
    pub fn first() -> ScreenName {
        ScreenName { slot: 3, kind: "display".into(), first: true, scanout: 0 }
    }

    /// Shows a picture of `width` pixels a row; its "CRC" is the sum of its bytes.
    pub fn show(hub: &Hub, screen: &ScreenName, frame: u64, width: u32, xrgb: &[u8]) {
        let crc = xrgb.iter().map(|&byte| u32::from(byte)).sum();
        let height_px = xrgb.len() as u32 / 4 / width;
        let now = Stamp::default();
        let (scanout, flip, width_px) = (screen.scanout, frame, width);
        hub.scanned(
            screen,
            &Scanned { scanout, frame, flip, fresh: true, crc, now, width_px, height_px, xrgb },
        );
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{first, show};
    use super::*;

    #[test]
    fn only_the_newest_picture_is_kept_and_one_in_hand_does_not_change() {
        let hub = Hub::default();
        show(&hub, &first(), 1, 1, &[1; 4]);
        let (_, in_hand) = hub.shown(None).expect("shown");
        for frame in 2..100 {
            show(&hub, &first(), frame, 1, &[frame as u8; 4]);
        }
        assert_eq!(in_hand.picture.xrgb, [1; 4]);
        let (_, newest) = hub.shown(None).expect("shown");
        assert_eq!((newest.frame, newest.picture.xrgb.as_slice()), (99, &[99; 4][..]));
        assert_eq!(Arc::strong_count(&in_hand.picture), 1, "the hub has let it go");
    }

    #[test]
    fn a_waiter_is_told_once_after_it_asks() {
        let hub = Hub::default();
        let waiter = hub.wait_for_news().expect("an eventfd");
        show(&hub, &first(), 1, 1, &[1; 4]);
        assert!(!waiter.event.clear(), "it has not asked");
        waiter.arm();
        show(&hub, &first(), 2, 1, &[1; 4]);
        show(&hub, &first(), 3, 1, &[1; 4]);
        assert!(waiter.event.clear() && !waiter.event.clear());
        hub.forget(&waiter);
        waiter.arm();
        show(&hub, &first(), 4, 1, &[2; 4]);
        assert!(!waiter.event.clear(), "it was taken away");
        assert!(!hub.is_over());
    }

    #[test]
    fn the_first_screen_is_shown_unless_another_is_named() {
        let hub = Hub::default();
        let second = ScreenName { slot: 2, first: false, ..first() };
        assert!(hub.shown(None).is_none());
        show(&hub, &second, 1, 1, &[2; 4]);
        assert_eq!(hub.shown(None).map(|(name, _)| name), Some(second.clone()), "there is no other");
        show(&hub, &first(), 1, 1, &[1; 4]);
        assert_eq!(hub.shown(None).map(|(name, _)| name), Some(first()));
        assert_eq!(hub.shown(Some(&second)).map(|(name, _)| name), Some(second.clone()));
        assert_eq!(hub.screens(), [second, first()]);
        assert_eq!(hub.all().iter().map(|picture| picture.xrgb[0]).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(first().to_string(), "display@3");
    }

    #[test]
    fn screens_are_bounded() {
        let hub = Hub::default();
        for scanout in 0..1000 {
            show(&hub, &ScreenName { scanout, ..first() }, 1, 1, &[1; 4]);
        }
        assert_eq!(hub.screens().len(), SCREENS_MAX);
    }
}
