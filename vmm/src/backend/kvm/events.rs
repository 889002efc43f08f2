//! The event loop: what wakes the devices while the vCPUs run.

use std::os::fd::{AsRawFd, RawFd};

use event_manager::{EventManager, EventOps, EventSet, Events, MutEventSubscriber, SubscriberOps};
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

use super::host_error;
use super::shared::Shared;
use crate::backend::End;
use crate::error::HostError;

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
    let bells = doorbells.iter().map(AsRawFd::as_raw_fd).collect();
    let sources = [
        Source { descriptors: vec![timer], wake: Box::new(|| shared.on_time()) },
        // Entering the machine is enough: that rings them.
        Source { descriptors: bells, wake: Box::new(|| shared.with(|_| ())) },
        Source { descriptors: vec![notes.as_raw_fd()], wake: Box::new(|| attend(shared, notes)) },
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
    match shared.control.attend() {
        Some(reason) => shared.ending.finish(Ok(End::Host(reason))),
        None => shared.with(|machine| machine.attend_console()),
    }
}
