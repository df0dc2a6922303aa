//! One program, so that it links once.

mod abi;
mod errors;
mod json;
mod literals;
mod steps;
mod vectors;
