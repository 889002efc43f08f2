//! How much of the host's memory the monitor takes beyond the guest's RAM.

use std::fs::File;
use std::io::Read;

use vm_memory::{GuestMemoryBackend, GuestMemoryMmap, GuestMemoryRegion};

/// What the host tells of this process's memory: open from before it can open no more.
pub struct Footprint(Option<File>);

impl Footprint {
    /// `/proc/self/smaps`, if there is such a file.
    pub fn open() -> Self {
        Footprint(File::open("/proc/self/smaps").ok())
    }

    /// Resident bytes of this process that are not guest RAM now; `None` where the host does not tell.
    pub fn beyond_ram_bytes(&self, memory: &GuestMemoryMmap) -> Option<u64> {
        let mut smaps = String::new();
        self.0.as_ref()?.read_to_string(&mut smaps).ok()?;
        Some(resident_outside(&smaps, &ranges(memory)))
    }
}

/// Where guest RAM lies in this process: first addresses and ends.
fn ranges(memory: &GuestMemoryMmap) -> Vec<(u64, u64)> {
    memory
        .iter()
        .filter_map(|region| {
            let start = region.get_host_address(vm_memory::MemoryRegionAddress(0)).ok()? as u64;
            Some((start, start + region.len()))
        })
        .collect()
}

/// Sums the `Rss:` lines of the mappings that lie in none of the ranges (end exclusive). The kernel may have joined RAM with
/// a neighbouring mapping; such a one counts as RAM.
fn resident_outside(smaps: &str, ranges: &[(u64, u64)]) -> u64 {
    let mut outside = true;
    let mut kib = 0;
    for line in smaps.lines() {
        if let Some((start, end)) = mapping(line) {
            outside = !ranges.iter().any(|&(from, to)| start < to && from < end);
        } else if let Some(rest) = line.strip_prefix("Rss:")
            && outside
        {
            kib += rest.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0);
        }
    }
    kib * 1024
}

/// The addresses at the head of a mapping's lines.
fn mapping(line: &str) -> Option<(u64, u64)> {
    let (start, end) = line.split_whitespace().next()?.split_once('-')?;
    Some((u64::from_str_radix(start, 16).ok()?, u64::from_str_radix(end, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_mappings_outside_ram_count() {
        let smaps = "1000-2000 r--p 00000000 00:00 0 [heap]\nSize: 4 kB\nRss:                   3 kB\n\
                     8000-9000 rw-p 00000000 00:00 0\nRss:                   400 kB\nVmFlags: rd wr\n";
        assert_eq!(resident_outside(smaps, &[(0x8000, 0x9000)]), 3 * 1024);
        assert_eq!(resident_outside(smaps, &[]), 403 * 1024);
    }
}
