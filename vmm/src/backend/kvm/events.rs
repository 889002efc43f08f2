//! The event loop: what wakes the devices while the vCPUs run.

use std::cell::RefCell;
use std::os::fd::{AsRawFd, RawFd};
use std::time::{Duration, Instant};

use event_manager::{EventManager, EventOps, EventSet, Events, MutEventSubscriber, SubscriberOps};
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};
use vmm_sys_util::timerfd::TimerFd;

use super::host_error;
use super::shared::Shared;
use super::threads::Link;
use super::watch::{Next, Outlook, Watch};
use crate::backend::End;
use crate::error::HostError;
use crate::machine::{GuestEnd, Machine};

/// One source of events and what it brings about.
struct Source<'a> {
    descriptors: Vec<RawFd>,
    wake: Box<dyn FnMut() + 'a>,
}

impl MutEventSubscriber for Source<'_> {
    fn process(&mut self, _events: Events, _ops: &mut EventOps<'_>) {
        (self.wake)();
    }

    fn init(&mut self, ops: &mut EventOps<'_>) {
        for &descriptor in &self.descriptors {
            ops.add(Events::new_raw(descriptor, EventSet::IN))
                .expect("each descriptor is open, and added once");
        }
    }
}

/// Runs until the run is over.
pub fn run(shared: &Shared<'_>) -> Result<(), HostError> {
    let notes = EventFd::new(EFD_NONBLOCK).map_err(|e| host_error("no eventfd", e))?;
    let told = notes.try_clone().map_err(|e| host_error("no eventfd", e))?;
    shared.control.set_event(Some(told));
    // Whatever was noted before is looked at first.
    let _ = notes.write(1);
    let result = serve(shared, &notes);
    shared.control.set_event(None);
    result
}

fn serve(shared: &Shared<'_>, notes: &EventFd) -> Result<(), HostError> {
    let failed = |error| host_error("the event loop", error);
    let (timer, doorbells) = shared.descriptors()?;
    let looks = RefCell::new(Looks::new(shared)?);
    let looks_timer = looks.borrow().timer.as_raw_fd();
    let sources = [
        Source { descriptors: vec![timer], wake: Box::new(|| shared.on_time()) },
        // Entering the machine is enough: that rings them.
        Source {
            descriptors: doorbells.iter().map(AsRawFd::as_raw_fd).collect(),
            wake: Box::new(|| shared.with(|_| ())),
        },
        Source { descriptors: vec![notes.as_raw_fd()], wake: Box::new(|| attend(shared, notes)) },
        Source { descriptors: vec![looks_timer], wake: Box::new(|| looks.borrow_mut().begin()) },
        Source { descriptors: vec![shared.looked.as_raw_fd()], wake: Box::new(|| looks.borrow_mut().end()) },
        // It stays readable; the loop below ends with it.
        Source { descriptors: vec![shared.ending.event().as_raw_fd()], wake: Box::new(|| ()) },
    ];
    let mut manager = EventManager::new().map_err(failed)?;
    for source in sources {
        manager.add_subscriber(source);
    }
    while !shared.ending.is_over() {
        manager.run().map_err(failed)?;
    }
    Ok(())
}

/// Reads the notes of the outside world.
fn attend(shared: &Shared<'_>, notes: &EventFd) {
    let _ = notes.read();
    if shared.is_called() {
        // A vCPU's thread works on what the debugger says.
        shared.kick_all();
    }
    match shared.control.attend() {
        Some(reason) => shared.ending.finish(Ok(End::Host(reason))),
        None => shared.with(|machine| {
            if shared.control.take_pause_request() {
                machine.set_end(GuestEnd::Pause);
            }
            machine.attend_console();
            machine.attend_deliveries();
        }),
    }
}

/// The looks at the vCPUs: a timer says when, the vCPUs' threads what they see.
struct Looks<'a> {
    shared: &'a Shared<'a>,
    timer: TimerFd,
    watch: Watch,
}

impl<'a> Looks<'a> {
    fn new(shared: &'a Shared<'a>) -> Result<Self, HostError> {
        let timer = TimerFd::new().map_err(|e| host_error("no timer", e))?;
        let watch = Watch::new(shared.links.len(), shared.control.watchdog());
        let mut looks = Looks { shared, timer, watch };
        looks.wait(looks.watch.first());
        Ok(looks)
    }

    fn wait(&mut self, time: Duration) {
        self.timer.reset(time, None).expect("any time to come can be set");
    }

    /// Asks the threads to look, unless the guest shows by itself that it is alive. What is traced goes to its file first:
    /// nobody knows when something else will be.
    fn begin(&mut self) {
        self.shared.with(Machine::flush_trace);
        match self.watch.progress(self.shared.links.iter().map(Link::exits)) {
            Some(time) => self.wait(time),
            None => {
                // Also takes back its being readable.
                self.timer.clear().expect("a timer can be cleared");
                self.shared.links.iter().for_each(Link::ask);
            }
        }
    }

    /// A thread has looked: judges when all have.
    fn end(&mut self) {
        let _ = self.shared.looked.read();
        let Some(views) = self.shared.links.iter().map(Link::seen).collect::<Option<Vec<_>>>() else {
            return;
        };
        if let Some(time) = self.watch.progress(self.shared.links.iter().map(Link::exits)) {
            return self.wait(time);
        }
        let event = self.shared.with(|machine| machine.next_event_ns().is_some());
        let outlook = Outlook { event, input: self.shared.control.input_open() };
        match self.watch.judge(&views, outlook, Instant::now()) {
            Next::Wait(time) => self.wait(time),
            Next::End(end, cpu) => self.shared.ending.finish_by(cpu, Ok(End::Guest(end))),
        }
    }
}
