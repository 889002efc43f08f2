//! Machines of a snapshot, as a library has them:
//!
//! - `reset check FILE ROUNDS` returns one to its snapshot again and again, and compares what it does each time;
//! - `reset time FILE RUNS` says how long that takes, and saving it;
//! - `reset start FILE NS` says how long it takes from NS, nanoseconds since 1970, to the guest's first instruction;
//! - `reset hold FILE` runs one for 100 ms of the guest's and keeps it until standard input ends.

use std::error::Error;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use fencepost::accel::Chosen;
use fencepost::error::HostError;
use fencepost::snapshot::{self, Outputs, Until, Vm};
use fencepost_trace::Record;

/// Pages that are written before a reset.
const PAGES: [u64; 4] = [0, 100, 1000, 10_000];
const PAGE_BYTES: u64 = 4096;

#[derive(Clone, Default)]
struct Console(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Console {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("not poisoned").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["check", file, rounds] => Ok(check(Path::new(file), rounds.parse()?)?),
        ["time", file, runs] => Ok(time(Path::new(file), runs.parse()?)?),
        ["start", file, begun_ns] => Ok(start(Path::new(file), begun_ns.parse()?)?),
        ["hold", file] => Ok(hold(Path::new(file))?),
        _ => Err("reset check FILE ROUNDS, time FILE RUNS, start FILE NS, or hold FILE".into()),
    }
}

/// Runs the guest to its end, `rounds` times more after the first; what it left must be the same.
fn check(file: &Path, rounds: usize) -> Result<(), HostError> {
    let console = Console::default();
    let outputs = Outputs { console: Box::new(console.clone()), records: 1 << 22, ..Outputs::default() };
    let mut vm = Vm::restore(snapshot::open(file)?, Chosen::Soft, outputs)?;
    let mut first = None;
    for round in 0..=rounds {
        let end = vm.run(Until::End)?;
        let records: Vec<Record> = vm.records().cloned().collect();
        let cpu = format!("{:?}", vm.cpus());
        let shown = std::mem::take(&mut *console.0.lock().expect("not poisoned"));
        let left = (end, records, vm.memory_digest()?, cpu, shown);
        println!("round {round}: {:?}, {} events, memory {}", left.0, left.1.len(), left.2);
        let same = first.as_ref().is_none_or(|first| *first == left);
        first.get_or_insert(left);
        if !same {
            return Err(HostError::Host(format!("round {round} is not the first one again")));
        }
        let start = Instant::now();
        let taken = vm.reset()?;
        let took = start.elapsed();
        let forgotten = vm.differing_pages();
        println!("  reset: {} pages in {took:?}; {} forgotten", taken.pages, forgotten.len());
        if !forgotten.is_empty() {
            return Err(HostError::Host(format!("pages that are not the snapshot's: {forgotten:x?}")));
        }
    }
    Ok(())
}

/// Times resets after so many written pages, scattered over all of memory, and after a millisecond of the guest's own time.
fn time(file: &Path, runs: usize) -> Result<(), HostError> {
    let mut vm = Vm::restore(snapshot::open(file)?, Chosen::Soft, Outputs::default())?;
    let all = memory_pages(&vm);
    // (Of no pages there are no others.)
    for (pages, others) in PAGES
        .into_iter()
        .flat_map(|pages| [(pages, false), (pages, true)])
        .filter(|&(pages, others)| pages > 0 || !others)
    {
        let step = all.len() as u64 / pages.max(1);
        let mut took = Vec::new();
        for run in 0..runs as u64 {
            for number in 0..pages {
                let shift = if others { run * 7 % step } else { 0 };
                vm.write(all[(number * step + shift) as usize], &[run as u8; 64])?;
            }
            took.push(reset(&mut vm, pages as usize)?);
        }
        let which = if others { "others each time" } else { "the same each time" };
        println!("reset after {pages} written pages, {which}: {}", summary(&mut took));
    }
    let start_ns = vm.cpus().current().cycles.0;
    let mut took = Vec::new();
    let mut pages = 0;
    for _ in 0..runs {
        vm.run(Until::Time(start_ns + 1_000_000))?;
        let start = Instant::now();
        pages = vm.reset()?.pages;
        took.push(start.elapsed());
    }
    println!("reset after 1 ms of the guest ({pages} pages): {}", summary(&mut took));
    let mut took = Vec::new();
    for _ in 0..runs.min(5) {
        let start = Instant::now();
        vm.save(&file.with_extension("again"))?;
        took.push(start.elapsed());
    }
    println!("save: {}", summary(&mut took));
    Ok(())
}

/// Prints the parts of a start in microseconds: the process, the file, its mapping with the machine, the first instruction.
fn start(file: &Path, begun_ns: u64) -> Result<(), HostError> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let process = now.saturating_sub(Duration::from_nanos(begun_ns));
    let begun = Instant::now();
    let saved = snapshot::open(file)?;
    let opened = begun.elapsed();
    let mapped = Instant::now();
    drop(saved.map_memory()?);
    let mapped = mapped.elapsed();
    let restored = Instant::now();
    let mut vm = Vm::restore(saved, Chosen::Soft, Outputs::default())?;
    let restored = restored.elapsed();
    let first = Instant::now();
    vm.run(Until::Time(0))?;
    let first = first.elapsed();
    let parts = [process, opened, mapped, restored, first].map(|part| part.as_secs_f64() * 1e6);
    println!("{:.0} {:.0} {:.0} {:.0} {:.0}", parts[0], parts[1], parts[2], parts[3], parts[4]);
    Ok(())
}

fn hold(file: &Path) -> Result<(), HostError> {
    let mut vm = Vm::restore(snapshot::open(file)?, Chosen::Soft, Outputs::default())?;
    let start_ns = vm.cpus().current().cycles.0;
    vm.run(Until::Time(start_ns + 100_000_000))?;
    println!("ready");
    // An error ends it as well.
    let _ = std::io::stdin().read_line(&mut String::new());
    Ok(())
}

fn reset(vm: &mut Vm, expected: usize) -> Result<Duration, HostError> {
    let start = Instant::now();
    let taken = vm.reset()?;
    let took = start.elapsed();
    assert_eq!(taken.pages, expected, "pages that were taken back");
    Ok(took)
}

fn memory_pages(vm: &Vm) -> Vec<u64> {
    vm.ranges().flat_map(|(first, bytes)| (first..first + bytes).step_by(PAGE_BYTES as usize)).collect()
}

fn summary(took: &mut [Duration]) -> String {
    took.sort_unstable();
    let at = |part: usize| took[(took.len() - 1) * part / 4].as_secs_f64() * 1e6;
    format!("{:.0} us (median of {}; quartiles {:.0} and {:.0})", at(2), took.len(), at(1), at(3))
}
