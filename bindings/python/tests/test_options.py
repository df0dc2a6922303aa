"""The options of the steps, of every binding that shows them, against the library.

Its description of the ABI says which there are, its initializers what their defaults are. A default that is typed
again, in a signature, a docstring or a comment, and then changes in one place alone is a wrong result without an error.
"""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import layerwise
from layerwise import _abi, _library
from layerwise._options import defaults

CHECKOUT = Path(__file__).resolve().parents[3]
STEPS = {"novograd_step": (_abi.NovogradOptions,), "larc_scale": (_abi.LarcOptions,),
         "larc_sgd_step": (_abi.LarcOptions, _abi.SgdOptions)}
STRUCTS = [_abi.NovogradOptions, _abi.LarcOptions, _abi.SgdOptions]


def default(struct: type[_abi.Struct], name: str) -> Any:
    """The library's, as this package spells it."""
    value, option = getattr(defaults(struct), name), struct.options[name]
    if option.kind == "selector":
        return next(choice for choice, number in option.choices.items() if number == value)
    return bool(value) if option.kind == "flag" else value


def described(struct: type[_abi.Struct]) -> list[str]:
    """The options by the library's description: its members, without what the ABI keeps for itself."""
    account = json.loads(_library.library().layerwise_abi_description())
    names = [field["name"] for field in account["structs"][struct.c_name]["fields"]]
    return [name for name in names if name != "struct_size" and not name.startswith("reserved")
            and not (name.endswith("_ptr") and name[:-4] in names)]


def buffers() -> list[Any]:
    return [np.zeros(1, np.float32) for _ in range(4)]


@pytest.mark.parametrize("step", STEPS)
def test_every_option_of_the_library_is_a_keyword_with_its_explanation(step: str) -> None:
    method = getattr(layerwise.Plan, step)
    parameters = inspect.signature(method).parameters
    for struct in STEPS[step]:
        assert list(struct.options) == described(struct)
        for name in described(struct):
            assert parameters[name].kind is inspect.Parameter.KEYWORD_ONLY
            assert parameters[name].default is (inspect.Parameter.empty if name == "lr" else None)
            assert re.search(rf"^(\w+, )*{name}\b", method.__doc__, re.M), name


@pytest.mark.parametrize("name", ["beta3", "struct_size", "reserved", "lr_ptr", "options"])
def test_what_is_no_option_is_refused_by_name(name: str) -> None:
    weights, grads, moment, second = buffers()
    given: dict[str, Any] = {name: 0}
    plan = layerwise.Plan([1])
    with pytest.raises(TypeError, match=f"unexpected keyword argument '{name}'"):
        plan.novograd_step(weights, grads, moment, second, lr=0.1, **given)
    with pytest.raises(TypeError, match=f"unexpected keyword argument '{name}'"):
        plan.larc_scale(weights, grads, lr=0.1, **given)
    with pytest.raises(TypeError, match=f"unexpected keyword argument '{name}'"):
        plan.larc_sgd_step(weights, grads, moment, lr=0.1, **given)
    with pytest.raises(TypeError, match="lr"):
        plan.larc_sgd_step(weights, grads, moment)  # type: ignore[call-arg]


@pytest.mark.parametrize("struct", STRUCTS)
def test_the_headers_comments_state_the_librarys_defaults(struct: type[_abi.Struct]) -> None:
    """From them come the comments and docstrings of every binding."""
    for name, option in struct.options.items():
        if option.kind == "pointer" or name == "lr":
            continue
        found = re.search(r"default (\S+?)[,;:]?( |$)|(\S+) \(default\)", option.comment)
        assert found, f"{struct.c_name}.{name} states no default: {option.comment}"
        value = default(struct, name)
        said = (found[1] or found[3]).strip('"')
        assert (said if isinstance(value, str) else said == "True" if isinstance(value, bool) else float(said)) == value


@pytest.mark.parametrize("struct", STRUCTS)
def test_a_flag_or_choice_outside_its_values_is_refused_by_name(struct: type[_abi.Struct]) -> None:
    """What a caller in C may write; the header says which values there are."""
    plan = layerwise.Plan([])
    others = {other: defaults(other) for other in STRUCTS}
    others[_abi.LarcOptions].lr = others[_abi.NovogradOptions].lr = 0.1
    for name, option in struct.options.items():
        if option.kind not in ("flag", "selector"):
            continue
        for value in (-1, max(option.choices.values(), default=1) + 1):
            options = struct.from_buffer_copy(others[struct])
            setattr(options, name, value)
            larc, sgd, novograd = [options if other is struct else others[other] for other in (
                _abi.LarcOptions, _abi.SgdOptions, _abi.NovogradOptions)]
            loaded, none = _library.library(), [None] * 6
            status = loaded.novograd_step(plan._handle, *none, None, None, novograd, None) if options is novograd else (
                loaded.larc_sgd_step(plan._handle, *none, larc, sgd, None))
            message = loaded.layerwise_last_error().decode()
            assert status == _abi.ERROR["unknown_flag"] and f"{name} is {value}; it must lie in [0, " in message, message


def shown(function: Any) -> dict[str, Any]:
    return {name: parameter.default for name, parameter in inspect.signature(function).parameters.items()
            if parameter.default is not inspect.Parameter.empty}


def test_a_plans_signature_shows_the_librarys_defaults() -> None:
    options, ours = defaults(_abi.PlanOptions), shown(layerwise.Plan)
    numbers = {"device": {"cpu": -1}, "layout": _abi.LAYOUT, "isa": _abi.ISA, "path": {"auto": 0}, "experimental": {(): 0},
               **{name: _abi.DTYPE | {None: 0} for name in ours if name.endswith("_dtype")}}
    for name, value in ours.items():
        assert (numbers[name][value] if name in numbers else value) == (getattr(options, name) or (
            None if name in ("offsets", "workspace") else 0)), name
    norm = _abi.NORM[shown(layerwise.Plan.partial_norms)["norm"]]
    assert norm == defaults(_abi.NovogradOptions).norm


@pytest.mark.parametrize("name", ["NovoGrad", "LARCSGD", "LARC"])
def test_the_signatures_of_torch_show_the_librarys_defaults(name: str) -> None:
    pytest.importorskip("torch")
    import layerwise.torch

    ours = shown(getattr(layerwise.torch, name))
    structs = {"NovoGrad": [_abi.NovogradOptions], "LARCSGD": [_abi.LarcOptions, _abi.SgdOptions],
               "LARC": [_abi.LarcOptions]}[name]
    theirs = {option: default(struct, option) for struct in structs for option in struct.options
              if struct.options[option].kind != "pointer"}
    spelled = {"betas": (theirs.get("beta1"), theirs.get("beta2")), "trust_coefficient": theirs.get("eta"),
               "clip": theirs.get("mode") == "clip"}
    held = 0
    for option, value in ours.items():
        if option in spelled or (option in theirs and option != "lr"):
            expected = spelled.get(option, theirs.get(option))
            # What may be off is False or True here: its second name is what True stands for.
            if isinstance(value, bool) and isinstance(expected, str):
                choices = next(kind.options[option].choices for kind in structs if option in kind.options)
                value = {number: choice for choice, number in choices.items()}[value]
            assert value == expected, option
            held += 1
        elif option.endswith("_dtype"):
            assert value == shown(layerwise.Plan)[option]
    # Every option is shown but those that the optimizer fills itself, and one that LARC takes from the group it wraps.
    filled = {"lr", "step", "grad_scale", "advance_step", "rounding", "seed"}
    within = {"beta1", "beta2", "eta", "mode"} | ({"weight_decay", "maximize"} if name == "LARC" else set())
    assert set(theirs) - filled - within <= set(ours) and held > 4


@pytest.mark.parametrize("name", ["novograd", "larc", "larc_sgd"])
def test_the_signatures_of_jax_show_the_librarys_defaults(name: str) -> None:
    pytest.importorskip("jax")
    import layerwise.jax

    function = getattr(layerwise.jax, name)
    structs = [_abi.NovogradOptions] if name == "novograd" else [_abi.LarcOptions, _abi.SgdOptions]
    ours = {option: value for option, value in shown(function).items() if value is not None}
    theirs = {option: default(struct, option) for struct in structs for option in struct.options if option in ours}
    assert theirs == {option: value for option, value in ours.items() if not option.endswith("_dtype")}
    for option in ("seed", "step", "lr_ptr", "beta3"):
        with pytest.raises(TypeError, match=f"unexpected keyword argument '{option}'"):
            function(0.1, **{option: 1})


def test_julias_plan_shows_the_librarys_defaults() -> None:
    source = (CHECKOUT / "bindings/julia/src/plan.jl").read_text()
    found = re.search(r"function Plan\(sizes; (.*?)\)\n", source, re.S)
    assert found
    ours = dict(re.findall(r"(\w+) = ([^,]+?)(?:,|$)", found[1]))
    types = {"Float32": "float32", "nothing": "none"}
    numbers = {":packed": _abi.LAYOUT["packed"], ":auto": _abi.ISA["auto"], "nothing": 0}
    options = defaults(_abi.PlanOptions)
    names = {"instruction_set": "isa", **{name: name + "_dtype" for name in (
        "weights", "grads", "first_moment", "second_moment", "weights_extra")}}
    assert len(ours) == 13
    for name, value in ours.items():
        field = names.get(name, name)
        number = _abi.DTYPE[types[value]] if field.endswith("_dtype") else numbers.get(value, value)
        assert int(number) == (getattr(options, field) or 0), name
    steps = (CHECKOUT / "bindings/julia/src/steps.jl").read_text()
    momentum = re.search(r"`momentum` is 0; its\s+default is (\d[\d.]*\d)", steps)
    assert momentum and float(momentum[1]) == default(_abi.SgdOptions, "momentum")
