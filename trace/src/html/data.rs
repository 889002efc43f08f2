//! The timeline as the page's script reads it: numbers in arrays, each text once.

use std::collections::HashMap;

use serde_json::{Value as Json, json};

use crate::guest::Value;
use crate::journey::{At, Journeys};
use crate::outputs::plain_text;
use crate::timeline::{Arrow, Detail, Group, Lane, Mark, Slice, Spot, Timeline, Tone};

/// Gives the JSON, safe inside a script element, and what was left out, if anything was.
pub(super) fn json(
    timeline: &Timeline,
    journeys: &Journeys,
    worst: Option<usize>,
    cap: usize,
) -> (String, Option<String>) {
    let end = cut(timeline, cap);
    let mut texts = Texts::default();
    let begin = timeline.span.0;
    let mut data = Data { texts: &mut texts, begin, end };
    let lanes: Vec<Json> = timeline.lanes.iter().map(|lane| data.lane(lane)).collect();
    let arrows: Vec<Json> = timeline.arrows.iter().filter_map(|arrow| data.arrow(timeline, arrow)).collect();
    let frames: Vec<Json> = journeys.frames.iter().map(|frame| data.frame(frame)).collect();
    let shown = journeys.frames.iter().filter(|frame| frame.steps.first().is_some_and(|step| step.at <= end));
    let shown = shown.count();
    let all = json!({
        "begin": [begin.stamp.cycles, begin.stamp.ns],
        "end": end.stamp.cycles.saturating_sub(begin.stamp.cycles),
        "groups": Group::ALL.map(Group::name),
        "tones": Tone::ALL.map(Tone::colour),
        "worst": worst.and_then(|worst| i64::try_from(worst).ok()).unwrap_or(-1),
        "lanes": lanes,
        "arrows": arrows,
        "frames": frames,
        "strings": texts.all,
    });
    // A script element ends at the first "</", wherever that stands.
    let text =
        all.to_string().replace('<', "\\u003c").replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029");
    let left_out = (end < timeline.span.1).then(|| {
        format!(
            "the timeline has the first {shown} of {} frames, for it may have {cap} slices and marks; the tables are of all",
            journeys.frames.len()
        )
    });
    (text, left_out)
}

/// The last time that has its place: up to it there are at most `cap` slices and marks.
fn cut(timeline: &Timeline, cap: usize) -> At {
    let mut times: Vec<At> = Vec::new();
    for lane in &timeline.lanes {
        times.extend(lane.rows.iter().flatten().map(|slice| slice.from));
        times.extend(lane.marks.iter().map(|mark| mark.at));
    }
    if times.len() <= cap {
        return timeline.span.1;
    }
    times.sort();
    times.get(cap.saturating_sub(1)).copied().unwrap_or(timeline.span.1)
}

#[derive(Default)]
struct Texts {
    all: Vec<String>,
    known: HashMap<String, usize>,
}

impl Texts {
    fn number(&mut self, text: &str) -> usize {
        let text = plain_text(text);
        if let Some(number) = self.known.get(&text) {
            return *number;
        }
        self.all.push(text.clone());
        self.known.insert(text, self.all.len() - 1);
        self.all.len() - 1
    }
}

struct Data<'a> {
    texts: &'a mut Texts,
    begin: At,
    end: At,
}

impl Data<'_> {
    fn lane(&mut self, lane: &Lane) -> Json {
        let end = self.end;
        let mut rows: Vec<Vec<Json>> = Vec::with_capacity(lane.rows.len());
        for row in &lane.rows {
            rows.push(row.iter().filter(|one| one.from <= end).map(|slice| self.slice(slice)).collect());
        }
        let marks = lane.marks.iter().filter(|mark| mark.at <= end);
        let marks: Vec<Json> = marks.map(|mark| self.mark(mark)).collect();
        json!({
            "group": lane.group as usize,
            "name": self.texts.number(&lane.name),
            "about": self.texts.number(lane.about),
            "rows": rows,
            "marks": marks,
        })
    }

    fn slice(&mut self, slice: &Slice) -> Json {
        let (from, to) = (slice.from.stamp, slice.to.stamp);
        let cycles = to.cycles.saturating_sub(from.cycles);
        self.item(
            slice.from,
            [cycles, to.ns.saturating_sub(from.ns)],
            (&slice.name, slice.tone),
            slice.frame,
            (&slice.details, slice.open),
        )
    }

    fn mark(&mut self, mark: &Mark) -> Json {
        self.item(mark.at, [0, 0], (&mark.name, mark.tone), mark.frame, (&mark.details, false))
    }

    /// FROM, LONG, FROM_NS, LONG_NS, NAME, TONE, FRAME, TEXT, OPEN of `page.js`.
    fn item(
        &mut self,
        at: At,
        long: [u64; 2],
        (name, tone): (&str, Tone),
        frame: Option<usize>,
        (details, open): (&[Detail], bool),
    ) -> Json {
        let frame = frame.and_then(|frame| i64::try_from(frame).ok()).unwrap_or(-1);
        json!([
            at.stamp.cycles.saturating_sub(self.begin.stamp.cycles),
            long[0],
            at.stamp.ns.saturating_sub(self.begin.stamp.ns),
            long[1],
            self.texts.number(name),
            tone as usize,
            frame,
            self.texts.number(&details_text(details)),
            usize::from(open),
        ])
    }

    /// An arrow whose both ends are drawn.
    fn arrow(&self, timeline: &Timeline, arrow: &Arrow) -> Option<Json> {
        let (_, _, _) = timeline.place(arrow.from)?;
        let (to, _, _) = timeline.place(arrow.to)?;
        let row = |spot: Spot| spot.row.and_then(|row| i64::try_from(row).ok()).unwrap_or(-1);
        let ends = [arrow.from, arrow.to].map(|spot| json!([spot.lane, row(spot), spot.item]));
        let [from, last] = ends;
        (to <= self.end).then(|| json!([arrow.frame, from, last]))
    }

    /// Begin and end of a frame's steps, relative, and how it ended.
    fn frame(&mut self, frame: &crate::journey::Frame) -> Json {
        let relative = |at: At| at.stamp.cycles.saturating_sub(self.begin.stamp.cycles);
        let times = frame.steps.iter().map(|step| relative(step.at));
        let (first, last) = (times.clone().min(), times.max());
        json!([first.unwrap_or(1), last.unwrap_or(0), self.texts.number(frame.outcome.name())])
    }
}

/// Details as one line.
fn details_text(details: &[Detail]) -> String {
    let value = |value: &Value| match value {
        Value::Unsigned(value) => value.to_string(),
        Value::Signed(value) => value.to_string(),
        Value::Text(text) => text.clone(),
        Value::Bytes(bytes) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
    };
    details.iter().map(|(name, v)| format!("{name} {}", value(v))).collect::<Vec<_>>().join(", ")
}
