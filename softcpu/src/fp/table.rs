//! Which handler runs which x87 instruction.

use iced_x86::Code;

use super::compare;
use super::exec::*;
use super::transcendental;
use crate::cpu::Handler;

/// The handler of an x87 instruction.
pub fn handler(code: Code) -> Option<Handler> {
    arithmetic(code)
        .or_else(|| comparison(code))
        .or_else(|| transfer(code))
        .or_else(|| control(code))
        .or_else(|| function(code))
}

fn arithmetic(code: Code) -> Option<Handler> {
    use Code::*;
    Some(match code {
        Fadd_m32fp => binary_memory::<M32, ADD>,
        Fadd_m64fp => binary_memory::<M64, ADD>,
        Fiadd_m16int => binary_memory::<I16, ADD>,
        Fiadd_m32int => binary_memory::<I32, ADD>,
        Fadd_st0_sti => binary_top::<ADD>,
        Fadd_sti_st0 => binary_other::<ADD, false>,
        Faddp_sti_st0 => binary_other::<ADD, true>,
        Fmul_m32fp => binary_memory::<M32, MUL>,
        Fmul_m64fp => binary_memory::<M64, MUL>,
        Fimul_m16int => binary_memory::<I16, MUL>,
        Fimul_m32int => binary_memory::<I32, MUL>,
        Fmul_st0_sti => binary_top::<MUL>,
        Fmul_sti_st0 => binary_other::<MUL, false>,
        Fmulp_sti_st0 => binary_other::<MUL, true>,
        Fsub_m32fp => binary_memory::<M32, SUB>,
        Fsub_m64fp => binary_memory::<M64, SUB>,
        Fisub_m16int => binary_memory::<I16, SUB>,
        Fisub_m32int => binary_memory::<I32, SUB>,
        Fsub_st0_sti => binary_top::<SUB>,
        Fsub_sti_st0 => binary_other::<SUB, false>,
        Fsubp_sti_st0 => binary_other::<SUB, true>,
        Fsubr_m32fp => binary_memory::<M32, SUB_REVERSED>,
        Fsubr_m64fp => binary_memory::<M64, SUB_REVERSED>,
        Fisubr_m16int => binary_memory::<I16, SUB_REVERSED>,
        Fisubr_m32int => binary_memory::<I32, SUB_REVERSED>,
        Fsubr_st0_sti => binary_top::<SUB_REVERSED>,
        Fsubr_sti_st0 => binary_other::<SUB_REVERSED, false>,
        Fsubrp_sti_st0 => binary_other::<SUB_REVERSED, true>,
        Fdiv_m32fp => binary_memory::<M32, DIV>,
        Fdiv_m64fp => binary_memory::<M64, DIV>,
        Fidiv_m16int => binary_memory::<I16, DIV>,
        Fidiv_m32int => binary_memory::<I32, DIV>,
        Fdiv_st0_sti => binary_top::<DIV>,
        Fdiv_sti_st0 => binary_other::<DIV, false>,
        Fdivp_sti_st0 => binary_other::<DIV, true>,
        Fdivr_m32fp => binary_memory::<M32, DIV_REVERSED>,
        Fdivr_m64fp => binary_memory::<M64, DIV_REVERSED>,
        Fidivr_m16int => binary_memory::<I16, DIV_REVERSED>,
        Fidivr_m32int => binary_memory::<I32, DIV_REVERSED>,
        Fdivr_st0_sti => binary_top::<DIV_REVERSED>,
        Fdivr_sti_st0 => binary_other::<DIV_REVERSED, false>,
        Fdivrp_sti_st0 => binary_other::<DIV_REVERSED, true>,
        _ => return None,
    })
}

fn comparison(code: Code) -> Option<Handler> {
    use Code::*;
    Some(match code {
        Fcom_m32fp => compare_memory::<M32, 0>,
        Fcom_m64fp => compare_memory::<M64, 0>,
        Ficom_m16int => compare_memory::<I16, 0>,
        Ficom_m32int => compare_memory::<I32, 0>,
        Fcomp_m32fp => compare_memory::<M32, 1>,
        Fcomp_m64fp => compare_memory::<M64, 1>,
        Ficomp_m16int => compare_memory::<I16, 1>,
        Ficomp_m32int => compare_memory::<I32, 1>,
        Fcom_st0_sti | Fcom_st0_sti_DCD0 => compare::<false, 0>,
        Fcomp_st0_sti | Fcomp_st0_sti_DCD8 | Fcomp_st0_sti_DED0 => compare::<false, 1>,
        Fcompp => compare_both::<false>,
        Fucom_st0_sti => compare::<true, 0>,
        Fucomp_st0_sti => compare::<true, 1>,
        Fucompp => compare_both::<true>,
        Fcomi_st0_sti => compare_flags::<false, false>,
        Fcomip_st0_sti => compare_flags::<false, true>,
        Fucomi_st0_sti => compare_flags::<true, false>,
        Fucomip_st0_sti => compare_flags::<true, true>,
        Ftst => |cpu, op| on_stack(cpu, op, compare::test),
        Fxam => |cpu, op| on_stack(cpu, op, compare::examine),
        _ => return None,
    })
}

fn transfer(code: Code) -> Option<Handler> {
    use Code::*;
    Some(match code {
        Fld_m32fp => load::<M32>,
        Fld_m64fp => load::<M64>,
        Fild_m16int => load::<I16>,
        Fild_m32int => load::<I32>,
        Fild_m64int => load::<I64>,
        Fld_m80fp => load_extended,
        Fbld_m80bcd => load_bcd,
        Fld_sti => |cpu, op| on_stack(cpu, op, |u| ops::load_register(u, op.reg1.into())),
        Fst_m32fp => store_single::<false>,
        Fstp_m32fp => store_single::<true>,
        Fst_m64fp => store_double::<false>,
        Fstp_m64fp => store_double::<true>,
        Fstp_m80fp => store_extended,
        Fbstp_m80bcd => store_bcd,
        Fist_m16int => store_i16::<false, false>,
        Fistp_m16int => store_i16::<true, false>,
        Fist_m32int => store_i32::<false, false>,
        Fistp_m32int => store_i32::<true, false>,
        Fistp_m64int => store_i64::<false>,
        Fisttp_m16int => store_i16::<true, true>,
        Fisttp_m32int => store_i32::<true, true>,
        Fisttp_m64int => store_i64::<true>,
        Fst_sti => |cpu, op| on_stack(cpu, op, |u| ops::store_register(u, op.reg1.into(), false)),
        Fstp_sti | Fstpnce_sti | Fstp_sti_DFD0 | Fstp_sti_DFD8 => {
            |cpu, op| on_stack(cpu, op, |u| ops::store_register(u, op.reg1.into(), true))
        }
        Fxch_st0_sti | Fxch_st0_sti_DDC8 | Fxch_st0_sti_DFC8 => {
            |cpu, op| on_stack(cpu, op, |u| ops::exchange(u, op.reg2.into()))
        }
        Fcmovb_st0_sti => conditional_move::<2>,
        Fcmovnb_st0_sti => conditional_move::<3>,
        Fcmove_st0_sti => conditional_move::<4>,
        Fcmovne_st0_sti => conditional_move::<5>,
        Fcmovbe_st0_sti => conditional_move::<6>,
        Fcmovnbe_st0_sti => conditional_move::<7>,
        Fcmovu_st0_sti => conditional_move::<10>,
        Fcmovnu_st0_sti => conditional_move::<11>,
        Fld1 => |cpu, op| constant(cpu, op, ops::ONE),
        Fldl2t => |cpu, op| constant(cpu, op, ops::LOG2_10),
        Fldl2e => |cpu, op| constant(cpu, op, ops::LOG2_E),
        Fldpi => |cpu, op| constant(cpu, op, ops::PI),
        Fldlg2 => |cpu, op| constant(cpu, op, ops::LOG10_2),
        Fldln2 => |cpu, op| constant(cpu, op, ops::LN_2),
        Fldz => |cpu, op| on_stack(cpu, op, |u| u.push_raw(0)),
        _ => return None,
    })
}

fn control(code: Code) -> Option<Handler> {
    use Code::*;
    Some(match code {
        Wait => wait,
        Fninit | Finit => init,
        Fnclex | Fclex => clear_exceptions,
        Fneni | Feni | Fndisi | Fdisi | Fnsetpm | Fsetpm => obsolete,
        Fnop => nothing,
        Fnstcw_m2byte | Fstcw_m2byte => store_control,
        Fldcw_m2byte => load_control,
        Fnstsw_m2byte | Fstsw_m2byte => store_status,
        Fnstsw_AX | Fstsw_AX => status_to_ax,
        Fnstenv_m14byte | Fstenv_m14byte => store_environment::<false>,
        Fnstenv_m28byte | Fstenv_m28byte => store_environment::<true>,
        Fldenv_m14byte => load_environment::<false>,
        Fldenv_m28byte => load_environment::<true>,
        Fnsave_m94byte | Fsave_m94byte => save::<false>,
        Fnsave_m108byte | Fsave_m108byte => save::<true>,
        Frstor_m94byte => restore::<false>,
        Frstor_m108byte => restore::<true>,
        Fxsave_m512byte => fxsave::<false>,
        Fxsave64_m512byte => fxsave::<true>,
        Fxrstor_m512byte => fxrstor::<false>,
        Fxrstor64_m512byte => fxrstor::<true>,
        Ffree_sti => |cpu, op| on_stack(cpu, op, |u| u.free(op.reg1.into())),
        Ffreep_sti => |cpu, op| {
            on_stack(cpu, op, |u| {
                u.free(op.reg1.into());
                u.pop();
            })
        },
        Fincstp => |cpu, op| on_stack(cpu, op, |u| u.rotate(1)),
        Fdecstp => |cpu, op| on_stack(cpu, op, |u| u.rotate(7)),
        _ => return None,
    })
}

fn function(code: Code) -> Option<Handler> {
    use Code::*;
    Some(match code {
        F2xm1 => |cpu, op| worked_out(cpu, op, transcendental::exp2_minus_1),
        Fyl2x => |cpu, op| worked_out(cpu, op, transcendental::y_log2),
        Fyl2xp1 => |cpu, op| worked_out(cpu, op, transcendental::y_log2_plus_1),
        Fpatan => |cpu, op| worked_out(cpu, op, transcendental::arc_tangent),
        Fptan => |cpu, op| worked_out(cpu, op, transcendental::tangent),
        Fsin => |cpu, op| worked_out(cpu, op, transcendental::sine),
        Fcos => |cpu, op| worked_out(cpu, op, transcendental::cosine),
        Fsincos => |cpu, op| worked_out(cpu, op, transcendental::sine_cosine),
        Fchs => |cpu, op| on_stack(cpu, op, |u| ops::change_sign(u, |bits| bits ^ 1 << 79)),
        Fabs => |cpu, op| on_stack(cpu, op, |u| ops::change_sign(u, |bits| bits & !(1 << 79))),
        Fsqrt => |cpu, op| on_stack(cpu, op, ops::square_root),
        Frndint => |cpu, op| on_stack(cpu, op, ops::round_to_integer),
        Fscale => |cpu, op| on_stack(cpu, op, ops::scale),
        Fxtract => |cpu, op| on_stack(cpu, op, ops::extract),
        Fprem => |cpu, op| on_stack(cpu, op, |u| ops::remainder(u, false)),
        Fprem1 => |cpu, op| on_stack(cpu, op, |u| ops::remainder(u, true)),
        _ => return None,
    })
}
