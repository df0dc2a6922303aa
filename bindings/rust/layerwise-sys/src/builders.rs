// Generated from include/layerwise.h by src/package/bindings: cmake --build BUILD --target bindings.
//! The options of the steps, pointers left out, for a macro that makes something of each:
//! `layerwise_sgd_options! { build!(given) }` is `build! { given { momentum: f64, ... } }`. A choice has
//! a type of its constants' name, `ZeroNorm` for `LAYERWISE_ZERO_NORM_`.

#[doc(hidden)]
#[macro_export]
macro_rules! layerwise_novograd_options {
    ($build:ident!($($given:tt)*)) => {
        $build! {
            $($given)* {
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
                /// true: the step ends by adding 1 to *step_ptr, unless found_inf is set; default false
                advance_step: bool,
                /// [`Norm`], default `L2`
                norm: Norm,
                /// true: the update is multiplied by 1 - beta1 as it enters the momentum; default false
                grad_averaging: bool,
                /// false: grad_averaging starts at t = 2 (TensorFlow Addons); default true
                average_first_step: bool,
                /// true: divide by the running maximum of v; needs max_second_moment; default false
                amsgrad: bool,
                /// true: as Adam's; default false
                bias_correction: bool,
                /// [`Seed`], default `WhileZero`; `FirstStep` needs step or step_ptr
                seed_second_moment: Seed,
                /// [`Decoupled`], default `Off`
                decoupled_weight_decay: Decoupled,
                /// true: lr is inside the momentum (TensorFlow, Keras); default false
                lr_in_momentum: bool,
                /// true: ascend; default false
                maximize: bool,
                /// [`Rounding`] of the first moment, default `Nearest`; `Stochastic`: bfloat16 only, needs step or
                /// step_ptr
                rounding: Rounding,
                /// of stochastic rounding, any number; 0 (default) without
                seed: i64,
            }
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! layerwise_larc_options {
    ($build:ident!($($given:tt)*)) => {
        $build! {
            $($given)* {
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
                /// [`Larc`], default `Clip`
                mode: Larc,
                /// [`ZeroNorm`], default `Keep`
                zero_norm: ZeroNorm,
                /// [`Fold`], default `Off`
                fold_weight_decay: Fold,
                /// true: ascend; default false
                maximize: bool,
                /// [`Rounding`] of the momentum, default `Nearest`; `Stochastic`: in larc_sgd_step, with bfloat16
                /// momentum only, needs sgd's step or step_ptr
                rounding: Rounding,
                /// [`ZeroGrad`], default `AsWeight`
                zero_grad_norm: ZeroGrad,
                /// of stochastic rounding, any number; 0 (default) without
                seed: i64,
                /// \>= 0, default 0: zero_norm takes a |w| up to this for 0 (Chainer: 0.01)
                weight_norm_threshold: f64,
                /// \>= 0, default 0 for none: an upper bound of the factor; SCALE only (fastai: 1)
                max_update: f64,
            }
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! layerwise_sgd_options {
    ($build:ident!($($given:tt)*)) => {
        $build! {
            $($given)* {
                /// mu, \[0, 1), default 0.9
                momentum: f64,
                /// \[0, 1], default 0
                dampening: f64,
                /// t, 1-based; 0 (default): not given, an error with dampening unless dampen_first_step is 1; not
                /// together with step_ptr
                step: i64,
                /// true: the step ends by adding 1 to *step_ptr, unless found_inf is set; default false
                advance_step: bool,
                /// true: Nesterov's momentum; needs momentum, and excludes dampening, as in PyTorch, unless
                /// dampen_first_step is 1; default false
                nesterov: bool,
                /// true: lr is inside the momentum (optax, Paddle, TensorFlow, MMPretrain); default false
                lr_in_momentum: bool,
                /// true: LARC's factor multiplies the momentum, not what enters it (fastai, ColossalAI); excludes
                /// lr_in_momentum; default false
                factor_after_momentum: bool,
                /// true: dampening at t = 1 too, and together with nesterov (pytorch_optimizer); default false
                dampen_first_step: bool,
                /// 0 (default): none; else >= 2^-126: elements of h are cut to this size (ColossalAI: 10)
                clip_value: f64,
            }
        }
    };
}
