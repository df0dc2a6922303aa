//! What a refused or failed call says.

use std::ffi::CStr;
use std::fmt;

use layerwise_sys as sys;

/// The result of a call.
pub type Result<T> = std::result::Result<T, Error>;

/// A call was refused or failed. What was refused has changed nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    status: i32,
    message: String,
}

/// The families of errors, and those that a program may want to tell apart from their family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// An argument, an option or a buffer breaks a rule.
    Argument,
    /// The sizes or offsets of the layers do not describe a layout.
    Layout,
    /// Ranks that share layers disagree, or their pieces do not make up whole layers. Every rank gets this error.
    RanksDisagree,
    /// A dtype that is unknown, or that this buffer cannot have.
    Dtype,
    /// No CUDA here, an instruction set that is missing, or a plan that failed.
    Backend,
    /// Host or device memory could not be allocated.
    OutOfMemory,
    /// A CUDA call failed.
    Cuda,
    /// A status that this crate does not know.
    Other,
}

impl Error {
    /// A refusal of this crate's own, in the library's terms.
    pub(crate) fn refusal(status: i32, message: String) -> Self {
        Error { status, message }
    }

    /// The library's status code, one of [`sys`]'s `LAYERWISE_ERROR_` constants. Codes come in families of a hundred:
    /// arguments, layout, dtypes, backend, CUDA.
    pub fn status(&self) -> i32 {
        self.status
    }

    /// What went wrong, for callers that act on it.
    pub fn kind(&self) -> ErrorKind {
        match self.status {
            sys::LAYERWISE_ERROR_RANKS_DISAGREE => ErrorKind::RanksDisagree,
            sys::LAYERWISE_ERROR_OUT_OF_MEMORY => ErrorKind::OutOfMemory,
            100..=199 => ErrorKind::Argument,
            200..=299 => ErrorKind::Layout,
            300..=399 => ErrorKind::Dtype,
            400..=499 => ErrorKind::Backend,
            500..=599 => ErrorKind::Cuda,
            _ => ErrorKind::Other,
        }
    }

    /// The name of the status, such as `LAYERWISE_ERROR_LAYER_OVERLAP`.
    pub fn status_name(&self) -> &'static str {
        // SAFETY: takes any number and returns a static string.
        unsafe { static_text(sys::layerwise_status_name(self.status)) }
    }

    /// The argument, the value received and the rule.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} [{}, {}]", self.message, self.status_name(), self.status)
    }
}

impl std::error::Error for Error {}

/// The status that a call returned, as a result.
pub(crate) fn check(status: i32) -> Result<()> {
    if status == sys::LAYERWISE_OK {
        return Ok(());
    }
    // SAFETY: valid until this thread's next call, and copied before.
    let message = unsafe { CStr::from_ptr(sys::layerwise_last_error()) };
    Err(Error { status, message: message.to_string_lossy().into_owned() })
}

/// # Safety
/// `text` must be a static string of the library's.
pub(crate) unsafe fn static_text(text: *const std::ffi::c_char) -> &'static str {
    unsafe { CStr::from_ptr(text) }.to_str().unwrap_or("not UTF-8")
}
