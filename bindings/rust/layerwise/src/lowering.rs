//! From checked host slices to the pointers that the library gets.

use std::ffi::c_void;
use std::ptr::{null, null_mut};

use layerwise_sys as sys;

use crate::buffers::Shared;
use crate::error::{Error, Result};
use crate::memory::{Buffer, BufferMut, Layers, PerLayerMut};
use crate::{Dtype, LayerStats, ScalarPointers};

/// What a plan says about the buffers it takes.
#[derive(Debug)]
pub(crate) struct Shape {
    /// The least length of every layer's own slice, where layers are scattered.
    pub ends: Vec<usize>,
    /// The length of a packed buffer: the least where offsets were given, else the only one.
    pub extent: usize,
    pub may_be_longer: bool,
    pub scattered: bool,
    pub on_host: bool,
    pub weights: i32,
    pub grads: i32,
    pub first_moment: i32,
    pub second_moment: i32,
    pub weights_extra: i32,
}

/// The pointers of one call, and the tables they may point to.
pub(crate) struct Lowering<'s> {
    shape: &'s Shape,
    tables: Vec<Vec<*mut c_void>>,
}

fn refuse<T>(status: i32, message: String) -> Result<T> {
    Err(Error::refusal(status, message))
}

impl<'s> Lowering<'s> {
    pub fn new(shape: &'s Shape) -> Result<Self> {
        if !shape.on_host {
            let message = "the buffers are host slices; a plan on a CUDA device takes pointers, by the _raw call";
            return refuse(sys::LAYERWISE_ERROR_COMBINATION, message.to_string());
        }
        Ok(Lowering { shape, tables: Vec::new() })
    }

    pub fn read(&mut self, name: &str, buffer: &Buffer<'_>, dtype: i32) -> Result<*const c_void> {
        Ok(self.layers(name, &buffer.layers, buffer.dtype, dtype)?.cast_const())
    }

    pub fn write(&mut self, name: &str, buffer: &BufferMut<'_>, dtype: i32) -> Result<*mut c_void> {
        self.layers(name, &buffer.layers, buffer.dtype, dtype)
    }

    pub fn write_if_given(&mut self, name: &str, buffer: &Option<BufferMut<'_>>, dtype: i32) -> Result<*mut c_void> {
        buffer.as_ref().map_or(Ok(null_mut()), |buffer| self.write(name, buffer, dtype))
    }

    pub fn per_layer(&self, name: &str, values: &PerLayerMut<'_>) -> Result<*mut c_void> {
        self.check_dtype(name, values.dtype, self.shape.second_moment)?;
        self.check_layers(name, values.run.len)?;
        Ok(values.run.address)
    }

    pub fn layer_mask(&self, shared: &Shared<'_>) -> Result<*const u8> {
        let Some(mask) = shared.layer_mask else { return Ok(null()) };
        self.check_layers("layer_mask", mask.len())?;
        Ok(mask.as_ptr().cast())
    }

    pub fn layer_stats(&self, shared: &mut Shared<'_>) -> Result<*mut LayerStats> {
        let Some(stats) = shared.layer_stats.as_deref_mut() else { return Ok(null_mut()) };
        self.check_layers("layer_stats", stats.len())?;
        Ok(stats.as_mut_ptr())
    }

    /// One value a layer, or null.
    pub fn sums(&self, name: &str, sums: Option<&[f64]>) -> Result<*const f64> {
        let Some(sums) = sums else { return Ok(null()) };
        self.check_layers(name, sums.len())?;
        Ok(sums.as_ptr())
    }

    pub fn scalars(&self, shared: &mut Shared<'_>) -> ScalarPointers {
        ScalarPointers {
            lr_ptr: shared.lr_ptr.map_or(null(), |value| value),
            grad_scale_ptr: shared.grad_scale_ptr.map_or(null(), |value| value),
            found_inf: shared.found_inf.map_or(null(), |value| value),
            nonfinite_layers: shared.nonfinite_layers.as_deref_mut().map_or(null_mut(), |value| value),
            step_ptr: shared.step_ptr.as_deref_mut().map_or(null_mut(), |value| value),
        }
    }

    fn layers(&mut self, name: &str, layers: &Layers, given: Dtype, expected: i32) -> Result<*mut c_void> {
        self.check_dtype(name, given, expected)?;
        match layers {
            Layers::Packed(_) if self.shape.scattered => refuse(
                sys::LAYERWISE_ERROR_COMBINATION,
                format!("{name} is one slice; the plan's layout is Scattered, which takes a Vec of a slice a layer"),
            ),
            Layers::Scattered(_) if !self.shape.scattered => refuse(
                sys::LAYERWISE_ERROR_COMBINATION,
                format!("{name} is a slice a layer; the plan's layout is Packed, which takes one slice"),
            ),
            Layers::Packed(run) => {
                if run.len > self.shape.extent && !self.shape.may_be_longer {
                    let rule = "it must have exactly the sum of the sizes, or the plan must have offsets";
                    let message = format!("{name} has {} elements, not {}; {rule}", run.len, self.shape.extent);
                    return refuse(sys::LAYERWISE_ERROR_INVALID_VALUE, message);
                }
                self.check_length(name, run.len, self.shape.extent, "the plan's extent")?;
                Ok(run.address)
            }
            Layers::Scattered(runs) => {
                self.check_layers(name, runs.len())?;
                for (layer, (run, &end)) in runs.iter().zip(&self.shape.ends).enumerate() {
                    if let Some(run) = run {
                        self.check_length(&format!("{name}[{layer}]"), run.len, end, "the layer's offset and size")?;
                    }
                }
                let mut table: Vec<_> = runs.iter().map(|run| run.map_or(null_mut(), |run| run.address)).collect();
                let address = table.as_mut_ptr().cast();
                self.tables.push(table);
                Ok(address)
            }
        }
    }

    fn check_dtype(&self, name: &str, given: Dtype, expected: i32) -> Result<()> {
        // Without a dtype the plan has no such buffer, and the library says so.
        if given as i32 == expected || expected == sys::LAYERWISE_DTYPE_NONE {
            return Ok(());
        }
        let known = [Dtype::Float32, Dtype::Bfloat16, Dtype::Float16, Dtype::Float64, Dtype::Remainder16];
        let plan = known.into_iter().find(|&dtype| dtype as i32 == expected).unwrap_or(Dtype::None);
        let message = format!("{name} holds {given:?}; the plan's {name} are {plan:?}");
        refuse(sys::LAYERWISE_ERROR_UNSUPPORTED_DTYPE, message)
    }

    fn check_length(&self, name: &str, given: usize, needed: usize, why: &str) -> Result<()> {
        if given >= needed {
            return Ok(());
        }
        let message = format!("{name} has {given} elements; it must have at least {needed}, {why}");
        refuse(sys::LAYERWISE_ERROR_INVALID_VALUE, message)
    }

    pub fn check_layers(&self, name: &str, given: usize) -> Result<()> {
        check_layers(name, given, self.shape.ends.len())
    }
}

pub(crate) fn check_layers(name: &str, given: usize, layers: usize) -> Result<()> {
    if given == layers {
        return Ok(());
    }
    let message = format!("{name} has {given} values; it must have {layers}, one a layer");
    refuse(sys::LAYERWISE_ERROR_INVALID_VALUE, message)
}
