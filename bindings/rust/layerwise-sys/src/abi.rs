//! What this crate says of the ABI, as tables: for holding it against
//! [`layerwise_abi_description`](crate::layerwise_abi_description). Types are Rust's, as this crate spells them.

/// A struct and its layout on this target.
#[derive(Clone, Copy, Debug)]
pub struct Struct {
    /// Its name.
    pub name: &'static str,
    /// Its size in bytes.
    pub size: usize,
    /// Its members, in order.
    pub fields: &'static [Field],
}

/// A member of a struct.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// Bytes from the start of the struct.
    pub offset: usize,
    /// Its size in bytes.
    pub size: usize,
    /// Its type.
    pub kind: &'static str,
}

/// A function's signature.
#[derive(Clone, Copy, Debug)]
pub struct Function {
    /// Its name.
    pub name: &'static str,
    /// Names and types of its arguments.
    pub arguments: &'static [(&'static str, &'static str)],
    /// The type it returns.
    pub result: &'static str,
}

/// Every constant of the header.
pub const CONSTANTS: &[(&str, i32)] = crate::constants::CONSTANTS;
/// Every struct of the header.
pub const STRUCTS: &[Struct] = crate::structs::STRUCTS;
/// Every function of the header.
pub const FUNCTIONS: &[Function] = crate::functions::FUNCTIONS;
