//! What the host brought devices, recorded with the guest's times, and given again at those times.
//!
//! A file has a line that says what it is, and then a line for each delivery: the time in nanoseconds, the device's slot, and the
//! data in hexadecimal digits.

use std::collections::VecDeque;
use std::io::Write;

use super::Machine;

/// The first line.
const FIRST: &str = "fencepost-input 1";

/// A delivery at a time of the guest's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// When, in nanoseconds.
    pub at_ns: u64,
    /// To the device in this slot.
    pub slot: u8,
    /// What.
    pub data: Vec<u8>,
}

/// Where deliveries come from.
#[derive(Default)]
pub enum Inputs {
    /// The host, as it brings them.
    #[default]
    Host,
    /// The host, and they are written here.
    Recorded(Box<dyn Write + Send>),
    /// A record; what the host brings is nobody's.
    Replayed(VecDeque<Delivery>),
}

impl Delivery {
    fn line(&self) -> String {
        let digits: String = self.data.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{} {} {digits}\n", self.at_ns, self.slot)
    }

    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let (at_ns, slot, digits) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?, words.next()?);
        let byte = |at: usize| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
        let data = (0..digits.len()).step_by(2).map(byte).collect::<Option<Vec<u8>>>()?;
        words.next().is_none().then_some(Delivery { at_ns, slot, data })
    }
}

/// The deliveries of a record's text.
///
/// # Errors
///
/// The number of the first line that is wrong, and why.
pub fn parse(text: &str) -> Result<VecDeque<Delivery>, (usize, &'static str)> {
    let mut lines = text.lines().enumerate();
    if lines.next().is_none_or(|(_, first)| first != FIRST) {
        return Err((1, "it is not what --record-input writes"));
    }
    let mut deliveries = VecDeque::<Delivery>::new();
    for (at, line) in lines {
        let delivery = Delivery::parse(line).ok_or((at + 1, "write TIME SLOT HEX"))?;
        if deliveries.back().is_some_and(|last| last.at_ns > delivery.at_ns) {
            return Err((at + 1, "its time is before that of the line before"));
        }
        deliveries.push_back(delivery);
    }
    Ok(deliveries)
}

impl Inputs {
    /// Records into `to`. What it does not take is its own affair: an outlet counts that.
    pub fn record(mut to: Box<dyn Write + Send>) -> Self {
        let _ = to.write_all(format!("{FIRST}\n").as_bytes());
        Inputs::Recorded(to)
    }

    /// When the next recorded delivery is due, in nanoseconds.
    pub(super) fn next_ns(&self) -> Option<u64> {
        match self {
            Inputs::Replayed(deliveries) => deliveries.front().map(|delivery| delivery.at_ns),
            Inputs::Host | Inputs::Recorded(_) => None,
        }
    }
}

impl Machine {
    /// Where deliveries come from, from now on.
    pub fn take_inputs(&mut self, inputs: Inputs) {
        self.inputs = inputs;
    }

    /// The next delivery that is to be made now.
    pub(super) fn next_delivery(&mut self) -> Option<(u8, Vec<u8>)> {
        let now_ns = self.now().ns;
        match &mut self.inputs {
            Inputs::Host => self.control.take_delivery(),
            Inputs::Recorded(to) => {
                let (slot, data) = self.control.take_delivery()?;
                let delivery = Delivery { at_ns: now_ns, slot, data };
                let _ = to.write_all(delivery.line().as_bytes());
                Some((slot, delivery.data))
            }
            Inputs::Replayed(deliveries) => {
                while self.control.take_delivery().is_some() {}
                let due = deliveries.front().is_some_and(|delivery| delivery.at_ns <= now_ns);
                let delivery = due.then(|| deliveries.pop_front())??;
                Some((delivery.slot, delivery.data))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let all = [(0, 7, vec![]), (5, 31, vec![0, 0xff]), (5, 1, b"abc".to_vec()), (u64::MAX, 2, vec![1])];
        let all: VecDeque<Delivery> =
            all.into_iter().map(|(at_ns, slot, data)| Delivery { at_ns, slot, data }).collect();
        let text: String = all.iter().map(Delivery::line).collect();
        assert_eq!(parse(&format!("{FIRST}\n{text}")), Ok(all));
    }

    #[test]
    fn lines_that_are_wrong_are_named() {
        for wrong in ["", "something else\n", "fencepost-input 2\n"] {
            assert_eq!(parse(wrong).map_err(|(line, _)| line), Err(1), "{wrong}");
        }
        for wrong in ["x 1 00", "1 256 00", "1 1", "1 1 0", "1 1 0g", "1 1 00 1", "-1 1 00", "1 1 \u{e9}0"] {
            let text = format!("{FIRST}\n0 1 00\n{wrong}\n");
            assert_eq!(parse(&text), Err((3, "write TIME SLOT HEX")), "{wrong}");
        }
        assert_eq!(parse(&format!("{FIRST}\n5 1 00\n4 1 00\n")).map_err(|(line, _)| line), Err(3));
    }
}
