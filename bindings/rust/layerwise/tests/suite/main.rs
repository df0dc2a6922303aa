//! One program, so that it links once.

mod abi;
mod errors;
mod halves;
mod json;
mod literals;
mod shards;
mod steps;
mod vectors;
