"""OpenSeq2Seq's configuration dictionaries."""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Mapping
from typing import TYPE_CHECKING, Any

from ._words import called

if TYPE_CHECKING:
    from torch.optim import Optimizer

# What a key means: the keyword of the optimizer here. "epsilon" stands under NovoGrad's root in OpenSeq2Seq.
_ADAM = {"beta1": "beta1", "beta2": "beta2", "epsilon": "eps"}
OPTIMIZER_KEYS: dict[str, dict[str, str]] = {
    "NovoGrad": {"beta1": "beta1", "beta2": "beta2", "epsilon": "eps_root", "weight_decay": "weight_decay",
                 "grad_averaging": "grad_averaging"},
    "Momentum": {"momentum": "momentum", "use_nesterov": "nesterov"},
    "SGD": {},
    "Adam": _ADAM,
    "LazyAdam": _ADAM,
    "AdamW": {**_ADAM, "weight_decay": "weight_decay"},
}
_ADAMS = ("Adam", "LazyAdam", "AdamW")
_NEEDED = {"Momentum": "momentum", "AdamW": "weight_decay"}
# What the configuration says where the optimizer does otherwise.
_WORDS = {"betas[0]": "beta1", "betas[1]": "beta2", "trust_coefficient": "larc_eta"}
_BETAS = {"NovoGrad": (0.95, 0.98), "Adam": (0.9, 0.999), "LazyAdam": (0.9, 0.999), "AdamW": (0.9, 0.999)}
_WITHOUT_MEANING_HERE = ("use_locking", "name")  # of TensorFlow's optimizers
_CLASS_NAMES = {"GradientDescent": "SGD"}

_KEYS = ("optimizer", "optimizer_params", "larc_params", "lr_policy", "lr_policy_params", "regularizer",
         "regularizer_params", "max_grad_norm", "dtype", "loss_scaling", "loss_scaling_params", "iter_size")
# What a configuration holds beside these: of the model and its data, of logging, of the loop around a step.
_OTHER_KEYS = frozenset("""
    batch_size_per_gpu bench_start data_layer data_layer_params decoder decoder_params encoder encoder_params
    eval_batch_size_per_gpu eval_steps finetune freeze_variables_regex gpu_ids hooks initializer initializer_params
    lm_vocab_file load_model logdir loss loss_params max_steps num_checkpoints num_epochs num_gpus
    print_bench_info_steps print_loss_steps print_samples_steps processed_data_folder random_seed
    restore_best_checkpoint save_checkpoint_steps save_summaries_steps save_to_tensorboard summaries trt_is_dynamic_op
    trt_max_workspace_size_bytes trt_maximum_cached_engines trt_minimum_segment_size trt_precision_mode use_horovod
    use_trt use_xla_jit
    """.split())

LARC_KEYS = {"larc_eta": "trust_coefficient", "larc_mode": "clip", "min_update": "min_update", "epsilon": "eps"}
_LARC_MODES = {"clip": True, "scale": False}
_OF_LARC = ("skip_larc", "always_adapt", "trust_coefficient", "clip", "min_update", "zero_norm", "fold_weight_decay")
_DTYPES = ("mixed", "float32", "float16")


def from_openseq2seq(config: Mapping[str, Any], params: Any, lr: Any = None, *, as_run: bool = False,
                     regularize: Callable[[str | None, Any], bool] | None = None, **options: Any) -> Optimizer:
    """The PyTorch optimizer that OpenSeq2Seq's configuration asks for; needs PyTorch.

        from_openseq2seq({"optimizer": "NovoGrad",
                          "optimizer_params": {"beta1": 0.95, "beta2": 0.98, "epsilon": 1e-08, "weight_decay": 0.001},
                          "larc_params": {"larc_eta": 0.002}}, model.named_parameters(), lr=0.01)

    config   base_params, whole, or these keys of it:
             "optimizer"         "NovoGrad", "Momentum", "SGD", "Adam", "LazyAdam" or "AdamW", or a class of that name
             "optimizer_params"  NovoGrad: beta1 (0.95), beta2 (0.98), epsilon (1e-8, under the root, as there),
                                 weight_decay (0), grad_averaging (False); Momentum: momentum, use_nesterov (False);
                                 Adam: beta1 (0.9), beta2 (0.999), epsilon (1e-8), AdamW weight_decay too
             "larc_params"       where LARC is wanted: larc_eta, larc_mode ("clip"), min_update (1e-7), epsilon (1e-7);
                                 the factor is min_update where the weights are zero, as there
             "regularizer"       l2_regularizer, the function or its name, with "regularizer_params": scale. scale*w is
                                 part of the gradient, before max_grad_norm and LARC take its norm, as there
             "max_grad_norm"     limit of the norm of all gradients together; refused beside larc_params, as there
             "dtype"             "mixed": parameters must be float32, the master copies; train under torch.autocast
    params   parameters, (name, parameter) pairs, or groups
    lr       learning rate, a number or a tensor; None: learning_rate of "lr_policy_params". The policy is a scheduler
             of the result: `schedule_from_openseq2seq` makes it
    as_run   True: the steps that OpenSeq2Seq really took. Its NovoGrad never stores the average that beta2 stands for
             (seen by running it), so v is this step's |g|^2 whatever beta2 says: |g| = 1, 2, 3 give v = 1, 4, 9. Adam
             and AdamW are TensorFlow's (below). False: the formula of its page, which the configuration says and the
             paper has: v = 1, 1.06, 1.2188 with beta2 0.98; and torch's Adam. Momentum is the same either way
    regularize  function of name and parameter that says which parameters the regularizer takes, `torch.is_weight` of
             this package, say; None: all of params. There every layer says it of its own variables
    options  more keywords of the optimizer, such as lr_mult, capturable, flatten, threads, and of LARC around it:
             skip_larc, always_adapt, trust_coefficient, clip, min_update, zero_norm. All win over config's, betas= and
             weight_decay= too; refused are betas= beside as_run=True, and weight_decay= beside a regularizer

    "iter_size" is the loop's: that many backward passes of loss/iter_size before each step. So is "loss_scaling", which
    `scaler_from_openseq2seq` makes a GradScaler of: the gradients of a step are unscaled. Keys of the model, its data
    and logging are ignored.

    Returns `layerwise.torch.NovoGrad` or torch.optim's Adam or AdamW, in `layerwise.torch.LARC` with larc_params;
    `layerwise.torch.LARCSGD` for the others, without larc_params with skip_larc: plain SGD. With max_grad_norm, and
    where the regularizer's part has to be in the gradient itself (with NovoGrad, with AdamW, with regularize), a hook
    before the step changes the gradients in place. Copies and pickles of torch's optimizers lose it, as all hooks;
    those of this package's keep it.

    TensorFlow's Adam adds epsilon before the bias correction, torch's after: its epsilon is 31.6 times torch's at the
    first step and 1.26 times at the thousandth (beta2 0.999). TensorFlow's AdamW takes weight_decay*w off at every
    step, torch's lr*weight_decay*w. as_run takes TensorFlow's steps, by another hook. Its LazyAdam leaves rows of an
    embedding alone that a batch does not touch; torch's Adam steps them, as_run or not.

    Raises ValueError naming an unknown key or optimizer, a missing key or a wrong value; ImportError without PyTorch.
    """
    refuse_unknown(config, _KEYS, "config", ignored=_OTHER_KEYS)
    name = _optimizer_name(config.get("optimizer"))
    if name not in OPTIMIZER_KEYS:
        raise ValueError(f"optimizer is {config.get('optimizer')!r}: it must be one of {', '.join(OPTIMIZER_KEYS)}, or "
                         "a class of that name; others can be wrapped in layerwise.torch.LARC")
    if lr is None:
        lr = (config.get("lr_policy_params") or {}).get("learning_rate")
        if lr is None:
            raise ValueError("lr is None, and lr_policy_params has no learning_rate: one of them is needed")
    named = _named(name, config.get("optimizer_params") or {}, options, as_run)
    larc = None if config.get("larc_params") is None else _larc_options(config["larc_params"])
    l2, max_norm = _l2_scale(config, options), _max_norm(config)
    _check_dtype(config)
    _check_iter_size(config)
    if regularize is not None and not l2:
        raise ValueError("regularize is given, and the configuration has no regularizer, or one of scale 0")
    in_gradient = l2 != 0 and (max_norm is not None or regularize is not None or name in ("NovoGrad", "AdamW")
                               or (larc is not None and "fold_weight_decay" in options))
    if l2 and not in_gradient:
        named["weight_decay"] = l2
        if larc is not None:
            larc["fold_weight_decay"] = "gradient"
    decay = 0.0
    if as_run and name == "AdamW":
        decay = {**named, **options}["weight_decay"]
        options["weight_decay"] = 0.0
    with called(_WORDS):
        optimizer = _made(name, params, lr, named, larc, options)
    _refuse_halves(optimizer, config)
    if in_gradient or max_norm is not None:
        from .torch._gradients import PreparedGradients

        PreparedGradients(optimizer, l2 if in_gradient else 0.0, regularize, max_norm)
    if as_run and name in _ADAMS:
        from .torch._tensorflow_adam import TensorFlowAdam

        TensorFlowAdam(getattr(optimizer, "optimizer", optimizer), decay)
    return optimizer


def _optimizer_name(optimizer: Any) -> str:
    """A class's name is its optimizer's, with TensorFlow's suffix or without."""
    name = name_of(optimizer).removesuffix("Optimizer")
    return _CLASS_NAMES.get(name, name)


def name_of(thing: Any) -> str:
    """What a configuration says by a name, or by the class or function of that name."""
    return thing if isinstance(thing, str) else str(getattr(thing, "__name__", thing))


def _named(name: str, given: Mapping[str, Any], options: Mapping[str, Any], as_run: bool) -> dict[str, Any]:
    """The optimizer's keywords of optimizer_params."""
    known, where = OPTIMIZER_KEYS[name], f"optimizer_params of {name}"
    refuse_unknown(given, known, where, ignored=_WITHOUT_MEANING_HERE)
    _refuse_none(given, known, where)
    named = {known[key]: value for key, value in given.items() if key in known}
    if name in _NEEDED and _NEEDED[name] not in {**named, **options}:
        raise ValueError(f"optimizer_params lacks {_NEEDED[name]}, which {name} needs")
    if name in _BETAS:
        beta1, beta2 = _BETAS[name]
        named["betas"] = (named.pop("beta1", beta1), named.pop("beta2", beta2))
    if as_run and name == "NovoGrad":
        if "betas" in options:
            raise ValueError(f"betas is {options['betas']!r} beside as_run=True, which takes beta1 from the "
                             "configuration and 0 for beta2: leave one of them out")
        named["betas"] = (named["betas"][0], 0.0)
    return named


def _made(name: str, params: Any, lr: Any, named: dict[str, Any], larc: dict[str, Any] | None,
          options: dict[str, Any]) -> Optimizer:
    from . import torch as layerwise_torch  # says what is missing where PyTorch is
    import torch

    if name in ("Momentum", "SGD"):
        return layerwise_torch.LARCSGD(params, lr, **{"momentum": 0.0, **named, **(larc or {"skip_larc": True}),
                                                      **options})
    of_larc = {key: options.pop(key) for key in _OF_LARC if larc and key in options}
    if name == "NovoGrad":
        optimizer: Any = layerwise_torch.NovoGrad(
            params, lr, **{"eps": 0.0, "eps_root": 1e-8, "weight_decay": 0.0, **named, **options})
        of_larc["threads"] = optimizer.defaults["threads"]
    else:
        of_larc.update({key: options.pop(key) for key in ("threads", "group_multipliers") if larc and key in options})
        kind: Any = torch.optim.AdamW if name == "AdamW" else torch.optim.Adam
        optimizer = kind(params, lr, **{**named, **options})
    return optimizer if larc is None else layerwise_torch.LARC(optimizer, **{**larc, **of_larc})


def _larc_options(params: Mapping[str, Any]) -> dict[str, Any]:
    refuse_unknown(params, LARC_KEYS, "larc_params")
    _refuse_none(params, LARC_KEYS, "larc_params")
    if "larc_eta" not in params:
        raise ValueError("larc_params lacks larc_eta")
    values = {"larc_mode": "clip", "min_update": 1e-7, "epsilon": 1e-7, **params}
    if values["larc_mode"] not in _LARC_MODES:
        raise ValueError(f"larc_mode is {values['larc_mode']!r}: it must be 'clip' or 'scale'")
    values["larc_mode"] = _LARC_MODES[values["larc_mode"]]
    return {"zero_norm": "floor", **{LARC_KEYS[key]: value for key, value in values.items()}}


def _l2_scale(config: Mapping[str, Any], options: Mapping[str, Any]) -> float:
    if config.get("regularizer") is None:
        return 0.0
    if name_of(config["regularizer"]) != "l2_regularizer":
        raise ValueError(f"regularizer is {config['regularizer']!r}: it must be l2_regularizer; leave another one out, "
                         "and add its term to the loss")
    if "weight_decay" in options:
        raise ValueError(f"weight_decay is {options['weight_decay']!r} beside the configuration's regularizer: leave "
                         "one of them out")
    params = config.get("regularizer_params") or {}
    refuse_unknown(params, ("scale",), "regularizer_params", ignored=("scope",))
    if params.get("scale") is None:
        raise ValueError("regularizer_params lacks scale, which l2_regularizer needs")
    return number(params["scale"], "scale of regularizer_params", lambda scale: scale >= 0, "0 or more")


def _max_norm(config: Mapping[str, Any]) -> float | None:
    if config.get("max_grad_norm") is None:
        return None
    if config.get("larc_params") is not None:
        raise ValueError(f"max_grad_norm is {config['max_grad_norm']!r} beside larc_params: OpenSeq2Seq refuses the "
                         "two together, leave one of them out")
    return number(config["max_grad_norm"], "max_grad_norm", lambda norm: norm > 0, "positive")


def number(value: Any, name: str, holds: Callable[[float], bool], rule: str) -> float:
    if isinstance(value, (str, bool)) or not math.isfinite(value) or not holds(value):
        raise ValueError(f"{name} is {value!r}: it must be a finite number, {rule}")
    return float(value)


def _check_dtype(config: Mapping[str, Any]) -> None:
    dtype = config.get("dtype")
    if isinstance(dtype, str) and dtype not in _DTYPES:
        raise ValueError(f"dtype is {dtype!r}: it must be one of {', '.join(map(repr, _DTYPES))}, or TensorFlow's")


def _check_iter_size(config: Mapping[str, Any]) -> None:
    iter_size = config.get("iter_size")
    if iter_size is not None and (isinstance(iter_size, bool) or not isinstance(iter_size, int) or iter_size < 1):
        raise ValueError(f"iter_size is {iter_size!r}: it must be a whole number, 1 or more")


def _refuse_halves(optimizer: Optimizer, config: Mapping[str, Any]) -> None:
    """There the step is the float32 master copies'."""
    if not isinstance(config.get("dtype"), str) or config["dtype"] != "mixed":
        return
    for parameter in (parameter for group in optimizer.param_groups for parameter in group["params"]):
        if parameter.is_floating_point() and parameter.element_size() < 4:
            raise ValueError(f"dtype is 'mixed', and a parameter is {parameter.dtype}: parameters must be float32, the "
                             "master copies; train them under torch.autocast")


def _refuse_none(given: Mapping[str, Any], known: Container[str], where: str) -> None:
    for key, value in given.items():
        if value is None and key in known:
            raise ValueError(f"{key} of {where} is None: give a value, or leave the key out")


def refuse_unknown(given: Mapping[str, Any], known: Any, where: str, ignored: Container[str] = ()) -> None:
    unknown = [key for key in given if key not in known and key not in ignored]
    if unknown:
        raise ValueError(f"{where} has unknown keys: {', '.join(map(repr, unknown))}; known: "
                         f"{', '.join(known) or 'none'}")
