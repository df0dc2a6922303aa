//! The memory of a step on host slices: what every step needs, and by builder calls what it may have besides.

use crate::memory::{Buffer, BufferMut, PerLayerMut};
use crate::LayerStats;

/// What every step may have.
#[derive(Debug, Default)]
pub(crate) struct Shared<'a> {
    pub layer_mask: Option<&'a [bool]>,
    pub layer_stats: Option<&'a mut [LayerStats]>,
    pub lr_ptr: Option<&'a f32>,
    pub grad_scale_ptr: Option<&'a f32>,
    pub found_inf: Option<&'a f32>,
    pub nonfinite_layers: Option<&'a mut i64>,
    pub step_ptr: Option<&'a mut i64>,
    pub grad_sums: Option<&'a [f64]>,
    pub weight_sums: Option<&'a [f64]>,
}

/// The memory of [`Plan::novograd_step`](crate::Plan::novograd_step).
#[derive(Debug)]
pub struct NovogradBuffers<'a> {
    pub(crate) weights: BufferMut<'a>,
    pub(crate) grads: Buffer<'a>,
    pub(crate) first_moment: BufferMut<'a>,
    pub(crate) second_moment: PerLayerMut<'a>,
    pub(crate) max_second_moment: Option<PerLayerMut<'a>>,
    pub(crate) weights_extra: Option<BufferMut<'a>>,
    pub(crate) shared: Shared<'a>,
}

/// The memory of [`Plan::partial_norms`](crate::Plan::partial_norms).
#[derive(Debug)]
pub struct NormBuffers<'a> {
    pub(crate) grads: Buffer<'a>,
    pub(crate) grad_sums: &'a mut [f64],
    pub(crate) weights: Option<(Buffer<'a>, &'a mut [f64])>,
    pub(crate) remainders: Option<Buffer<'a>>,
    pub(crate) shared: Shared<'a>,
}

/// The memory of [`Plan::larc_scale`](crate::Plan::larc_scale).
#[derive(Debug)]
pub struct LarcBuffers<'a> {
    pub(crate) weights: Buffer<'a>,
    pub(crate) grads: BufferMut<'a>,
    pub(crate) shared: Shared<'a>,
}

/// The memory of [`Plan::larc_sgd_step`](crate::Plan::larc_sgd_step).
#[derive(Debug)]
pub struct LarcSgdBuffers<'a> {
    pub(crate) weights: BufferMut<'a>,
    pub(crate) grads: Buffer<'a>,
    pub(crate) momentum: Option<BufferMut<'a>>,
    pub(crate) weights_extra: Option<BufferMut<'a>>,
    pub(crate) shared: Shared<'a>,
}

macro_rules! shared_setters {
    () => {
        /// Which layers take part; the buffers of the others are not read. Default: all.
        #[must_use]
        pub fn layer_mask(mut self, mask: &'a [bool]) -> Self {
            self.shared.layer_mask = Some(mask);
            self
        }
        /// Receives a row a layer.
        #[must_use]
        pub fn layer_stats(mut self, stats: &'a mut [LayerStats]) -> Self {
            self.shared.layer_stats = Some(stats);
            self
        }
        /// Read in place of the option lr.
        #[must_use]
        pub fn lr_ptr(mut self, lr: &'a f32) -> Self {
            self.shared.lr_ptr = Some(lr);
            self
        }
        /// Read in place of the option grad_scale.
        #[must_use]
        pub fn grad_scale_ptr(mut self, grad_scale: &'a f32) -> Self {
            self.shared.grad_scale_ptr = Some(grad_scale);
            self
        }
        /// Where it is not 0 the whole step changes nothing.
        #[must_use]
        pub fn found_inf(mut self, found_inf: &'a f32) -> Self {
            self.shared.found_inf = Some(found_inf);
            self
        }
        /// The number of layers that were skipped because a norm of theirs is not finite is added to it.
        #[must_use]
        pub fn nonfinite_layers(mut self, count: &'a mut i64) -> Self {
            self.shared.nonfinite_layers = Some(count);
            self
        }
    };
}

macro_rules! updating_setters {
    () => {
        /// The number of completed steps, in place of the option step: t is one more. The option advance_step adds 1.
        #[must_use]
        pub fn step_ptr(mut self, completed: &'a mut i64) -> Self {
            self.shared.step_ptr = Some(completed);
            self
        }
        /// Receives the rounded new weights, in the plan's weights_extra_dtype; the remainders where weights are split.
        #[must_use]
        pub fn weights_extra(mut self, copy: impl Into<BufferMut<'a>>) -> Self {
            self.weights_extra = Some(copy.into());
            self
        }
    };
}

macro_rules! larc_sums_setter {
    () => {
        /// What [`Plan::partial_norms`](crate::Plan::partial_norms) gives or the caller has, one a layer: a step with
        /// LARC then does not sum.
        #[must_use]
        pub fn sums(mut self, of_grads: &'a [f64], of_weights: &'a [f64]) -> Self {
            self.shared.grad_sums = Some(of_grads);
            self.shared.weight_sums = Some(of_weights);
            self
        }
    };
}

impl<'a> NormBuffers<'a> {
    /// The sums receive one value a layer.
    #[must_use]
    pub fn new(grads: impl Into<Buffer<'a>>, grad_sums: &'a mut [f64]) -> Self {
        NormBuffers { grads: grads.into(), grad_sums, weights: None, remainders: None, shared: Shared::default() }
    }
    /// The weights' sums too, for LARC.
    #[must_use]
    pub fn weights(mut self, weights: impl Into<Buffer<'a>>, weight_sums: &'a mut [f64]) -> Self {
        self.weights = Some((weights.into(), weight_sums));
        self
    }
    /// The remainders of split weights, to be summed with them.
    #[must_use]
    pub fn weights_extra(mut self, remainders: impl Into<Buffer<'a>>) -> Self {
        self.remainders = Some(remainders.into());
        self
    }
    /// Which layers take part; sums of the others become 0. Default: all.
    #[must_use]
    pub fn layer_mask(mut self, mask: &'a [bool]) -> Self {
        self.shared.layer_mask = Some(mask);
        self
    }
}

impl<'a> NovogradBuffers<'a> {
    /// The moments are zeros before the first step; the second has one value a layer.
    #[must_use]
    pub fn new(
        weights: impl Into<BufferMut<'a>>,
        grads: impl Into<Buffer<'a>>,
        first_moment: impl Into<BufferMut<'a>>,
        second_moment: impl Into<PerLayerMut<'a>>,
    ) -> Self {
        NovogradBuffers {
            weights: weights.into(),
            grads: grads.into(),
            first_moment: first_moment.into(),
            second_moment: second_moment.into(),
            max_second_moment: None,
            weights_extra: None,
            shared: Shared::default(),
        }
    }
    /// The running maximum of the second moment, needed with amsgrad; zeros before the first step.
    #[must_use]
    pub fn max_second_moment(mut self, maximum: impl Into<PerLayerMut<'a>>) -> Self {
        self.max_second_moment = Some(maximum.into());
        self
    }
    /// What [`Plan::partial_norms`](crate::Plan::partial_norms) gives or the caller has, one a layer: the step then
    /// does not sum.
    #[must_use]
    pub fn grad_sums(mut self, sums: &'a [f64]) -> Self {
        self.shared.grad_sums = Some(sums);
        self
    }
    larc_sums_setter!();
    updating_setters!();
    shared_setters!();
}

impl<'a> LarcBuffers<'a> {
    /// The gradients are scaled in place.
    #[must_use]
    pub fn new(weights: impl Into<Buffer<'a>>, grads: impl Into<BufferMut<'a>>) -> Self {
        LarcBuffers { weights: weights.into(), grads: grads.into(), shared: Shared::default() }
    }
    larc_sums_setter!();
    shared_setters!();
}

impl<'a> LarcSgdBuffers<'a> {
    /// Without a momentum buffer: for the option momentum 0.
    #[must_use]
    pub fn new(weights: impl Into<BufferMut<'a>>, grads: impl Into<Buffer<'a>>) -> Self {
        LarcSgdBuffers {
            weights: weights.into(),
            grads: grads.into(),
            momentum: None,
            weights_extra: None,
            shared: Shared::default(),
        }
    }
    /// The momentum buffer; zeros before the first step.
    #[must_use]
    pub fn momentum(mut self, buffer: impl Into<BufferMut<'a>>) -> Self {
        self.momentum = Some(buffer.into());
        self
    }
    updating_setters!();
    larc_sums_setter!();
    shared_setters!();
}
