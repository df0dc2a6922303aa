//! One program, so that it links once.

mod abi;
mod errors;
mod halves;
mod json;
mod literals;
mod steps;
mod vectors;
