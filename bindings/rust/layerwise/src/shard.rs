//! Plans of ranks that hold pieces of layers.

use std::ptr::null;

use layerwise_sys as sys;

use crate::error::{check, Error, Result};
use crate::lowering::check_layers;
use crate::options::defaults;
use crate::Plan;

/// The whole layers that a plan's pieces belong to: [`Plan::set_shard`]. Each list has one value a layer.
#[derive(Clone, Copy, Debug)]
pub struct ShardOptions<'a> {
    layer_sizes: &'a [i64],
    layer_begins: Option<&'a [i64]>,
    counted: Option<&'a [bool]>,
}

impl<'a> ShardOptions<'a> {
    /// The sizes of the whole layers, in elements, at least the plan's own.
    #[must_use]
    pub fn new(layer_sizes: &'a [i64]) -> Self {
        ShardOptions { layer_sizes, layer_begins: None, counted: None }
    }
    /// Elements from the start of the whole layer to that of the piece, any number >= 0 where the piece is empty; -1,
    /// on every rank, for a layer whose pieces are not contiguous. Default: -1 for every layer.
    #[must_use]
    pub fn layer_begins(mut self, values: &'a [i64]) -> Self {
        self.layer_begins = Some(values);
        self
    }
    /// False: another rank counts a replica of these elements, and they do not enter the sums. Default: true.
    #[must_use]
    pub fn counted(mut self, values: &'a [bool]) -> Self {
        self.counted = Some(values);
        self
    }
}

impl Plan {
    /// Makes the plan one of a shard: its layers are this rank's pieces, of size 0 where it has none. Replaces what was
    /// set before; the lists are copied. On CUDA the caller must ensure that no step of this plan is running.
    ///
    /// Whole steps are refused from then on. A step is taken in halves: [`partial_norms`](Self::partial_norms), a sum
    /// of its results over the ranks (the maximum, with [`Norm::Inf`](crate::Norm::Inf)), and the step with these sums
    /// in its buffers. All ranks must have the same masks, options and second moments.
    pub fn set_shard(&mut self, options: &ShardOptions<'_>) -> Result<()> {
        let layers = self.layers();
        check_layers("layer_sizes", options.layer_sizes.len(), layers)?;
        check_layers("layer_begins", options.layer_begins.map_or(layers, <[i64]>::len), layers)?;
        check_layers("counted", options.counted.map_or(layers, <[bool]>::len), layers)?;
        let mut raw = defaults(sys::layerwise_shard_options_init);
        raw.layer_sizes = options.layer_sizes.as_ptr();
        raw.layer_begins = options.layer_begins.map_or(null(), <[i64]>::as_ptr);
        raw.counted = options.counted.map_or(null(), |values| values.as_ptr().cast());
        // SAFETY: a live plan, and lists of one value a layer that outlive the call; a bool is a byte of 0 or 1.
        check(unsafe { sys::layerwise_plan_set_shard(self.handle.as_ptr(), &raw) })
    }

    /// What this rank claims of its shard, before the first step: sum the claims over the ranks, and give the sum to
    /// [`shard_verify`](Self::shard_verify). The numbers are integers, whose sums are exact in any order.
    ///
    /// `agreed` is what must be the same on every rank beside layers and dtypes, such as the options of the steps:
    /// [`NovogradOptions::as_bytes`](crate::NovogradOptions::as_bytes). If ranks may differ in their number of layers,
    /// and so in the length of their claims, exchange [`shard_claim_head`](Self::shard_claim_head) first.
    pub fn shard_claim(&self, agreed: &[u8]) -> Result<Vec<f64>> {
        self.claim(agreed, sys::LAYERWISE_CLAIM_HEAD as usize + 2 * self.layers())
    }

    /// The start of a claim: what must agree, without whether the pieces make up whole layers. It has as many numbers
    /// on every rank, and is verified in the same way.
    pub fn shard_claim_head(&self, agreed: &[u8]) -> Result<Vec<f64>> {
        self.claim(agreed, sys::LAYERWISE_CLAIM_HEAD as usize)
    }

    fn claim(&self, agreed: &[u8], count: usize) -> Result<Vec<f64>> {
        let mut claim = vec![0.0; count];
        let (plan, bytes) = (self.handle.as_ptr(), agreed.len() as i64);
        // The library knows no bytes as null; an empty slice has an address.
        let agreed = if agreed.is_empty() { null() } else { agreed.as_ptr().cast() };
        // SAFETY: a live plan, and slices of the lengths that are given.
        check(unsafe { sys::layerwise_shard_claim(plan, agreed, bytes, claim.as_mut_ptr(), count as i64) })?;
        Ok(claim)
    }

    /// Verifies that all ranks agree and that every element of every layer is counted once. `claim` is this rank's own,
    /// `total` the sum of all ranks'. Fails, on every rank, with
    /// [`ErrorKind::RanksDisagree`](crate::ErrorKind::RanksDisagree).
    pub fn shard_verify(&self, claim: &[f64], total: &[f64]) -> Result<()> {
        if claim.len() != total.len() {
            let message = format!("total has {} numbers; it must have the claim's {}", total.len(), claim.len());
            return Err(Error::refusal(sys::LAYERWISE_ERROR_INVALID_VALUE, message));
        }
        let (plan, count) = (self.handle.as_ptr(), claim.len() as i64);
        // SAFETY: a live plan, and slices of count numbers.
        check(unsafe { sys::layerwise_shard_verify(plan, claim.as_ptr(), total.as_ptr(), count) })
    }
}
