#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

mod buffers;
mod dtype;
mod error;
mod lowering;
mod memory;
mod options;
mod plan;
mod plan_options;
mod pointers;
mod query;
mod shard;
mod step;

pub use buffers::{LarcBuffers, LarcSgdBuffers, NormBuffers, NovogradBuffers};
pub use dtype::{Bf16, Dtype, Element, LayerStats, Remainder16, F16};
pub use error::{Error, ErrorKind, Result};
pub use layerwise_sys as sys;
pub use memory::{Buffer, BufferMut, PerLayerMut};
pub use options::{
    Decoupled, Fold, LarcMode, LarcOptions, LayerOptions, Norm, NovogradOptions, Rounding, Seed, SgdOptions, ZeroGrad,
    ZeroNorm,
};
pub use plan::Plan;
pub use plan_options::{Device, Isa, Layout, PlanOptions};
pub use pointers::{LarcPointers, LarcSgdPointers, NormPointers, NovogradPointers, ScalarPointers};
pub use query::Query;
pub use shard::ShardOptions;

use error::static_text;

/// The library's version as major*10000 + minor*100 + patch.
pub fn version() -> i32 {
    // SAFETY: never fails.
    unsafe { sys::layerwise_version() }
}

/// The number of the bit contract: two libraries that return the same number give the same bits.
pub fn numerics_version() -> i32 {
    // SAFETY: never fails.
    unsafe { sys::layerwise_numerics_version() }
}

/// What the library was built with and what it would run on here, one "key: value" a line.
pub fn build_info() -> &'static str {
    // SAFETY: a static string.
    unsafe { static_text(sys::layerwise_build_info()) }
}

/// Every constant, struct layout and function of the C header as JSON.
pub fn abi_description() -> &'static str {
    // SAFETY: a static string.
    unsafe { static_text(sys::layerwise_abi_description()) }
}
