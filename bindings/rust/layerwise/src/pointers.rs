//! The memory of a step as bare pointers: for CUDA devices. All null by default.

use std::ffi::c_void;

use crate::LayerStats;

macro_rules! pointers {
    ($($(#[$meta:meta])* struct $name:ident { $($(#[$doc:meta])* $field:ident: $kind:ty,)* })*) => {
        $(
            $(#[$meta])*
            #[derive(Clone, Copy, Debug)]
            pub struct $name { $($(#[$doc])* pub $field: $kind,)* }

            impl Default for $name {
                fn default() -> Self {
                    // SAFETY: it holds pointers alone, and null is all zeros.
                    unsafe { std::mem::zeroed() }
                }
            }
        )*
    };
}

pointers! {
    /// Numbers that a step reads from or writes to memory. Each may be null.
    struct ScalarPointers {
        /// In place of the option lr.
        lr_ptr: *const f32,
        /// In place of the option grad_scale.
        grad_scale_ptr: *const f32,
        /// Not 0: the whole step changes nothing.
        found_inf: *const f32,
        /// The number of skipped layers is added to it.
        nonfinite_layers: *mut i64,
        /// Completed steps, in place of the option step; not used by `larc_scale`.
        step_ptr: *mut i64,
    }

    /// The memory of [`Plan::novograd_step_raw`](crate::Plan::novograd_step_raw).
    struct NovogradPointers {
        /// In and out, weights_dtype.
        weights: *mut c_void,
        /// In, grads_dtype.
        grads: *const c_void,
        /// In and out, first_moment_dtype.
        first_moment: *mut c_void,
        /// In and out, second_moment_dtype, one a layer.
        second_moment: *mut c_void,
        /// In and out, second_moment_dtype, one a layer; with amsgrad.
        max_second_moment: *mut c_void,
        /// Out, weights_extra_dtype; may be null. Split weights: in and out, the remainders.
        weights_extra: *mut c_void,
        /// In, 0 or 1 a layer; may be null.
        layer_mask: *const u8,
        /// Out, a row a layer; may be null.
        layer_stats: *mut LayerStats,
        /// In, one a layer: the gradients' sums, which the step then does not take itself; may be null.
        grad_sums: *const f64,
        /// In, one a layer: the weights' sums, with LARC before NovoGrad, where grad_sums is given; else null.
        weight_sums: *const f64,
        /// Numbers in memory.
        scalars: ScalarPointers,
    }

    /// The memory of [`Plan::partial_norms_raw`](crate::Plan::partial_norms_raw).
    struct NormPointers {
        /// In, weights_dtype; null where weight_sums is.
        weights: *const c_void,
        /// In, the remainders of split weights; may be null.
        weights_extra: *const c_void,
        /// In, grads_dtype.
        grads: *const c_void,
        /// In, 0 or 1 a layer; may be null.
        layer_mask: *const u8,
        /// Out, one a layer.
        grad_sums: *mut f64,
        /// Out, one a layer; may be null.
        weight_sums: *mut f64,
    }

    /// The memory of [`Plan::larc_scale_raw`](crate::Plan::larc_scale_raw).
    struct LarcPointers {
        /// In, weights_dtype.
        weights: *const c_void,
        /// In and out, grads_dtype.
        grads: *mut c_void,
        /// In, 0 or 1 a layer; may be null.
        layer_mask: *const u8,
        /// Out, a row a layer; may be null.
        layer_stats: *mut LayerStats,
        /// In, one a layer: the gradients' sums, which the step then does not take itself; null together with
        /// weight_sums.
        grad_sums: *const f64,
        /// In, one a layer: the weights' sums.
        weight_sums: *const f64,
        /// Numbers in memory.
        scalars: ScalarPointers,
    }

    /// The memory of [`Plan::larc_sgd_step_raw`](crate::Plan::larc_sgd_step_raw).
    struct LarcSgdPointers {
        /// In and out, weights_dtype.
        weights: *mut c_void,
        /// In, grads_dtype.
        grads: *const c_void,
        /// In and out, first_moment_dtype; null exactly when the option momentum is 0.
        momentum: *mut c_void,
        /// Out, weights_extra_dtype; may be null. Split weights: in and out, the remainders.
        weights_extra: *mut c_void,
        /// In, 0 or 1 a layer; may be null.
        layer_mask: *const u8,
        /// Out, a row a layer; may be null.
        layer_stats: *mut LayerStats,
        /// In, one a layer: the gradients' sums, which the step then does not take itself; null together with
        /// weight_sums.
        grad_sums: *const f64,
        /// In, one a layer: the weights' sums.
        weight_sums: *const f64,
        /// Numbers in memory.
        scalars: ScalarPointers,
    }
}
