//! The layout of a model.

use std::ffi::c_void;

use layerwise_sys as sys;

use crate::error::{check, Error, Result};
use crate::options::defaults;
use crate::Dtype;

/// Where a plan runs and its buffers lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    /// The processor; host memory.
    Cpu,
    /// The CUDA device of this ordinal.
    Cuda(u32),
}

/// How the layers lie in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Layout {
    /// One buffer, layer l from offsets\[l] on.
    Packed = sys::LAYERWISE_LAYOUT_PACKED,
    /// A buffer a layer.
    Scattered = sys::LAYERWISE_LAYOUT_SCATTERED,
}

/// The instruction set of a CPU plan; the bits are the same with each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Isa {
    /// The best this processor has.
    Auto = sys::LAYERWISE_ISA_AUTO,
    /// What every processor of its kind has.
    Baseline = sys::LAYERWISE_ISA_BASELINE,
    /// AVX2 and FMA.
    Avx2 = sys::LAYERWISE_ISA_AVX2,
    /// AVX-512 F, BW, VL and DQ.
    Avx512 = sys::LAYERWISE_ISA_AVX512,
    /// Advanced SIMD.
    Neon = sys::LAYERWISE_ISA_NEON,
}

/// The layout of a model's layers, their dtypes and where they run: packed float32 on the CPU, unless said otherwise.
#[derive(Clone, Copy, Debug)]
pub struct PlanOptions<'a> {
    sizes: &'a [i64],
    offsets: Option<&'a [i64]>,
    raw: sys::layerwise_plan_options,
}

impl<'a> PlanOptions<'a> {
    /// Layers of these sizes, in elements.
    #[must_use]
    pub fn new(sizes: &'a [i64]) -> Self {
        PlanOptions { sizes, offsets: None, raw: defaults(sys::layerwise_plan_options_init) }
    }

    /// Elements from the start of every packed buffer, in any order, gaps allowed, no overlap; default: one layer after
    /// the other. Scattered plans add it to each layer's own start.
    #[must_use]
    pub fn offsets(mut self, offsets: &'a [i64]) -> Self {
        self.offsets = Some(offsets);
        self
    }

    /// Default: the CPU.
    #[must_use]
    pub fn device(mut self, device: Device) -> Self {
        self.raw.device = match device {
            Device::Cpu => sys::LAYERWISE_DEVICE_CPU,
            Device::Cuda(ordinal) => ordinal.try_into().unwrap_or(i32::MAX),
        };
        self
    }

    /// Default: packed.
    #[must_use]
    pub fn layout(mut self, layout: Layout) -> Self {
        self.raw.layout = layout as i32;
        self
    }

    /// Float32 (default), Bfloat16, Float16.
    #[must_use]
    pub fn weights_dtype(mut self, dtype: Dtype) -> Self {
        self.raw.weights_dtype = dtype as i32;
        self
    }

    /// Float32 (default), Bfloat16, Float16, in any mix with the weights.
    #[must_use]
    pub fn grads_dtype(mut self, dtype: Dtype) -> Self {
        self.raw.grads_dtype = dtype as i32;
        self
    }

    /// Float32 (default), Bfloat16: NovoGrad's m and SGD's momentum buffer.
    #[must_use]
    pub fn first_moment_dtype(mut self, dtype: Dtype) -> Self {
        self.raw.first_moment_dtype = dtype as i32;
        self
    }

    /// Float32 (default), Float64: one value a layer.
    #[must_use]
    pub fn second_moment_dtype(mut self, dtype: Dtype) -> Self {
        self.raw.second_moment_dtype = dtype as i32;
        self
    }

    /// None (default), or Bfloat16, Float16 beside Float32 weights: the low-precision copy.
    #[must_use]
    pub fn weights_extra_dtype(mut self, dtype: Dtype) -> Self {
        self.raw.weights_extra_dtype = dtype as i32;
        self
    }

    /// CPU threads, the caller's included; 0 (default): the least of the process's affinity, the first number
    /// of OMP_NUM_THREADS and the container's CPU quota.
    #[must_use]
    pub fn threads(mut self, threads: i32) -> Self {
        self.raw.threads = threads;
        self
    }

    /// Default: the best there is.
    #[must_use]
    pub fn isa(mut self, isa: Isa) -> Self {
        self.raw.isa = isa as i32;
        self
    }

    /// CUDA: 0 (default), [`sys::LAYERWISE_PATH_TWO_PASS`] or [`sys::LAYERWISE_PATH_ONE_PASS`].
    #[must_use]
    pub fn path(mut self, path: i32) -> Self {
        self.raw.path = path;
        self
    }

    /// CUDA: a step launches no more blocks than this many multiprocessors hold, so that each has room left for other
    /// kernels; 0 (default): than all hold.
    #[must_use]
    pub fn multiprocessors(mut self, multiprocessors: i64) -> Self {
        self.raw.multiprocessors = multiprocessors;
        self
    }

    /// CUDA: a sum of the `LAYERWISE_EXPERIMENTAL_` flags of [`sys`], ways of running a step that no GPU has yet shown to
    /// be right and faster; 0 (default): none. What the device does not have is left out.
    #[must_use]
    pub fn experimental(mut self, flags: i64) -> Self {
        self.raw.experimental = flags;
        self
    }

    /// CUDA: the caller's scratch memory, of [`workspace_size`](Self::workspace_size) bytes. Default: the plan's own.
    ///
    /// # Safety
    /// It must be memory of the plan's device that nothing else uses until the plan is dropped.
    #[must_use]
    pub unsafe fn workspace(mut self, workspace: *mut c_void, bytes: i64) -> Self {
        self.raw.workspace = workspace;
        self.raw.workspace_bytes = bytes;
        self
    }

    /// The bytes of device scratch memory that a plan with these options needs; 0 on the CPU.
    pub fn workspace_size(&self) -> Result<i64> {
        let options = self.to_raw()?;
        let mut bytes = 0;
        // SAFETY: the lists that the options point to outlive the call.
        check(unsafe { sys::layerwise_plan_workspace_size(&options, &mut bytes) })?;
        Ok(bytes)
    }

    /// The struct with its lists, which live as long as `'a`.
    pub(crate) fn to_raw(self) -> Result<sys::layerwise_plan_options> {
        let mut raw = self.raw;
        raw.layer_count = self.sizes.len() as i64;
        raw.sizes = self.sizes.as_ptr();
        if let Some(offsets) = self.offsets {
            if offsets.len() != self.sizes.len() {
                let message = format!("offsets has {} values; sizes has {}", offsets.len(), self.sizes.len());
                return Err(Error::refusal(sys::LAYERWISE_ERROR_INVALID_VALUE, message));
            }
            raw.offsets = offsets.as_ptr();
        }
        Ok(raw)
    }

    pub(crate) fn layer_ends(&self, scattered: bool) -> Vec<usize> {
        let mut next = 0;
        let end = |(layer, &size): (usize, &i64)| {
            let offset = self.offsets.map_or(if scattered { 0 } else { next }, |offsets| offsets[layer]);
            next = offset + size;
            next as usize
        };
        self.sizes.iter().enumerate().map(end).collect()
    }

    pub(crate) fn raw(&self) -> &sys::layerwise_plan_options {
        &self.raw
    }
}
