"""State that another optimizer has left: it is refused by name, and the message names what does load it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ._assignment import Spec

# (entries, whose they are, what to do), the first that fits. torch 2.13, timm 1.0.31, apex 25.09, pytorch_optimizer
# 4.1.0, VISSL 0.1.6, fastai 2.8.12, bitsandbytes 0.50.2.
_KNOWN = (
    (("grads_ema", "moments"), "pytorch_optimizer's NovoGrad's",
     'the optimizer of layerwise.torch.like("pytorch_optimizer.NovoGrad") loads it'),
    (("mu",), "VISSL's LARS', or another's with its names",
     'the optimizer of layerwise.torch.like("vissl.optimizers.lars.LARS") loads VISSL\'s'),
    (("grad_avg",), "fastai's", 'the optimizer of layerwise.torch.like("fastai.optimizer.Larc") loads Larc\'s'),
    (("__bnb_optimizer_quant_state__",), "bitsandbytes'", ""),
    (("state1",), "bitsandbytes'", ""),
    (("first_moment",), "layerwise's NovoGrad", "load it into that"),
    (("momentum_buffer",), "torch.optim.SGD's or layerwise's LARCSGD's", "load it into one of those"),
    (("exp_avg", "exp_avg_sq"), "Adam's, or another's with its names",
     "layerwise.torch.load_timm_state_dict loads that of timm's NvNovoGrad"),
    (("exp_avg",), "apex's FusedNovoGrad's, or another's with its names",
     "layerwise.torch.load_apex_state_dict loads that of apex's FusedNovoGrad"),
    (("square_avg",), "RMSprop's, or another's with its names", ""),
    (("sum",), "Adagrad's, or another's with its names", ""),
    (("d", "t"), "LBFGS'", ""),
)


_NESTED = "__bnb_optimizer_quant_state__"  # a dictionary of tensors


def refuse_foreign(values: Mapping[str, Any], spec: Spec, name: str) -> None:
    """Raises ValueError for a parameter's state that has nothing of this optimizer's, but tensors of another's. What a
    user keeps beside this optimizer's entries is the user's own."""
    own = {"step", *spec.per_layer, *((spec.moment,) if spec.moment else ())}
    if any(values.get(entry) is not None for entry in own - {"step"}):
        return
    others = {entry for entry, value in values.items() if entry not in own and (
        isinstance(value, Tensor) or entry == _NESTED)}
    if not others:
        return
    whose, instead = next(((whose, instead) for entries, whose, instead in _KNOWN if others.issuperset(entries)),
                          ("another optimizer's", ""))
    if whose == "another optimizer's" and (values.get("step") is None or own == {"step"}):
        return
    if own == {"step"} and "momentum_buffer" in others:
        return  # LARCSGD's own, whose momentum is 0 by now
    raise ValueError(f"the state of {name} has {', '.join(sorted(others))} and is {whose}; this optimizer's is "
                     f"{', '.join(sorted(own))}{': ' + instead if instead else ''}")
