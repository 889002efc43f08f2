//! Jumps from one block's generated code to another's: direct ones that are put into the code, and a table for the others.

use std::io;

use super::CodeBuffer;

/// Entries of the table, a power of two.
pub(crate) const JUMPS: usize = 1 << 15;
/// Pages told apart, a power of two.
const PAGES: usize = 1 << 12;
/// Code was made in vain if it is dropped before so many other pieces were made: its page is one that a guest rewrites again and again.
const SOON: u64 = 64;
/// Each time it was, a block is to be run twice as often before code is made for it; so many times at most.
const MOST_VAIN: u8 = 8;
/// A place where no code is.
const NOWHERE: u64 = 1;

/// Where the code for a physical address is.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct KnownJump {
    /// Physical address of the guest's code.
    pub gpa: u64,
    /// Address of the generated code.
    pub code: u64,
}

const NO_JUMP: KnownJump = KnownJump { gpa: NOWHERE, code: 0 };

/// Routines that all blocks use, by their addresses.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Routines {
    /// From Rust into generated code.
    pub enter: u64,
    /// Back, with nothing left to do.
    pub leave: u64,
    /// Runs one instruction by its handler.
    pub handler: u64,
    /// The same for an instruction that may read or set status flags.
    pub handler_with_flags: u64,
    /// Goes on at one side of a direct branch.
    pub side: u64,
    /// Nothing: the flags are saved.
    pub nothing: u64,
    /// Gives the host the guest's MXCSR. Not equal: it may not have that.
    pub float_on: u64,
    /// There is less left than the block has.
    pub limit: u64,
}

/// The end of a direct jump.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Site {
    /// Address of its four last bytes.
    pub at: u64,
    /// Where it leads when it is linked to nothing.
    pub unlinked: u64,
}

/// A block's direct jump to the next one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Side {
    /// It has saved the flags.
    pub saved: Site,
    /// It has not, and whoever needs them calls what the second scratch register says.
    pub quick: Option<Site>,
}

/// A block's generated code.
#[derive(Default)]
pub(crate) struct Entry {
    /// Address of its first instruction; zero if there is none.
    pub code: u64,
    /// Where a block enters that has not saved the flags; zero if this one needs them.
    pub quick: u64,
    /// Its own jumps, for the taken side and the other.
    pub sides: [Option<Side>; 2],
    /// Jumps that lead here.
    pub incoming: Vec<Site>,
    /// How many had been made before it.
    pub nth: u64,
}

/// All generated code.
pub(crate) struct Generated {
    pub buffer: CodeBuffer,
    pub routines: Routines,
    /// Bytes of the buffer that hold the routines.
    pub kept: usize,
    /// [`JUMPS`] of them.
    jumps: Box<[KnownJump]>,
    /// How many pieces of code have been made.
    made: u64,
    /// For each physical page, of which some share a place: how often lately code was in vain that was made for it.
    vain: Box<[u8; PAGES]>,
    /// What the next code is made in: kept for its allocation alone.
    pub spare: Vec<u8>,
}

/// The place of a page among those of which is known whether code was made in vain.
fn page(gpa: u64) -> usize {
    (gpa >> 12) as usize & (PAGES - 1)
}

/// The place in the table for a physical address. Generated code computes the same.
fn place(gpa: u64) -> usize {
    (gpa ^ gpa >> 12) as usize & (JUMPS - 1)
}

impl Generated {
    /// Without any code. An error: the host does not map memory for it.
    pub fn new() -> io::Result<Generated> {
        let jumps = vec![NO_JUMP; JUMPS].into_boxed_slice();
        let (routines, vain) = (Routines::default(), Box::new([0; PAGES]));
        Ok(Generated {
            buffer: CodeBuffer::new()?,
            routines,
            kept: 0,
            jumps,
            made: 0,
            vain,
            spare: Vec::new(),
        })
    }

    /// The address of the table.
    pub fn table(&self) -> u64 {
        self.jumps.as_ptr().expose_provenance() as u64
    }

    /// Counts one more piece of code that is made: how many there were before.
    pub fn count(&mut self) -> u64 {
        self.made += 1;
        self.made - 1
    }

    /// How many times as often as others a block is to be run before code is made for it.
    pub fn patience(&self, gpa: u64) -> u32 {
        1 << self.vain[page(gpa)]
    }

    /// From now on indirect jumps find a block.
    pub fn know(&mut self, gpa: u64, code: u64) {
        self.jumps[place(gpa)] = KnownJump { gpa, code };
    }

    /// Lets a jump lead to a block.
    pub fn link(&mut self, side: Side, to: &mut Entry) {
        let quick = side.quick.filter(|_| to.quick != 0).map(|site| (site, to.quick));
        for (site, target) in quick.into_iter().chain([(side.saved, to.code)]) {
            self.buffer.redirect(site.at, target);
            to.incoming.push(site);
        }
    }

    /// Has nothing lead to a block any more. Its code may still be running.
    pub fn forget(&mut self, gpa: u64, entry: &mut Entry) {
        for site in entry.incoming.drain(..) {
            self.buffer.redirect(site.at, site.unlinked);
        }
        let known = &mut self.jumps[place(gpa)];
        if known.gpa == gpa {
            *known = NO_JUMP;
        }
        if entry.code != 0 {
            let vain = &mut self.vain[page(gpa)];
            *vain = if self.made - entry.nth <= SOON { MOST_VAIN.min(*vain + 1) } else { 0 };
        }
        *entry = Entry::default();
    }

    /// Begins anew, after all blocks' entries have been forgotten.
    pub fn clear(&mut self) {
        self.jumps.fill(NO_JUMP);
        self.buffer.truncate(self.kept);
    }
}
