"""What can go wrong, as exceptions: one class for each family of the library's status codes."""

from __future__ import annotations

from ._abi import ERROR

# Statuses that the binding itself raises, before the library is called.
NULL_ARGUMENT = ERROR["null_argument"]
INVALID_VALUE = ERROR["invalid_value"]
UNKNOWN_FLAG = ERROR["unknown_flag"]
INVALID_PLAN = ERROR["invalid_plan"]
COMBINATION = ERROR["combination"]
ALIASED = ERROR["aliased"]
LAYER_OVERFLOW = ERROR["layer_overflow"]
RANKS_DISAGREE = ERROR["ranks_disagree"]
UNKNOWN_DTYPE = ERROR["unknown_dtype"]
UNSUPPORTED_DTYPE = ERROR["unsupported_dtype"]
OUT_OF_MEMORY = ERROR["out_of_memory"]

STATUS_NAMES = {status: f"LAYERWISE_ERROR_{name.upper()}" for name, status in ERROR.items()}


class Error(RuntimeError):
    """A call was refused or failed. The message names the argument, the value received and the rule.

    status       the library's status code, such as 202
    status_name  its name, such as "LAYERWISE_ERROR_LAYER_OVERLAP"
    """

    def __init__(self, message: str, status: int, status_name: str) -> None:
        super().__init__(message)
        self.status = status
        self.status_name = status_name

    def __str__(self) -> str:
        return f"{self.args[0]} [{self.status_name}, {self.status}]"

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.args[0], self.status, self.status_name)


class ArgumentError(Error, ValueError):
    """1xx: an argument, an option or a buffer breaks a rule."""


class LayoutError(Error, ValueError):
    """2xx: the sizes or offsets of the layers do not describe a layout."""


class DtypeError(Error, TypeError):
    """3xx: a dtype that is unknown, or that this buffer cannot have."""


class BackendError(Error):
    """4xx: the backend cannot serve: no CUDA here, an instruction set that is missing, a plan that failed."""


class OutOfMemoryError(BackendError, MemoryError):
    """404: host or device memory could not be had."""


class CudaError(Error):
    """5xx: a CUDA call failed; the message carries CUDA's own words."""


class LibraryError(ImportError):
    """The shared library could not be used."""


class LibraryNotFoundError(LibraryError):
    """No shared library was found; the message lists what was tried and the remedy."""


class AbiMismatchError(LibraryError):
    """The library's constants or struct layouts are not those this package was written for.

    field  the first constant or struct field that differs, such as "layerwise_larc_options.eta"
    """

    def __init__(self, message: str, field: str) -> None:
        super().__init__(message)
        self.field = field


_FAMILIES: dict[int, type[Error]] = {1: ArgumentError, 2: LayoutError, 3: DtypeError, 4: BackendError, 5: CudaError}


def error_for(status: int, status_name: str, message: str) -> Error:
    """The exception for a status of the library."""
    kind = OutOfMemoryError if status == OUT_OF_MEMORY else _FAMILIES.get(status // 100, Error)
    return kind(message, status, status_name)


def refusal(status: int, message: str) -> Error:
    """The exception for a rule that the binding checks itself; one of the statuses above."""
    return error_for(status, STATUS_NAMES[status], message)
