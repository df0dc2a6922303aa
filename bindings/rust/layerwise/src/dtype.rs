//! Dtypes and the Rust types that have them.

use layerwise_sys as sys;

/// The dtype of a buffer's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum Dtype {
    /// No such buffer.
    None = sys::LAYERWISE_DTYPE_NONE,
    /// `f32`
    Float32 = sys::LAYERWISE_DTYPE_FLOAT32,
    /// [`Bf16`]
    Bfloat16 = sys::LAYERWISE_DTYPE_BFLOAT16,
    /// [`F16`]
    Float16 = sys::LAYERWISE_DTYPE_FLOAT16,
    /// `f64`
    Float64 = sys::LAYERWISE_DTYPE_FLOAT64,
    /// [`Remainder16`]
    Remainder16 = sys::LAYERWISE_DTYPE_REMAINDER16,
}

/// A type that a dtype's elements have.
///
/// # Safety
/// The type must have the size and the representation of its `DTYPE`, and every bit pattern must be a value of it.
pub unsafe trait Element: Copy {
    /// The dtype.
    const DTYPE: Dtype;
}

// SAFETY: the same types.
unsafe impl Element for f32 {
    const DTYPE: Dtype = Dtype::Float32;
}
// SAFETY: the same types.
unsafe impl Element for f64 {
    const DTYPE: Dtype = Dtype::Float64;
}
// SAFETY: 16 bits, of which every pattern is a value.
unsafe impl Element for Bf16 {
    const DTYPE: Dtype = Dtype::Bfloat16;
}
// SAFETY: 16 bits, of which every pattern is a value.
unsafe impl Element for F16 {
    const DTYPE: Dtype = Dtype::Float16;
}

/// The bits of a bfloat16. It carries memory and does no arithmetic; types of other crates with the same representation
/// can be cast to it, slice by slice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct Bf16(pub u16);

/// The bits of an IEEE binary16. It carries memory and does no arithmetic; types of other crates with the same
/// representation can be cast to it, slice by slice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct F16(pub u16);

// SAFETY: 16 bits, of which every pattern is a value.
unsafe impl Element for Remainder16 {
    const DTYPE: Dtype = Dtype::Remainder16;
}

/// The 16 bits that a bfloat16 weight lacks of the float32 it was rounded from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct Remainder16(pub u16);

/// A layer's row of `layer_stats`. NaN where a step has no such value; rows of layers that take no part keep their
/// values.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[repr(C)]
pub struct LayerStats {
    /// |w|: LARC
    pub weight_norm: f64,
    /// |g / grad_scale|; the largest |g / grad_scale| with the infinity norm
    pub grad_norm: f64,
    /// v as stored: NovoGrad
    pub second_moment: f64,
    /// LARC: r; NovoGrad: 1/d, 0 where d is 0
    pub factor: f64,
    /// LARC: lr * lr_mult * r; NovoGrad: lr * lr_mult, over 1 - beta1^t with bias correction
    pub effective_lr: f64,
    /// LARC clip: 1 where the factor was cut to 1, else 0
    pub clipped: f64,
}

const _: () = {
    use std::mem::{offset_of, size_of};
    const fn column(index: i32) -> usize {
        index as usize * size_of::<f64>()
    }
    assert!(offset_of!(LayerStats, weight_norm) == column(sys::LAYERWISE_STAT_WEIGHT_NORM));
    assert!(offset_of!(LayerStats, grad_norm) == column(sys::LAYERWISE_STAT_GRAD_NORM));
    assert!(offset_of!(LayerStats, second_moment) == column(sys::LAYERWISE_STAT_SECOND_MOMENT));
    assert!(offset_of!(LayerStats, factor) == column(sys::LAYERWISE_STAT_FACTOR));
    assert!(offset_of!(LayerStats, effective_lr) == column(sys::LAYERWISE_STAT_EFFECTIVE_LR));
    assert!(offset_of!(LayerStats, clipped) == column(sys::LAYERWISE_STAT_CLIPPED));
    assert!(size_of::<LayerStats>() == column(sys::LAYERWISE_STAT_COUNT));
};
