//! The terminal on standard input: raw mode while this process is in its foreground, and as it was before in between.
//!
//! A process in the background touches its terminal no more than it must: it would be stopped, or take the terminal from whom
//! it belongs to. When it comes to the foreground later it takes up the terminal then.

use std::io::{IsTerminal, Stdin, stdin};
use std::sync::{Mutex, MutexGuard, Once};

use rustix::process::getpgrp;
use rustix::termios::{OptionalActions, OutputModes, Termios, tcgetattr, tcgetpgrp, tcsetattr};

/// The terminal's part in the process, of which there is one.
struct State {
    /// Settings from before raw mode; none while it is as it was.
    before: Option<Termios>,
    /// Nobody wants raw mode: not yet, not any more, or not while the process is stopped.
    let_go: bool,
}

static STATE: Mutex<State> = Mutex::new(State { before: None, let_go: true });

fn state() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Whether this process is in the foreground of the terminal. One that is not the session's own knows no such thing.
pub fn in_foreground() -> bool {
    tcgetpgrp(stdin()).map_or(true, |group| group == getpgrp())
}

/// Standard input as a raw terminal, for as long as it lives.
#[derive(Debug)]
pub struct RawTerminal(());

impl RawTerminal {
    /// Wants raw mode if standard input is a terminal: at once in the foreground, otherwise when [`take_up`] finds it there.
    pub fn enter() -> Option<Self> {
        if !stdin().is_terminal() {
            return None;
        }
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let earlier = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |info| {
                restore();
                earlier(info);
            }));
        });
        state().let_go = false;
        take_up();
        Some(RawTerminal(()))
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        restore();
    }
}

/// Sets raw mode if that is wanted, is not so yet, and the process is in the foreground.
pub fn take_up() {
    let mut state = state();
    if state.let_go || !in_foreground() {
        return;
    }
    let Ok(now) = tcgetattr(stdin()) else { return };
    let raw = |settings: &Termios| {
        let mut raw = settings.clone();
        raw.make_raw();
        // Output keeps its newline translation, so that the VMM's own lines stay readable among the guest's.
        raw.output_modes |= OutputModes::OPOST;
        raw
    };
    let is_raw = |before: &Termios| same(&now, &raw(before));
    if state.before.as_ref().is_some_and(is_raw) {
        return;
    }
    // Whoever had the terminal meanwhile may have set it anew.
    if tcsetattr(stdin(), OptionalActions::Now, &raw(&now)).is_ok() {
        state.before = Some(now);
    }
}

fn same(one: &Termios, other: &Termios) -> bool {
    (one.local_modes, one.input_modes, one.output_modes)
        == (other.local_modes, other.input_modes, other.output_modes)
}

/// Puts the terminal back as it was, if it was changed, and wants nothing of it any more.
pub fn restore() {
    let mut state = state();
    state.let_go = true;
    put_back(&mut state, stdin());
}

/// Does that where nobody may wait: in a signal's handler, of a process that ends now.
pub fn restore_at_once() {
    if let Ok(mut state) = STATE.try_lock() {
        put_back(&mut state, stdin());
    }
}

fn put_back(state: &mut State, terminal: Stdin) {
    if let Some(before) = state.before.take()
        && in_foreground()
    {
        // A terminal that is gone needs nothing.
        let _ = tcsetattr(terminal, OptionalActions::Now, &before);
    }
}

/// Does `stop`, which stops the process and returns when it goes on, with the terminal as it was before.
pub fn while_stopped(stop: impl FnOnce()) {
    let wanted = {
        let mut state = state();
        put_back(&mut state, stdin());
        !std::mem::replace(&mut state.let_go, true)
    };
    stop();
    if wanted {
        state().let_go = false;
        take_up();
    }
}
