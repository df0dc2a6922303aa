//! Each list of the ABI is written once. From it come the items that callers use and the tables below
//! [`abi`](crate::abi), which a test holds against the library's own description.

macro_rules! constants {
    ($($(#[$meta:meta])* $name:ident = $value:expr;)*) => {
        $($(#[$meta])* pub const $name: i32 = $value;)*
        pub(crate) const CONSTANTS: &[(&str, i32)] = &[$((stringify!($name), $name)),*];
    };
}

macro_rules! structs {
    ($($(#[$meta:meta])* struct $name:ident { $($(#[$doc:meta])* $field:ident: $kind:ty,)* })*) => {
        $(
            $(#[$meta])*
            #[repr(C)]
            #[derive(Clone, Copy, Debug)]
            pub struct $name { $($(#[$doc])* pub $field: $kind,)* }
        )*
        pub(crate) const STRUCTS: &[crate::abi::Struct] = &[$(
            crate::abi::Struct {
                name: stringify!($name),
                size: core::mem::size_of::<$name>(),
                fields: &[$(
                    crate::abi::Field {
                        name: stringify!($field),
                        offset: core::mem::offset_of!($name, $field),
                        size: core::mem::size_of::<$kind>(),
                        kind: stringify!($kind),
                    }
                ),*],
            }
        ),*];
    };
}

macro_rules! functions {
    ($($(#[$meta:meta])* fn $name:ident($($argument:ident: $kind:ty),* $(,)?) -> $result:ty;)*) => {
        extern "C" {
            $($(#[$meta])* pub fn $name($($argument: $kind),*) -> $result;)*
        }
        pub(crate) const FUNCTIONS: &[crate::abi::Function] = &[$(
            crate::abi::Function {
                name: stringify!($name),
                arguments: &[$((stringify!($argument), stringify!($kind))),*],
                result: stringify!($result),
            }
        ),*];
    };
}
