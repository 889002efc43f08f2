//! How long a test goes on with other random programs.

use std::time::{Duration, Instant};

/// The seeds of programs beyond those of the default run: for as long as `FENCEPOST_FUZZ=SECONDS[,SEED]` says, none without it.
pub fn seeds() -> impl Iterator<Item = u64> {
    let wanted = std::env::var("FENCEPOST_FUZZ").unwrap_or_else(|_| "0".to_owned());
    let (seconds, first) = wanted.split_once(',').unwrap_or((&wanted, "1000000"));
    let seconds: u64 = seconds.parse().expect("FENCEPOST_FUZZ=SECONDS[,SEED]");
    let first: u64 = first.parse().expect("FENCEPOST_FUZZ=SECONDS[,SEED]");
    let begun = Instant::now();
    (first..).take_while(move |_| begun.elapsed() < Duration::from_secs(seconds))
}
