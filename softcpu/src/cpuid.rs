//! The one processor that every guest sees, whichever back end runs it (Intel SDM vol. 2A, CPUID).

use crate::model::Model;

/// What may differ between machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct CpuidConfig {
    /// TSC frequency in hertz; the crystal's too (leaf 0x15 gives a ratio of 1).
    pub tsc_hz: u32,
    /// The CPU's APIC id.
    pub apic_id: u32,
    /// CPUs in the machine.
    pub cpus: u32,
    /// What the CPU has.
    pub model: Model,
}

impl Default for CpuidConfig {
    fn default() -> Self {
        CpuidConfig { tsc_hz: 1_000_000_000, apic_id: 0, cpus: 1, model: Model::default() }
    }
}

/// Highest basic leaf: 0x15 and 0x16 give the clock, so that no guest needs to calibrate against a timer.
pub const MAX_BASIC: u32 = 0x16;
/// Highest extended leaf: 8, address sizes.
pub const MAX_EXTENDED: u32 = 0x8000_0008;
/// Physical address bits.
pub const PHYSICAL_BITS: u32 = 46;

const fn bits(list: &[u32]) -> u32 {
    let (mut value, mut at) = (0, 0);
    while at < list.len() {
        value |= 1 << list[at];
        at += 1;
    }
    value
}

/// Leaf 1 ECX: CX16 13, x2APIC 21, POPCNT 23, TSC-deadline 24.
pub const LEAF1_ECX: u32 = bits(&[13, 21, 23, 24]);
/// What [`Model::V2`] has in it besides: SSE3 0, PCLMULQDQ 1, SSSE3 9, PCID 17, SSE4.1 19, SSE4.2 20, MOVBE 22, AES 25, RDRAND 30.
pub const LEAF1_ECX_V2: u32 = bits(&[0, 1, 9, 17, 19, 20, 22, 25, 30]);
/// Leaf 1 EDX: FPU 0, DE 2, PSE 3, TSC 4, MSR 5, PAE 6, CX8 8, APIC 9, SEP 11, MTRR 12, PGE 13, CMOV 15, PAT 16,
/// CLFSH 19, MMX 23, FXSR 24, SSE 25, SSE2 26.
pub const LEAF1_EDX: u32 = bits(&[0, 2, 3, 4, 5, 6, 8, 9, 11, 12, 13, 15, 16, 19, 23, 24, 25, 26]);
/// Leaf 6 EAX: ARAT 2, the APIC timer never stops. Without it Linux keeps to periodic ticks: it looks for another timer.
pub const LEAF6_EAX: u32 = bits(&[2]);
/// Leaf 7 EBX: FDP_EXCPTN_ONLY 6 (the x87 data pointer moves only with an unmasked exception), ERMS 9, so that guests
/// copy with REP MOVSB, which the software CPU does in bulk.
pub const LEAF7_EBX: u32 = bits(&[6, 9]);
/// What [`Model::V2`] has in it besides: FSGSBASE 0, SMEP 7, INVPCID 10, RDSEED 18, SMAP 20.
pub const LEAF7_EBX_V2: u32 = bits(&[0, 7, 10, 18, 20]);
/// Leaf 7 ECX of [`Model::V2`]: UMIP 2, RDPID 22.
pub const LEAF7_ECX_V2: u32 = bits(&[2, 22]);
/// Leaf 7 EDX: FSRM 4, ARCH_CAPABILITIES 29.
pub const LEAF7_EDX: u32 = bits(&[4, 29]);
/// Leaf 0x80000001 EDX: SYSCALL 11, NX 20, 1 GiB pages 26, RDTSCP 27, long mode 29.
pub const EXTENDED_EDX: u32 = bits(&[11, 20, 26, 27, 29]);
/// Leaf 0x80000001 ECX: LAHF in long mode 0.
pub const EXTENDED_ECX: u32 = bits(&[0]);

/// IA32_ARCH_CAPABILITIES (MSR 0x10a): none of the transient-execution weaknesses, so that no guest pays for their
/// mitigation. RDCL_NO 0, RSBA off, SKIP_L1DFL_VMENTRY 3, SSB_NO 4, MDS_NO 5, IF_PSCHANGE_MC_NO 6, TAA_NO 8,
/// SBDR_SSDP_NO 13, FBSDP_NO 14, PSDP_NO 15, BHI_NO 20, PBRSB_NO 24, GDS_NO 26, RFDS_NO 27, ITS_NO 62.
pub const ARCH_CAPABILITIES: u64 = bits(&[0, 3, 4, 5, 6, 8, 13, 14, 15, 20, 24, 26, 27]) as u64 | 1 << 62;

/// Family 6, model 0xCF, stepping 2: new enough that no guest applies an erratum's workaround.
const SIGNATURE: u32 = 0xc << 16 | 6 << 8 | 0xf << 4 | 2;

/// EAX, EBX, ECX and EDX of a leaf. Leaves above the maximum return zero.
/// EDX.APIC and ECX.OSXSAVE do not follow the machine's state.
pub fn cpuid(leaf: u32, subleaf: u32, config: &CpuidConfig) -> [u32; 4] {
    let cpus = config.cpus.max(1);
    let mhz = config.tsc_hz / 1_000_000;
    let since_v2 = |bits: u32| if config.model == Model::V2 { bits } else { 0 };
    match leaf {
        0 => [MAX_BASIC, text(b"Genu"), text(b"ntel"), text(b"ineI")],
        1 => {
            let ecx = LEAF1_ECX | since_v2(LEAF1_ECX_V2);
            [SIGNATURE, config.apic_id << 24 | cpus.min(255) << 16 | 8 << 8, ecx, LEAF1_EDX | htt(cpus)]
        }
        6 => [LEAF6_EAX, 0, 0, 0],
        7 if subleaf == 0 => [0, LEAF7_EBX | since_v2(LEAF7_EBX_V2), since_v2(LEAF7_ECX_V2), LEAF7_EDX],
        0xb => topology(subleaf, cpus, config.apic_id),
        0x15 => [1, 1, config.tsc_hz, 0],
        0x16 => [mhz, mhz, 100, 0],
        0x8000_0000 => [MAX_EXTENDED, 0, 0, 0],
        0x8000_0001 => [0, 0, EXTENDED_ECX, EXTENDED_EDX],
        0x8000_0002 => brand(0),
        0x8000_0003 => brand(16),
        0x8000_0004 => brand(32),
        0x8000_0006 => [0, 0, 0x0100_8040, 0],
        // Invariant TSC.
        0x8000_0007 => [0, 0, 0, 1 << 8],
        0x8000_0008 => [48 << 8 | PHYSICAL_BITS, 0, 0, 0],
        _ => [0; 4],
    }
}

const fn text(four: &[u8; 4]) -> u32 {
    u32::from_le_bytes(*four)
}

fn htt(cpus: u32) -> u32 {
    u32::from(cpus > 1) << 28
}

/// One thread a core, all cores in one package.
fn topology(subleaf: u32, cpus: u32, apic_id: u32) -> [u32; 4] {
    let core_bits = u32::BITS - (cpus - 1).leading_zeros();
    match subleaf {
        0 => [0, 1, 1 << 8, apic_id],
        1 => [core_bits, cpus, 2 << 8 | 1, apic_id],
        _ => [0, 0, subleaf & 0xff, apic_id],
    }
}

fn brand(from: usize) -> [u32; 4] {
    let mut name = [0; 48];
    let text = b"Fencepost virtual processor";
    name[..text.len()].copy_from_slice(text);
    let word = |n: usize| {
        let at = from + 4 * n;
        u32::from_le_bytes([name[at], name[at + 1], name[at + 2], name[at + 3]])
    };
    [word(0), word(1), word(2), word(3)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vendor_is_spelled_as_the_manual_spells_it() {
        let [_, ebx, ecx, edx] = cpuid(0, 0, &CpuidConfig::default());
        let name: Vec<u8> = [ebx, edx, ecx].iter().flat_map(|w| w.to_le_bytes()).collect();
        assert_eq!(name, b"GenuineIntel");
    }

    #[test]
    fn the_signature_decodes_to_family_6_model_cf() {
        let [eax, ..] = cpuid(1, 0, &CpuidConfig::default());
        assert_eq!((eax >> 8 & 0xf, (eax >> 16 & 0xf) << 4 | eax >> 4 & 0xf), (6, 0xcf));
    }

    #[test]
    fn leaf_15_times_its_crystal_is_the_tsc() {
        let config = CpuidConfig { tsc_hz: 2_500_000_000, ..CpuidConfig::default() };
        let [denominator, numerator, crystal, _] = cpuid(0x15, 0, &config);
        assert_eq!(u64::from(crystal) * u64::from(numerator) / u64::from(denominator), 2_500_000_000);
    }

    // What is not implemented must not be announced: XSAVE 26, OSXSAVE 27, AVX 28, RDRAND 30, SSE3 0, SSSE3 9,
    // SSE4.1 19, SSE4.2 20, MOVBE 22, AES 25, PCID 17; of leaf 7 what is of v2.
    #[test]
    fn nothing_beyond_the_baseline_is_announced() {
        let config = CpuidConfig { model: Model::Baseline, ..CpuidConfig::default() };
        let [_, _, ecx, _] = cpuid(1, 0, &config);
        for bit in [0, 9, 17, 19, 20, 22, 25, 26, 27, 28, 30] {
            assert_eq!(ecx >> bit & 1, 0, "leaf 1 ECX bit {bit}");
        }
        assert_eq!(cpuid(7, 0, &config)[1..3], [1 << 6 | 1 << 9, 0]);
    }

    /// The psABI's list for x86-64-v2 (CMPXCHG16B 13, LAHF, POPCNT 23, SSE3, SSE4.1, SSE4.2, SSSE3), with AES, PCLMULQDQ,
    /// MOVBE, PCID, RDRAND and what leaf 7 has; and nothing of AVX or XSAVE.
    #[test]
    fn v2_announces_what_the_psabi_asks_for() {
        let config = CpuidConfig { model: Model::V2, ..CpuidConfig::default() };
        let [_, _, ecx, _] = cpuid(1, 0, &config);
        for bit in [0, 1, 9, 13, 17, 19, 20, 22, 23, 25, 30] {
            assert_eq!(ecx >> bit & 1, 1, "leaf 1 ECX bit {bit}");
        }
        for bit in [3, 12, 26, 27, 28, 29] {
            assert_eq!(ecx >> bit & 1, 0, "leaf 1 ECX bit {bit}");
        }
        // FSGSBASE, SMEP, INVPCID, RDSEED, SMAP; UMIP, RDPID.
        let [_, ebx, ecx, _] = cpuid(7, 0, &config);
        for (word, bits) in [(ebx, &[0, 7, 10, 18, 20][..]), (ecx, &[2, 22])] {
            assert!(bits.iter().all(|bit| word >> bit & 1 == 1), "leaf 7");
        }
        let [_, _, extended, _] = cpuid(0x8000_0001, 0, &config);
        assert_eq!(extended & 1, 1, "LAHF");
    }

    #[test]
    fn four_cpus_need_two_bits_of_the_apic_id() {
        let config = CpuidConfig { cpus: 4, apic_id: 3, ..CpuidConfig::default() };
        assert_eq!(cpuid(0xb, 1, &config)[..2], [2, 4]);
        assert_eq!(cpuid(0xb, 0, &config)[3], 3);
    }
}
