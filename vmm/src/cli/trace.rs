//! The command line of `fencepost trace`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use fencepost_trace::Category;
use fencepost_trace::journey::{FenceId, PAGE_BYTES};
use fencepost_trace::report::Query;

use super::values::whole;

/// `fencepost trace`.
#[derive(Clone, Debug, Args)]
pub struct TraceArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: TraceCommand,
}

/// What can be done with a trace.
#[derive(Clone, Debug, Subcommand)]
pub enum TraceCommand {
    /// Say for each kind of hand-off how long it took and where the time went, and whether causes precede effects
    ///
    /// The exit status is 0, 2 for a file that cannot be read, and with --check 1 for what it objects to.
    Report(ReportArgs),
    /// Say what changed between two traces, as Markdown
    ///
    /// The exit status is 0, 2 for a file that cannot be read, and with --fail-above 1 for what is worse.
    Diff(DiffArgs),
    /// Show the events of one frame, buffer or fence, of both sides, in the order of time
    Query(QueryArgs),
    /// Write a trace as another program's file, a page or a picture
    Convert(ConvertArgs),
}

/// `fencepost trace report`.
#[derive(Clone, Debug, Args)]
pub struct ReportArgs {
    /// The trace
    pub file: PathBuf,
    /// Exit with 1 on a violation of causality, a frame that lacks a stage, lost events or damage
    #[arg(long)]
    pub check: bool,
    /// With --check: this many frames at least must have made the whole journey
    #[arg(long, value_name = "COUNT", default_value = "1", requires = "check", value_parser = whole::<usize>(0, u32::MAX.into()))]
    pub complete: usize,
    /// One JSON object instead
    #[arg(long)]
    pub json: bool,
}

/// `fencepost trace diff`.
#[derive(Clone, Debug, Args)]
pub struct DiffArgs {
    /// The older trace
    pub before: PathBuf,
    /// The newer trace
    pub after: PathBuf,
    /// Exit with 1 if a median or 99th percentile grew by more than this, a hand-off is gone, or more is wrong
    #[arg(long, value_name = "PERCENT", value_parser = percentage, allow_negative_numbers = true)]
    pub fail_above: Option<f64>,
    /// One JSON object instead
    #[arg(long)]
    pub json: bool,
}

/// `fencepost trace query`.
#[derive(Clone, Debug, Args)]
pub struct QueryArgs {
    /// The trace
    pub file: PathBuf,
    /// What to look for
    #[command(flatten)]
    pub what: What,
    /// Only events of these
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', value_parser = category)]
    pub categories: Vec<Category>,
    /// One JSON object a line instead; the first says what the stamps are and what was asked
    #[arg(long)]
    pub json: bool,
}

/// What a query looks for.
#[derive(Clone, Debug, Args)]
#[group(required = true, multiple = false)]
pub struct What {
    /// A frame by its number
    #[arg(long, value_name = "NUMBER", value_parser = whole::<usize>(0, u32::MAX.into()))]
    pub frame: Option<usize>,
    /// A buffer: its number, inode:NUMBER of its dma-buf, or page:ADDRESS of guest memory
    #[arg(long, value_name = "BUFFER", value_parser = buffer)]
    pub buffer: Option<Query>,
    /// A fence: CONTEXT:SEQNO of the guest, or ringN:SEQNO of the GPU
    #[arg(long, value_name = "FENCE", value_parser = fence)]
    pub fence: Option<Query>,
}

impl What {
    /// The one that was given.
    pub fn query(&self) -> Option<Query> {
        self.frame.map(Query::Frame).or(self.buffer).or(self.fence)
    }
}

/// What a trace can be written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For ui.perfetto.dev and trace_processor.
    Perfetto,
    /// A page that holds all it needs.
    Html,
    /// A picture of one frame's journey.
    Svg,
    /// One JSON object a line.
    Jsonl,
}

impl Output {
    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Output::Perfetto => "perfetto",
            Output::Html => "html",
            Output::Svg => "svg",
            Output::Jsonl => "jsonl",
        }
    }
}

/// `fencepost trace convert`.
#[derive(Clone, Debug, Args)]
pub struct ConvertArgs {
    /// The trace
    pub file: PathBuf,
    /// What to write
    #[arg(long, value_enum)]
    pub to: Output,
    /// The file to write; - is standard output
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
    /// The frame of a picture; the one with the longest journey if not given
    #[arg(long, value_name = "NUMBER", value_parser = whole::<usize>(0, u32::MAX.into()))]
    pub frame: Option<usize>,
    /// Say on standard output what was written, as one JSON object
    #[arg(long)]
    pub json: bool,
}

fn percentage(text: &str) -> Result<f64, String> {
    let value = text.parse().ok().filter(|value: &f64| value.is_finite() && *value >= 0.0);
    value.ok_or_else(|| "write a number of percent, 0 or more, such as 5".to_string())
}

fn category(text: &str) -> Result<Category, String> {
    Category::ALL.into_iter().find(|one| one.name() == text).ok_or_else(|| {
        let names: Vec<&str> = Category::ALL.into_iter().map(Category::name).collect();
        format!("there is no '{text}'; there are {}", names.join(", "))
    })
}

/// A number, decimal or hexadecimal with 0x.
fn number(text: &str) -> Result<u64, String> {
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    parsed.map_err(|_| format!("'{text}' is not a number; write it in decimal, or with 0x"))
}

fn buffer(text: &str) -> Result<Query, String> {
    match text.split_once(':') {
        Some(("inode", inode)) => Ok(Query::Inode(number(inode)?)),
        Some(("page", address)) => Ok(Query::Page(number(address)? / PAGE_BYTES)),
        Some((kind, _)) => Err(format!("there is no '{kind}'; write a number, inode:NUMBER or page:ADDRESS")),
        None => usize::try_from(number(text)?).map(Query::Buffer).map_err(|e| e.to_string()),
    }
}

fn fence(text: &str) -> Result<Query, String> {
    let (context, seqno) = text.split_once(':').ok_or("write CONTEXT:SEQNO or ringN:SEQNO")?;
    let seqno = number(seqno)?;
    match context.strip_prefix("ring") {
        Some(ring) => {
            let ring = u32::try_from(number(ring)?)
                .map_err(|_| format!("there is no ring {ring}; write ring0:SEQNO or so"))?;
            Ok(Query::Ring(ring, seqno))
        }
        None => Ok(Query::Fence(FenceId { context: number(context)?, seqno })),
    }
}
