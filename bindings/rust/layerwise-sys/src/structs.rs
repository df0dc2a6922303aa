// Generated from include/layerwise.h by src/package/bindings: cmake --build BUILD --target bindings.
//! The structs of layerwise.h.

use core::ffi::c_void;

structs! {
    /// What a plan is made from: the layout of a model's layers, their dtypes and where they run.
    struct layerwise_plan_options {
        /// bytes of this struct as the caller knows it
        struct_size: i64,
        /// \>= 0
        layer_count: i64,
        /// \[layer_count], elements, >= 0; host memory; copied. NULL only when layer_count is 0
        sizes: *const i64,
        /// \[layer_count], elements from the start of every packed buffer, in any order, gaps allowed, no overlap; host
        /// memory; copied. NULL: one layer after the other. Scattered plans add it to each layer's pointer; NULL there
        /// means 0
        offsets: *const i64,
        /// LAYERWISE_DEVICE_CPU (default) or a CUDA ordinal
        device: i32,
        /// LAYERWISE_LAYOUT_, default PACKED
        layout: i32,
        /// LAYERWISE_DTYPE_: FLOAT32 (default), BFLOAT16, FLOAT16
        weights_dtype: i32,
        /// LAYERWISE_DTYPE_: FLOAT32 (default), BFLOAT16, FLOAT16; any mix with the weights
        grads_dtype: i32,
        /// LAYERWISE_DTYPE_: FLOAT32 (default), BFLOAT16: NovoGrad's m and SGD's momentum
        first_moment_dtype: i32,
        /// LAYERWISE_DTYPE_: FLOAT32 (default), FLOAT64: one value a layer
        second_moment_dtype: i32,
        /// LAYERWISE_DTYPE_: NONE (default); BFLOAT16, FLOAT16 beside FLOAT32 weights: the low-precision copy;
        /// REMAINDER16 beside BFLOAT16 weights: split weights
        weights_extra_dtype: i32,
        /// CPU: number of threads, the caller's included; 0 (default): the least of the cores in this thread's
        /// affinity, the first number in OMP_NUM_THREADS, and the CPU quota of its control groups (Linux, version 1 or
        /// 2), rounded up; at least 1
        threads: i32,
        /// CPU: LAYERWISE_ISA_, default AUTO; every choice gives the same bits
        isa: i32,
        /// CUDA: the number 0 (default): one pass if the device supports it, two fifths or more of the model fits on
        /// the chip, and tiles of 8192 elements are at least half full on average; LAYERWISE_PATH_TWO_PASS;
        /// LAYERWISE_PATH_ONE_PASS: one pass whenever the device supports it. A step whose blocks cannot all be
        /// resident in its context runs in two passes in any case
        path: i32,
        /// CUDA: the caller's scratch memory on that device, aligned to 256 bytes, in use until the plan is destroyed;
        /// NULL (default): the plan allocates and owns it
        workspace: *mut c_void,
        /// its size; 0 with NULL
        workspace_bytes: i64,
        /// CUDA: a step launches no more blocks than this many multiprocessors hold; 0 (default): than all hold. The
        /// hardware spreads them over all multiprocessors, so that each has room left for a communication kernel beside
        /// the step, and none is left out
        multiprocessors: i64,
        /// CUDA: a sum of LAYERWISE_EXPERIMENTAL_ flags; 0 (default): none. What the device and the library's code do
        /// not have (both of compute capability 9.0 or newer) is left out. The bits are the same with each
        experimental: i64,
    }

    /// Options that differ from layer to layer.
    struct layerwise_layer_options {
        /// bytes of this struct as the caller knows it
        struct_size: i64,
        /// \[layer_count], finite, >= 0, multiplies lr; host; copied; NULL: 1 for every layer
        lr_mult: *const f64,
        /// \[layer_count], finite, >= 0, multiplies weight_decay; host; copied; NULL: 1
        wd_mult: *const f64,
        /// \[layer_count], 1: LARC's factor is 1 for this layer, else 0; host; copied; NULL: 0
        skip_larc: *const u8,
        /// 0
        reserved: [i64; 2],
    }

    /// Describes the whole layers that a plan's pieces belong to.
    struct layerwise_shard_options {
        /// bytes of this struct as the caller knows it
        struct_size: i64,
        /// \[layer_count], elements of the whole layers, at least the plan's sizes; host; copied. NULL only when
        /// layer_count is 0
        layer_sizes: *const i64,
        /// \[layer_count], elements from the start of the whole layer to that of the piece, any number >= 0 if it is
        /// empty; -1, on every rank: the layer's pieces are not contiguous; host; copied. NULL: -1 for every layer
        layer_begins: *const i64,
        /// \[layer_count], 1: this rank's elements enter the sums; 0: another rank counts a replica of them; host;
        /// copied. NULL: 1
        counted: *const u8,
        /// 0
        reserved: [i64; 4],
    }

    /// The hyper-parameters of NovoGrad.
    struct layerwise_novograd_options {
        /// bytes of this struct as the caller knows it
        struct_size: i64,
        /// learning rate, finite, >= 0; no default: NaN is refused
        lr: f64,
        /// \[0, 1), default 0.95
        beta1: f64,
        /// \[0, 1), default 0.98
        beta2: f64,
        /// \>= 0, default 1e-8, added to the root
        eps: f64,
        /// \>= 0, default 0, added under the root; 0 with the infinity norm
        eps_root: f64,
        /// \>= 0, default 0.001
        weight_decay: f64,
        /// finite, not 0, default 1; the gradients are divided by it
        grad_scale: f64,
        /// t, 1-based; 0 (default): not given, an error if the result depends on it; not together with step_ptr
        step: i64,
        /// float32, in place of lr; NULL: lr
        lr_ptr: *const f32,
        /// float32, in place of grad_scale; NULL: grad_scale
        grad_scale_ptr: *const f32,
        /// int64, completed steps: t = *step_ptr + 1; NULL: step
        step_ptr: *mut i64,
        /// float32, non-zero: the whole step changes nothing; NULL: not looked at
        found_inf: *const f32,
        /// int64, the number of skipped layers is added to it; NULL: not counted
        nonfinite_layers: *mut i64,
        /// 1: the step ends by adding 1 to *step_ptr, unless found_inf is set; default 0
        advance_step: i32,
        /// LAYERWISE_NORM_, default L2
        norm: i32,
        /// 1: the update is multiplied by 1 - beta1 as it enters the momentum; default 0
        grad_averaging: i32,
        /// 0: grad_averaging starts at t = 2 (TensorFlow Addons); default 1
        average_first_step: i32,
        /// 1: divide by the running maximum of v; needs max_second_moment; default 0
        amsgrad: i32,
        /// 1: as Adam's; default 0
        bias_correction: i32,
        /// LAYERWISE_SEED_, default WHILE_ZERO; FIRST_STEP needs step or step_ptr
        seed_second_moment: i32,
        /// LAYERWISE_DECOUPLED_, default OFF
        decoupled_weight_decay: i32,
        /// 1: lr is inside the momentum (TensorFlow, Keras); default 0
        lr_in_momentum: i32,
        /// 1: ascend; default 0
        maximize: i32,
        /// LAYERWISE_ROUNDING_ of the first moment, default NEAREST; STOCHASTIC: bfloat16 only, needs step or step_ptr
        rounding: i32,
        /// 0
        reserved: i32,
        /// of stochastic rounding, any number; 0 (default) without
        seed: i64,
        /// 0
        reserved2: [i64; 2],
    }

    /// The hyper-parameters of LARC: alone, with SGD, or before NovoGrad.
    struct layerwise_larc_options {
        /// bytes of this struct as the caller knows it
        struct_size: i64,
        /// learning rate, finite, >= 0; no default: NaN is refused
        lr: f64,
        /// trust coefficient, >= 0, default 0.002
        eta: f64,
        /// \>= 0, default 1e-8
        eps: f64,
        /// \>= 0, default 0: a lower bound of the factor
        min_update: f64,
        /// \>= 0, default 0
        weight_decay: f64,
        /// finite, not 0, default 1; the gradients are divided by it
        grad_scale: f64,
        /// float32, in place of lr; NULL: lr
        lr_ptr: *const f32,
        /// float32, in place of grad_scale; NULL: grad_scale
        grad_scale_ptr: *const f32,
        /// float32, non-zero: the whole step changes nothing; NULL: not looked at
        found_inf: *const f32,
        /// int64, the number of skipped layers is added to it; NULL: not counted
        nonfinite_layers: *mut i64,
        /// LAYERWISE_LARC_, default CLIP
        mode: i32,
        /// LAYERWISE_ZERO_NORM_, default KEEP
        zero_norm: i32,
        /// LAYERWISE_FOLD_, default OFF
        fold_weight_decay: i32,
        /// 1: ascend; default 0
        maximize: i32,
        /// LAYERWISE_ROUNDING_ of the momentum, default NEAREST; STOCHASTIC: in larc_sgd_step, with bfloat16 momentum
        /// only, needs sgd's step or step_ptr
        rounding: i32,
        /// LAYERWISE_ZERO_GRAD_, default AS_WEIGHT
        zero_grad_norm: i32,
        /// of stochastic rounding, any number; 0 (default) without
        seed: i64,
        /// \>= 0, default 0: zero_norm takes a |w| up to this for 0 (Chainer: 0.01)
        weight_norm_threshold: f64,
        /// \>= 0, default 0 for none: an upper bound of the factor; SCALE only (fastai: 1)
        max_update: f64,
    }

    /// The hyper-parameters of SGD in larc_sgd_step.
    struct layerwise_sgd_options {
        /// bytes of this struct as the caller knows it
        struct_size: i64,
        /// mu, \[0, 1), default 0.9
        momentum: f64,
        /// \[0, 1], default 0
        dampening: f64,
        /// t, 1-based; 0 (default): not given, an error with dampening unless dampen_first_step is 1; not together with
        /// step_ptr
        step: i64,
        /// int64, completed steps: t = *step_ptr + 1; NULL: step
        step_ptr: *mut i64,
        /// 1: the step ends by adding 1 to *step_ptr, unless found_inf is set; default 0
        advance_step: i32,
        /// 1: Nesterov's momentum; needs momentum, and excludes dampening, as in PyTorch, unless dampen_first_step is
        /// 1; default 0
        nesterov: i32,
        /// 1: lr is inside the momentum (optax, Paddle, TensorFlow, MMPretrain); default 0
        lr_in_momentum: i32,
        /// 1: LARC's factor multiplies the momentum, not what enters it (fastai, ColossalAI); excludes lr_in_momentum;
        /// default 0
        factor_after_momentum: i32,
        /// 1: dampening at t = 1 too, and together with nesterov (pytorch_optimizer); default 0
        dampen_first_step: i32,
        /// 0
        reserved: i32,
        /// 0 (default): none; else >= 2^-126: elements of h are cut to this size (ColossalAI: 10)
        clip_value: f64,
    }
}
