"""Tensors that torch negates when they are read, as autograd makes some of z.conj().imag: their memory holds the
opposite sign. A plan works on memory, so it gets copies, and what it has written goes back into the tensors."""

from __future__ import annotations

from torch import Tensor


class Resolved:
    """The copies of one step."""

    def __init__(self) -> None:
        self._copies: list[tuple[Tensor, Tensor]] = []

    def of(self, tensors: list[Tensor]) -> list[Tensor]:
        """The tensors, with a copy in the place of each that is lazily negated. Not for a traced step: torch resolves
        what an operator reads, and refuses what it writes."""
        return [self._copy(tensor) if tensor.is_neg() else tensor for tensor in tensors]

    def _copy(self, tensor: Tensor) -> Tensor:
        copy = tensor.detach().resolve_neg()
        self._copies.append((tensor, copy))
        return copy

    def write_back(self) -> None:
        for tensor, copy in self._copies:
            tensor.copy_(copy)
