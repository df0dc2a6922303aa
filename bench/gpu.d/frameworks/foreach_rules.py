"""NovoGrad and LARS as one writes them in PyTorch alone, with torch._foreach_*: rivals of layerwise.torch.

A layer's factor stays on the device. PyTorch has no fused kernel that multiplies each tensor of a list by a factor of
its own which lies on the device, so that one call, _foreach_addcmul_, launches a kernel for each layer; torch.compile
fuses them.
"""

import torch


def _norms(tensors):
    """One number a layer, in float32 where the tensors are of less."""
    dtype = torch.float64 if tensors[0].dtype is torch.float64 else torch.float32
    return torch.stack(torch._foreach_norm(tensors, 2, dtype))


class _Rule:
    """m = beta*m + s*g + weight_decay*w, w = w - lr*m, with a factor s for each layer (`_factors`)."""

    def __init__(self, parameters, lr, beta, weight_decay):
        self.parameters, self.lr, self.beta, self.weight_decay = list(parameters), lr, beta, weight_decay
        self.moments = [torch.zeros_like(parameter, requires_grad=False) for parameter in self.parameters]

    @torch.no_grad()
    def step(self):
        weights = [parameter.detach() for parameter in self.parameters]
        grads = [parameter.grad for parameter in self.parameters]
        factors = self._factors(weights, grads).unbind()
        torch._foreach_mul_(self.moments, self.beta)
        torch._foreach_addcmul_(self.moments, grads, factors)
        torch._foreach_add_(self.moments, weights, alpha=self.weight_decay)
        torch._foreach_add_(weights, self.moments, alpha=-self.lr)


class ForeachNovoGrad(_Rule):
    """v = beta2*v + (1 - beta2)*|g|^2, |g|^2 at first; s = 1 / (sqrt(v) + eps) (Ginsburg et al., arXiv 1905.11286)."""

    def __init__(self, parameters, lr=0.01, betas=(0.95, 0.98), eps=1e-8, weight_decay=0.001):
        super().__init__(parameters, lr, betas[0], weight_decay)
        self.beta2, self.eps = betas[1], eps
        self.second_moment = torch.zeros_like(_norms([parameter.detach() for parameter in self.parameters]))

    def _factors(self, weights, grads):
        squares, old = _norms(grads).square(), self.second_moment
        self.second_moment.copy_(torch.where(old == 0, squares, self.beta2 * old + (1 - self.beta2) * squares))
        return 1 / (self.second_moment.sqrt() + self.eps)


class ForeachLars(_Rule):
    """s = min(trust_coefficient*|w| / (|g| + eps) / lr, 1), 1 where a norm is 0: LARS' rate capped at lr (You et al.,
    arXiv 1708.03888)."""

    def __init__(self, parameters, lr=0.1, momentum=0.9, weight_decay=1e-4, trust_coefficient=0.002, eps=1e-8):
        super().__init__(parameters, lr, momentum, weight_decay)
        self.trust_coefficient, self.eps = trust_coefficient, eps

    def _factors(self, weights, grads):
        of_weights, of_grads = _norms(weights), _norms(grads)
        rates = self.trust_coefficient * of_weights / (of_grads + self.eps)
        return torch.where((of_weights == 0) | (of_grads == 0), 1, (rates / self.lr).clamp(max=1))
