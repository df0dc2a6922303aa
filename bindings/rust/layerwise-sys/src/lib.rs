//! The C ABI of `layerwise.h`, name for name: layer-wise optimizers over one packed buffer. The header is the reference;
//! the crate `layerwise` is the safe way in.
//!
//! The build script looks for the C library
//!
//! 1. in the folder that the environment variable `LAYERWISE_LIB_DIR` names,
//! 2. by `pkg-config` (or what `PKG_CONFIG` names),
//! 3. and else builds it with CMake, from the source tree around this crate or in `LAYERWISE_SOURCE_DIR`;
//!    `LAYERWISE_CUDA` is then `AUTO` (CUDA for the GPUs here, where nvcc and a GPU are), `ON` (for every GPU that a
//!    release serves, which takes minutes) or `OFF`; `CUDAARCHS=90` asks for the GPUs of another machine.
//!
//! The feature `static` links the static library in the first two cases; the third always does. Build scripts of
//! crates that depend on this one directly find the library's folder in `DEP_LAYERWISE_LIBDIR`.
#![no_std]
#![warn(missing_docs)]
#![allow(non_camel_case_types)]

#[macro_use]
mod macros;

pub mod abi;
mod builders;
mod constants;
mod functions;
mod structs;

pub use constants::*;
pub use functions::*;
pub use structs::*;
