// Generated from include/layerwise.h by src/package/bindings: cmake --build BUILD --target bindings.
//! The functions of layerwise.h, which says more of what all of them have in common.

use core::ffi::{c_char, c_void};

use crate::structs::*;

/// The layout of a model's layers, their dtypes and where they run: built once, used for every step. Opaque. A plan
/// serves one stream at a time, or on the CPU one calling thread: its scratch memory is in use until the step has
/// finished. Different plans are independent. On the CPU all plans of a process share one thread pool, which starts
/// with the first step that uses several threads. A step uses fewer threads than it asks for while other steps use
/// them, or when there is little to do. If an OpenMP runtime is loaded (libgomp, LLVM's or Intel's; PyTorch's is
/// preferred), a step runs as a parallel region of that runtime, and on the calling thread alone when called inside a
/// parallel region. The pool's own threads block all signals and end with the last plan. A forked process can keep
/// using its parent's CPU plans; the pool starts again there. CUDA plans of the parent are refused
/// (LAYERWISE_ERROR_INVALID_PLAN).
#[repr(C)]
pub struct layerwise_plan {
    private: [u8; 0],
    not_send_sync_or_unpin: core::marker::PhantomData<(*mut u8, core::marker::PhantomPinned)>,
}

functions! {
    /// Fills options with the defaults: packed, CPU, float32, all cores, no layers.
    ///
    /// ```text
    /// options      out, host, not NULL
    /// struct_size  sizeof *options as the caller was compiled; that many bytes are written, and the size is recorded
    /// Returns LAYERWISE_OK; NULL_ARGUMENT; STRUCT_SIZE.
    /// ```
    fn layerwise_plan_options_init(options: *mut layerwise_plan_options, struct_size: i64) -> i32;

    /// Computes how many bytes of device scratch memory a plan with these options needs.
    ///
    /// ```text
    /// options  in, host, not NULL; workspace and workspace_bytes are ignored
    /// bytes    out, host, not NULL; 0 for a CPU plan
    /// Does not use the device. Returns what layerwise_plan_create returns for the same options, except errors of CUDA and
    /// of memory allocation.
    /// ```
    fn layerwise_plan_workspace_size(options: *const layerwise_plan_options, bytes: *mut i64) -> i32;

    /// Creates a plan.
    ///
    /// ```text
    /// options  in, host, not NULL; everything it points to is copied, except the workspace
    /// plan     out, host, not NULL; the plan, or NULL on error
    /// Ownership: the caller destroys the plan. Synchronous: allocates, uploads and waits; not during graph capture.
    /// Returns LAYERWISE_OK; NULL_ARGUMENT, INVALID_VALUE, UNKNOWN_FLAG, STRUCT_SIZE; LAYER_RANGE, LAYER_OVERLAP,
    /// LAYER_OVERFLOW; UNKNOWN_DTYPE, UNSUPPORTED_DTYPE; COMBINATION; NO_CUDA, UNSUPPORTED_ISA, WORKSPACE, OUT_OF_MEMORY;
    /// CUDA.
    /// ```
    fn layerwise_plan_create(options: *const layerwise_plan_options, plan: *mut *mut layerwise_plan) -> i32;

    /// Frees a plan and all it owns. Does not wait: the caller must ensure that the plan's steps have finished.
    ///
    /// ```text
    /// plan  in, NULL is allowed and does nothing
    /// Returns LAYERWISE_OK; INVALID_PLAN; CUDA.
    /// ```
    fn layerwise_plan_destroy(plan: *mut layerwise_plan) -> i32;

    /// Makes a plan usable again after a step that failed midway or was killed: waits for the device, then clears the
    /// plan's scratch memory. Weights and moments are as that step left them: restore them from a checkpoint.
    ///
    /// ```text
    /// plan  in, not NULL
    /// Synchronous; not during graph capture.
    /// Returns LAYERWISE_OK; NULL_ARGUMENT, INVALID_PLAN; CUDA.
    /// ```
    fn layerwise_plan_reset(plan: *mut layerwise_plan) -> i32;

    /// Reads one property of a plan.
    ///
    /// ```text
    /// plan   in, not NULL
    /// key    a LAYERWISE_QUERY_ constant
    /// value  out, host, not NULL
    /// Returns LAYERWISE_OK; NULL_ARGUMENT, INVALID_PLAN, UNKNOWN_FLAG.
    /// ```
    fn layerwise_plan_query(plan: *const layerwise_plan, key: i32, value: *mut i64) -> i32;

    /// Fills options with the defaults: NULL everywhere. As layerwise_plan_options_init.
    fn layerwise_layer_options_init(options: *mut layerwise_layer_options, struct_size: i64) -> i32;

    /// Sets the per-layer options, replacing all that were set before.
    ///
    /// ```text
    /// plan     in, not NULL
    /// options  in, host, not NULL; its arrays are copied
    /// Synchronous; not during graph capture. Replaces the plan's data in place, so replays of a captured step use the new
    /// values; the caller must ensure that no step of this plan is running.
    /// Returns LAYERWISE_OK; NULL_ARGUMENT, INVALID_VALUE, UNKNOWN_FLAG, STRUCT_SIZE, INVALID_PLAN; OUT_OF_MEMORY; CUDA.
    /// ```
    fn layerwise_plan_set_layers(plan: *mut layerwise_plan, options: *const layerwise_layer_options) -> i32;

    /// Fills options with the defaults: NULL everywhere. As layerwise_plan_options_init.
    fn layerwise_shard_options_init(options: *mut layerwise_shard_options, struct_size: i64) -> i32;

    /// Makes a plan a plan for a shard, replacing what was set before. Whole steps are refused from then on, as their
    /// norms would be those of the pieces.
    ///
    /// ```text
    /// plan     in, not NULL
    /// options  in, host, not NULL; its arrays are copied
    /// Stochastic rounding needs layer_begins, since an element's random bits depend on its place in the whole layer.
    /// Otherwise as layerwise_plan_set_layers.
    /// Returns LAYERWISE_OK; NULL_ARGUMENT, UNKNOWN_FLAG, STRUCT_SIZE, INVALID_PLAN; LAYER_RANGE; OUT_OF_MEMORY; CUDA.
    /// ```
    fn layerwise_plan_set_shard(plan: *mut layerwise_plan, options: *const layerwise_shard_options) -> i32;

    /// Writes this rank's claim about its plan, to be exchanged before the first step: all-reduce it over the ranks
    /// (SUM), then call layerwise_shard_verify. All numbers are integers, so that their sums are exact in any order for
    /// up to 2^21 ranks.
    ///
    /// ```text
    /// plan    in, not NULL, for a shard
    /// agreed  in, host, agreed_bytes bytes that must be the same on every rank, such as lr and the other options of a step,
    ///         without pointers; NULL with 0 bytes
    /// claim   out, host, float64 [count], not NULL
    /// count   LAYERWISE_CLAIM_HEAD: what must agree (layer count and whole sizes, dtypes, numerics version, agreed);
    ///         LAYERWISE_CLAIM_HEAD + 2*layer_count: also that the pieces make up whole layers. If ranks may differ in
    ///         layer_count, and so in the length of their claims, exchange the head first: an engine may not notice it
    /// Returns LAYERWISE_OK; NULL_ARGUMENT, INVALID_VALUE, INVALID_PLAN; COMBINATION.
    /// ```
    fn layerwise_shard_claim(
        plan: *const layerwise_plan,
        agreed: *const c_void,
        agreed_bytes: i64,
        claim: *mut f64,
        count: i64,
    ) -> i32;

    /// Verifies the sum of all ranks' claims: every rank agrees, and each element of each layer is counted once.
    ///
    /// ```text
    /// claim  in, host, float64 [count], not NULL: this rank's own
    /// sum    in, host, float64 [count], not NULL: the sum over all ranks, this one included
    /// count  as in layerwise_shard_claim
    /// If one rank gets RANKS_DISAGREE, every rank does, except for collisions of hashes (2^-32 for what must agree, 2^-20
    /// for gaps and overlaps of the same size).
    /// Returns LAYERWISE_OK; RANKS_DISAGREE; NULL_ARGUMENT, INVALID_VALUE, INVALID_PLAN; COMBINATION.
    /// ```
    fn layerwise_shard_verify(plan: *const layerwise_plan, claim: *const f64, sum: *const f64, count: i64) -> i32;

    /// Fills options with the defaults of the paper (arXiv 1905.11286); lr is NaN. As layerwise_plan_options_init.
    fn layerwise_novograd_options_init(options: *mut layerwise_novograd_options, struct_size: i64) -> i32;

    /// Applies one NovoGrad step to every layer (Ginsburg et al., arXiv 1905.11286).
    ///
    /// ```text
    ///   g' = g / grad_scale, negated by maximize        n2 = sum g'^2
    ///   v  = n2 to seed it (seed_second_moment: while v is 0, or at t = 1); else beta2*v + (1-beta2)*n2
    ///   vh = v, or its running maximum (amsgrad); divided by 1 - beta2^t with bias_correction
    ///   d  = sqrt(vh + eps_root) + eps                  u  = g'/d + weight_decay*w, 0 for g'/d where d is 0
    ///   m  = beta1*m + c*u                              c  = 1, or 1 - beta1 with grad_averaging
    ///   w  = w - lr*m                                   m divided by 1 - beta1^t with bias_correction
    ///
    ///   infinity norm: n = max |g'|; v holds and blends n; d = vh + eps; bias correction divides vh by sqrt(1 - beta2^t)
    ///   decoupled, raw: m = beta1*m + c*g'; w -= lr*(m/d + weight_decay*w), m alone divided by 1 - beta1^t
    ///   normalized:    m = beta1*m + c*g'/d; w -= lr*(m + weight_decay*w), m alone divided by 1 - beta1^t
    ///   lr_in_momentum: m = beta1*m + lr*c*u; w -= m; excludes bias_correction and decoupled_weight_decay
    ///
    /// weights            in/out, weights_dtype, not NULL
    /// grads              in, grads_dtype, not NULL
    /// first_moment       in/out, first_moment_dtype, not NULL; zeros before the first step
    /// second_moment      in/out, second_moment_dtype [layer_count], not NULL; zeros before the first step
    /// max_second_moment  in/out, second_moment_dtype [layer_count]; not NULL with amsgrad, NULL without; zeros at first
    /// weights_extra      out, weights_extra_dtype, the rounded new weights; NULL: no copy. Split weights: in/out, the
    ///                    remainders, not NULL
    /// ```
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
    /// arXiv 1708.03888; OpenSeq2Seq's and apex's LARC).
    ///
    /// ```text
    ///   g'    = g / grad_scale, negated by maximize
    ///   n     = |g'|; fold_weight_decay norms: |g'| + weight_decay*|w|; gradient: |g' + weight_decay*w|, summed over elements;
    ///           both: |g' + weight_decay*w| + weight_decay*|w|
    ///   r_raw = eta*|w| / (n + eps)
    ///   r     = clip:  min(max(r_raw/lr, min_update), 1)       lr * r is then min(lr, r_raw), LARS' rate capped at lr
    ///           scale: max(r_raw, min_update), at most max_update where that is not 0
    ///   g     = r*g', or r*(g' + weight_decay*w) folded by norms, gradient or both; else weight_decay is not used
    ///
    ///   zero_norm: keep: r = 1 where |w| or |g| is 0. untouched: as keep, but without weight decay (apex). unit: the
    ///   formula, but r_raw is 1 there. freeze, floor: the formula, but where |w| is 0, r is 0 or min_update.
    ///   zero_grad_norm: formula: zero_norm applies only where |w| is 0. at_least_one: as formula, and r_raw is at least 1
    ///   where |g| is 0.
    ///   For both, |w| counts as 0 up to weight_norm_threshold. If fold_weight_decay is gradient or both, |g| is the norm of
    ///   g' + weight_decay*w, here and in the statistics' GRAD_NORM.
    ///   If the denominator is 0, or with clip if lr is 0, then r is 1 whatever zero_norm says. A layer with skip_larc has
    ///   r = 1 and is decayed, whatever its norms.
    ///   lr is that of the layer: lr * lr_mult.
    ///
    /// The gradients are then unscaled and have their final sign: run the next optimizer with grad_scale 1 and maximize 0.
    ///
    /// weights  in, weights_dtype, not NULL
    /// grads    in/out, grads_dtype, not NULL; rounded to nearest even on the way back
    /// ```
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
    ///
    /// ```text
    ///   r, g' as in larc_scale     h = r*(g' + weight_decay*w) folded by norms, gradient or both, else r*g' + weight_decay*w
    ///   b = h at t = 1 (torch.optim.SGD) unless dampen_first_step, else momentum*b + (1 - dampening)*h
    ///   w = w - lr*(nesterov ? h + momentum*b : b)
    ///
    ///   lr_in_momentum:        lr*h in place of h, and w = w - (nesterov ? lr*h + momentum*b : b)
    ///   clip_value:            every element of h is cut to [-clip_value, clip_value] before it enters the momentum
    ///   factor_after_momentum: h = g' + weight_decay*w, and lr*r in place of lr
    ///   folded decoupled:      w = w - lr*weight_decay*w first, h without weight_decay; r_raw and n of that w
    ///
    /// weights        in/out, weights_dtype, not NULL
    /// grads          in, grads_dtype, not NULL
    /// momentum       in/out, the buffer b, first_moment_dtype; zeros before the first step (not read when t is 1);
    ///                NULL exactly when sgd->momentum is 0: then w = w - lr*h
    /// weights_extra  out, weights_extra_dtype, the rounded new weights; NULL: no copy. Split weights: in/out, the
    ///                remainders, not NULL
    /// larc, sgd      in, host, not NULL
    /// ```
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

    /// Applies LARC and NovoGrad in one step: larc_scale, then novograd_step, as OpenSeq2Seq chains them, except that
    /// the scaled gradient is neither rounded nor stored.
    ///
    /// ```text
    ///   g', r  as in larc_scale, without weight decay; lr is NovoGrad's, times lr_mult
    ///   h      = r*g', and n2 = r^2 * sum g'^2
    ///   v, m, w as in novograd_step, with h in place of g'
    ///
    ///   zero_norm: untouched is the same as keep, since LARC decays nothing here
    ///   statistics: WEIGHT_NORM, GRAD_NORM (of g'), FACTOR (r) and CLIPPED are LARC's; SECOND_MOMENT and EFFECTIVE_LR are
    ///   NovoGrad's (EFFECTIVE_LR without r, which NovoGrad's normalization cancels)
    ///
    /// buffers  as in novograd_step
    /// larc     in, host, not NULL: eta, eps, min_update, max_update, mode, zero_norm, zero_grad_norm and
    ///          weight_norm_threshold. Leave the others at their defaults, lr at NaN: options has them for both. Setting
    ///          weight_decay or fold_weight_decay is an error (COMBINATION), since the norm of r*(g' + weight_decay*w) does
    ///          not follow from the two norms
    /// options  in, host, not NULL; norm must be LAYERWISE_NORM_L2: the infinity norm is an error (COMBINATION), as it would
    ///          need a second reduction
    /// ```
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

    /// Computes every layer's sum of squares: what a step does before it updates anything.
    ///
    /// ```text
    ///   grad_sums[l] = sum g^2, or max |g|      weight_sums[l] = sum w^2
    ///
    /// weights      in, weights_dtype, not NULL if weight_sums is not NULL, else ignored
    /// weights_extra  in, the remainders of split weights: the squares are then of the float32 values; NULL: of the bfloat16
    ///              weights only, as in larc_scale. Must be NULL if the weights are not split, or weight_sums is NULL
    /// grads        in, grads_dtype, not NULL; may alias weights: nothing of either is written
    /// layer_mask   in, as in a step
    /// grad_sums    out, float64 [layer_count], not NULL
    /// weight_sums  out, float64 [layer_count]; NULL: not computed; must be NULL with the infinity norm, which LARC lacks
    /// sums_kind    LAYERWISE_SUMS_LAYERS
    /// norm         LAYERWISE_NORM_
    ///
    /// Layers that are empty, masked or, in a plan for a shard, not counted get +0, so that a reused buffer, or one that is
    /// summed over ranks, holds nothing of an earlier call. A sum that is not finite is written as it is; a largest
    /// magnitude that is NaN is written as +infinity, since a maximum over ranks may lose a NaN.
    /// ```
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

    /// Applies one NovoGrad step from norms that the caller provides.
    ///
    /// ```text
    ///   as novograd_step, with sum g^2 (or max |g|) taken from grad_sums
    ///
    /// grad_sums  in, float64 [layer_count], not NULL. A layer whose sum is negative or not finite is skipped and counted
    /// sums_kind  LAYERWISE_SUMS_LAYERS
    /// the others as in novograd_step
    /// ```
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

    /// Applies LARC, alone or with SGD, from norms that the caller provides.
    ///
    /// ```text
    ///   as larc_sgd_step, or with sgd NULL as larc_scale, with |g|^2 and |w|^2 taken from grad_sums and weight_sums
    ///
    /// grads        in, not written; in/out with sgd NULL
    /// momentum, weights_extra  as in larc_sgd_step; NULL with sgd NULL
    /// grad_sums, weight_sums   in, float64 [layer_count], not NULL. A layer is skipped and counted where one is negative or
    ///                          not finite
    /// sums_kind    LAYERWISE_SUMS_LAYERS
    /// larc         in, host, not NULL; fold_weight_decay GRADIENT or BOTH is an error (COMBINATION): the norm of
    ///              g' + weight_decay*w does not follow from the two sums
    /// sgd          in, host; NULL: the gradients are scaled, and the weights are not written
    /// the others as in larc_sgd_step
    /// ```
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

    /// Applies LARC and NovoGrad in one step, from norms that the caller provides.
    ///
    /// ```text
    ///   as layerwise_larc_novograd_step, with |g|^2 and |w|^2 taken from grad_sums and weight_sums
    ///
    /// grad_sums, weight_sums, sums_kind  as in layerwise_larc_apply
    /// the others as in layerwise_larc_novograd_step
    /// ```
    fn layerwise_larc_novograd_apply(
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
        weight_sums: *const f64,
        sums_kind: i32,
        larc: *const layerwise_larc_options,
        options: *const layerwise_novograd_options,
        stream: *mut c_void,
    ) -> i32;

    /// The version as major*10000 + minor*100 + patch. Never fails.
    fn layerwise_version() -> i32;

    /// The version of the numerics: two libraries that return the same number give the same bits. Never fails.
    fn layerwise_numerics_version() -> i32;

    /// A static string with one "key: value" a line: what the library was built with, and what it can run on here. The
    /// first call asks the CUDA runtime for its devices. Never fails.
    fn layerwise_build_info() -> *const c_char;

    /// Every constant, struct layout and function of this header as JSON, for authors of bindings, as a static string:
    /// {"constants": {"LAYERWISE_OK": 0, ...}, "structs": {"layerwise_plan_options": {"size": bytes, "fields":
    /// \[{"name": "struct_size", "offset": 0, "size": 8, "type": "int64"}, ...]}, ...}, "functions": {"novograd_step":
    /// {"returns": "int32_t", "arguments": \[{"name": "plan", "type": "layerwise_plan *"}, ...]}, ...}}. Never fails.
    fn layerwise_abi_description() -> *const c_char;

    /// The name of a status, such as "LAYERWISE_ERROR_LAYER_OVERLAP", as a static string; "unknown status" for others.
    fn layerwise_status_name(status: i32) -> *const c_char;

    /// The message of this thread's last failed call: it names the argument, the value received and the rule. Valid
    /// until this thread's next failed call; empty if no call has failed.
    fn layerwise_last_error() -> *const c_char;
}
