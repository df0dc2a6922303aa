//! The calls themselves.

use std::ffi::c_void;
use std::ptr::NonNull;

use layerwise_sys as sys;

use crate::error::{check, Result};
use crate::options::{LarcOptions, NovogradOptions, SgdOptions};
use crate::pointers::{LarcPointers, LarcSgdPointers, NovogradPointers, ScalarPointers};

type Handle = NonNull<sys::layerwise_plan>;

/// # Safety
/// As [`Plan::novograd_step_raw`](crate::Plan::novograd_step_raw).
pub(crate) unsafe fn novograd(
    plan: Handle,
    to: &NovogradPointers,
    options: &NovogradOptions,
    stream: *mut c_void,
) -> Result<()> {
    let mut options = options.0;
    options.lr_ptr = to.scalars.lr_ptr;
    options.grad_scale_ptr = to.scalars.grad_scale_ptr;
    options.step_ptr = to.scalars.step_ptr;
    options.found_inf = to.scalars.found_inf;
    options.nonfinite_layers = to.scalars.nonfinite_layers;
    // SAFETY: the caller's.
    check(unsafe {
        sys::novograd_step(
            plan.as_ptr(),
            to.weights,
            to.grads,
            to.first_moment,
            to.second_moment,
            to.max_second_moment,
            to.weights_extra,
            to.layer_mask,
            to.layer_stats.cast(),
            &options,
            stream,
        )
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
    let (mask, stats) = (to.layer_mask, to.layer_stats.cast());
    // SAFETY: the caller's.
    check(unsafe { sys::larc_scale(plan.as_ptr(), to.weights, to.grads, mask, stats, &options, stream) })
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
    // SAFETY: the caller's.
    check(unsafe {
        sys::larc_sgd_step(
            plan.as_ptr(),
            to.weights,
            to.grads,
            to.momentum,
            to.weights_extra,
            to.layer_mask,
            to.layer_stats.cast(),
            &larc,
            &sgd,
            stream,
        )
    })
}
