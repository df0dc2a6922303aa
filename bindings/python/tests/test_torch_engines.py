"""The table from which Megatron-core takes an optimizer by its name, and the state that its checkpoints take. What
stands in for Megatron has the names of 0.19.2; test_torch_megatron.py has Megatron itself."""

from __future__ import annotations

import dataclasses
import pickle
import sys
import types
from typing import Any

import pytest
import torch_models  # skips where PyTorch is missing

import layerwise.torch
from layerwise.torch import LARCSGD, NovoGrad, engines

torch = torch_models.torch


@dataclasses.dataclass
class Entry:
    optimizer_cls: type
    init_state_fn: Any = None
    config_to_kwargs: Any = None
    default_param_overrides: dict[Any, Any] = dataclasses.field(default_factory=lambda: {"small layers": "adam"})


def create(config: Any, param_groups: Any, eopt_name: Any, model_chunks: Any, pg_collection: Any) -> Any:
    entry = sys.modules["megatron.core.optimizer.emerging_optimizers"]._EMERGING_OPTIMIZERS[eopt_name]
    return entry.optimizer_cls(param_groups, **entry.config_to_kwargs(config, model_chunks, pg_collection))


@pytest.fixture()
def megatron(monkeypatch: pytest.MonkeyPatch) -> Any:
    made = {name: types.ModuleType(name) for name in (
        "megatron", "megatron.core", "megatron.core.optimizer", "megatron.core.optimizer.emerging_optimizers")}
    for name, module in made.items():
        monkeypatch.setitem(sys.modules, name, module)
    made["megatron.core"].__version__ = "0.19.2"  # type: ignore[attr-defined]
    table: Any = made["megatron.core.optimizer.emerging_optimizers"]
    table._EMERGING_OPTIMIZERS, table.EmergingOptimizerEntry = {"muon": "its own"}, Entry
    table._create_emerging_optimizer, table.HAVE_EMERGING_OPTIMIZERS = create, True
    return table


def config(**more: Any) -> Any:
    return types.SimpleNamespace(**{"lr": 0.02, "weight_decay": 0.1, "decoupled_weight_decay": False,
                                    "sgd_momentum": 0.5, "adam_beta2": 0.999, **more})


def groups(*shapes: tuple[int, ...]) -> list[dict[str, Any]]:
    torch.manual_seed(0)
    return [{"params": [torch.nn.Parameter(torch.randn(shape)) for shape in shapes], "wd_mult": 0.5, "lr_mult": 0.25,
             "is_expert_parallel": False, "max_lr": 0.02, "min_lr": None}]


SHAPES = [(6, 4), (4,), (5, 6), (5,), (1,)]


def made(megatron: Any, name: str, *shapes: tuple[int, ...], **more: Any) -> Any:
    return create(config(**more), groups(*(shapes or SHAPES)), name, [], None)


def stepped(optimizer: Any, steps: int, first: int = 0) -> list[Any]:
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for step in range(first, first + steps):
        random = torch.Generator().manual_seed(step)
        for parameter in parameters:
            parameter.grad = torch.randn(parameter.shape, generator=random)
        optimizer.step()
    return [parameter.detach().clone() for parameter in parameters]


def test_its_groups_step_as_ours_without_its_multipliers(megatron: Any) -> None:
    """Megatron has multiplied weight_decay by wd_mult when it steps, and lr by nothing."""
    engines.register_megatron(novograd={"bias_correction": True})
    assert list(megatron._EMERGING_OPTIMIZERS) == ["muon", "novograd", "larcsgd"]
    assert all(megatron._EMERGING_OPTIMIZERS[name].default_param_overrides == {} for name in ("novograd", "larcsgd"))
    twins = groups(*SHAPES)[0]["params"]
    ours = NovoGrad(twins, 0.02, weight_decay=0.1, bias_correction=True)
    assert all(map(torch.equal, stepped(made(megatron, "novograd"), 3), stepped(ours, 3)))
    twins = groups(*SHAPES)[0]["params"]
    ours_too = LARCSGD(twins, 0.02, weight_decay=0.1, momentum=0.5)
    assert all(map(torch.equal, stepped(made(megatron, "larcsgd"), 3), stepped(ours_too, 3)))


def test_options_are_the_configurations_then_its_own_under_our_name_then_those_given(megatron: Any) -> None:
    engines.register_megatron(novograd={"eps": 0.5}, larcsgd={"clip": False})
    group = made(megatron, "novograd", decoupled_weight_decay=True, novograd_betas=(0.9, 0.5), novograd_eps=0.1,
                 novograd_weight_decay=0.3).param_groups[0]
    assert (group["lr"], group["weight_decay"], group["betas"], group["eps"]) == (0.02, 0.3, (0.9, 0.5), 0.5)
    assert group["decoupled_weight_decay"] is True
    group = made(megatron, "larcsgd").param_groups[0]
    assert (group["lr"], group["weight_decay"], group["momentum"], group["clip"]) == (0.02, 0.1, 0.5, False)


@pytest.mark.parametrize(("name", "options"), [("novograd", {"amsgrad": True}), ("larcsgd", {})])
def test_state_is_saved_in_the_shape_of_its_parameter_and_goes_on(megatron: Any, name: str, options: Any) -> None:
    """Megatron refuses to save what has another shape, keeps "step" once for all, and leaves out entries whose names
    are a part of that word."""
    engines.register_megatron(**{name: options})
    whole = made(megatron, name)
    expected = stepped(whole, 4)
    first, second = made(megatron, name), made(megatron, name)
    before = stepped(first, 2)
    saved = first.state_dict()
    for index, shape in enumerate(SHAPES):
        entries = saved["state"][index]
        assert all(value.shape == shape and value.is_contiguous()
                   for entry, value in entries.items() if entry != "step")
        assert [entry for entry in entries if entry in "step"] == ["step"]
    megatron._EMERGING_OPTIMIZERS[name].init_state_fn(second, config())
    for parameter, value in zip(second.param_groups[0]["params"], before, strict=True):
        parameter.data.copy_(value)
    second.load_state_dict(saved)
    assert all(second.state[p][entry].dim() == 0 for p in second.state for entry in second.state[p]
               if "second_moment" in entry)
    assert all(map(torch.equal, stepped(second, 2, 2), expected))


def test_a_second_moment_that_differs_within_a_layer_is_refused(megatron: Any) -> None:
    engines.register_megatron()
    optimizer = made(megatron, "novograd")
    stepped(optimizer, 1)
    saved = optimizer.state_dict()
    saved["state"][0]["second_moment"][1, 2] += 1
    before = pickle.dumps([optimizer.state[p] for p in optimizer.param_groups[0]["params"]])
    with pytest.raises(ValueError, match="second_moment of parameter 0 has 24 values .* a layer has one"):
        optimizer.load_state_dict(saved)
    assert pickle.dumps([optimizer.state[p] for p in optimizer.param_groups[0]["params"]]) == before


def test_state_is_made_for_masters_which_need_no_gradient(megatron: Any) -> None:
    engines.register_megatron()
    optimizer = made(megatron, "novograd")
    masters = [parameter.detach().clone() for parameter in optimizer.param_groups[0]["params"]]
    optimizer.param_groups[0]["params"] = masters
    megatron._EMERGING_OPTIMIZERS["novograd"].init_state_fn(optimizer, config())
    assert all(set(optimizer.state[master]) == {"step", "first_moment", "second_moment"} for master in masters)


@pytest.mark.parametrize("kept", [[1, 3], [3], [], [0]], ids=str)
def test_a_rank_steps_the_whole_layers_that_it_is_left_with(megatron: Any, kept: list[int]) -> None:
    """Biases alone, say: vectors in the place of matrices are a flat partition elsewhere."""
    engines.register_megatron()
    optimizer = made(megatron, "novograd")
    masters = [optimizer.param_groups[0]["params"][place].detach().clone() for place in kept]
    optimizer.param_groups[0]["params"] = masters
    twins = [torch.nn.Parameter(master.clone()) for master in masters]
    stepped(optimizer, 1)
    if twins:
        stepped(NovoGrad(twins, 0.02, weight_decay=0.1), 1)
    assert all(map(torch.equal, masters, twins))


def test_flat_shards_of_its_distributed_optimizer_are_refused_still(megatron: Any) -> None:
    engines.register_megatron()
    optimizer = made(megatron, "novograd")
    optimizer.param_groups[0]["params"] = [p.detach().flatten()[:-1] for p in optimizer.param_groups[0]["params"][:4]]
    with pytest.raises(ValueError, match="flat partition"):
        stepped(optimizer, 1)


@pytest.mark.parametrize("change", [
    {"_EMERGING_OPTIMIZERS": None}, {"EmergingOptimizerEntry": dataclasses.make_dataclass("Other", ["optimizer_cls"])},
    {"_create_emerging_optimizer": lambda config, param_groups: None}], ids=lambda change: next(iter(change)))
def test_another_table_than_that_of_0_19_is_refused(megatron: Any, change: dict[str, Any]) -> None:
    table = megatron._EMERGING_OPTIMIZERS
    for name, value in change.items():
        setattr(megatron, name, value)
    with pytest.raises(RuntimeError, match=r"Megatron-core 0\.19\.2 has another table of optimizers than 0\.19"):
        engines.register_megatron()
    assert list(table) == ["muon"]


def test_what_is_missing_is_named(megatron: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TypeError, match="novograd has betta: NovoGrad has no such option"):
        engines.register_megatron(novograd={"betta": 1})
    megatron.HAVE_EMERGING_OPTIMIZERS = False
    with pytest.raises(ImportError, match="pip install emerging-optimizers"):
        engines.register_megatron()
    monkeypatch.setitem(sys.modules, "megatron.core.optimizer.emerging_optimizers", None)
    with pytest.raises(ImportError, match=r"register_megatron needs Megatron-core 0\.19"):
        engines.register_megatron()
    assert list(megatron._EMERGING_OPTIMIZERS) == ["muon"]


def test_engines_and_pieces_come_with_the_package() -> None:
    """README writes layerwise.torch.pieces.deepspeed after import layerwise.torch."""
    assert layerwise.torch.engines is engines and callable(layerwise.torch.pieces.deepspeed)
