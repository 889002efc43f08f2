//! Random page tables, walked by the CPU and by a model written straight from the manual.

use std::sync::Arc;

use fencepost_random::Random;
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

use super::Want;
use crate::code::CodePages;
use crate::mem::view::{OPENED, SUPERVISOR, USER};
use crate::stop_flag::StopFlag;
use crate::{Config, Cpu};

const RAM: u64 = 1 << 20;
const PAGES: u64 = RAM / 4096;

struct Setting {
    wp: bool,
    nxe: bool,
    pge: bool,
    smep: bool,
    smap: bool,
}

/// The manual's table 5-14 to 5-20 as questions, one level at a time: `(gpa, entries read)` or an error code.
fn model(
    memory: &GuestMemoryMmap<()>,
    setting: &Setting,
    addr: u64,
    want: Want,
    view: usize,
) -> Result<(u64, Vec<u64>), u32> {
    let (user, ac) = (view == USER, view == OPENED);
    let wrong = u32::from(want == Want::Write) * 2
        + u32::from(user) * 4
        + u32::from(want == Want::Fetch && (setting.nxe || setting.smep)) * 16;
    let mut visited = Vec::new();
    let mut entries = Vec::new();
    let mut table = 0u64;
    for level in (1..=4u32).rev() {
        let index = addr >> (12 + 9 * (level - 1)) & 511;
        let at = table + index * 8;
        let entry: u64 = if at + 8 <= RAM { memory.read_obj(GuestAddress(at)).unwrap() } else { !0 };
        if entry % 2 == 0 {
            return Err(wrong);
        }
        visited.push(at);
        entries.push(entry);
        let large = entry >> 7 & 1 == 1 && level > 1;
        let beyond_46 = entry >> 46 & 0x3f != 0;
        let nx_reserved = entry >> 63 == 1 && !setting.nxe;
        let bad_large = match level {
            4 => large,
            3 => large && entry >> 13 & 0x1_ffff != 0,
            2 => large && entry >> 13 & 0xff != 0,
            _ => false,
        };
        if beyond_46 || nx_reserved || bad_large {
            return Err(wrong | 1 | 8);
        }
        if large || level == 1 {
            let size = 1u64 << (12 + 9 * (level - 1));
            let all = |bit: u32| entries.iter().all(|e| e >> bit & 1 == 1);
            let writable = all(1) || (!user && !setting.wp);
            let executable = !entries.iter().any(|e| e >> 63 == 1);
            // Vol. 3, 5.6: SMEP and SMAP concern what the user may reach.
            let kept = !user
                && all(2)
                && match want {
                    Want::Fetch => setting.smep,
                    Want::Read | Want::Write => setting.smap && !ac,
                };
            let allowed = (!user || all(2))
                && !kept
                && match want {
                    Want::Read => true,
                    Want::Write => writable,
                    Want::Fetch => executable,
                };
            let frame = entry & 0x3fff_ffff_f000 & !(size - 1);
            return if allowed { Ok((frame | addr & (size - 1), visited)) } else { Err(wrong | 1) };
        }
        table = entry & 0x3fff_ffff_f000;
    }
    unreachable!()
}

fn random_entry(random: &mut Random) -> u64 {
    // Mostly tables inside RAM with full rights, now and then anything at all.
    let mut entry = (random.bits() % PAGES) << 12 | 7;
    for bit in [0, 1, 2] {
        if random.once_in(12) {
            entry &= !(1 << bit);
        }
    }
    if random.once_in(6) {
        entry |= 1 << 7;
        if random.once_in(2) {
            entry &= !0x3fff_f000 | 0x1000;
        }
    }
    for bit in [5, 6, 8, 13, 46, 51, 63] {
        if random.once_in(if bit < 10 { 3 } else { 40 }) {
            entry |= 1 << bit;
        }
    }
    entry
}

#[test]
fn random_tables_are_walked_as_the_model_walks_them() {
    let mut random = Random::new(0x9e37_79b9_7f4a_7c15);
    let mut outcomes = std::collections::BTreeMap::<Option<u32>, u32>::new();
    for _ in 0..40 {
        let memory = GuestMemoryMmap::<()>::from_ranges(&[(GuestAddress(0), RAM as usize)]).unwrap();
        for at in (0..RAM).step_by(8) {
            memory.write_obj(random_entry(&mut random), GuestAddress(at)).unwrap();
        }
        let code = Arc::new(CodePages::new(RAM));
        let stop = Arc::new(StopFlag::default());
        // SAFETY: the test has one thread, and accesses the memory between walks.
        let mut cpu = unsafe { Cpu::new(memory.clone(), code, stop, Config::default()) };
        let [wp, nxe, pge, smep, smap] = std::array::from_fn(|_| random.once_in(2));
        let setting = Setting { wp, nxe, pge, smep, smap };
        let mut state = cpu.state();
        state.cr0 = 0x8000_0001 | u64::from(setting.wp) << 16;
        state.cr4 = 0x20 | u64::from(pge) << 7 | u64::from(smep) << 20 | u64::from(smap) << 21;
        state.efer = 0x500 | u64::from(setting.nxe) << 11;
        cpu.set_state(&state);
        for _ in 0..500 {
            let addr = ((random.bits() << 16) as i64 >> 16) as u64;
            let want = [Want::Read, Want::Write, Want::Fetch][(random.bits() % 3) as usize];
            let view = random.pick(&[SUPERVISOR, USER, USER, OPENED]);
            compare(&mut cpu, &memory, &setting, addr, want, view, &mut outcomes);
        }
    }
    // Every kind of outcome was met: success, and each error code that can be.
    assert!(outcomes.get(&None).is_some_and(|n| *n > 1000), "{outcomes:?}");
    assert!(outcomes.len() > 12, "{outcomes:?}");
}

fn compare(
    cpu: &mut Cpu,
    memory: &GuestMemoryMmap<()>,
    setting: &Setting,
    addr: u64,
    want: Want,
    view: usize,
    outcomes: &mut std::collections::BTreeMap<Option<u32>, u32>,
) {
    let expected = model(memory, setting, addr, want, view);
    let before = |at: u64| memory.read_obj::<u64>(GuestAddress(at)).unwrap();
    let old: Vec<u64> = expected.iter().flat_map(|(_, path)| path.iter().map(|at| before(*at))).collect();
    let found = cpu.walk(addr, want, view);
    *outcomes.entry(found.err()).or_default() += 1;
    assert_eq!(
        found.map(|m| m.gpa),
        expected.as_ref().map(|(gpa, _)| *gpa).map_err(|e| *e),
        "{addr:#x} {want:?}"
    );
    let Ok((_, path)) = expected else { return };
    let mapping = found.unwrap();
    for (n, (at, old)) in path.iter().zip(&old).enumerate() {
        let leaf = n + 1 == path.len();
        let dirty = if leaf && want == Want::Write { 0x40 } else { 0 };
        // The same entry may be met at two levels: bits only ever get set.
        assert_eq!(before(*at) & (old | 0x20 | dirty), old | 0x20 | dirty);
        if leaf && path[..n].iter().all(|other| other != at) {
            assert_eq!(before(*at), old | 0x20 | dirty);
            assert_eq!(mapping.global, old >> 8 & 1 == 1 && setting.pge);
        }
    }
    if mapping.writable && want != Want::Fetch {
        assert_ne!(before(path[path.len() - 1]) & 0x40, 0, "writes that skip the walk need the dirty bit");
        assert!(model(memory, setting, addr, Want::Write, view).is_ok());
    }
    assert_eq!(mapping.large, path.len() < 4);
}
