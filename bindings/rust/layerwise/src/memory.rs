//! Host memory as the steps take it: slices whose element type has become a value.

use std::ffi::c_void;
use std::marker::PhantomData;

use crate::{Dtype, Element};

/// Where a slice is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    pub address: *mut c_void,
    pub len: usize,
}

impl Run {
    fn shared<T>(slice: &[T]) -> Self {
        Run { address: slice.as_ptr() as *mut c_void, len: slice.len() }
    }
    fn exclusive<T>(slice: &mut [T]) -> Self {
        Run { address: slice.as_mut_ptr().cast(), len: slice.len() }
    }
}

#[derive(Debug)]
pub(crate) enum Layers {
    Packed(Run),
    Scattered(Vec<Option<Run>>),
}

/// A buffer that is read: a slice, or a slice a layer. `None` stands for a layer that takes no part.
///
/// Made from `&[T]`, and from `Vec<&[T]>` or `Vec<Option<&[T]>>` for scattered plans.
#[derive(Debug)]
pub struct Buffer<'a> {
    pub(crate) layers: Layers,
    pub(crate) dtype: Dtype,
    borrowed: PhantomData<&'a ()>,
}

/// A buffer that is written: a slice, or a slice a layer. `None` stands for a layer that takes no part.
///
/// Made from `&mut [T]`, and from `Vec<&mut [T]>` or `Vec<Option<&mut [T]>>` for scattered plans.
#[derive(Debug)]
pub struct BufferMut<'a> {
    pub(crate) layers: Layers,
    pub(crate) dtype: Dtype,
    borrowed: PhantomData<&'a mut ()>,
}

/// One number a layer, written: NovoGrad's second moment. Made from `&mut [f32]` and `&mut [f64]`.
#[derive(Debug)]
pub struct PerLayerMut<'a> {
    pub(crate) run: Run,
    pub(crate) dtype: Dtype,
    borrowed: PhantomData<&'a mut ()>,
}

macro_rules! from {
    ($buffer:ident, [$($generic:tt)*] $source:ty, $given:ident => $layers:expr) => {
        impl<'a, $($generic)*> From<$source> for $buffer<'a> {
            fn from($given: $source) -> Self {
                $buffer { layers: $layers, dtype: T::DTYPE, borrowed: PhantomData }
            }
        }
    };
}

from!(Buffer, [T: Element] &'a [T], slice => Layers::Packed(Run::shared(slice)));
from!(Buffer, [T: Element] &'a Vec<T>, slice => Layers::Packed(Run::shared(slice)));
from!(Buffer, [T: Element, const N: usize] &'a [T; N], slice => Layers::Packed(Run::shared(slice)));
from!(Buffer, [T: Element] Vec<&'a [T]>, slices =>
    Layers::Scattered(slices.into_iter().map(|slice| Some(Run::shared(slice))).collect()));
from!(Buffer, [T: Element] Vec<Option<&'a [T]>>, slices =>
    Layers::Scattered(slices.into_iter().map(|slice| slice.map(Run::shared)).collect()));
from!(BufferMut, [T: Element] &'a mut [T], slice => Layers::Packed(Run::exclusive(slice)));
from!(BufferMut, [T: Element] &'a mut Vec<T>, slice => Layers::Packed(Run::exclusive(slice)));
from!(BufferMut, [T: Element, const N: usize] &'a mut [T; N], slice => Layers::Packed(Run::exclusive(slice)));
from!(BufferMut, [T: Element] Vec<&'a mut [T]>, slices =>
    Layers::Scattered(slices.into_iter().map(|slice| Some(Run::exclusive(slice))).collect()));
from!(BufferMut, [T: Element] Vec<Option<&'a mut [T]>>, slices =>
    Layers::Scattered(slices.into_iter().map(|slice| slice.map(Run::exclusive)).collect()));

macro_rules! per_layer_from {
    ($([$($generic:tt)*] $source:ty;)*) => {
        $(impl<'a, $($generic)*> From<$source> for PerLayerMut<'a> {
            fn from(slice: $source) -> Self {
                PerLayerMut { run: Run::exclusive(slice), dtype: T::DTYPE, borrowed: PhantomData }
            }
        })*
    };
}

per_layer_from! {
    [T: Element] &'a mut [T];
    [T: Element] &'a mut Vec<T>;
    [T: Element, const N: usize] &'a mut [T; N];
}
