//! What an operating system needs: segments, interrupts, control registers, MSRs, ports.

pub(crate) const CR0_MP: u64 = 1 << 1;
pub(crate) const CR0_EM: u64 = 1 << 2;
pub(crate) const CR0_TS: u64 = 1 << 3;
pub(crate) const CR0_WP: u64 = 1 << 16;
pub(crate) const CR0_PG: u64 = 1 << 31;
pub(crate) const CR4_PGE: u64 = 1 << 7;
pub(crate) const CR4_OSFXSR: u64 = 1 << 9;
pub(crate) const EFER_NXE: u64 = 1 << 11;

/// The operation of a system instruction, if it is one.
pub(crate) fn lower(_: &iced_x86::Instruction, _: &crate::lower::LowerCtx) -> Option<crate::op::Op> {
    None
}
