//! What can be asked of a plan.

use layerwise_sys as sys;

/// A property of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Query {
    /// Number of layers.
    Layers = sys::LAYERWISE_QUERY_LAYERS,
    /// Number of elements in all layers.
    Elements = sys::LAYERWISE_QUERY_ELEMENTS,
    /// Number of 8192-element tiles.
    Tiles = sys::LAYERWISE_QUERY_TILES,
    /// Packed: elements a buffer must hold.
    Extent = sys::LAYERWISE_QUERY_EXTENT,
    /// [`sys::LAYERWISE_DEVICE_CPU`] or the CUDA ordinal.
    Device = sys::LAYERWISE_QUERY_DEVICE,
    /// CPU threads; 0 on CUDA.
    Threads = sys::LAYERWISE_QUERY_THREADS,
    /// The number of an [`Isa`](crate::Isa); 0 on CUDA.
    Isa = sys::LAYERWISE_QUERY_ISA,
    /// Bytes of device scratch memory; 0 on the CPU.
    Workspace = sys::LAYERWISE_QUERY_WORKSPACE,
    /// A hash of sizes, offsets and dtypes, the same on every backend.
    Fingerprint = sys::LAYERWISE_QUERY_FINGERPRINT,
    /// A hash of whole layers' sizes, dtypes and the numerics version: the same on every rank of a sharded model,
    /// however it is cut.
    GlobalFingerprint = sys::LAYERWISE_QUERY_GLOBAL_FINGERPRINT,
    /// How the last step ran; before the first, how NovoGrad would: a `LAYERWISE_PATH_` constant of [`sys`].
    Path = sys::LAYERWISE_QUERY_PATH,
    /// Elements whose gradient a one-pass step reads from memory once.
    HeldGrads = sys::LAYERWISE_QUERY_HELD_GRADS,
    /// Elements of which a one-pass step of LARC and SGD reads the weight once too.
    HeldWeights = sys::LAYERWISE_QUERY_HELD_WEIGHTS,
    /// The `LAYERWISE_EXPERIMENTAL_` flags of [`sys`] that the plan was given and its device has.
    Experimental = sys::LAYERWISE_QUERY_EXPERIMENTAL,
}
