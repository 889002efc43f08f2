//! The images are read back as the kernel does it (fs/erofs/{inode,data,namei}.c), by a reader that knows nothing of the writer.
//! ci/test mounts one in Linux, and has md5sum check each file in it.

use super::super::tree::Attributes;
use super::*;

/// A file as it is found in an image.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    mode: u16,
    owner: (u32, u32),
    seconds: u64,
    links: u32,
    content: Vec<u8>,
}

fn number<const N: usize>(image: &[u8], at: usize) -> u64 {
    let mut bytes = [0; 8];
    bytes[..N].copy_from_slice(&image[at..at + N]);
    u64::from_le_bytes(bytes)
}

/// The inode of this number.
fn read(image: &[u8], nid: u64) -> Found {
    let at = (number::<4>(image, 1024 + 40) << 12) as usize + nid as usize * 32;
    let format = number::<2>(image, at);
    assert_eq!(format & 1, 1, "a long inode");
    let size = number::<8>(image, at + 8) as usize;
    let in_blocks = match format >> 1 & 7 {
        0 => size,
        2 => size / 4096 * 4096,
        other => panic!("layout {other}"),
    };
    let start = (number::<4>(image, at + 16) << 12) as usize;
    let behind = at + 64..at + 64 + size - in_blocks;
    assert!(behind.is_empty() || behind.start / 4096 == (behind.end - 1) / 4096, "one block");
    Found {
        mode: number::<2>(image, at + 4) as u16,
        owner: (number::<4>(image, at + 24) as u32, number::<4>(image, at + 28) as u32),
        seconds: number::<8>(image, at + 32),
        links: number::<4>(image, at + 44) as u32,
        content: [&image[start..start + in_blocks], &image[behind]].concat(),
    }
}

/// The entries of a folder: names and inodes.
fn entries_of(folder: &Found) -> Vec<(Vec<u8>, u64)> {
    let mut all = Vec::new();
    for block in folder.content.chunks(4096) {
        let count = number::<2>(block, 8) as usize / 12;
        for index in 0..count {
            let from = number::<2>(block, index * 12 + 8) as usize;
            let to =
                if index + 1 < count { number::<2>(block, index * 12 + 20) as usize } else { block.len() };
            let name = block[from..to].split(|byte| *byte == 0).next().unwrap().to_vec();
            all.push((name, number::<8>(block, index * 12)));
        }
    }
    all
}

fn image_of(tree: &Tree, spool: &Spool) -> Vec<u8> {
    let image = Image::new(tree, spool).expect("laid out");
    let mut bytes = Vec::new();
    image.write(&mut bytes, &|| Ok(())).expect("written");
    assert_eq!(bytes.len() as u64, image.len());
    bytes
}

/// Compares a folder of the image with the tree's, and all below it; gives how many files there are.
fn compare(image: &[u8], (nid, parent): (u64, u64), tree: &Tree, spool: &Spool, at: usize) -> usize {
    let found = read(image, nid);
    let Kind::Folder(names) = &tree.node(at).kind else { panic!("a folder") };
    let there = entries_of(&found);
    assert!(there.is_sorted() && there.len() == names.len() + 2, "the kernel searches by halves");
    let mut count = 0;
    for (name, child) in there {
        match &name[..] {
            b"." => assert_eq!(child, nid),
            b".." => assert_eq!(child, parent),
            name => {
                let number = names[name];
                let node = tree.node(number);
                let file = read(image, child);
                let (kind, content) = match &node.kind {
                    Kind::Folder(_) => (4, None),
                    Kind::File(content) => (8, Some(spool.bytes(*content).expect("kept"))),
                    Kind::Link(target) => (10, Some(target.clone())),
                };
                assert_eq!((file.mode >> 12, file.mode & 0o7777), (kind, node.attributes.mode));
                assert_eq!(file.owner, (node.attributes.uid, node.attributes.gid));
                assert_eq!(file.seconds, node.attributes.seconds);
                match content {
                    Some(content) => assert!(file.content == content, "{}", String::from_utf8_lossy(name)),
                    None => count += compare(image, (child, nid), tree, spool, number),
                }
            }
        }
        count += 1;
    }
    count
}

#[test]
fn files_of_all_sizes_are_read_back() {
    let (mut tree, mut spool) = (Tree::new(7), Spool::new(&std::env::temp_dir()).expect("spool"));
    let sizes =
        [0, 1, 31, 2047, 2048, 2049, 4031, 4032, 4033, 4095, 4096, 4097, 6143, 6144, 6145, 8192, 100_000];
    for (index, size) in sizes.into_iter().enumerate() {
        let bytes: Vec<u8> = (0..size).map(|at| (at * 7 + at / 251 + index) as u8).collect();
        let content = spool.keep_bytes(&bytes).expect("kept");
        let attributes = Attributes { mode: 0o4750, uid: 70_000 + index as u32, gid: 5, seconds: 1 << 33 };
        let path = format!("/f/{size}");
        tree.file(path.as_bytes(), Kind::File(content), attributes).expect("put");
        let target = vec![b'x'; size.clamp(1, 4095)];
        let path = format!("/l/{size}");
        tree.file(path.as_bytes(), Kind::Link(target), Attributes::of_root(0o777, 9)).expect("put");
    }
    tree.hard_link(b"/again", b"/f/4097").expect("put");
    let image = image_of(&tree, &spool);
    assert_eq!(compare(&image, (0, 0), &tree, &spool, ROOT), 2 * sizes.len() + 3 + 3 * 2);
    assert_eq!(read(&image, 0).links, 4);
    assert_eq!(image, image_of(&tree, &spool));
    let linked = entries_of(&read(&image, 0)).into_iter().find(|(name, _)| name == b"again").expect("there");
    assert_eq!(read(&image, linked.1).links, 2);
}

#[test]
fn folders_of_many_names_are_in_order() {
    // Names before and behind `.` and `..`, and blocks that are full to the byte.
    for length in [1, 5, 100, 243, 255] {
        let (mut tree, spool) = (Tree::new(0), Spool::new(&std::env::temp_dir()).expect("spool"));
        for index in 0..700_u32 {
            let name =
                format!("{}{index:03}{}", ["!", "-", ".", "a", "~"][index as usize % 5], "n".repeat(length));
            let path = format!("/many/{}", &name[..name.len().min(255)]);
            let kind =
                if index % 50 == 0 { Kind::Folder(BTreeMap::new()) } else { Kind::Link(b"t".to_vec()) };
            tree.file(path.as_bytes(), kind, Attributes::of_root(0o777, 0)).expect("put");
        }
        compare(&image_of(&tree, &spool), (0, 0), &tree, &spool, ROOT);
    }
}

#[test]
fn writing_ends_when_it_is_told_to() {
    let (mut tree, spool) = (Tree::new(0), Spool::new(&std::env::temp_dir()).expect("spool"));
    tree.folder(b"/a", Attributes::of_root(0o755, 0)).expect("put");
    let image = Image::new(&tree, &spool).expect("laid out");
    let stop = || Err(io::Error::other("enough"));
    assert!(image.write(&mut Vec::new(), &stop).is_err_and(|error| error.to_string() == "enough"));
}
