//! The hyper-parameters of the steps, named as in layerwise.h and filled with its defaults.

use layerwise_sys as sys;

use crate::error::check;

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
                let mut options = std::mem::MaybeUninit::<sys::$raw>::uninit();
                // SAFETY: writes the bytes it is told of, which are the struct's.
                let status = unsafe { sys::$init(options.as_mut_ptr(), std::mem::size_of::<sys::$raw>() as i64) };
                check(status).expect("a library that knows this struct");
                // SAFETY: filled whole.
                $name(unsafe { options.assume_init() })
            }
        }

        impl $name {
            $($(#[$doc])*
            #[must_use]
            pub fn $field(mut self, value: $kind) -> Self {
                self.0.$field = value as _;
                self
            })*
        }
    };
}

options! {
    /// The hyper-parameters of [`Plan::novograd_step`](crate::Plan::novograd_step). `default()` has no lr, for steps
    /// that read it from memory.
    NovogradOptions, layerwise_novograd_options, layerwise_novograd_options_init {
        /// Learning rate, finite, >= 0.
        lr: f64,
        /// \[0, 1), default 0.95.
        beta1: f64,
        /// \[0, 1), default 0.98.
        beta2: f64,
        /// >= 0, default 1e-8, added to the root.
        eps: f64,
        /// >= 0, default 0, added under the root; 0 with the infinity norm.
        eps_root: f64,
        /// >= 0, default 0.001.
        weight_decay: f64,
        /// Finite, not 0, default 1; the gradients are divided by it.
        grad_scale: f64,
        /// t, 1-based; 0 (default): not given, refused where the result depends on it.
        step: i64,
        /// The step ends by adding 1 to the step counter in memory, unless found_inf is set; default false.
        advance_step: bool,
        /// Default L2.
        norm: Norm,
        /// The update enters the momentum times 1 - beta1; default false.
        grad_averaging: bool,
        /// Averaging at t = 1 too; TensorFlow Addons does not; default true.
        average_first_step: bool,
        /// Divide by the running maximum of v; needs max_second_moment; default false.
        amsgrad: bool,
        /// As Adam's; default false.
        bias_correction: bool,
        /// A layer's v that is still 0 becomes the squared norm instead of being averaged; default true.
        seed_second_moment: bool,
        /// Decay is added to the update, not to the momentum (apex's default); default false.
        decoupled_weight_decay: bool,
        /// lr is inside the momentum (TensorFlow, Keras); default false.
        lr_in_momentum: bool,
        /// Ascend; default false.
        maximize: bool,
        /// Of a bfloat16 first moment; default `Nearest`.
        rounding: Rounding,
        /// Of stochastic rounding; default 0.
        seed: i64,
    }
}

impl NovogradOptions {
    /// The paper's defaults with this learning rate.
    #[must_use]
    pub fn new(lr: f64) -> Self {
        Self::default().lr(lr)
    }
}

options! {
    /// The hyper-parameters of LARC, in [`Plan::larc_scale`](crate::Plan::larc_scale) and
    /// [`Plan::larc_sgd_step`](crate::Plan::larc_sgd_step). `default()` has no lr, for steps that read it from memory.
    LarcOptions, layerwise_larc_options, layerwise_larc_options_init {
        /// Learning rate, finite, >= 0.
        lr: f64,
        /// Trust coefficient, >= 0, default 0.002.
        eta: f64,
        /// >= 0, default 1e-8.
        eps: f64,
        /// >= 0, default 0: the least factor.
        min_update: f64,
        /// >= 0, default 0.
        weight_decay: f64,
        /// Finite, not 0, default 1; the gradients are divided by it.
        grad_scale: f64,
        /// Default `Clip`.
        mode: LarcMode,
        /// Default `Keep`.
        zero_norm: ZeroNorm,
        /// Decay is in the norm and inside the factor, as in apex; default false.
        fold_weight_decay: bool,
        /// Ascend; default false.
        maximize: bool,
        /// Of a bfloat16 first moment; default `Nearest`.
        rounding: Rounding,
        /// Of stochastic rounding; default 0.
        seed: i64,
    }
}

impl LarcOptions {
    /// The defaults with this learning rate.
    #[must_use]
    pub fn new(lr: f64) -> Self {
        Self::default().lr(lr)
    }
}

options! {
    /// The hyper-parameters of SGD in [`Plan::larc_sgd_step`](crate::Plan::larc_sgd_step).
    SgdOptions, layerwise_sgd_options, layerwise_sgd_options_init {
        /// \[0, 1), default 0.9. With 0 there is no momentum buffer.
        momentum: f64,
        /// \[0, 1], default 0.
        dampening: f64,
        /// t, 1-based; 0 (default): not given, refused with dampening.
        step: i64,
        /// The step ends by adding 1 to the step counter in memory, unless found_inf is set; default false.
        advance_step: bool,
        /// Nesterov's momentum; needs momentum, excludes dampening; default false.
        nesterov: bool,
    }
}

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
