//! The calls themselves.

use std::ffi::c_void;
use std::ptr::{null, null_mut, NonNull};

use layerwise_sys as sys;

use crate::error::{check, Error, Result};
use crate::options::{LarcOptions, Norm, NovogradOptions, SgdOptions};
use crate::pointers::{LarcPointers, LarcSgdPointers, NormPointers, NovogradPointers, ScalarPointers};

type Handle = NonNull<sys::layerwise_plan>;

fn novograd_with(options: &NovogradOptions, scalars: &ScalarPointers) -> sys::layerwise_novograd_options {
    sys::layerwise_novograd_options {
        lr_ptr: scalars.lr_ptr,
        grad_scale_ptr: scalars.grad_scale_ptr,
        step_ptr: scalars.step_ptr,
        found_inf: scalars.found_inf,
        nonfinite_layers: scalars.nonfinite_layers,
        ..options.0
    }
}

/// # Safety
/// As [`Plan::novograd_step_raw`](crate::Plan::novograd_step_raw).
pub(crate) unsafe fn novograd(
    plan: Handle,
    to: &NovogradPointers,
    options: &NovogradOptions,
    stream: *mut c_void,
) -> Result<()> {
    if !to.weight_sums.is_null() {
        let message = "weight_sums is given; NovoGrad without LARC needs grad_sums alone".to_string();
        return Err(Error::refusal(sys::LAYERWISE_ERROR_COMBINATION, message));
    }
    let options = novograd_with(options, &to.scalars);
    let (v, maximum, extra) = (to.second_moment, to.max_second_moment, to.weights_extra);
    let (mask, stats, sums) = (to.layer_mask, to.layer_stats.cast(), to.grad_sums);
    let (plan, w, g, m, kind) = (plan.as_ptr(), to.weights, to.grads, to.first_moment, sys::LAYERWISE_SUMS_LAYERS);
    // SAFETY: the caller's.
    check(unsafe {
        if sums.is_null() {
            sys::novograd_step(plan, w, g, m, v, maximum, extra, mask, stats, &options, stream)
        } else {
            sys::layerwise_novograd_apply(plan, w, g, m, v, maximum, extra, mask, stats, sums, kind, &options, stream)
        }
    })
}

/// # Safety
/// As [`Plan::novograd_step_raw`](crate::Plan::novograd_step_raw).
pub(crate) unsafe fn larc_novograd(
    plan: Handle,
    to: &NovogradPointers,
    larc: &LarcOptions,
    options: &NovogradOptions,
    stream: *mut c_void,
) -> Result<()> {
    let options = novograd_with(options, &to.scalars);
    let (w, g, m, v, maximum) = (to.weights, to.grads, to.first_moment, to.second_moment, to.max_second_moment);
    let (extra, mask, stats) = (to.weights_extra, to.layer_mask, to.layer_stats.cast());
    let (plan, of_grads, of_weights, kind) = (plan.as_ptr(), to.grad_sums, to.weight_sums, sys::LAYERWISE_SUMS_LAYERS);
    // SAFETY: the caller's.
    check(unsafe {
        if of_grads.is_null() && of_weights.is_null() {
            sys::layerwise_larc_novograd_step(plan, w, g, m, v, maximum, extra, mask, stats, &larc.0, &options, stream)
        } else {
            sys::layerwise_larc_novograd_apply(
                plan, w, g, m, v, maximum, extra, mask, stats, of_grads, of_weights, kind, &larc.0, &options, stream,
            )
        }
    })
}

/// # Safety
/// As [`Plan::novograd_step_raw`](crate::Plan::novograd_step_raw).
pub(crate) unsafe fn norms(plan: Handle, to: &NormPointers, norm: Norm, stream: *mut c_void) -> Result<()> {
    let (mask, kind) = (to.layer_mask, sys::LAYERWISE_SUMS_LAYERS);
    let (w, extra, g) = (to.weights, to.weights_extra, to.grads);
    let (grads, weights) = (to.grad_sums, to.weight_sums);
    // SAFETY: the caller's.
    check(unsafe {
        sys::layerwise_partial_norms(plan.as_ptr(), w, extra, g, mask, grads, weights, kind, norm as i32, stream)
    })
}

fn larc_with(options: &LarcOptions, scalars: &ScalarPointers) -> sys::layerwise_larc_options {
    sys::layerwise_larc_options {
        lr_ptr: scalars.lr_ptr,
        grad_scale_ptr: scalars.grad_scale_ptr,
        found_inf: scalars.found_inf,
        nonfinite_layers: scalars.nonfinite_layers,
        ..options.0
    }
}

/// # Safety
/// As [`Plan::novograd_step_raw`](crate::Plan::novograd_step_raw).
pub(crate) unsafe fn larc(plan: Handle, to: &LarcPointers, options: &LarcOptions, stream: *mut c_void) -> Result<()> {
    let options = larc_with(options, &to.scalars);
    let (mask, stats, w, g) = (to.layer_mask, to.layer_stats.cast(), to.weights, to.grads);
    if to.grad_sums.is_null() && to.weight_sums.is_null() {
        // SAFETY: the caller's.
        return check(unsafe { sys::larc_scale(plan.as_ptr(), w, g, mask, stats, &options, stream) });
    }
    // SAFETY: the caller's.
    check(unsafe {
        sys::layerwise_larc_apply(
            plan.as_ptr(),
            w.cast_mut(),
            g,
            null_mut(),
            null_mut(),
            mask,
            stats,
            to.grad_sums,
            to.weight_sums,
            sys::LAYERWISE_SUMS_LAYERS,
            &options,
            null(),
            stream,
        )
    })
}

/// # Safety
/// As [`Plan::novograd_step_raw`](crate::Plan::novograd_step_raw).
pub(crate) unsafe fn larc_sgd(
    plan: Handle,
    to: &LarcSgdPointers,
    larc: &LarcOptions,
    sgd: &SgdOptions,
    stream: *mut c_void,
) -> Result<()> {
    let larc = larc_with(larc, &to.scalars);
    let sgd = sys::layerwise_sgd_options { step_ptr: to.scalars.step_ptr, ..sgd.0 };
    let (mask, stats, extra) = (to.layer_mask, to.layer_stats.cast(), to.weights_extra);
    let (plan, w, g, b, kind) = (plan.as_ptr(), to.weights, to.grads, to.momentum, sys::LAYERWISE_SUMS_LAYERS);
    let (grads, weights) = (to.grad_sums, to.weight_sums);
    // SAFETY: the caller's. The gradients are not written.
    check(unsafe {
        if grads.is_null() && weights.is_null() {
            sys::larc_sgd_step(plan, w, g, b, extra, mask, stats, &larc, &sgd, stream)
        } else {
            let g = g.cast_mut();
            sys::layerwise_larc_apply(plan, w, g, b, extra, mask, stats, grads, weights, kind, &larc, &sgd, stream)
        }
    })
}
