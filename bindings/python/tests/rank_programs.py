"""What ranks of a sharded model run, for tests by `on_ranks`; the same with whole layers in one process is `alone`."""

from __future__ import annotations

import gc
import time
import weakref
from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Replicate, Shard

from layerwise.torch import LARC, LARCSGD, NovoGrad
from layerwise.torch._shards import distribute
from on_ranks import program_of

torch.set_num_threads(1)

# More ranks than rows, uneven cuts, one element, one tile and more.
SHAPES = [(7, 5), (5,), (1,), (13, 3, 2), (2, 9001), (4, 6)]
NAMES = [f"layer{number}" for number in range(len(SHAPES))]


def _inner(params: Any, kind: Any, **options: Any) -> Any:
    return kind(params, **options)


MAKERS: dict[str, Callable[..., Any]] = {
    "NovoGrad": lambda params: NovoGrad(params, 0.01),
    "NovoGrad amsgrad": lambda params: NovoGrad(params, 0.01, amsgrad=True, bias_correction=True, grad_averaging=True,
                                                second_moment_dtype="float64"),
    "NovoGrad inf": lambda params: NovoGrad(params, 0.01, norm="inf", first_moment_dtype="bfloat16"),
    "NovoGrad decoupled": lambda params: NovoGrad(params, 0.01, decoupled_weight_decay=True, weight_decay=0.1,
                                                  seed_second_moment="first_step"),
    "NovoGrad multipliers": lambda params: NovoGrad(params, 0.01, lr_in_momentum=True,
                                                    lr_mult=[1, 0.5, 2, 1, 0.1, 1], wd_mult=0.5),
    "NovoGrad groups": lambda params: NovoGrad(
        [{"params": params[:2]}, {"params": params[2:4], "norm": "inf"}, {"params": params[4:], "lr": 0.002}], 0.01),
    "LARCSGD": lambda params: LARCSGD(params, 0.1, weight_decay=1e-3),
    "LARCSGD scale": lambda params: LARCSGD(params, 0.1, clip=False, fold_weight_decay=True, weight_decay=1e-2,
                                            nesterov=True, zero_norm="untouched"),
    "LARCSGD dampening": lambda params: LARCSGD(params, 0.1, dampening=0.3, fold_weight_decay="decoupled",
                                                weight_decay=1e-3, skip_larc=lambda name, p: name == "layer1"),
    "LARC(SGD)": lambda params: LARC(torch.optim.SGD(params, 0.1, momentum=0.9, weight_decay=1e-3), threads=1),
    "LARC(AdamW)": lambda params: LARC(torch.optim.AdamW(params, 0.01), fold_weight_decay=True, clip=False, threads=1),
    "LARC(NovoGrad)": lambda params: LARC(NovoGrad(params, 0.01), threads=1),
}


# Not with gradients of other dtypes than the parameters'.
FUSED_MAKERS: dict[str, Callable[..., Any]] = {
    "LARC(fused AdamW)": lambda params: LARC(torch.optim.AdamW(params, 0.01, fused=True), threads=1)}


def whole_weights(dtype: torch.dtype = torch.float32) -> list[torch.Tensor]:
    random = torch.Generator().manual_seed(1)
    return [torch.randn(shape, generator=random).to(dtype) for shape in SHAPES]


def whole_gradients(step: int, dtype: torch.dtype = torch.float32, bad: int | None = None) -> list[torch.Tensor]:
    """Of layers of different scales; those of layer `bad` are not finite."""
    random = torch.Generator().manual_seed(100 + step)
    grads = [torch.randn(shape, generator=random) * 10.0 ** (place - 3) for place, shape in enumerate(SHAPES)]
    if bad is not None:
        grads[bad].view(-1)[0] = torch.nan if step % 2 else torch.inf
    return [grad.to(dtype) for grad in grads]


def cut_like(whole: torch.Tensor, parameter: Any) -> Any:
    return distribute(whole, parameter.device_mesh, parameter.placements)


def cut_parameters(cut: str, dtype: torch.dtype = torch.float32) -> list[Any]:
    """cut: "rows"; "columns", of those that have them; "replicas", (Replicate, Shard(0)) on 2 ranks by what is left;
    "mixed", by rows, by columns, replicated, and plain ones."""
    ranks = dist.get_world_size()
    mesh = init_device_mesh("cpu", (2, ranks // 2) if cut == "replicas" else (ranks,))
    made = []
    for number, weight in enumerate(whole_weights(dtype)):
        by_columns = [Shard(min(1, weight.dim() - 1))]
        placements: Any = {"rows": [Shard(0)], "columns": by_columns, "replicas": [Replicate(), Shard(0)],
                           "mixed": [[Shard(0)], by_columns, [Replicate()], None][number % 4]}[cut]
        made.append(torch.nn.Parameter(weight if placements is None else
                                       distribute(weight, mesh, placements)))
    return made


def set_gradients(parameters: Iterable[Any], grads: list[torch.Tensor]) -> None:
    for parameter, grad in zip(parameters, grads, strict=True):
        parameter.grad = cut_like(grad, parameter) if isinstance(parameter, DTensor) else grad


def _whole(value: Any) -> Any:
    return value.full_tensor() if isinstance(value, DTensor) else value


def report(optimizer: Any, parameters: list[Any]) -> dict[str, Any]:
    """All that is to be the same on every rank."""
    states = [optimizer.state.get(parameter, {}) for parameter in parameters]
    return {"weights": [_whole(parameter.detach()) for parameter in parameters],
            "state": [{name: _whole(value) for name, value in state.items()} for state in states],
            "stats": optimizer.layer_stats(), "nonfinite": optimizer.nonfinite_layers()}


def _train(optimizer: Any, parameters: list[Any], steps: int, bad: dict[int, int], dtype: torch.dtype) -> None:
    for step in range(steps):
        set_gradients(parameters, whole_gradients(step, dtype, bad.get(step)))
        for group in optimizer.param_groups:
            group["lr"] = group["lr"] * 0.99
        optimizer.step()


def alone(maker: str, steps: int, bad: dict[int, int] | None = None, dtype: torch.dtype = torch.float32) -> Any:
    parameters = [torch.nn.Parameter(weight) for weight in whole_weights(dtype)]
    optimizer = MAKERS[maker](list(zip(NAMES, parameters, strict=True)))
    _train(optimizer, parameters, steps, bad or {}, dtype)
    return report(optimizer, parameters)


def several(rank: int, ranks: int, calls: list[tuple[str, dict[str, Any]]]) -> list[Any]:
    """Other programs, one after the other: what a process costs is its start."""
    return [program_of(name)(rank, ranks, **arguments) for name, arguments in calls]


def train(rank: int, ranks: int, makers: list[str], steps: int, cut: str = "rows", bad: dict[int, int] | None = None,
          dtype: torch.dtype = torch.float32) -> Any:
    """By maker."""
    reports = {}
    for maker in makers:
        parameters = cut_parameters(cut, dtype)
        optimizer = MAKERS[maker](list(zip(NAMES, parameters, strict=True)))
        _train(optimizer, parameters, steps, bad or {}, dtype)
        reports[maker] = report(optimizer, parameters)
    return reports


TILE = 8192  # elements of which the library adds the squares before it adds the sums, neighbours first


def of_tiles(tiles: int, maker: str, steps: int, mesh: Any = None) -> Any:
    """Weights and second moments after steps of a layer of so many tiles, whole or cut between them."""
    random = torch.Generator().manual_seed(2)
    weight, *grads = (torch.randn(tiles, TILE, generator=random) for _ in range(1 + steps))
    parameter: Any = torch.nn.Parameter(
        weight if mesh is None else distribute(weight, mesh, [Shard(0)]))
    optimizer = MAKERS[maker]([("layer0", parameter)])
    for grad in grads:
        set_gradients([parameter], [grad])
        optimizer.step()
    return report(optimizer, [parameter])


def cut_between_tiles(rank: int, ranks: int, makers: list[str], tiles: int, steps: int) -> dict[str, Any]:
    mesh = init_device_mesh("cpu", (ranks,))
    return {maker: of_tiles(tiles, maker, steps, mesh) for maker in makers}


# ---- One step, looked at ---------------------------------------------------------------------------------------------


def collectives_of_a_step(rank: int, ranks: int, makers: list[str]) -> dict[str, int]:
    """How many a step takes that is not the first."""
    from torch.distributed.tensor.debug import CommDebugMode

    counts = {}
    for maker in makers:
        parameters = cut_parameters("rows")
        optimizer = MAKERS[maker](list(zip(NAMES, parameters, strict=True)))
        _train(optimizer, parameters, 2, {}, torch.float32)
        set_gradients(parameters, whole_gradients(2))
        with CommDebugMode() as seen:
            optimizer.step()
        counts[maker] = seen.get_total_counts()
    return counts


def clipped_steps(rank: int, ranks: int, makers: list[str], flat: bool) -> dict[str, Any]:
    """Of each maker the norm, how many collectives clipping and step took together, and what a step made of it."""
    from torch.distributed.tensor.debug import CommDebugMode

    found = {}
    for maker in makers:
        parameters = cut_parameters("mixed" if not flat else "rows")
        optimizer = MAKERS[maker](list(zip(NAMES, parameters, strict=True)))
        if flat:
            values, pieces = flat_partition(whole_weights(), rank, ranks)
            parameters = [torch.nn.Parameter(values)]
            optimizer.param_groups[0]["params"] = parameters
            optimizer.set_pieces({parameters[0]: pieces})
        for step in range(2):
            if flat:
                parameters[0].grad = flat_partition(whole_gradients(step), rank, ranks)[0]
            else:
                set_gradients(parameters, whole_gradients(step))
            with CommDebugMode() as seen:
                norm = optimizer.clip_grad_norm_(5.0)
                optimizer.step()
        found[maker] = float(norm), seen.get_total_counts(), optimizer.layer_stats()
    return found


def changed_after_clipping(rank: int, ranks: int) -> tuple[Any, Any]:
    """Second moments, and those of gradients that are 3 times as large, told so by nothing but their values."""
    found = []
    for times in (1.0, 3.0):
        parameters = cut_parameters("rows")
        optimizer = NovoGrad(list(zip(NAMES, parameters, strict=True)), 0.01)
        set_gradients(parameters, whole_gradients(0))
        optimizer.clip_grad_norm_(5.0)
        torch._foreach_mul_([parameter.grad for parameter in parameters], times)
        optimizer.step()
        found.append([float(optimizer.state[parameter]["second_moment"]) for parameter in parameters])
    return found[0], found[1]


def gradients_in_other_orders(rank: int, ranks: int) -> tuple[list[float], list[float]]:
    """Second moments, and those of gradients with equal values whose local elements do not lie one after the other."""
    found = []
    for expanded in (False, True):
        parameters = cut_parameters("rows")
        optimizer = NovoGrad(list(zip(NAMES, parameters, strict=True)), 0.01)
        for parameter in parameters:
            local = parameter.detach().to_local()
            grad = torch.full((), 3.0).expand(local.shape) if expanded else torch.full(local.shape, 3.0)
            parameter.grad = DTensor.from_local(grad, parameter.device_mesh, parameter.placements, run_check=False,
                                                shape=parameter.shape, stride=parameter.stride())
        optimizer.step()
        found.append([float(optimizer.state[parameter]["second_moment"]) for parameter in parameters])
    return found[0], found[1]


def clipped_alone(maker: str) -> Any:
    parameters = [torch.nn.Parameter(weight) for weight in whole_weights()]
    optimizer = MAKERS[maker](list(zip(NAMES, parameters, strict=True)))
    for step in range(2):
        set_gradients(parameters, whole_gradients(step))
        norm = torch.nn.utils.clip_grad_norm_(parameters, 5.0)
        optimizer.step()
    return float(norm), optimizer.layer_stats()


def disagree(rank: int, ranks: int, maker: str, what: str, stepped: bool) -> tuple[str, bool]:
    """The error of a step in which rank 1 differs, and whether anything was written. stepped: after two that agree."""
    parameters = cut_parameters("rows")
    names = list(NAMES)
    odd = rank == 1
    if odd and what == "order":
        names[0], names[2] = names[2], names[0]
        parameters[0], parameters[2] = parameters[2], parameters[0]
    if odd and what == "fewer":
        names, parameters = names[:-1], parameters[:-1]
    if odd and what == "dtype":
        parameters[3] = torch.nn.Parameter(parameters[3].detach().bfloat16())
    optimizer = MAKERS[maker](list(zip(names, parameters, strict=True)))
    if odd and what == "second_moment_dtype":
        optimizer.param_groups[0]["second_moment_dtype"] = "float64"
    if stepped:
        _train(optimizer, parameters, 2, {}, torch.float32)
    grads = whole_gradients(3)
    set_gradients(parameters, [grads[NAMES.index(name)].to(p.dtype) for name, p in zip(names, parameters, strict=True)])
    group = optimizer.param_groups[0]
    if odd and what == "lr":
        group["lr"] *= 1.0000001
    if odd and what == "weight_decay":
        group["weight_decay"] += 0.1
    if odd and what == "gradient":
        parameters[1].grad = None
    if odd and what == "no gradients":
        for parameter in parameters:
            parameter.grad = None
    if odd and what == "lr 0":
        group["lr"] = 0.0
    if odd and what == "norm":
        group["norm"] = "inf"
    if odd and what == "frozen":
        parameters[1].requires_grad_(False).grad = None
    if odd and what == "second moment":
        optimizer.state[parameters[1]]["second_moment"].mul_(2)
    if odd and what == "state":
        optimizer.state[parameters[1]].clear()
    if odd and what == "refused":
        group["lr"] = -1.0
    before = [parameter.detach().to_local().clone() for parameter in parameters]
    try:
        if what == "max_norm":
            optimizer.clip_grad_norm_(1.0 + odd)
        elif odd and what == "clip":
            optimizer.clip_grad_norm_(1.0)
        else:
            optimizer.step()
        said = ""
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
    written = not all(torch.equal(was, parameter.detach().to_local())
                      for was, parameter in zip(before, parameters, strict=True))
    return said, written


def found_inf_on_one_rank(rank: int, ranks: int, maker: str) -> Any:
    parameters = cut_parameters("rows")
    optimizer = (MAKERS | FUSED_MAKERS)[maker](list(zip(NAMES, parameters, strict=True)))
    _train(optimizer, parameters, 1, {}, torch.float32)
    set_gradients(parameters, whole_gradients(3))
    before = report(optimizer, parameters)
    optimizer.grad_scale, optimizer.found_inf = torch.tensor(1.0), torch.tensor(float(rank == 1))
    optimizer.step()
    return before, report(optimizer, parameters)


def zero_step(rank: int, ranks: int) -> tuple[bool, Any]:
    """What checkpoint tools do for state; then a first step with lr 0 and gradients on one rank alone."""
    parameters = cut_parameters("rows")
    optimizer = NovoGrad(list(zip(NAMES, parameters, strict=True)), 0.0)
    for parameter in parameters:
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    fresh = all(float(optimizer.state[p]["step"]) == 0 for p in parameters)
    for parameter in parameters:
        parameter.grad.to_local().fill_(float(rank == 1))
    optimizer.step()
    return fresh, report(optimizer, parameters)


def state_kinds(rank: int, ranks: int) -> list[dict[str, Any]]:
    parameters = cut_parameters("rows")
    optimizer = NovoGrad(list(zip(NAMES, parameters, strict=True)), 0.01)
    _train(optimizer, parameters, 1, {}, torch.float32)
    return [{name: (type(value).__name__, tuple(value.shape), str(getattr(value, "placements", "")))
             for name, value in optimizer.state[parameter].items()} for parameter in parameters]


# ---- Flat engines ----------------------------------------------------------------------------------------------------

FLAT_MAKERS = [name for name in MAKERS if name not in (
    "NovoGrad multipliers", "NovoGrad groups", "LARCSGD dampening")]  # which give parameters values of their own


def flat_partition(whole: list[torch.Tensor], rank: int, ranks: int) -> tuple[torch.Tensor, list[Any]]:
    """As ZeRO 1 and 2 cut: all layers one after the other, padded, an equal part for each rank."""
    from layerwise.torch.pieces import Piece

    joined = torch.cat([each.flatten() for each in whole])
    part = -(-joined.numel() // ranks)
    first, last = part * rank, part * (rank + 1)
    flat = torch.nn.functional.pad(joined, (0, part * ranks - joined.numel()))[first:last].clone()
    pieces, at = [], 0
    for name, each in zip(NAMES, whole, strict=True):
        begin, end = max(at, first), min(at + each.numel(), last)
        if begin < end:
            pieces.append(Piece(name, each.numel(), begin - at, begin - first, end - begin))
        at += each.numel()
    return flat, pieces


def flat_engine(rank: int, ranks: int, makers: list[str], steps: int, bad: dict[int, int] | None = None,
                reload: bool = False, begin: int = 0, full: dict[str, Any] | None = None) -> Any:
    """From step `begin` on with the state and the weights of whole layers, by maker."""
    from layerwise.torch.pieces import full_state, load_full_state

    reports = {}
    for maker in makers:
        optimizer, flat, pieces = _of_flat(maker, rank, ranks)
        optimizer.set_pieces({flat: pieces})
        if full is not None:
            load_full_state(optimizer, full[maker])
        for step in range(steps):
            optimizer.param_groups[0]["lr"] *= 0.99
            if step < begin:
                continue
            flat.grad = flat_partition(whole_gradients(step, bad=(bad or {}).get(step)), rank, ranks)[0]
            optimizer.step()
            if reload:
                optimizer.load_state_dict(optimizer.state_dict())
        gathered = [torch.empty_like(flat) for _ in range(ranks)]
        dist.all_gather(gathered, flat.detach())
        joined, weights = torch.cat(gathered), []
        for shape in SHAPES:
            size = torch.Size(shape).numel()
            weights.append(joined[:size].reshape(shape))
            joined = joined[size:]
        kinds = {name: tuple(value.shape) for name, value in optimizer.state[flat].items()}
        reports[maker] = {"weights": weights, "stats": optimizer.layer_stats(),
                          "nonfinite": optimizer.nonfinite_layers(), "padding": joined,
                          "kinds": (kinds, flat.numel(), len(pieces)), "full": full_state(optimizer, weights=True)}
    return reports


def _of_flat(maker: str, rank: int, ranks: int) -> tuple[Any, torch.nn.Parameter, list[Any]]:
    """An optimizer of a flat parameter, whose pieces are not set yet."""
    optimizer = MAKERS[maker](list(zip(NAMES, [torch.nn.Parameter(weight) for weight in whole_weights()], strict=True)))
    values, pieces = flat_partition(whole_weights(), rank, ranks)
    flat = torch.nn.Parameter(values)
    optimizer.param_groups[0]["params"] = [flat]
    optimizer.param_groups[0].pop("param_names", None)
    return optimizer, flat, pieces


def wrong_full_state(rank: int, ranks: int, maker: str, of: dict[str, Any]) -> dict[str, tuple[str, bool]]:
    """By what is wrong: what this rank's load says, and whether it has written."""
    from layerwise.torch.pieces import full_state, load_full_state

    optimizer, flat, pieces = _of_flat(maker, rank, ranks)
    said = {}
    try:
        full_state(optimizer)
    except RuntimeError as error:
        said["no pieces"] = f"RuntimeError: {error}", False
    optimizer.set_pieces({flat: pieces})
    before = flat.detach().clone()
    for what, state in of.items():
        try:
            load_full_state(optimizer, state)
            error = ""
        except (TypeError, ValueError) as raised:
            error = f"{type(raised).__name__}: {raised}"
        said[what] = error, bool(optimizer.state[flat]) or not torch.equal(flat, before)
    return said


def unlike_states(rank: int, ranks: int) -> list[str]:
    """What full_state says where rank 1 has taken another number of steps, and where it has no state."""
    from layerwise.torch.pieces import full_state

    optimizer, flat, pieces = _of_flat("NovoGrad", rank, ranks)
    optimizer.set_pieces({flat: pieces})
    flat.grad = torch.ones_like(flat)
    optimizer.step()
    said = []
    for change in (lambda state: state["step"].add_(1), lambda state: state.clear()):
        if rank == 1:
            change(optimizer.state[flat])
        try:
            said.append(f"{len(full_state(optimizer))} layers")
        except RuntimeError as error:
            said.append(str(error))
    return said


def wrong_pieces(rank: int, ranks: int, what: str) -> str:
    given = [torch.nn.Parameter(weight) for weight in whole_weights()]
    optimizer = NovoGrad(given, 0.01)
    values, pieces = flat_partition(whole_weights(), rank, ranks)
    flat = torch.nn.Parameter(values)
    optimizer.param_groups[0]["params"] = [flat]
    if rank == 1:
        first = pieces[0]
        pieces[0] = {"size": first._replace(size=first.size + 1), "hole": first._replace(numel=first.numel - 1),
                     "outside": first._replace(offset=flat.numel()), "shifted": first._replace(begin=first.begin - 1),
                     "twice": first}[what]
        if what == "twice":
            pieces.append(first._replace(layer=NAMES[0], size=35, begin=0, numel=1, offset=flat.numel() - 1))
    try:
        optimizer.set_pieces({flat: pieces})
        flat.grad = torch.ones_like(flat)
        optimizer.step()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "stepped"


def flat_refusals(rank: int, ranks: int, maker: str, what: str) -> tuple[str, bool]:
    """What is said of a step that rank 1 refuses for its flat parameter's sake, and whether anything was written."""
    import copy

    optimizer = MAKERS[maker]([torch.nn.Parameter(weight) for weight in whole_weights()])
    values, pieces = flat_partition(whole_weights(), rank, ranks)
    flat = torch.nn.Parameter(values)
    optimizer.param_groups[0]["params"] = [flat]
    try:
        if what == "options" and rank == 1:
            optimizer.param_groups[0]["lr_mult"] = (1.0,)
        optimizer.set_pieces({flat: pieces})
        if what == "copy":
            optimizer = copy.deepcopy(optimizer)
            [flat] = optimizer.param_groups[0]["params"]
        flat.grad = torch.ones_like(flat)
        if what == "moved" and rank == 1:
            flat.data = flat.data.clone()
        if what == "decay" and rank == 1:
            optimizer.param_groups[0]["weight_decay"] = -1.0
        optimizer.step()
    except Exception as error:
        written = not torch.equal(flat, values) or (flat.grad is not None and bool((flat.grad != 1).any()))
        return f"{type(error).__name__}: {error}", written
    return "stepped", True


def closure_that_raises(rank: int, ranks: int, flat: bool) -> tuple[str, bool]:
    """On rank 1 alone, which then ends: the error, and whether anything was written."""
    parameters = cut_parameters("rows")
    optimizer: Any = NovoGrad(list(zip(NAMES, parameters, strict=True)), 0.01)
    grads = [list(map(cut_like, whole_gradients(step), parameters)) for step in range(2)]
    if flat:
        values, pieces = flat_partition(whole_weights(), rank, ranks)
        parameters = [torch.nn.Parameter(values)]
        optimizer.param_groups[0]["params"] = parameters
        optimizer.set_pieces({parameters[0]: pieces})
        grads = [[flat_partition(whole_gradients(step), rank, ranks)[0]] for step in range(2)]

    def closure() -> float:
        if rank == 1 and step:
            raise KeyError("its own")
        for parameter, grad in zip(parameters, grads[step], strict=True):
            parameter.grad = grad
        return 1.0

    said, before = "stepped", None
    try:
        for step in range(2):
            before = [local.clone() for local in _locals(parameters)]
            optimizer.step(closure)
    except Exception as error:
        said = type(error).__name__
    dist.destroy_process_group()  # as the end of a process does
    return said, not all(map(torch.equal, before or [], _locals(parameters)))


def sums_that_are_held(rank: int, ranks: int, maker: str) -> list[bool]:
    """Of each message of the last step, whether Python has it when the optimizer is gone and gloo is done with it."""
    parameters = cut_parameters("rows")
    optimizer = MAKERS[maker](list(zip(NAMES, parameters, strict=True)))
    messages: list[weakref.ref[torch.Tensor]] = []
    all_reduce = dist.all_reduce

    def recording(tensor: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        messages.append(weakref.ref(tensor))
        return all_reduce(tensor, *args, **kwargs)

    dist.all_reduce = recording
    try:
        for step in range(2):
            messages.clear()
            for parameter, grad in zip(parameters, whole_gradients(step), strict=True):
                parameter.grad = cut_like(grad, parameter)
            optimizer.step()
    finally:
        dist.all_reduce = all_reduce
    del optimizer, parameters
    gc.collect()
    time.sleep(0.2)
    return [message() is not None for message in messages]


def _locals(parameters: Iterable[Any]) -> list[torch.Tensor]:
    return [each.detach().to_local() if isinstance(each, DTensor) else each.detach() for each in parameters]


def before_set_pieces(rank: int, ranks: int, maker: str) -> list[str]:
    from layerwise.torch import pieces

    given = [torch.nn.Parameter(weight) for weight in whole_weights()]
    optimizer = MAKERS[maker](given)
    flat = torch.nn.Parameter(flat_partition(whole_weights(), rank, ranks)[0])
    optimizer.param_groups[0]["params"] = [flat]
    said = []
    for awaited, value in ((True, 0.0), (True, 1.0), (False, 1.0)):
        flat.grad = torch.full_like(flat, value)
        try:
            if awaited:
                with pieces.awaited(optimizer):
                    optimizer.step()
            else:
                optimizer.step()
            said.append("nothing" if not optimizer.state and torch.equal(
                flat, flat_partition(whole_weights(), rank, ranks)[0]) else "stepped")
        except (RuntimeError, ValueError) as error:
            said.append(str(error))
    return said
