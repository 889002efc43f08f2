//! The structures against the kernel's header: sizes that a C compiler gives for `linux/fuse.h` 7.38.

use super::super::wire::*;

#[test]
fn the_structures_have_the_sizes_of_the_kernels_header() {
    let sizes = [
        (size_of::<InHeader>(), 40),
        (size_of::<OutHeader>(), 16),
        (size_of::<Attr>(), 88),
        (size_of::<EntryOut>(), 128),
        (size_of::<AttrOut>(), 104),
        (size_of::<InitIn>(), 16),
        (size_of::<InitOut>(), 64),
        (size_of::<OpenIn>(), 8),
        (size_of::<OpenOut>(), 16),
        (size_of::<CreateIn>(), 16),
        (size_of::<ReleaseIn>(), 24),
        (size_of::<ReadIn>(), 40),
        (size_of::<WriteOut>(), 8),
        (size_of::<Dirent>(), 24),
        (size_of::<StatfsOut>(), 80),
        (size_of::<ForgetIn>(), 8),
        (size_of::<BatchForgetIn>(), 8),
        (size_of::<ForgetOne>(), 16),
        (size_of::<SetattrIn>(), 88),
        (size_of::<MknodIn>(), 16),
        (size_of::<MkdirIn>(), 8),
        (size_of::<RenameIn>(), 8),
        (size_of::<Rename2In>(), 16),
        (size_of::<LinkIn>(), 8),
        (size_of::<FsyncIn>(), 16),
        (size_of::<FallocateIn>(), 32),
    ];
    for (at, (ours, theirs)) in sizes.into_iter().enumerate() {
        assert_eq!(ours, theirs, "the structure at {at}");
    }
}
