//! The samples as a table.

use fencepost::backend::kvm::assist::Assists;
use fencepost::lengths::us;
use fencepost::machine::time::TimeBase;
use fencepost::speed::KVM_WORTH_MIPS;

/// What was timed, in the order of the guest's `enum kind`.
pub const KINDS: [&str; 11] = [
    "two readings of the TSC, nothing between",
    "exit, round trip: port read",
    "exit, round trip: MMIO read",
    "exit, round trip: MMIO write",
    "doorbell to device, by exit",
    "doorbell to device, by ioeventfd",
    "device to handler, irqfd, CPU halted",
    "device to handler, irqfd, CPU running",
    "device to handler, KVM_SIGNAL_MSI, CPU halted",
    "device to handler, KVM_SIGNAL_MSI, CPU running",
    "instruction that KVM may not know (cmpxchg16b)",
];

/// Ratios of medians: what over what, by their places in [`KINDS`].
const RATIOS: [(&str, usize, usize); 4] = [
    ("doorbell: ioeventfd / exit", 5, 4),
    ("interrupt, CPU halted: irqfd / KVM_SIGNAL_MSI", 6, 8),
    ("interrupt, CPU running: irqfd / KVM_SIGNAL_MSI", 7, 9),
    ("exit: MMIO read / port read", 2, 1),
];

/// What one back end gave.
pub struct Measured {
    /// For each of [`KINDS`] the samples in cycles, ascending.
    pub rows: Vec<Vec<i64>>,
    /// How many samples a row has.
    pub samples: u32,
    /// What a cycle is.
    pub time: TimeBase,
    /// What the software CPU did for KVM.
    pub assists: Assists,
}

impl Measured {
    /// The sample that `percent` of a row do not exceed (nearest rank), in cycles.
    fn cycles(&self, kind: usize, percent: usize) -> i64 {
        let row = &self.rows[kind];
        row[(row.len() * percent).div_ceil(100).max(1) - 1]
    }

    /// The same in nanoseconds.
    fn ns(&self, kind: usize, percent: usize) -> i64 {
        let cycles = self.cycles(kind, percent);
        let ns = self.time.cycles_to_ns(cycles.unsigned_abs()) as i64;
        ns * cycles.signum()
    }
}

/// Prints everything.
pub fn print(speed: &Result<f64, String>, kvm: Option<&Measured>, soft: &Measured) {
    println!("latencies on {}", processor());
    match (speed, kvm) {
        (Ok(mips), Some(kvm)) => {
            let hardware = if *mips < KVM_WORTH_MIPS { "no hardware under it" } else { "native" };
            println!("KVM: kernel code at {mips:.1} MIPS ({hardware}), {} samples a row", kvm.samples);
        }
        (Err(why), _) => println!("KVM: skipped: {why}"),
        (Ok(_), None) => {}
    }
    println!("soft: {} samples a row, exact", soft.samples);
    println!("{:48}{:>12}{:>12}{:>14}{:>14}", "", "kvm p50 ns", "kvm p99 ns", "soft p50 cyc", "soft p99 cyc");
    for (kind, name) in KINDS.iter().enumerate() {
        let cell = |percent| kvm.map_or("-".to_string(), |kvm| kvm.ns(kind, percent).to_string());
        let (p50, p99) = (soft.cycles(kind, 50), soft.cycles(kind, 99));
        println!("{name:48}{:>12}{:>12}{p50:>14}{p99:>14}", cell(50), cell(99));
    }
    if let Some(kvm) = kvm {
        print_ratios(kvm);
        print_assists(&kvm.assists);
    }
}

fn print_ratios(kvm: &Measured) {
    for (name, over, under) in RATIOS {
        println!("ratio of medians, {name}: {:.2}", kvm.ns(over, 50) as f64 / kvm.ns(under, 50) as f64);
    }
}

fn print_assists(assists: &Assists) {
    let lengths = &assists.lengths;
    match (lengths.percentile(50), lengths.percentile(99)) {
        (Some(p50), Some(p99)) => {
            println!("assists: {}, host's time p50 {}, p99 {}", lengths.count(), us(p50), us(p99));
        }
        _ => println!("assists: none"),
    }
}

/// The host's processors, as the kernel names them.
fn processor() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let names: Vec<&str> = info
        .lines()
        .filter(|line| line.starts_with("model name"))
        .filter_map(|line| line.split(": ").nth(1))
        .collect();
    format!("{} x {}", names.len(), names.first().unwrap_or(&"unknown processor"))
}
