//! Lanes of interrupts and of the CPU: from a function's message to the guest's handler.

use std::collections::{BTreeMap, BTreeSet};

use crate::event::Event;
use crate::guest::GuestView;
use crate::journey::{At, InterruptLine};
use crate::timeline::{Group, Lane, Mark, Scene, Slice, Tone};

/// Lanes of message interrupts, interrupts in service, exits, and handlers.
pub(super) fn lanes(scene: &Scene<'_>) -> Vec<Lane> {
    let mut scan = Scan { scene, messages: BTreeMap::new(), cpus: BTreeMap::new() };
    for (record, one) in scene.trace.records.iter().enumerate() {
        scan.event(&one.event, At { stamp: one.stamp, record });
    }
    let mut lanes = Vec::new();
    for (line, slices) in scan.messages.into_values().map(|line| line.finish(scene)) {
        let about = "From the function's message to the CPU's taking the interrupt";
        lanes.push(Lane::new(Group::Interrupts, line, about, slices, Vec::new()));
    }
    for (cpu, found) in scan.cpus {
        let [service, handlers] = [found.service, found.handlers].map(|row| row.finish(scene));
        let about = "Interrupts from delivery to end-of-interrupt";
        lanes.push(Lane::new(Group::Cpu, format!("CPU {cpu}: interrupts"), about, service, Vec::new()));
        let about = "The guest's handlers (irq_handler_entry to irq_handler_exit)";
        lanes.push(Lane::new(Group::Cpu, format!("CPU {cpu}: handlers"), about, handlers, Vec::new()));
        let about = "What made the CPU leave the guest";
        lanes.push(Lane::new(Group::Cpu, format!("CPU {cpu}: exits"), about, Vec::new(), found.exits));
    }
    lanes
}

/// The name of a function's message interrupt.
fn line_name(scene: &Scene<'_>, rid: u16, msi: u16, line: Option<&InterruptLine>) -> String {
    let mut name = format!("{} MSI-X {msi}", scene.trace.header.function_label(rid));
    if let Some(irq) = line.and_then(|line| line.irq) {
        name += &format!(", irq {irq}");
    }
    if let Some(guest) = line.and_then(|line| line.name.as_ref()) {
        name += &format!(" {guest}");
    }
    name
}

/// Slices that begin and end by a key. One key's slices do not nest: one that begins anew, or of which no end is ever seen, ended
/// where the trace does not say, and takes no time here.
#[derive(Default)]
struct Row {
    done: Vec<Slice>,
    open: BTreeMap<u64, (String, Tone, At)>,
    ends_are_seen: BTreeSet<u64>,
}

impl Row {
    fn begin(&mut self, scene: &Scene<'_>, key: u64, what: (String, Tone), at: At) {
        if let Some((name, tone, from)) = self.open.insert(key, (what.0, what.1, at)) {
            self.add(scene, (name, tone), from, Some(from));
        }
    }

    fn end(&mut self, scene: &Scene<'_>, key: u64, at: At) {
        self.ends_are_seen.insert(key);
        if let Some((name, tone, from)) = self.open.remove(&key) {
            self.add(scene, (name, tone), from, Some(at));
        }
    }

    fn add(&mut self, scene: &Scene<'_>, (name, tone): (String, Tone), from: At, to: Option<At>) {
        self.done.push(scene.slice(name, tone, from, to).of_frame(scene.frames.of(from)));
    }

    fn finish(mut self, scene: &Scene<'_>) -> Vec<Slice> {
        for (key, (name, tone, from)) in std::mem::take(&mut self.open) {
            let end = if self.ends_are_seen.contains(&key) { None } else { Some(from) };
            self.add(scene, (name, tone), from, end);
        }
        self.done
    }
}

/// A function's message interrupt.
struct Message {
    name: String,
    vector: Option<u8>,
    /// Raised and not taken yet.
    raised: Option<At>,
    /// Raised how often since.
    times: u64,
    done: Vec<Slice>,
}

impl Message {
    fn raise(&mut self, at: At) {
        self.raised.get_or_insert(at);
        self.times = self.times.saturating_add(1);
    }

    fn taken(&mut self, scene: &Scene<'_>, at: Option<At>) {
        let Some(from) = self.raised.take() else { return };
        let times = std::mem::take(&mut self.times);
        let mut slice = scene.slice("pending", Tone::Interrupt, from, at).of_frame(scene.frames.of(from));
        if times > 1 {
            slice = slice.detail("messages", times);
        }
        self.done.push(slice);
    }

    fn finish(mut self, scene: &Scene<'_>) -> (String, Vec<Slice>) {
        self.taken(scene, None);
        (self.name, self.done)
    }
}

#[derive(Default)]
struct Cpu {
    service: Row,
    handlers: Row,
    exits: Vec<Mark>,
}

struct Scan<'a> {
    scene: &'a Scene<'a>,
    messages: BTreeMap<(u16, u16), Message>,
    cpus: BTreeMap<u32, Cpu>,
}

impl Scan<'_> {
    fn event(&mut self, event: &Event, at: At) {
        match event {
            Event::MsiRaised { rid, vector } => self.message(*rid, *vector).raise(at),
            Event::InterruptDelivered { cpu, vector } => self.delivered(*cpu, *vector, at),
            Event::EndOfInterrupt { cpu, vector } => {
                let row = &mut self.cpus.entry(*cpu).or_default().service;
                row.end(self.scene, u64::from(*vector), at);
            }
            Event::VcpuExit { cpu, reason, address } => {
                let details = vec![("address".to_string(), (*address).into())];
                self.exit(*cpu, format!("{reason:?}").to_lowercase(), details, at);
            }
            Event::Moved { to } => self.exit(0, format!("moved to {to:?}").to_lowercase(), Vec::new(), at),
            Event::Mark { text } => self.exit(0, format!("mark: {text}"), Vec::new(), at),
            Event::Guest(_) => {
                let view =
                    self.scene.trace.records.get(at.record).and_then(|one| self.scene.trace.guest(one));
                if let Some(view) = view {
                    self.handler(&view, at);
                }
            }
            _ => {}
        }
    }

    fn message(&mut self, rid: u16, vector: u16) -> &mut Message {
        let scene = self.scene;
        self.messages.entry((rid, vector)).or_insert_with(|| {
            let mut lines = scene.journeys.interrupts.iter();
            let line = lines.find(|line| line.rid == rid && line.msi == vector);
            Message {
                name: line_name(scene, rid, vector, line),
                vector: line.and_then(|line| line.cpu_vector),
                raised: None,
                times: 0,
                done: Vec::new(),
            }
        })
    }

    fn delivered(&mut self, cpu: u32, vector: u8, at: At) {
        let mut name = format!("vector {vector:#04x}");
        for message in self.messages.values_mut().filter(|message| message.vector == Some(vector)) {
            message.taken(self.scene, Some(at));
            name.clone_from(&message.name);
        }
        let row = &mut self.cpus.entry(cpu).or_default().service;
        row.begin(self.scene, u64::from(vector), (name, Tone::Interrupt), at);
    }

    fn exit(&mut self, cpu: u32, name: String, details: Vec<super::Detail>, at: At) {
        let mark = Mark { name, tone: Tone::Guest, at, frame: None, details };
        self.cpus.entry(cpu).or_default().exits.push(mark);
    }

    fn handler(&mut self, view: &GuestView<'_>, at: At) {
        let Some(irq) = view.u64("irq") else { return };
        let row = &mut self.cpus.entry(view.event.cpu).or_default().handlers;
        if view.is("irq", "irq_handler_entry") {
            let name = view.label("name").map_or_else(|| format!("irq {irq}"), str::to_string);
            row.begin(self.scene, irq, (name, Tone::Guest), at);
        } else if view.is("irq", "irq_handler_exit") {
            row.end(self.scene, irq, at);
        }
    }
}
