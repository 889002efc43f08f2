//! `fencepost cache`: what the cache folder holds, and its removal.

use std::path::Path;
use std::time::SystemTime;

use clap::{Args, Subcommand};
use serde_json::json;

use crate::cache;
use crate::cache_contents::{self, Entry};
use crate::error::HostError;
use crate::say;

/// `fencepost cache`.
#[derive(Clone, Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct CacheArgs {
    /// What to do; list without it.
    #[command(subcommand)]
    command: Option<CacheCommand>,
    #[command(flatten)]
    list: ListArgs,
}

#[derive(Clone, Debug, Subcommand)]
enum CacheCommand {
    /// List what is kept: name, bytes, days since it was used, and what it is
    List(ListArgs),
    /// Remove what is kept: all that Fencepost itself keeps, or what the names name
    Clear(ClearArgs),
}

#[derive(Clone, Debug, Args)]
struct ListArgs {
    /// One JSON object instead: the folder and its entries
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Debug, Args)]
struct ClearArgs {
    /// Names as `fencepost cache` lists them, the folder of several, or the beginning of one
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

/// Lists or clears; gives the exit status.
///
/// # Errors
///
/// There is no cache folder, it cannot be read, or a name is not there.
pub fn cache(args: &CacheArgs) -> Result<i32, HostError> {
    let folder = cache::folder().ok_or_else(|| {
        HostError::input("there is no cache folder without HOME", "set HOME, or FENCEPOST_CACHE to a folder")
    })?;
    match &args.command {
        Some(CacheCommand::Clear(clear)) => {
            let removed = cache_contents::clear(&folder, &clear.names)?;
            let bytes: u64 = removed.iter().map(|entry| entry.bytes).sum();
            say::list(&format!("removed {} from {}\n", amount(removed.len(), bytes), folder.display()))
        }
        Some(CacheCommand::List(list)) => say::list(&listed(&folder, list)?),
        None => say::list(&listed(&folder, &args.list)?),
    }
}

fn listed(folder: &Path, args: &ListArgs) -> Result<String, HostError> {
    let entries = cache_contents::list(folder)?;
    if args.json {
        return Ok(format!("{}\n", json!({ "folder": folder.display().to_string(), "entries": entries })));
    }
    let width = entries.iter().map(|entry| entry.name.len()).max().unwrap_or(0);
    let mut text: String = entries.iter().map(|entry| line(entry, width)).collect();
    let bytes: u64 = entries.iter().map(|entry| entry.bytes).sum();
    text.push_str(&format!("{} in {}\n", amount(entries.len(), bytes), folder.display()));
    Ok(text)
}

fn line(entry: &Entry, width: usize) -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |now| now.as_secs());
    let days = now.saturating_sub(entry.used) / (24 * 3600);
    format!(
        "{:width$}  {:>14}  {days:>5} d  {}\n",
        fencepost_trace::plain_text(&entry.name),
        entry.bytes,
        entry.kind
    )
}

fn amount(entries: usize, bytes: u64) -> String {
    format!("{entries} {} of {bytes} bytes", if entries == 1 { "entry" } else { "entries" })
}
