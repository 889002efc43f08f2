//! Enums that are a list: the variants, all of them in order, and their names, written once.

/// Makes an enum of its list, with `ALL` and `name()`.
macro_rules! listed {
    ($(#[$meta:meta])* $list:ident { $($(#[$doc:meta])* $variant:ident => $name:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum $list {
            $($(#[$doc])* $variant,)*
        }

        impl $list {
            /// All of them, in order.
            pub const ALL: [$list; [$($name),*].len()] = [$($list::$variant),*];

            /// Its name in outputs.
            pub fn name(self) -> &'static str {
                match self {
                    $($list::$variant => $name,)*
                }
            }
        }
    };
}

pub(super) use listed;
