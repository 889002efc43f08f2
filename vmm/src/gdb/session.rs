//! A debugger's session: what it says is worked on while the machine stands still, on the thread that runs the machine.

use std::io;
use std::sync::Arc;

use fencepost_softcpu::stops::Stops;
use gdbstub::common::Signal;
use gdbstub::conn::Connection;
use gdbstub::stub::state_machine::GdbStubStateMachine as Stub;
use gdbstub::stub::{DisconnectReason, GdbStub, GdbStubError, MultiThreadStopReason as Reason};
use gdbstub::target::ext::base::reverse_exec::ReplayLogPosition;

use super::door::{Inbox, News, Stream};
use super::subject::Subject;
use crate::control::{Control, StopReason};
use crate::debug::{Debugger, Most, Order, Stopped, Why};
use crate::machine::Machine;
use crate::say;

/// What the debugger is sent, a packet at a time.
struct Line {
    stream: Stream,
    unsent: Vec<u8>,
}

impl Connection for Line {
    type Error = io::Error;

    fn write(&mut self, byte: u8) -> io::Result<()> {
        self.unsent.push(byte);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.write_all(&std::mem::take(&mut self.unsent))
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.stream.close();
    }
}

type Failed = GdbStubError<&'static str, io::Error>;

/// What to do when one piece of news was worked on.
enum Next {
    /// Work on more.
    More(Stub<'static, Subject, Line>),
    /// The machine goes on, and the debugger stays.
    Goes(Stub<'static, Subject, Line>),
    /// The debugger has left.
    Left(Order),
}

/// The session, and what happens without one.
pub struct Session {
    inbox: Arc<Inbox>,
    control: Arc<Control>,
    subject: Subject,
    stub: Option<Stub<'static, Subject, Line>>,
    order: Order,
    /// It was said while the debugger was attended to last.
    ordered: bool,
    lines: Lines,
}

/// When the guest waits for a debugger.
pub struct Lines {
    /// Before its first instruction.
    pub waits_at_start: bool,
    /// When its kernel fails; said before it does.
    pub at_failure: Option<String>,
    /// When it is over, said too.
    pub at_end: Option<String>,
}

fn signal(why: Why) -> Signal {
    match why {
        Why::Called => Signal::SIGINT,
        Why::Failed => Signal::SIGABRT,
        Why::Dying => Signal::SIGSEGV,
        Why::Start | Why::Stepped | Why::Breakpoint | Why::Accessed(_) | Why::Began | Why::Ended => {
            Signal::SIGTRAP
        }
    }
}

impl Session {
    /// A session with whoever comes to `inbox`.
    pub fn new(inbox: &Arc<Inbox>, control: &Arc<Control>, lines: Lines) -> Self {
        Session {
            inbox: Arc::clone(inbox),
            control: Arc::clone(control),
            subject: Subject::default(),
            stub: None,
            order: Order::Run,
            ordered: false,
            lines,
        }
    }

    /// What is said before the guest waits.
    fn line(&self, why: Why) -> Option<&String> {
        match why {
            Why::Failed => self.lines.at_failure.as_ref(),
            Why::Ended => self.lines.at_end.as_ref(),
            _ => None,
        }
    }

    fn waits(&self, why: Why) -> bool {
        match why {
            Why::Start => self.lines.waits_at_start,
            _ => self.line(why).is_some(),
        }
    }

    /// Has the debugger work until the machine is to go on.
    fn work(&mut self, why: Why) -> Order {
        let mut report = (why != Why::Called).then_some(why);
        if self.stub.is_none()
            && let Some(line) = self.line(why)
        {
            say::line(format_args!("fencepost: {line}"));
        }
        loop {
            let news = match &self.stub {
                None if !self.waits(why) => self.inbox.take(),
                // It is to be told first, or has nothing to say.
                Some(Stub::Running(_)) if report.is_some() => None,
                Some(Stub::Running(_)) => self.inbox.take(),
                Some(Stub::CtrlCInterrupt(_) | Stub::Disconnected(_)) => None,
                None | Some(Stub::Idle(_)) => match self.inbox.wait(&self.control) {
                    None => return self.control.stop_reason().map_or(self.order, Order::End),
                    news => news,
                },
            };
            let next = match (self.stub.take(), news) {
                (None, Some(News::Came(stream))) => {
                    // It asks why the machine stands still.
                    report = None;
                    self.begin(stream)
                }
                (None, Some(_)) => continue,
                (None, None) => return self.order,
                (Some(_), Some(News::Gone)) => {
                    say::in_passing("fencepost: gdb: the debugger has gone away, and the guest goes on");
                    Ok(Next::Left(Order::Run))
                }
                (Some(stub), news) => self.next(stub, news, &mut report),
            };
            match next {
                Ok(Next::More(stub)) => self.stub = Some(stub),
                Ok(Next::Goes(stub)) => {
                    self.stub = Some(stub);
                    return self.order;
                }
                Ok(Next::Left(order)) => {
                    self.subject.let_go();
                    return self.orders(order);
                }
                Err(error) => {
                    say::in_passing(format_args!(
                        "fencepost: gdb: {error}; it is let go, and the guest goes on"
                    ));
                    self.subject.let_go();
                    return self.orders(Order::Run);
                }
            }
        }
    }

    fn orders(&mut self, order: Order) -> Order {
        (self.order, self.ordered) = (order, true);
        order
    }

    fn begin(&mut self, stream: Stream) -> Result<Next, Failed> {
        let line = Line { stream, unsent: Vec::new() };
        GdbStub::new(line).run_state_machine(&mut self.subject).map(Next::More)
    }

    fn next(
        &mut self,
        stub: Stub<'static, Subject, Line>,
        news: Option<News>,
        report: &mut Option<Why>,
    ) -> Result<Next, Failed> {
        let subject = &mut self.subject;
        match (stub, news) {
            (Stub::Idle(stub), Some(News::Byte(byte))) => stub.incoming_data(subject, byte).map(Next::More),
            (Stub::Running(stub), Some(News::Byte(byte))) => {
                stub.incoming_data(subject, byte).map(Next::More)
            }
            (Stub::Running(stub), _) => match (report.take(), subject.order.take()) {
                (Some(why), _) => {
                    let reason = self.reason(why);
                    stub.report_stop(&mut self.subject, reason).map(Next::More)
                }
                (None, Some(order)) => {
                    self.orders(order);
                    Ok(Next::Goes(stub.into()))
                }
                (None, None) => Ok(Next::Goes(stub.into())),
            },
            (Stub::CtrlCInterrupt(stub), _) => {
                self.orders(Order::Run);
                let subject = &mut self.subject;
                subject.order = None;
                let reason = Reason::SignalWithThread { tid: subject.current(), signal: Signal::SIGINT };
                stub.interrupt_handled(subject, Some(reason)).map(Next::More)
            }
            (Stub::Disconnected(stub), _) => Ok(Next::Left(match stub.get_reason() {
                DisconnectReason::Kill => Order::End(StopReason::Debugger),
                _ => Order::Run,
            })),
            (stub @ Stub::Idle(_), _) => Ok(Next::More(stub)),
        }
    }

    fn reason(&self, why: Why) -> Reason<u64> {
        let tid = self.subject.current();
        match why {
            Why::Breakpoint if self.subject.is_at_software_breakpoint() => Reason::SwBreak(tid),
            Why::Breakpoint => Reason::HwBreak(tid),
            Why::Accessed(access) => {
                let kind = self.subject.watch_kind(access.watched);
                Reason::Watch { tid, kind, addr: access.watched }
            }
            Why::Began => Reason::ReplayLog { tid: Some(tid), pos: ReplayLogPosition::Begin },
            Why::Ended if self.subject.can_go_back() => {
                Reason::ReplayLog { tid: Some(tid), pos: ReplayLogPosition::End }
            }
            Why::Start | Why::Called | Why::Stepped | Why::Failed | Why::Dying | Why::Ended => {
                Reason::SignalWithThread { tid, signal: signal(why) }
            }
        }
    }

    /// Tells the debugger that the machine has ended, if it waits for that.
    pub fn end(&mut self, reason: Reason<u64>) {
        if let Some(Stub::Running(stub)) = self.stub.take() {
            // Whoever is gone needs no word.
            let _ = stub.report_stop(&mut self.subject, reason);
        }
    }
}

impl Debugger for Session {
    fn attend(&mut self, why: Why, cpus: &mut Stopped, machine: &mut Machine) -> Order {
        std::mem::swap(&mut self.subject.cpus, cpus);
        self.subject.memory = Some(machine.memory().clone());
        self.ordered = false;
        let order = self.work(why);
        self.subject.memory = None;
        for (gpa, bytes) in self.subject.written.drain(..) {
            self.subject.cpus.changed = true;
            machine.code().written(gpa, bytes);
        }
        for mark in self.subject.marks.drain(..) {
            machine.record_mark_beside(&mark);
        }
        std::mem::swap(&mut self.subject.cpus, cpus);
        order
    }

    fn has_ordered(&self) -> bool {
        self.ordered
    }

    fn limit(&mut self, most: Most) {
        self.subject.most = Some(most);
    }

    fn is_there(&self) -> bool {
        self.stub.is_some()
    }

    fn stops(&self) -> Stops {
        self.subject.stops()
    }
}
