//! The plan: made once, used for every step.

use std::ffi::c_void;
use std::ptr::{null, null_mut, NonNull};

use layerwise_sys as sys;

use crate::buffers::{LarcBuffers, LarcSgdBuffers, NormBuffers, NovogradBuffers};
use crate::error::{check, Result};
use crate::lowering::{check_layers, Lowering, Shape};
use crate::options::{defaults, LarcOptions, LayerOptions, Norm, NovogradOptions, SgdOptions};
use crate::plan_options::PlanOptions;
use crate::pointers::{LarcPointers, LarcSgdPointers, NormPointers, NovogradPointers};
use crate::query::Query;
use crate::step;

/// The layout of a model, on a device. It may move between threads and serves one at a time:
///
/// ```compile_fail,E0277
/// fn shared<T: Sync>() {}
/// shared::<layerwise::Plan>();
/// ```
#[derive(Debug)]
pub struct Plan {
    pub(crate) handle: NonNull<sys::layerwise_plan>,
    shape: Shape,
}

// SAFETY: the library asks that one thread at a time uses a plan, not that it is always the same.
unsafe impl Send for Plan {}

impl Plan {
    /// Builds a plan. The options are copied.
    pub fn new(options: &PlanOptions<'_>) -> Result<Self> {
        let raw = options.to_raw()?;
        let mut handle = null_mut();
        // SAFETY: the lists that the options point to outlive the call; the workspace is its giver's word.
        check(unsafe { sys::layerwise_plan_create(&raw, &mut handle) })?;
        let handle = NonNull::new(handle).expect("a plan");
        let may_be_longer = !raw.offsets.is_null();
        let raw = options.raw();
        let scattered = raw.layout == sys::LAYERWISE_LAYOUT_SCATTERED;
        let mut plan = Plan {
            handle,
            shape: Shape {
                ends: options.layer_ends(scattered),
                extent: 0,
                may_be_longer,
                scattered,
                on_host: raw.device == sys::LAYERWISE_DEVICE_CPU,
                weights: raw.weights_dtype,
                grads: raw.grads_dtype,
                first_moment: raw.first_moment_dtype,
                second_moment: raw.second_moment_dtype,
                weights_extra: raw.weights_extra_dtype,
            },
        };
        plan.shape.extent = plan.query(Query::Extent)? as usize;
        Ok(plan)
    }

    /// Reads one property.
    pub fn query(&self, property: Query) -> Result<i64> {
        let mut value = 0;
        // SAFETY: a live plan.
        check(unsafe { sys::layerwise_plan_query(self.handle.as_ptr(), property as i32, &mut value) })?;
        Ok(value)
    }

    /// Number of layers.
    pub fn layers(&self) -> usize {
        self.shape.ends.len()
    }

    /// Packed: the elements that a buffer must hold; it may hold more only where the plan has offsets.
    pub fn extent(&self) -> usize {
        self.shape.extent
    }

    /// Sets what differs from layer to layer, replacing what was set before. The lists are copied. On CUDA the caller
    /// must ensure that no step of this plan is running.
    pub fn set_layers(&mut self, options: &LayerOptions<'_>) -> Result<()> {
        let mut raw = defaults(sys::layerwise_layer_options_init);
        let layers = self.layers();
        let numbers = |name, values: Option<&[f64]>| match values {
            None => Ok(null()),
            Some(values) => check_layers(name, values.len(), layers).map(|()| values.as_ptr()),
        };
        raw.lr_mult = numbers("lr_mult", options.lr_mult)?;
        raw.wd_mult = numbers("wd_mult", options.wd_mult)?;
        if let Some(skipped) = options.skip_larc {
            check_layers("skip_larc", skipped.len(), layers)?;
            raw.skip_larc = skipped.as_ptr().cast();
        }
        // SAFETY: a live plan, and lists of one value a layer that outlive the call; a bool is a byte of 0 or 1.
        check(unsafe { sys::layerwise_plan_set_layers(self.handle.as_ptr(), &raw) })
    }

    /// Makes the plan usable again after a step that failed on its way. Waits for the device.
    pub fn reset(&mut self) -> Result<()> {
        // SAFETY: a live plan.
        check(unsafe { sys::layerwise_plan_reset(self.handle.as_ptr()) })
    }

    /// Applies one NovoGrad step to every layer, on the CPU.
    pub fn novograd_step(&mut self, mut buffers: NovogradBuffers<'_>, options: &NovogradOptions) -> Result<()> {
        let mut lowering = Lowering::new(&self.shape)?;
        let pointers = novograd_pointers(&mut lowering, &self.shape, &mut buffers)?;
        // SAFETY: slices of the plan's dtypes that hold what the layers need, borrowed for the call.
        unsafe { step::novograd(self.handle, &pointers, options, null_mut()) }
    }

    /// Applies LARC and then NovoGrad, on the CPU. Only eta, eps, min_update, max_update, mode, zero_norm,
    /// zero_grad_norm and weight_norm_threshold of `larc` may be set, from `LarcOptions::default()`.
    pub fn larc_novograd_step(
        &mut self,
        mut buffers: NovogradBuffers<'_>,
        larc: &LarcOptions,
        options: &NovogradOptions,
    ) -> Result<()> {
        let mut lowering = Lowering::new(&self.shape)?;
        let pointers = novograd_pointers(&mut lowering, &self.shape, &mut buffers)?;
        // SAFETY: as in novograd_step.
        unsafe { step::larc_novograd(self.handle, &pointers, larc, options, null_mut()) }
    }

    /// Sums every layer, on the CPU: the first half of a step.
    pub fn partial_norms(&mut self, buffers: NormBuffers<'_>, norm: Norm) -> Result<()> {
        let mut lowering = Lowering::new(&self.shape)?;
        let mut pointers = NormPointers {
            grads: lowering.read("grads", &buffers.grads, self.shape.grads)?,
            layer_mask: lowering.layer_mask(&buffers.shared)?,
            grad_sums: lowering.sums("grad_sums", Some(buffers.grad_sums))?.cast_mut(),
            ..NormPointers::default()
        };
        if let Some((weights, sums)) = buffers.weights {
            pointers.weights = lowering.read("weights", &weights, self.shape.weights)?;
            pointers.weight_sums = lowering.sums("weight_sums", Some(sums))?.cast_mut();
        }
        if let Some(remainders) = &buffers.remainders {
            pointers.weights_extra = lowering.read("weights_extra", remainders, self.shape.weights_extra)?;
        }
        // SAFETY: as in novograd_step.
        unsafe { step::norms(self.handle, &pointers, norm, null_mut()) }
    }

    /// Scales every layer's gradient by LARC's factor, in place, on the CPU.
    pub fn larc_scale(&mut self, mut buffers: LarcBuffers<'_>, options: &LarcOptions) -> Result<()> {
        let mut lowering = Lowering::new(&self.shape)?;
        let pointers = LarcPointers {
            weights: lowering.read("weights", &buffers.weights, self.shape.weights)?,
            grads: lowering.write("grads", &buffers.grads, self.shape.grads)?,
            layer_mask: lowering.layer_mask(&buffers.shared)?,
            layer_stats: lowering.layer_stats(&mut buffers.shared)?,
            grad_sums: lowering.sums("grad_sums", buffers.shared.grad_sums)?,
            weight_sums: lowering.sums("weight_sums", buffers.shared.weight_sums)?,
            scalars: lowering.scalars(&mut buffers.shared),
        };
        // SAFETY: as in novograd_step.
        unsafe { step::larc(self.handle, &pointers, options, null_mut()) }
    }

    /// Applies LARC and SGD with momentum in one step, on the CPU.
    pub fn larc_sgd_step(
        &mut self,
        mut buffers: LarcSgdBuffers<'_>,
        larc: &LarcOptions,
        sgd: &SgdOptions,
    ) -> Result<()> {
        let mut lowering = Lowering::new(&self.shape)?;
        let pointers = LarcSgdPointers {
            weights: lowering.write("weights", &buffers.weights, self.shape.weights)?,
            grads: lowering.read("grads", &buffers.grads, self.shape.grads)?,
            momentum: lowering.write_if_given("momentum", &buffers.momentum, self.shape.first_moment)?,
            weights_extra: lowering.write_if_given(
                "weights_extra",
                &buffers.weights_extra,
                self.shape.weights_extra,
            )?,
            layer_mask: lowering.layer_mask(&buffers.shared)?,
            layer_stats: lowering.layer_stats(&mut buffers.shared)?,
            grad_sums: lowering.sums("grad_sums", buffers.shared.grad_sums)?,
            weight_sums: lowering.sums("weight_sums", buffers.shared.weight_sums)?,
            scalars: lowering.scalars(&mut buffers.shared),
        };
        // SAFETY: as in novograd_step.
        unsafe { step::larc_sgd(self.handle, &pointers, larc, sgd, null_mut()) }
    }

    /// Applies one NovoGrad step to memory of the plan's device. CUDA: returns at once; `stream` is a cudaStream_t.
    ///
    /// # Safety
    /// Every pointer must be null where the header allows it, or point to memory of the plan's device, of the plan's
    /// dtypes and large enough for its layers, that nothing else writes, or reads while it is written, until the step
    /// has finished; the plan must live as long. In a scattered plan the buffers are tables of pointers of which the
    /// same holds.
    pub unsafe fn novograd_step_raw(
        &mut self,
        pointers: &NovogradPointers,
        options: &NovogradOptions,
        stream: *mut c_void,
    ) -> Result<()> {
        // SAFETY: the caller's.
        unsafe { step::novograd(self.handle, pointers, options, stream) }
    }

    /// Applies LARC and then NovoGrad, to memory of the plan's device; as [`larc_novograd_step`](Self::larc_novograd_step).
    ///
    /// # Safety
    /// As [`novograd_step_raw`](Self::novograd_step_raw).
    pub unsafe fn larc_novograd_step_raw(
        &mut self,
        pointers: &NovogradPointers,
        larc: &LarcOptions,
        options: &NovogradOptions,
        stream: *mut c_void,
    ) -> Result<()> {
        // SAFETY: the caller's.
        unsafe { step::larc_novograd(self.handle, pointers, larc, options, stream) }
    }

    /// Sums every layer, in memory of the plan's device: the first half of a step.
    ///
    /// # Safety
    /// As [`novograd_step_raw`](Self::novograd_step_raw).
    pub unsafe fn partial_norms_raw(&mut self, pointers: &NormPointers, norm: Norm, stream: *mut c_void) -> Result<()> {
        // SAFETY: the caller's.
        unsafe { step::norms(self.handle, pointers, norm, stream) }
    }

    /// Scales every layer's gradient by LARC's factor, in memory of the plan's device.
    ///
    /// # Safety
    /// As [`novograd_step_raw`](Self::novograd_step_raw).
    pub unsafe fn larc_scale_raw(
        &mut self,
        pointers: &LarcPointers,
        options: &LarcOptions,
        stream: *mut c_void,
    ) -> Result<()> {
        // SAFETY: the caller's.
        unsafe { step::larc(self.handle, pointers, options, stream) }
    }

    /// Applies LARC and SGD with momentum in one step, to memory of the plan's device.
    ///
    /// # Safety
    /// As [`novograd_step_raw`](Self::novograd_step_raw).
    pub unsafe fn larc_sgd_step_raw(
        &mut self,
        pointers: &LarcSgdPointers,
        larc: &LarcOptions,
        sgd: &SgdOptions,
        stream: *mut c_void,
    ) -> Result<()> {
        // SAFETY: the caller's.
        unsafe { step::larc_sgd(self.handle, pointers, larc, sgd, stream) }
    }
}

fn novograd_pointers(
    lowering: &mut Lowering<'_>,
    shape: &Shape,
    buffers: &mut NovogradBuffers<'_>,
) -> Result<NovogradPointers> {
    let maximum = buffers.max_second_moment.as_ref();
    Ok(NovogradPointers {
        weights: lowering.write("weights", &buffers.weights, shape.weights)?,
        grads: lowering.read("grads", &buffers.grads, shape.grads)?,
        first_moment: lowering.write("first_moment", &buffers.first_moment, shape.first_moment)?,
        second_moment: lowering.per_layer("second_moment", &buffers.second_moment)?,
        max_second_moment: maximum.map_or(Ok(null_mut()), |values| lowering.per_layer("max_second_moment", values))?,
        weights_extra: lowering.write_if_given("weights_extra", &buffers.weights_extra, shape.weights_extra)?,
        layer_mask: lowering.layer_mask(&buffers.shared)?,
        layer_stats: lowering.layer_stats(&mut buffers.shared)?,
        grad_sums: lowering.sums("grad_sums", buffers.shared.grad_sums)?,
        weight_sums: lowering.sums("weight_sums", buffers.shared.weight_sums)?,
        scalars: lowering.scalars(&mut buffers.shared),
    })
}

impl Drop for Plan {
    fn drop(&mut self) {
        // SAFETY: a live plan, gone hereafter. What it returns has no one to go to.
        unsafe { sys::layerwise_plan_destroy(self.handle.as_ptr()) };
    }
}
