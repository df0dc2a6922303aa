//! The hyper-parameters of the steps, named as in layerwise.h and filled with its defaults.

use std::mem::{size_of, MaybeUninit};

use layerwise_sys as sys;

use crate::error::check;

/// A struct of the library's, filled by its own init function.
pub(crate) fn defaults<T>(init: unsafe extern "C" fn(*mut T, i64) -> i32) -> T {
    let mut options = MaybeUninit::<T>::uninit();
    // SAFETY: an init function writes the bytes it is told of, which are the struct's.
    let status = unsafe { init(options.as_mut_ptr(), size_of::<T>() as i64) };
    check(status).expect("a library that knows this struct");
    // SAFETY: filled whole.
    unsafe { options.assume_init() }
}

/// The norm that NovoGrad divides by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Norm {
    /// The Euclidean norm.
    L2 = sys::LAYERWISE_NORM_L2,
    /// The largest magnitude.
    Inf = sys::LAYERWISE_NORM_INF,
}

/// How LARC's factor applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum LarcMode {
    /// `min(max(r_raw/lr, min_update), 1)`: the rate is capped at lr.
    Clip = sys::LAYERWISE_LARC_CLIP,
    /// `max(r_raw, min_update)`: the factor itself.
    Scale = sys::LAYERWISE_LARC_SCALE,
}

/// What LARC does with a layer of zero norm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum ZeroNorm {
    /// r is 1: the layer trains as without LARC.
    Keep = sys::LAYERWISE_ZERO_NORM_KEEP,
    /// The formula; r is 0 where the weights are 0.
    Freeze = sys::LAYERWISE_ZERO_NORM_FREEZE,
    /// The formula; r is min_update where the weights are 0.
    Floor = sys::LAYERWISE_ZERO_NORM_FLOOR,
    /// As `Keep`, and not decayed: apex's rule.
    Untouched = sys::LAYERWISE_ZERO_NORM_UNTOUCHED,
    /// r_raw is 1, which clipping divides by lr and caps: timm's.
    Unit = sys::LAYERWISE_ZERO_NORM_UNIT,
}

/// What LARC does where only the gradient's norm is zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum ZeroGrad {
    /// What [`ZeroNorm`] says.
    AsWeight = sys::LAYERWISE_ZERO_GRAD_AS_WEIGHT,
    /// The formula: fastai, Chainer, holocron.
    Formula = sys::LAYERWISE_ZERO_GRAD_FORMULA,
    /// The formula, r_raw at least 1: objax.
    AtLeastOne = sys::LAYERWISE_ZERO_GRAD_AT_LEAST_ONE,
}

/// Where weight decay meets LARC's factor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Fold {
    /// Neither in the norm nor inside the factor.
    Off = sys::LAYERWISE_FOLD_OFF,
    /// Inside the factor, its norm added to the gradient's: apex, timm, TensorFlow 1.
    Norms = sys::LAYERWISE_FOLD_NORMS,
    /// Inside the factor, whose norm is that of the decayed gradient: optax, OpenSeq2Seq.
    Gradient = sys::LAYERWISE_FOLD_GRADIENT,
    /// As `Gradient`, and weight decay's norm is added as well: fastai without decouple_wd.
    Both = sys::LAYERWISE_FOLD_BOTH,
    /// Of the weights before the step, its norm added: fastai; only with SGD.
    Decoupled = sys::LAYERWISE_FOLD_DECOUPLED,
}

/// When NovoGrad's second moment is the squared norm itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Seed {
    /// Never: it is averaged from the first step on.
    Off = sys::LAYERWISE_SEED_OFF,
    /// Where it is 0.
    WhileZero = sys::LAYERWISE_SEED_WHILE_ZERO,
    /// Where t is 1: optax, TensorFlow Addons, apex; needs step.
    FirstStep = sys::LAYERWISE_SEED_FIRST_STEP,
}

/// Whether NovoGrad's weight decay is outside its momentum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Decoupled {
    /// No: it is in the momentum.
    Off = sys::LAYERWISE_DECOUPLED_OFF,
    /// Beside a momentum of gradients that are not normalised: apex's default.
    Raw = sys::LAYERWISE_DECOUPLED_RAW,
    /// Beside a momentum of normalised ones: timm's novogradw.
    Normalized = sys::LAYERWISE_DECOUPLED_NORMALIZED,
}

/// How a bfloat16 first moment is rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Rounding {
    /// To the nearest, ties to even.
    Nearest = sys::LAYERWISE_ROUNDING_NEAREST,
    /// Up or down at random, right in the mean; needs step.
    Stochastic = sys::LAYERWISE_ROUNDING_STOCHASTIC,
}

use LarcMode as Larc; // the choice of LAYERWISE_LARC_

// The builder of a struct of options; layerwise-sys has the list of them, from layerwise.h.
macro_rules! options {
    ($(#[$meta:meta])* $name:ident, $raw:ident, $init:ident { $($(#[$doc:meta])* $field:ident: $kind:ty,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug)]
        pub struct $name(pub(crate) sys::$raw);

        // SAFETY: plain numbers; every pointer in it is null until a step fills in a copy.
        unsafe impl Send for $name {}
        // SAFETY: as above.
        unsafe impl Sync for $name {}

        impl Default for $name {
            fn default() -> Self {
                $name(defaults(sys::$init))
            }
        }

        impl $name {
            /// The options as bytes, for [`Plan::shard_claim`](crate::Plan::shard_claim): equal on two ranks exactly if
            /// their options are.
            #[must_use]
            pub fn as_bytes(&self) -> &[u8] {
                let start: *const sys::$raw = &self.0;
                // SAFETY: the struct has no padding, so that every byte of it is set.
                unsafe { std::slice::from_raw_parts(start.cast(), size_of::<sys::$raw>()) }
            }
            $($(#[$doc])*
            #[must_use]
            pub fn $field(mut self, value: $kind) -> Self {
                self.0.$field = value as _;
                self
            })*
        }
    };
}

sys::layerwise_novograd_options! { options!(
    /// The hyper-parameters of [`Plan::novograd_step`](crate::Plan::novograd_step). `default()` has no lr, for steps
    /// that read it from memory.
    NovogradOptions, layerwise_novograd_options, layerwise_novograd_options_init
) }

impl NovogradOptions {
    /// The paper's defaults with this learning rate.
    #[must_use]
    pub fn new(lr: f64) -> Self {
        Self::default().lr(lr)
    }
}

sys::layerwise_larc_options! { options!(
    /// The hyper-parameters of LARC, in [`Plan::larc_scale`](crate::Plan::larc_scale) and
    /// [`Plan::larc_sgd_step`](crate::Plan::larc_sgd_step). `default()` has no lr, for steps that read it from memory.
    LarcOptions, layerwise_larc_options, layerwise_larc_options_init
) }

impl LarcOptions {
    /// The defaults with this learning rate.
    #[must_use]
    pub fn new(lr: f64) -> Self {
        Self::default().lr(lr)
    }
}

sys::layerwise_sgd_options! { options!(
    /// The hyper-parameters of SGD in [`Plan::larc_sgd_step`](crate::Plan::larc_sgd_step).
    SgdOptions, layerwise_sgd_options, layerwise_sgd_options_init
) }

/// What differs from layer to layer: [`Plan::set_layers`](crate::Plan::set_layers). Each list has one value a layer.
#[derive(Clone, Copy, Debug, Default)]
pub struct LayerOptions<'a> {
    pub(crate) lr_mult: Option<&'a [f64]>,
    pub(crate) wd_mult: Option<&'a [f64]>,
    pub(crate) skip_larc: Option<&'a [bool]>,
}

impl<'a> LayerOptions<'a> {
    /// The same for every layer.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
    /// Finite, >= 0, multiplies lr; default 1.
    #[must_use]
    pub fn lr_mult(mut self, values: &'a [f64]) -> Self {
        self.lr_mult = Some(values);
        self
    }
    /// Finite, >= 0, multiplies weight_decay; default 1.
    #[must_use]
    pub fn wd_mult(mut self, values: &'a [f64]) -> Self {
        self.wd_mult = Some(values);
        self
    }
    /// Whether LARC's factor is 1 for this layer; default false.
    #[must_use]
    pub fn skip_larc(mut self, values: &'a [bool]) -> Self {
        self.skip_larc = Some(values);
        self
    }
}
