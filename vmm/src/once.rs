//! Output that leaves the process once, however often a machine goes over the same part of its run.
//!
//! A run is exact: what a machine says again is what it has said. So it is enough to count.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fencepost_devices::virtio_net::Wire;

use crate::frames::{Frame, FrameSink};

/// How much a machine has said by now, and the most that it ever had.
#[derive(Clone, Copy, Debug, Default)]
pub struct Count {
    now: u64,
    most: u64,
}

impl Count {
    /// `more` is said; how much of it was said before.
    pub fn add(&mut self, more: u64) -> u64 {
        let known = (self.most - self.now).min(more);
        self.now = self.now.saturating_add(more);
        self.most = self.most.max(self.now);
        known
    }

    /// How much, by now.
    pub fn now(self) -> u64 {
        self.now
    }

    /// The most that it ever was.
    pub fn most(self) -> u64 {
        self.most
    }

    /// Whether more was said before.
    pub fn is_known(self) -> bool {
        self.now < self.most
    }

    /// The machine goes on from where it had said so much.
    pub fn go_back(&mut self, now: u64) {
        self.now = now;
    }
}

/// An output of which each part leaves once. Clones are the same output.
pub struct Once<T>(Arc<Mutex<(Count, T)>>);

impl<T> Clone for Once<T> {
    fn clone(&self) -> Self {
        Once(Arc::clone(&self.0))
    }
}

/// Something that knows how much was said.
pub trait Counted: Send {
    /// How much, by now.
    fn said(&self) -> u64;

    /// The machine goes on from where it had said so much.
    fn go_back(&self, said: u64);
}

impl<T> Once<T> {
    /// The output `out`.
    pub fn new(out: T) -> Self {
        Once(Arc::new(Mutex::new((Count::default(), out))))
    }

    fn lock(&self) -> MutexGuard<'_, (Count, T)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Send> Counted for Once<T> {
    fn said(&self) -> u64 {
        self.lock().0.now()
    }

    fn go_back(&self, said: u64) {
        self.lock().0.go_back(said);
    }
}

impl Write for Once<Box<dyn Write + Send>> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (count, out) = &mut *self.lock();
        let known = count.add(bytes.len() as u64) as usize;
        out.write_all(bytes.get(known..).unwrap_or_default()).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.lock().1.flush()
    }
}

impl FrameSink for Once<Box<dyn FrameSink>> {
    fn frame(&mut self, frame: &Frame<'_>) {
        let (count, out) = &mut *self.lock();
        if count.add(1) == 0 {
            out.frame(frame);
        }
    }
}

impl Wire for Once<Box<dyn Wire>> {
    fn send(&mut self, frame: &[u8]) {
        let (count, out) = &mut *self.lock();
        if count.add(1) == 0 {
            out.send(frame);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<Vec<u8>>>);

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_is_said_again_is_written_once() {
        let paper = Paper::default();
        let mut out = Once::new(Box::new(paper.clone()) as Box<dyn Write + Send>);
        out.write_all(b"abc").unwrap();
        let then = out.said();
        out.write_all(b"defg").unwrap();
        out.go_back(then);
        out.write_all(b"de").unwrap();
        out.write_all(b"fghi").unwrap();
        assert_eq!((&*paper.0.lock().unwrap(), out.said()), (&b"abcdefghi".to_vec(), 9));
    }
}
