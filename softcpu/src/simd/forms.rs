//! From tables of "form = kernel" to handlers: each form gets two functions of its own, one for a register operand and
//! one for a memory operand, with the kernel inlined.

/// Makes a lookup from [`iced_x86::Code`] to a handler. The name of each group is a function of `shape` that takes
/// the place of the second operand as a type.
macro_rules! handlers {
    ($(#[$meta:meta])* $visible:vis fn $function:ident { $($shape:ident { $($code:ident = $kernel:path;)* })* }) => {
        $(#[$meta])*
        $visible fn $function(code: Code, memory: bool) -> Option<Handler> {
            Some(match code {
                $($(
                    Code::$code if memory => |cpu, op| $shape::<InMemory>(cpu, op, $kernel),
                    Code::$code => |cpu, op| $shape::<InRegister>(cpu, op, $kernel),
                )*)*
                _ => return None,
            })
        }
    };
}
pub(super) use handlers;
