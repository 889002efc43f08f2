//! One frame's journey as an SVG picture: lanes for its engines, the guest and the buffers, bars, arrows, and a table of the
//! steps. It has no script and no font of its own, and suits light and dark pages.

mod layout;
mod parts;
pub(crate) use parts::component_tone;
#[cfg(test)]
mod tests;

use std::io::{self, Write};

use crate::file::TraceFile;
use crate::journey::Journeys;
use crate::outputs::{duration, escape, gaps, thousands};
use crate::timeline::Tone;
use layout::Layout;

/// Width of the picture, in its own units.
const WIDTH: u64 = 1200;
/// Where the lanes begin.
const TOP: u64 = 92;
/// From one lane to the next.
const LANE: u64 = 44;

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
pub enum SvgError {
    /// There is no such frame.
    #[error("the trace has no frame {frame}: it has {count}, counted from 0")]
    NoFrame {
        /// What was asked for.
        frame: usize,
        /// How many there are.
        count: usize,
    },
    /// Nothing of the frame was traced.
    #[error("nothing is known of frame {0}")]
    NoStep(usize),
    /// The picture could not be written.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// The frame to draw: the one asked for, or the one whose journey took longest, or the first.
///
/// # Errors
/// There is no such frame, or nothing is known of it.
pub fn choose(journeys: &Journeys, asked: Option<usize>) -> Result<usize, SvgError> {
    let frame = asked.or(journeys.longest().map(|one| one.frame)).unwrap_or(0);
    let count = journeys.frames.len();
    let one = journeys.frames.get(frame).ok_or(SvgError::NoFrame { frame, count })?;
    if one.steps.is_empty() { Err(SvgError::NoStep(frame)) } else { Ok(frame) }
}

/// Draws frame `frame` of [`Journeys::frames`]. The same trace gives the same bytes.
///
/// # Errors
/// A frame that is not there, or was never begun; and those of `out`.
pub fn write(
    trace: &TraceFile,
    journeys: &Journeys,
    frame: usize,
    mut out: impl Write,
) -> Result<(), SvgError> {
    choose(journeys, Some(frame))?;
    let one = journeys.frames.get(frame).ok_or(SvgError::NoStep(frame))?;
    let layout = Layout::new(one, journeys, &trace.header).ok_or(SvgError::NoStep(frame))?;
    let lanes_end = TOP + LANE * layout.lanes.len() as u64;
    let scale_at = lanes_end + 34;
    let (scale, table_at) = parts::scale(&layout, journeys, scale_at);
    let (table, height) = parts::table(&layout, &trace.header, table_at);
    let (cycles, ns) = layout.took();
    let title = format!(
        "Frame {}: {} cycles, {}",
        one.sequence.map_or(frame as u64, u64::from),
        thousands(cycles),
        duration(ns)
    );
    let mut text = String::new();
    text += &format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
         height=\"{height}\" role=\"img\" aria-labelledby=\"title about\">\n<title id=\"title\">{}</title>\n\
         <desc id=\"about\">{}</desc>\n{}",
        escape(&title),
        escape(&trace.stamps()),
        style()
    );
    text += &format!("<rect class=\"page\" width=\"{WIDTH}\" height=\"{height}\" rx=\"10\"/>\n");
    text += &format!("<text class=\"title\" x=\"24\" y=\"38\">{}</text>\n", escape(&title));
    text += &format!("<text class=\"dim\" x=\"24\" y=\"60\">{}</text>\n", escape(&trace.stamps()));
    if let Some(gaps) = gaps(trace) {
        text += &format!("<text class=\"dim\" x=\"24\" y=\"78\">{}</text>\n", escape(&gaps));
    }
    text += &parts::lanes(&layout);
    text += &parts::bars(&layout);
    text += &parts::arrows(&layout);
    text += &parts::dots(&layout);
    let note = "Time runs to the right; the scale above is compressed (the gap between steps grows with the logarithm of the time).";
    text += &format!("<text class=\"dim\" x=\"24\" y=\"{}\">{note}</text>\n", lanes_end + 16);
    text += &scale;
    text += &table;
    text += "</svg>\n";
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

/// Colours, of light pages and of dark ones.
fn style() -> String {
    let mut tones = String::new();
    for tone in Tone::ALL {
        let name = format!("{tone:?}").to_lowercase();
        tones += &format!(".{name}{{fill:{0}}} .line-{name}{{stroke:{0}}}\n", tone.colour());
    }
    format!(
        "<style>\n\
         text{{font-family:system-ui,-apple-system,\"Segoe UI\",Roboto,\"DejaVu Sans\",sans-serif;font-size:13px;fill:#1c2024}}\n\
         .page{{fill:#ffffff}} .band{{fill:#f3f4f6}} .title{{font-size:20px;font-weight:600}} .dim{{fill:#60646c}}\n\
         .n{{text-anchor:end;font-variant-numeric:tabular-nums}} .dot{{fill:#ffffff;font-size:10px;font-weight:600;text-anchor:middle}}\n\
         .in{{fill:#ffffff;font-size:11px}} .arrow{{fill:none;stroke:#80838d;stroke-width:1.3}} .head{{fill:#80838d}}\n\
         .rule{{stroke:#d9d9e0}}\n{tones}\
         @media (prefers-color-scheme:dark){{text{{fill:#edeef0}} .page{{fill:#14161a}} .band{{fill:#1e2127}}\n\
         .dim{{fill:#a0a4ad}} .rule{{stroke:#383b42}} .dot,.in{{fill:#ffffff}}}}\n</style>\n\
         <defs><marker id=\"head\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"7\" markerHeight=\"7\" \
         orient=\"auto\"><path class=\"head\" d=\"M0 0L8 4L0 8z\"/></marker></defs>\n"
    )
}
