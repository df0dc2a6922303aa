"""OpenSeq2Seq's configuration dictionaries."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch.optim import Optimizer

# What a key means: the keyword of the optimizer here. "epsilon" stands under NovoGrad's root in OpenSeq2Seq.
_OPTIMIZERS: dict[str, dict[str, str]] = {
    "NovoGrad": {"beta1": "beta1", "beta2": "beta2", "epsilon": "eps_root", "weight_decay": "weight_decay",
                 "grad_averaging": "grad_averaging"},
    "Momentum": {"momentum": "momentum", "use_nesterov": "nesterov"},
    "SGD": {},
}
_WITHOUT_MEANING_HERE = ("use_locking", "name")  # of TensorFlow's optimizers
_CLASS_NAMES = {"GradientDescent": "SGD"}

# What a configuration holds beside the optimizer: of the model and its data, of logging, of the loop around a step.
_OTHER_KEYS = frozenset("""
    batch_size_per_gpu bench_start data_layer data_layer_params decoder decoder_params dtype encoder encoder_params
    eval_batch_size_per_gpu eval_steps finetune freeze_variables_regex gpu_ids hooks initializer initializer_params
    iter_size lm_vocab_file load_model logdir loss loss_params loss_scaling loss_scaling_params max_grad_norm max_steps
    num_checkpoints num_epochs num_gpus print_bench_info_steps print_loss_steps print_samples_steps
    processed_data_folder random_seed regularizer regularizer_params restore_best_checkpoint save_checkpoint_steps
    save_summaries_steps save_to_tensorboard summaries trt_is_dynamic_op trt_max_workspace_size_bytes
    trt_maximum_cached_engines trt_minimum_segment_size trt_precision_mode use_horovod use_trt use_xla_jit
    """.split())

_LARC = {"larc_eta": "trust_coefficient", "larc_mode": "clip", "min_update": "min_update", "epsilon": "eps"}
_LARC_MODES = {"clip": True, "scale": False}
_OF_LARC = ("skip_larc", "always_adapt", "trust_coefficient", "clip", "min_update", "zero_norm", "fold_weight_decay")


def from_openseq2seq(config: Mapping[str, Any], params: Any, lr: Any = None, *, as_run: bool = False,
                     **options: Any) -> Optimizer:
    """The PyTorch optimizer that OpenSeq2Seq's configuration asks for; needs PyTorch.

        from_openseq2seq({"optimizer": "NovoGrad",
                          "optimizer_params": {"beta1": 0.95, "beta2": 0.98, "epsilon": 1e-08, "weight_decay": 0.001},
                          "larc_params": {"larc_eta": 0.002}}, model.named_parameters(), lr=0.01)

    config   base_params, whole, or these keys of it. "optimizer": "NovoGrad", "Momentum" or "SGD", or a class of that
             name; "optimizer_params": beta1 (0.95), beta2 (0.98), epsilon (1e-8, under the root, as there),
             weight_decay (0) and grad_averaging (False), or momentum and use_nesterov (False); "larc_params", where
             LARC is wanted: larc_eta, larc_mode ("clip"), min_update (1e-7), epsilon (1e-7), with min_update where the
             weights are zero, as there
    params   parameters, (name, parameter) pairs, or groups
    lr       learning rate, a number or a tensor; None: learning_rate of "lr_policy_params". The policy is a scheduler of
             the result: `openseq2seq_schedule` makes it
    as_run   NovoGrad only. True: the steps that OpenSeq2Seq really took. It never stores the average that beta2 stands
             for (seen by running it), so v is this step's |g|^2 whatever beta2 says: |g| = 1, 2, 3 give v = 1, 4, 9.
             False: the formula of its page, which the configuration says and the paper has: v = 1, 1.06, 1.2188 with
             beta2 0.98
    options  more keywords of the optimizer, such as lr_mult, capturable, flatten, threads, and of LARC around it:
             skip_larc, always_adapt, trust_coefficient, clip, min_update, zero_norm. All win over config's, betas= and
             weight_decay= too; betas= and as_run=True together are refused

    The other keys that a configuration may have are left to the training loop, among them those that change the
    gradients before the step: regularizer, loss_scaling, max_grad_norm, iter_size.

    Returns `layerwise.torch.NovoGrad`, in `layerwise.torch.LARC` with larc_params; `layerwise.torch.LARCSGD` for the
    others, without larc_params with skip_larc: plain SGD. Raises ValueError naming an unknown key or optimizer, a
    missing key or a wrong value; ImportError without PyTorch.
    """
    _refuse_unknown(config, ("optimizer", "optimizer_params", "larc_params", "lr_policy", "lr_policy_params"), "config",
                    ignored=_OTHER_KEYS)
    name = _optimizer_name(config.get("optimizer"))
    if name not in _OPTIMIZERS:
        raise ValueError(f"optimizer is {config.get('optimizer')!r}: it must be one of {', '.join(_OPTIMIZERS)}, or a "
                         "class of that name; others can be wrapped in layerwise.torch.LARC")
    if lr is None:
        lr = (config.get("lr_policy_params") or {}).get("learning_rate")
        if lr is None:
            raise ValueError("lr is None, and lr_policy_params has no learning_rate: one of them is needed")
    given = dict(config.get("optimizer_params") or {})
    _refuse_unknown(given, _OPTIMIZERS[name], f"optimizer_params of {name}", ignored=_WITHOUT_MEANING_HERE)
    _refuse_none(given, _OPTIMIZERS[name], f"optimizer_params of {name}")
    named = {_OPTIMIZERS[name][key]: value for key, value in given.items() if key in _OPTIMIZERS[name]}
    larc = None if config.get("larc_params") is None else _larc_options(config["larc_params"])
    if name == "NovoGrad":
        return _novograd(named, larc, params, lr, as_run, options)
    if name == "Momentum" and "momentum" not in {**named, **options}:
        raise ValueError("optimizer_params lacks momentum, which Momentum needs")
    from . import torch as layerwise_torch

    return layerwise_torch.LARCSGD(params, lr, **{"momentum": 0.0, **named, **(larc or {"skip_larc": True}), **options})


def _optimizer_name(optimizer: Any) -> str:
    """A class's name is its optimizer's, with TensorFlow's suffix or without."""
    name = optimizer if isinstance(optimizer, str) else str(getattr(optimizer, "__name__", optimizer))
    name = name.removesuffix("Optimizer")
    return _CLASS_NAMES.get(name, name)


def _novograd(named: dict[str, Any], larc: dict[str, Any] | None, params: Any, lr: Any, as_run: bool,
              options: dict[str, Any]) -> Optimizer:
    from . import torch as layerwise_torch

    if as_run and "betas" in options:
        raise ValueError(f"betas is {options['betas']!r} beside as_run=True, which takes beta1 from the configuration "
                         "and 0 for beta2: leave one of them out")
    betas = (named.pop("beta1", 0.95), named.pop("beta2", 0.98))
    if as_run:
        betas = (betas[0], 0.0)
    of_larc = {name: options.pop(name) for name in _OF_LARC if larc and name in options}
    optimizer = layerwise_torch.NovoGrad(
        params, lr, **{"betas": betas, "eps": 0.0, "eps_root": 1e-8, "weight_decay": 0.0, **named, **options})
    return optimizer if larc is None else layerwise_torch.LARC(
        optimizer, **{**larc, **of_larc}, threads=optimizer.defaults["threads"])


def _larc_options(params: Mapping[str, Any]) -> dict[str, Any]:
    _refuse_unknown(params, _LARC, "larc_params")
    _refuse_none(params, _LARC, "larc_params")
    if "larc_eta" not in params:
        raise ValueError("larc_params lacks larc_eta")
    values = {"larc_mode": "clip", "min_update": 1e-7, "epsilon": 1e-7, **params}
    if values["larc_mode"] not in _LARC_MODES:
        raise ValueError(f"larc_mode is {values['larc_mode']!r}: it must be 'clip' or 'scale'")
    values["larc_mode"] = _LARC_MODES[values["larc_mode"]]
    return {"zero_norm": "floor", **{_LARC[key]: value for key, value in values.items()}}


def _refuse_none(given: Mapping[str, Any], known: Container[str], where: str) -> None:
    for key, value in given.items():
        if value is None and key in known:
            raise ValueError(f"{key} of {where} is None: give a value, or leave the key out")


def _refuse_unknown(given: Mapping[str, Any], known: Any, where: str, ignored: Container[str] = ()) -> None:
    unknown = [key for key in given if key not in known and key not in ignored]
    if unknown:
        raise ValueError(f"{where} has unknown keys: {', '.join(map(repr, unknown))}; known: "
                         f"{', '.join(known) or 'none'}")
