//! The functions of layerwise.h, which says of each what it computes, what its arguments are and what it returns.

use core::ffi::{c_char, c_void};

use crate::structs::*;

/// A plan. Opaque.
#[repr(C)]
pub struct layerwise_plan {
    private: [u8; 0],
    not_send_sync_or_unpin: core::marker::PhantomData<(*mut u8, core::marker::PhantomPinned)>,
}

functions! {
    /// Fills options with the defaults: packed, CPU, float32, all cores, no layers.
    fn layerwise_plan_options_init(options: *mut layerwise_plan_options, struct_size: i64) -> i32;

    /// Says how many bytes of device scratch memory a plan with these options needs.
    fn layerwise_plan_workspace_size(options: *const layerwise_plan_options, bytes: *mut i64) -> i32;

    /// Builds a plan.
    fn layerwise_plan_create(options: *const layerwise_plan_options, plan: *mut *mut layerwise_plan) -> i32;

    /// Frees a plan and all it owns. Waits for nothing: the caller sees to it that the plan's steps have finished.
    fn layerwise_plan_destroy(plan: *mut layerwise_plan) -> i32;

    /// Makes a plan usable again after a step that failed on its way or was killed: waits for the device, then clears
    /// the plan's scratch memory.
    fn layerwise_plan_reset(plan: *mut layerwise_plan) -> i32;

    /// Reads one property of a plan.
    fn layerwise_plan_query(plan: *const layerwise_plan, key: i32, value: *mut i64) -> i32;

    /// Fills options with the defaults: NULL everywhere. As layerwise_plan_options_init.
    fn layerwise_layer_options_init(options: *mut layerwise_layer_options, struct_size: i64) -> i32;

    /// Sets what differs from layer to layer, replacing what was set before.
    fn layerwise_plan_set_layers(plan: *mut layerwise_plan, options: *const layerwise_layer_options) -> i32;

    /// Fills options with the defaults of the paper (arXiv 1905.11286); lr is NaN. As layerwise_plan_options_init.
    fn layerwise_novograd_options_init(options: *mut layerwise_novograd_options, struct_size: i64) -> i32;

    /// Applies one NovoGrad step to every layer (Ginsburg et al., arXiv 1905.11286).
    fn novograd_step(
        plan: *mut layerwise_plan,
        weights: *mut c_void,
        grads: *const c_void,
        first_moment: *mut c_void,
        second_moment: *mut c_void,
        max_second_moment: *mut c_void,
        weights_extra: *mut c_void,
        layer_mask: *const u8,
        layer_stats: *mut f64,
        options: *const layerwise_novograd_options,
        stream: *mut c_void,
    ) -> i32;

    /// Fills options with the defaults; lr is NaN. As layerwise_plan_options_init.
    fn layerwise_larc_options_init(options: *mut layerwise_larc_options, struct_size: i64) -> i32;

    /// Scales every layer's gradient by LARC's factor, in place, so that any optimizer can follow (You et al., LARS,
    /// arXiv 1708.03888).
    fn larc_scale(
        plan: *mut layerwise_plan,
        weights: *const c_void,
        grads: *mut c_void,
        layer_mask: *const u8,
        layer_stats: *mut f64,
        options: *const layerwise_larc_options,
        stream: *mut c_void,
    ) -> i32;

    /// Fills options with the defaults. As layerwise_plan_options_init.
    fn layerwise_sgd_options_init(options: *mut layerwise_sgd_options, struct_size: i64) -> i32;

    /// Applies LARC and SGD with momentum in one step.
    fn larc_sgd_step(
        plan: *mut layerwise_plan,
        weights: *mut c_void,
        grads: *const c_void,
        momentum: *mut c_void,
        weights_extra: *mut c_void,
        layer_mask: *const u8,
        layer_stats: *mut f64,
        larc: *const layerwise_larc_options,
        sgd: *const layerwise_sgd_options,
        stream: *mut c_void,
    ) -> i32;

    /// Applies LARC and NovoGrad in one step: larc_scale followed by novograd_step, but that the scaled gradient is
    /// neither rounded nor stored.
    fn layerwise_larc_novograd_step(
        plan: *mut layerwise_plan,
        weights: *mut c_void,
        grads: *const c_void,
        first_moment: *mut c_void,
        second_moment: *mut c_void,
        max_second_moment: *mut c_void,
        weights_extra: *mut c_void,
        layer_mask: *const u8,
        layer_stats: *mut f64,
        larc: *const layerwise_larc_options,
        options: *const layerwise_novograd_options,
        stream: *mut c_void,
    ) -> i32;

    /// Sums every layer: what a step does before it updates anything.
    fn layerwise_partial_norms(
        plan: *mut layerwise_plan,
        weights: *const c_void,
        weights_extra: *const c_void,
        grads: *const c_void,
        layer_mask: *const u8,
        grad_sums: *mut f64,
        weight_sums: *mut f64,
        sums_kind: i32,
        norm: i32,
        stream: *mut c_void,
    ) -> i32;

    /// Applies one NovoGrad step with norms that the caller has.
    fn layerwise_novograd_apply(
        plan: *mut layerwise_plan,
        weights: *mut c_void,
        grads: *const c_void,
        first_moment: *mut c_void,
        second_moment: *mut c_void,
        max_second_moment: *mut c_void,
        weights_extra: *mut c_void,
        layer_mask: *const u8,
        layer_stats: *mut f64,
        grad_sums: *const f64,
        sums_kind: i32,
        options: *const layerwise_novograd_options,
        stream: *mut c_void,
    ) -> i32;

    /// Applies LARC, alone or with SGD, with norms that the caller has.
    fn layerwise_larc_apply(
        plan: *mut layerwise_plan,
        weights: *mut c_void,
        grads: *mut c_void,
        momentum: *mut c_void,
        weights_extra: *mut c_void,
        layer_mask: *const u8,
        layer_stats: *mut f64,
        grad_sums: *const f64,
        weight_sums: *const f64,
        sums_kind: i32,
        larc: *const layerwise_larc_options,
        sgd: *const layerwise_sgd_options,
        stream: *mut c_void,
    ) -> i32;

    /// The version as major*10000 + minor*100 + patch. Never fails.
    fn layerwise_version() -> i32;

    /// The number of the bit contract: two libraries that return the same number give the same bits. Never fails.
    fn layerwise_numerics_version() -> i32;

    /// What the library was built with and what it would run on here, one "key: value" a line, as a static string.
    fn layerwise_build_info() -> *const c_char;

    /// Every constant, struct layout and function of this header as JSON, for writers of bindings, as a static
    /// string.
    fn layerwise_abi_description() -> *const c_char;

    /// The name of a status, such as "LAYERWISE_ERROR_LAYER_OVERLAP", as a static string; "unknown status" for
    /// others.
    fn layerwise_status_name(status: i32) -> *const c_char;

    /// What the last failed call of this thread had to say: the argument, the value received and the rule. Valid
    /// until this thread's next call.
    fn layerwise_last_error() -> *const c_char;
}
