//! From bytes of guest memory to a block of operations.

use iced_x86::{Decoder, DecoderError, DecoderOptions, FlowControl, Instruction};

use crate::blocks::{BLOCK_OPS, Block};
use crate::cpu::{Cpu, Op};
use crate::lower::LowerCtx;
use crate::mem::tlb::PAGE_MASK;
use crate::step::{Step, Trap};
use crate::{dispatch, vector};

/// Blocks that may wait to be freed before the run loop is asked to.
const MOST_DROPPED: usize = 1000;
/// Longest instruction.
const MOST_BYTES: usize = 15;

/// Most bytes of code fetched for one block.
const FETCH_MOST: usize = 512;

/// Code read from memory.
pub(crate) struct Fetched {
    /// What was read, zeroes after it.
    pub bytes: [u8; FETCH_MOST + 16],
    /// How much.
    pub len: usize,
    /// Physical address of the next page, when the first instruction straddles into it.
    pub second: Option<u64>,
}

/// Everything iced knows is decoded, so that what is not implemented can be refused by name. But hints of later
/// processors (RDSSP, ENDBR, CLDEMOTE, prefetches) are what CPUID promises: 0F 0D and 0F 18 to 0F 1F are NOPs with any
/// operand (Intel SDM vol. 2, appendix A, "reserved NOP"); and a prefix that makes WBINVD into WBNOINVD or NOP into PAUSE
/// is ignored (before a NOP that is XCHG R8, PAUSE would be wrong).
pub(crate) const DECODER_OPTIONS: u32 =
    DecoderOptions::FORCE_RESERVED_NOP | DecoderOptions::NO_WBNOINVD | DecoderOptions::NO_PAUSE;

/// Decodes instructions up to the end of the block. `second`: the first instruction straddles into this page, and is
/// alone. `ops` is empty, and kept for its allocation alone.
fn lower_block(
    bytes: &[u8],
    gpa: u64,
    mut ctx: LowerCtx,
    second: Option<u64>,
    ops: &mut Vec<Op>,
) -> Block<Cpu> {
    let bits = ctx.bits;
    let mut decoder = Decoder::with_ip(bits, bytes, ctx.start, DECODER_OPTIONS);
    let most = if second.is_some() { 1 } else { BLOCK_OPS };
    let mut instr = Instruction::default();
    let mut end = 0;
    while ops.len() < most && end < bytes.len() {
        decoder.decode_out(&mut instr);
        // What cannot be decoded here is the first of a block of its own.
        if instr.is_invalid() && !ops.is_empty() {
            break;
        }
        ctx.nth = ops.len() as u8;
        ops.push(dispatch::lower(&instr, &ctx));
        end = decoder.position();
        if instr.is_invalid() || instr.flow_control() != FlowControl::Next {
            break;
        }
    }
    // The end counts as the last instruction: that is how many have retired when it is reached.
    let mut last = ctx.bare(&instr, end_of_block);
    (last.off, last.len) = (end as u16, 0);
    ops.push(last);
    // Of just the length: a larger one would be moved to be made smaller.
    let mut own = Vec::with_capacity(ops.len());
    own.append(ops);
    Block::new(gpa, bits as u8, second.map(|p| p & PAGE_MASK), own, ctx.into_extended())
}

/// Not an instruction: the next block follows.
fn end_of_block(cpu: &mut Cpu, op: &Op) -> Step {
    cpu.rip = cpu.following(op);
    Step::Fall
}

impl Cpu {
    /// The bytes from `rip`, which is at `gpa`, to the end of the page, or of the one instruction that straddles it.
    pub(crate) fn fetch(&mut self, rip: u64, gpa: u64) -> Result<Fetched, Trap> {
        let mut bytes = [0u8; FETCH_MOST + 16];
        let allowed = self.code_bytes(rip).min(FETCH_MOST as u64) as usize;
        let in_page = (4096 - (gpa & 0xfff) as usize).min(allowed);
        let mut len = in_page;
        let Some(host) = self.ram.host(gpa, in_page as u64) else {
            self.count_unknown("code outside RAM");
            self.raise(vector::UD, None);
            return Err(Trap);
        };
        // SAFETY: `host` gives `in_page` mapped bytes that nobody else accesses now, and the buffer is longer.
        unsafe { std::ptr::copy_nonoverlapping(host, bytes.as_mut_ptr(), in_page) };
        let mut second = None;
        if in_page < MOST_BYTES {
            let mut probe = Decoder::with_ip(self.code_bits(), &bytes[..len], rip, DECODER_OPTIONS);
            let _ = probe.decode();
            let cut = probe.last_error() == DecoderError::NoMoreBytes;
            if cut && in_page == allowed {
                self.raise(vector::GP, Some(0));
                return Err(Trap);
            }
            if cut {
                let next = self.next_page(self.code_linear(rip));
                // As a block that is decoded already has it: what the TLB holds does not depend on which are.
                let next = match self.tlb.code(self.view, next) {
                    Some(page) => page,
                    None => self.code_address(next)?,
                };
                if let Some(host) = self.ram.host(next, MOST_BYTES as u64) {
                    // SAFETY: `host` gives 15 mapped bytes that nobody else accesses now, and the buffer has room for
                    // them: fewer than 15 are in it.
                    unsafe {
                        std::ptr::copy_nonoverlapping(host, bytes.as_mut_ptr().add(len), MOST_BYTES);
                    }
                    len += MOST_BYTES;
                    second = Some(next);
                }
            }
        }
        Ok(Fetched { bytes, len, second })
    }

    /// Decodes the block at a physical address.
    pub(crate) fn decode(&mut self, rip: u64, gpa: u64) -> Result<*mut Block<Cpu>, Trap> {
        let Fetched { bytes, len, second } = self.fetch(rip, gpa)?;
        self.counters.blocks_decoded += 1;
        let ctx = LowerCtx::new(rip, self.code_bits(), self.config.cpuid.model);
        let mut ops = std::mem::take(&mut self.spare_ops);
        let block = lower_block(&bytes[..len], gpa, ctx, second, &mut ops);
        self.spare_ops = ops;
        // An instruction that straddles into two pages in turn is decoded again each time, without an end to the slice.
        if self.blocks.dropped() > MOST_DROPPED {
            self.code.call_for_attention();
        }
        for page in [Some(gpa), second].into_iter().flatten() {
            if !self.code.holds_code(page >> 12) {
                self.guard_code(page >> 12);
            }
        }
        Ok(self.blocks.insert(block))
    }
}
