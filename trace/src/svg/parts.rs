//! The pieces of the picture.

use crate::file::Header;
use crate::journey::{Component, Journeys, Leg, Split};
use crate::outputs::{duration, escape, thousands};
use crate::svg::layout::Layout;
use crate::svg::{LANE, TOP, WIDTH};
use crate::timeline::Tone;

/// From one line of the table to the next.
const LINE: u64 = 20;
/// Of a bar.
const BAR: u64 = 24;

/// The colour of where time went.
pub(crate) fn component_tone(component: Component) -> Tone {
    match component {
        Component::Queue => Tone::Fence,
        Component::Device => Tone::Processor,
        Component::Interrupt => Tone::Interrupt,
        Component::Scheduler => Tone::Guest,
        Component::Wait => Tone::Sink,
    }
}

fn class(tone: Tone) -> String {
    format!("{tone:?}").to_lowercase()
}

fn middle(lane: usize) -> u64 {
    TOP + LANE * lane as u64 + LANE / 2
}

/// Bands with their names.
pub(super) fn lanes(layout: &Layout<'_>) -> String {
    let band = |(lane, (_, name)): (usize, &(_, String))| {
        let y = TOP + LANE * lane as u64;
        let band = match lane % 2 {
            0 => format!(
                "<rect class=\"band\" x=\"16\" y=\"{y}\" width=\"{}\" height=\"{LANE}\" rx=\"6\"/>\n",
                WIDTH - 32
            ),
            _ => String::new(),
        };
        format!("{band}<text x=\"24\" y=\"{}\">{}</text>\n", y + LANE / 2 + 5, escape(name))
    };
    layout.lanes.iter().enumerate().map(band).collect()
}

/// Who works, and whose the buffers are.
pub(super) fn bars(layout: &Layout<'_>) -> String {
    let bar = |bar: &super::layout::Bar| {
        let (y, width) = (middle(bar.lane) - BAR / 2, bar.to.saturating_sub(bar.from).max(3));
        let shape = format!(
            "<rect class=\"{}\" x=\"{}\" y=\"{y}\" width=\"{width}\" height=\"{BAR}\" rx=\"4\" fill-opacity=\"0.45\"/>\n",
            class(bar.tone),
            bar.from
        );
        // A label needs room, and on an engine's lane the steps have it.
        let fits = width > 8 * bar.label.len() as u64 && layout.is_buffer(bar.lane) && !bar.label.is_empty();
        let label =
            format!("<text x=\"{}\" y=\"{}\">{}</text>\n", bar.from + 6, middle(bar.lane) + 5, bar.label);
        if fits { shape + &label } else { shape }
    };
    layout.bars.iter().map(bar).collect()
}

/// From each step to the next on another lane.
pub(super) fn arrows(layout: &Layout<'_>) -> String {
    let arrow = |pair: &[(_, usize, u64)]| {
        let [(_, lane, x), (_, next_lane, next_x)] = pair else { return String::new() };
        if lane == next_lane {
            return String::new();
        }
        let (y, next_y) = (middle(*lane), middle(*next_lane));
        // From edge to edge of the dots.
        let (begin, end) = if y < next_y { (y + 9, next_y - 11) } else { (y - 9, next_y + 11) };
        let bend = u64::midpoint(begin, end);
        format!(
            "<path class=\"arrow\" marker-end=\"url(#head)\" d=\"M{x} {begin}C{x} {bend} {next_x} {bend} {next_x} {end}\"/>\n"
        )
    };
    layout.steps.windows(2).map(arrow).collect()
}

fn dot(x: u64, y: u64, number: usize, tone: Tone) -> String {
    format!(
        "<circle class=\"{}\" cx=\"{x}\" cy=\"{y}\" r=\"9\"/><text class=\"dot\" x=\"{x}\" y=\"{}\">{number}</text>\n",
        class(tone),
        y + 4
    )
}

/// The steps by number.
pub(super) fn dots(layout: &Layout<'_>) -> String {
    let one = |(number, (_, lane, x)): (usize, &(_, usize, u64))| {
        dot(*x, middle(*lane), number, layout.tone(*lane))
    };
    (1..).zip(&layout.steps).map(one).collect()
}

/// The whole journey to scale, by where its time went; empty when it did not come to the screen. Gives where it ends.
pub(super) fn scale(layout: &Layout<'_>, journeys: &Journeys, at: u64) -> (String, u64) {
    let frame = layout.frame.number;
    let whole = journeys.handoffs.iter().find(|one| one.frame == frame && one.kind.leg == Leg::Whole);
    let Some(whole) = whole.filter(|whole| whole.took.cycles > 0) else { return (String::new(), at) };
    let (text, width) = ("To scale, where the time went:", WIDTH - 48);
    let mut svg = format!("<text x=\"24\" y=\"{}\">{text}</text>\n", at + 12);
    let (mut x, mut legend) = (24, 24 + 210);
    for component in Component::ALL {
        let part = whole.split.part(component);
        let long = (u128::from(width) * u128::from(part.cycles) / u128::from(whole.took.cycles)) as u64;
        let tone = class(component_tone(component));
        svg +=
            &format!("<rect class=\"{tone}\" x=\"{x}\" y=\"{}\" width=\"{long}\" height=\"16\"/>\n", at + 22);
        let label = format!("{} {}", component.name(), share(&whole.split, component, whole.took.cycles));
        svg += &format!(
            "<rect class=\"{tone}\" x=\"{legend}\" y=\"{}\" width=\"11\" height=\"11\" rx=\"2\"/>\
             <text x=\"{}\" y=\"{}\">{label}</text>\n",
            at + 2,
            legend + 17,
            at + 12
        );
        x += long;
        legend += 150;
    }
    (svg, at + 38)
}

/// A part of the whole in percent.
fn share(split: &Split, component: Component, whole: u64) -> String {
    let thousandths = u128::from(split.part(component).cycles) * 1000 / u128::from(whole.max(1));
    format!("{}.{} %", thousandths / 10, thousandths % 10)
}

/// The steps with their cycles and nanoseconds, in two columns. Gives the picture's height.
pub(super) fn table(layout: &Layout<'_>, header: &Header, at: u64) -> (String, u64) {
    let half = layout.steps.len().div_ceil(2).max(1);
    let begin = layout.steps.first().map(|(step, ..)| step.at.stamp).unwrap_or_default();
    let (mut svg, mut before) = (String::new(), begin);
    for column in [0, 1] {
        let left = 24 + column * (WIDTH - 24) / 2;
        for (name, right) in [("cycle", 340), ("+ cycles", 440), ("+ time", 530)] {
            svg +=
                &format!("<text class=\"dim n\" x=\"{}\" y=\"{}\">{name}</text>\n", left + right, at + LINE);
        }
    }
    for (number, (step, lane, _)) in layout.steps.iter().enumerate() {
        let (column, row) = ((number / half) as u64, (number % half) as u64);
        let (left, y) = (24 + column * (WIDTH - 24) / 2, at + LINE * (row + 2) + 4);
        let stamp = step.at.stamp;
        svg += &dot(left + 9, y - 4, number + 1, layout.tone(*lane));
        svg +=
            &format!("<text x=\"{}\" y=\"{y}\">{}</text>\n", left + 26, escape(&layout.text(step, header)));
        let cells = [
            (340, thousands(stamp.cycles.saturating_sub(begin.cycles))),
            (440, thousands(stamp.cycles.saturating_sub(before.cycles))),
            (530, duration(stamp.ns.saturating_sub(before.ns))),
        ];
        for (right, cell) in cells {
            svg += &format!("<text class=\"n\" x=\"{}\" y=\"{y}\">{cell}</text>\n", left + right);
        }
        before = stamp;
    }
    (svg, at + LINE * (half as u64 + 2) + 12)
}
