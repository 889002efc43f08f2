//! A cache that is damaged, or cannot be written, costs a line and never the run.

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use super::*;

/// A bzImage of protocol 2.15 whose gzip payload is a vmlinux of one segment at 16 MiB that holds `code`
/// (Documentation/arch/x86/boot.rst; System V ABI, "ELF Header").
pub(crate) fn bz_image(code: &[u8]) -> Vec<u8> {
    packed(&vmlinux(code))
}

fn vmlinux(code: &[u8]) -> Vec<u8> {
    let mut elf = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 62, 0, 1, 0, 0, 0];
    [0x100_0000u64, 64, 0].iter().for_each(|word| elf.extend(word.to_le_bytes()));
    elf.extend([0, 0, 0, 0, 64, 0, 56, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    elf.extend([1, 0, 0, 0, 7, 0, 0, 0]);
    let length = code.len() as u64;
    [120, 0x100_0000, 0x100_0000, length, length, 16]
        .iter()
        .for_each(|word: &u64| elf.extend(word.to_le_bytes()));
    elf.extend(code);
    elf
}

fn packed(elf: &[u8]) -> Vec<u8> {
    let payload = gzip(elf);
    let mut file = vec![0; 0x400];
    file[0x1f1] = 1;
    file[0x202..0x206].copy_from_slice(b"HdrS");
    file[0x206..0x208].copy_from_slice(&0x020fu16.to_le_bytes());
    file[0x236] = 1;
    file[0x24c..0x250].copy_from_slice(&(payload.len() as u32).to_le_bytes());
    file[0x260..0x264].copy_from_slice(&(16u32 << 20).to_le_bytes());
    file.extend(payload);
    file
}

/// RFC 1952 with stored blocks of RFC 1951.
fn gzip(data: &[u8]) -> Vec<u8> {
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
    let blocks: Vec<&[u8]> = data.chunks(0xffff).collect();
    for (number, block) in blocks.iter().enumerate() {
        out.push(u8::from(number + 1 == blocks.len()));
        out.extend((block.len() as u16).to_le_bytes());
        out.extend((!(block.len() as u16)).to_le_bytes());
        out.extend(*block);
    }
    out.extend(crc32fast::hash(data).to_le_bytes());
    out.extend((data.len() as u32).to_le_bytes());
    out
}

struct Case {
    folder: tempfile::TempDir,
    said: Vec<String>,
}

impl Case {
    fn new() -> Case {
        let folder = tempfile::tempdir().expect("temporary folder");
        fs::write(folder.path().join("bzImage"), bz_image(&[0xf4; 9000])).expect("written");
        Case { folder, said: Vec::new() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn open(&mut self, cache: &Cache) -> Kernel {
        let path = self.path("bzImage");
        open(&path, 64 << 20, Some(cache), &mut |line| self.said.push(line.into())).expect("a kernel")
    }
}

fn place(kernel: &mut Kernel) -> Result<(), fencepost_firmware::Error> {
    let memory = crate::machine::memory::map(64 << 20).expect("mapped");
    fencepost_firmware::load(&memory, &mut kernel.image, None, "", 1, &fencepost_firmware::Options::default())
        .map(drop)
}

#[test]
fn a_damaged_entry_is_made_anew_with_one_line() {
    let mut case = Case::new();
    let cache = Cache::new(&case.path("cache"));
    place(&mut case.open(&cache)).expect("it fits");
    place(&mut case.open(&cache)).expect("from the cache");
    assert!(case.said.is_empty(), "{:?}", case.said);
    let entry =
        fs::read_dir(cache.folder()).expect("there").next().expect("an entry").expect("readable").path();
    let good = fs::read(&entry).expect("readable");

    // Seen when it is opened.
    fs::write(&entry, b"").expect("emptied");
    place(&mut case.open(&cache)).expect("unpacked again");
    assert!(case.said.len() == 1 && case.said[0].contains("damaged"), "{:?}", case.said);
    assert_eq!(fs::read(&entry).expect("made anew"), good);

    // Seen when it is loaded.
    let mut file = fs::File::options().write(true).open(&entry).expect("ours");
    std::io::Seek::seek(&mut file, std::io::SeekFrom::Start(8000)).expect("within");
    file.write_all(b"altered").expect("written");
    let mut kernel = case.open(&cache);
    let found = place(&mut kernel).expect_err("what is altered is not booted");
    assert!(matches!(found, fencepost_firmware::Error::Kernel(KernelError::KeptDamaged)), "{found}");
    kernel.unpack_again(Some(&cache), &mut |line| case.said.push(line.into())).expect("it is whole");
    place(&mut kernel).expect("it fits");
    assert_eq!((case.said.len(), fs::read(&entry).expect("made anew")), (2, good));
}

#[test]
fn a_cache_that_cannot_be_written_costs_a_line_that_says_what_to_do() {
    let mut case = Case::new();
    fs::write(case.path("file"), "").expect("written");
    for folder in [case.path("file"), PathBuf::from("/proc/fencepost")] {
        let cache = Cache::new(&folder);
        place(&mut case.open(&cache)).expect("it runs all the same");
        let said = case.said.pop().expect("a line");
        assert!(case.said.is_empty() && said.contains(&format!("{}", folder.display())), "{said}");
        assert!(said.contains("FENCEPOST_CACHE") && !said.contains('\n'), "{said}");
    }
}

#[test]
fn a_file_that_is_not_a_kernel_is_not_cached() {
    let mut case = Case::new();
    let cache = Cache::new(&case.path("cache"));
    let mut i386 = vmlinux(&[0xf4]);
    i386[18] = 3;
    fs::write(case.path("bzImage"), packed(&i386)).expect("written");
    let refused =
        open(&case.path("bzImage"), 64 << 20, Some(&cache), &mut |line| case.said.push(line.into()));
    let said = refused.err().expect("another machine's").to_string();
    assert!(said.contains("bzImage") && said.contains("i386"), "{said}");
    assert!(!cache.folder().exists() && case.said.is_empty());
}
