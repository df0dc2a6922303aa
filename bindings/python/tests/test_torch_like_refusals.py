"""What layerwise.torch.like refuses, by the peer's name, and what it takes in several forms.

Silence is the hazard: an argument, an exclusion or a checkpoint that is dropped gives a run that is quietly another.
Right values are what the peers' own constructors and checkpoints have.
"""

from __future__ import annotations

import copy
import json
import pickle
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import pytest
import torch_models  # skips where PyTorch is missing
from test_torch_like import FILES, Replay, resumed, run_of

import layerwise.torch
from layerwise.torch import like

torch = torch_models.torch


def named() -> list[tuple[str, Any]]:
    return [("conv.weight", torch.nn.Parameter(torch.ones(3, 2))), ("conv.bias", torch.nn.Parameter(torch.ones(3)))]


def sgd(**arguments: Any) -> dict[str, Any]:
    return {"class": "torch.optim.SGD", "arguments": {"lr": 0.1, **arguments}}


@pytest.mark.parametrize(("name", "arguments", "error", "text"), [
    ("timm.optim.Lars", {"trust_coefficient": 0.1}, TypeError, "timm.optim.Lars has no argument 'trust_coefficient'; "
                                                               "it has lr, momentum, .*trust_coeff"),
    ("lightly.LARS", {"lr": 0.1, "eta": 0.1}, TypeError, "lightly.utils.lars.LARS has no argument 'eta'"),
    ("lightly.LARS", {}, TypeError, "lightly.utils.lars.LARS needs lr"),
    ("optax.lars", {"learning_rate": 0.1, "lr": 0.1}, TypeError, "optax.lars has no argument 'lr'"),
    ("paddle.LarsMomentumOptimizer", {"learning_rate": 0.1}, TypeError, "needs momentum"),
    ("apex.parallel.LARC", {}, TypeError, "apex.parallel.LARC needs optimizer"),
    ("apex.parallel.LARC", {"optimizer": sgd(betas=1)}, TypeError, "torch.optim.SGD has no argument 'betas'"),
    ("apex.parallel.LARC", {"optimizer": {"class": "numpy.ndarray"}}, ValueError, "optimizer of apex.parallel.LARC"),
    ("apex.parallel.LARC(torch.optim.Adam)", {"optimizer": sgd()}, ValueError, "torch.optim.Adam"),
    ("chainer.GradientLARS", {"optimizer": sgd()}, ValueError, "chainer.optimizers.MomentumSGD"),
    ("nemo.Novograd", {"luc": True}, ValueError, "luc=True is not served.*LAMB"),
    ("tf_models.LARS", {"classic_momentum": False}, ValueError, "classic_momentum=False is not served"),
    ("bitsandbytes.optim.LARS", {"lr": 0.1}, ValueError, "bitsandbytes.optim.LARS is not served.*update"),
    ("bitsandbytes.PytorchLARS", {"lr": 0.1}, ValueError, "bitsandbytes.optim.PytorchLARS is not served"),
    ("apex.optimizers.FusedLAMB", {}, ValueError, "no LAMB"),
    ("mindspore.nn.LARS", {}, ValueError, "mindspore.nn.LARS is not served"),
    ("LARS", {}, ValueError, "is the name of .*lightly.utils.lars.LARS"),
    ("torch.optim.Adam", {}, ValueError, "no name of the table.*timm.optim.Lars"),
    ("", {}, ValueError, "no name of the table"),
    (None, {}, TypeError, "name of a class"),
    ("apex.FusedNovoGrad", {"amsgrad": True}, ValueError, "amsgrad=True is not served"),
    ("apex.FusedNovoGrad", {"norm_type": 1}, ValueError, "norm_type is 1: it must be one of 2, 0"),
    ("tinygrad.LARS", {"pre_wd": False}, ValueError, "pre_wd=False is not served"),
    ("paddle.LarsMomentumOptimizer", {"learning_rate": 0.1, "momentum": 0.9, "multi_precision": True}, ValueError,
     "multi_precision=True is not served.*master"),
    ("mxnet.LARS", {"clip_gradient": 1.0}, ValueError, "clip_gradient=1.0 is not served"),
    ("timm.Lars", {"lr": float("nan")}, ValueError, "lr is nan"),
    ("timm.Lars", {"trust_clip": 2}, ValueError, "trust_clip is 2: it must be one of True, False"),
    ("solo.LARSWrapper", {"optimizer": {"arguments": {"lr": 0.1}}}, TypeError, "optimizer of solo.utils.lars.LARSWrapper"),
    ("apex.FusedNovoGrad", {"betas": 0.9}, TypeError, "betas is 0.9"),
    ("paddle.LarsMomentumOptimizer", {"learning_rate": 0.1, "momentum": 0.9, "rescale_grad": 0.0}, ValueError,
     "rescale_grad is 0.0"),
    ("classy_vision.optim.SGD", {"use_larc": True}, ValueError, "apex.parallel.LARC around torch.optim.SGD"),
    ("timm.Lars", {"momentum": -1.0}, ValueError, "momentum"),
    ("optax.chain", {"chain": [{"class": "optax.adam", "arguments": {}}, {"class": "optax.scale"}]}, ValueError,
     "optax.chain of optax.adam, optax.scale is not served"),
    ("optax.chain", {"chain": [{"class": "optax.scale_by_novograd"}, {"class": "optax.add_decayed_weights"}]},
     ValueError, "is not served"),
    ("optax.partition", {"transforms": {"a": {"class": "optax.lars", "arguments": {"learning_rate": 1.0}}, "b": {
        "class": "optax.novograd", "arguments": {"learning_rate": 1.0}}}, "param_labels": "a where ndim > 1, else b"},
     ValueError, "must be of one kind"),
    ("optax.lars", {"learning_rate": 0.1, "weight_decay_mask": "size > 1"}, ValueError, "weight_decay_mask is 'size"),
    ("optax.lars", {"learning_rate": 0.1, "weight_decay_mask": "open('x')"}, ValueError, "weight_decay_mask is"),
    ("optax.lars", {"learning_rate": 0.1, "weight_decay_mask": "ndim"}, ValueError, "weight_decay_mask is 'ndim'"),
    ("optax.lars", {"learning_rate": 0.1, "weight_decay_mask": {"conv": {"weight": True}}}, ValueError, "conv.bias"),
])
def test_it_is_refused_by_name(name: Any, arguments: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        like(name, named(), **arguments)


def test_names_are_needed_where_the_peer_goes_by_names() -> None:
    parameters = [parameter for _, parameter in named()]
    given = {"learning_rate": 0.1, "skip_list": ["bias"]}
    with pytest.raises(ValueError, match=r"tensorflow\.contrib\.opt\.LARSOptimizer goes by names, by skip_list"):
        like("tf.contrib.opt.LARSOptimizer", parameters, **given)
    like("tf.contrib.opt.LARSOptimizer", parameters, learning_rate=0.1)
    stated = like("tf.contrib.opt.LARSOptimizer", [{"params": parameters[:1], "skipped": False},
                                                   {"params": parameters[1:], "skipped": True}], **given)
    assert [group["skip_larc"] for group in stated.param_groups] == [False, (True,)]


def test_a_group_may_not_have_an_option_of_ours_that_the_peer_does_not_have() -> None:
    """timm's is trust_coeff; it would pass over trust_coefficient in silence, and ours would take it."""
    with pytest.raises(ValueError, match=r"trust_coefficient=0.1, which timm.optim.Lars does not have"):
        like("timm.Lars", [{"params": named(), "trust_coefficient": 0.1}])
    optimizer = like("timm.Lars", [{"params": named(), "trust_coeff": 0.1, "name": "all", "initial_lr": 1.0}])
    group = optimizer.param_groups[0]
    assert (group["trust_coefficient"], group["name"], group["initial_lr"]) == (0.1, "all", 1.0)


def test_a_frameworks_multipliers_are_not_applied_again() -> None:
    """mmengine has multiplied lr and weight_decay by lr_mult and decay_mult already."""
    ours = like("mmpretrain.LARS", [{"params": named(), "lr": 1.0, "lr_mult": 10.0, "decay_mult": 10.0}], lr=0.1)
    plain = like("mmpretrain.LARS", [{"params": named(), "lr": 1.0}], lr=0.1)
    for optimizer in (ours, plain):
        for parameter in optimizer.param_groups[0]["params"]:
            parameter.grad = torch.ones_like(parameter)
        optimizer.step()
    assert ours.param_groups[0]["lr_mult"] == 10.0
    for one, other in zip(ours.param_groups[0]["params"], plain.param_groups[0]["params"], strict=True):
        assert torch.equal(one, other)


def test_a_wrappers_inner_optimizer_may_be_an_instance() -> None:
    run = run_of("solo.LARSWrapper-SGD-exclude")
    first, second = (Replay(run, run["initial_weights"]) for _ in range(2))
    groups = [{"params": [second.parameters[name] for name in group["names"]], **group["options"]}
              for group in run["groups"]]
    inner = torch.optim.SGD(groups, **run["arguments"]["optimizer"]["arguments"])
    second.optimizer = like("solo.utils.lars.LARSWrapper", inner, eta=0.02, clip=True, exclude_bias_n_norm=True)
    assert isinstance(first.optimizer, layerwise.torch.LARCSGD) and isinstance(second.optimizer, layerwise.torch.LARC)
    for number in range(10):
        for replay in (first, second):
            replay.step(number)
            assert replay.distance(number) < 2e-6
    second.optimizer.load_peer_state_dict(copy.deepcopy(first.optimizer.peer_state_dict()))
    for number in range(10, 20):
        second.step(number)
        assert second.distance(number) < 2e-6
    for other in (copy.deepcopy(second), pickle.loads(pickle.dumps(first))):
        other.step(19)
        assert other.optimizer.like == "solo.utils.lars.LARSWrapper"
    adam = torch.optim.Adam([torch.nn.Parameter(torch.ones(3))], lr=0.1)
    with pytest.raises(ValueError, match=r"Adam in solo.utils.lars.LARSWrapper has exp_avg, exp_avg_sq, step"):
        like("solo.LARSWrapper", adam).load_peer_state_dict(
            {"state": {0: {"momentum_buffer": torch.ones(3)}}, "param_groups": adam.state_dict()["param_groups"]})
    step = {"exp_avg": [0.5, 0.25, 1.0], "exp_avg_sq": [1.0, 2.0, 3.0], "step": 10.0}
    wrapped = like("solo.LARSWrapper", adam)
    wrapped.load_peer_state_dict({"state": {"0": step}, "param_groups": adam.state_dict()["param_groups"]})
    state = adam.state[adam.param_groups[0]["params"][0]]
    assert {name: value.tolist() for name, value in state.items()} == step  # as lists, as files have them
    with pytest.raises(ValueError, match="params are others"):
        like("solo.LARSWrapper", named(), optimizer=adam)


def test_a_wrapper_may_hold_another_of_the_names() -> None:
    inner = {"class": "timm.optim.NvNovoGrad", "arguments": {"lr": 0.1, "weight_decay": 0.01}}
    ours = like("apex.parallel.LARC", named(), optimizer=inner, trust_coefficient=0.1)
    other = layerwise.torch.LARC(layerwise.torch.NovoGrad(named(), 0.1, weight_decay=0.01), 0.1, zero_norm="untouched",
                                 fold_weight_decay=True)
    for optimizer in (ours, other):
        for _ in range(2):
            for parameter in optimizer.param_groups[0]["params"]:
                parameter.grad = torch.ones_like(parameter)
            optimizer.step()
    for one, two in zip(ours.param_groups[0]["params"], other.param_groups[0]["params"], strict=True):
        assert torch.equal(one, two) and not torch.equal(one, torch.ones_like(one))
    assert set(ours.peer_state_dict()["state"][0]) == {"step", "exp_avg", "exp_avg_sq"}


def test_the_learning_rate_may_be_a_function_of_the_completed_steps() -> None:
    run = run_of("optax.lars-masks")
    rates = run["lr_per_step"]
    run = {**run, "arguments": {**run["arguments"], "learning_rate": lambda count: rates[count]}}
    replay = resumed(run)
    replay.set_lr = lambda lr: None
    for number in range(10, 20):
        replay.step(number)
        assert replay.distance(number) < 2e-6
    tinygrad = run_of("tinygrad.LARS")
    uncounted = {**tinygrad, "arguments": {**tinygrad["arguments"], "lr": lambda count: tinygrad["lr_per_step"][count]}}
    with pytest.raises(ValueError, match=r"tinygrad.nn.optim.LARS holds no number of steps.*: give step"):
        resumed(uncounted)
    replay = Replay(uncounted, uncounted["expected_weights_per_step"][9])
    replay.set_lr = lambda lr: None
    replay.optimizer.load_peer_state_dict(uncounted["state_after_10"], step=10)
    replay.step(10)
    assert replay.distance(10) < 2e-6
    unset = resumed(run_of("optax.lars-masks"))
    unset.set_lr = lambda lr: None
    before = {name: parameter.detach().clone() for name, parameter in unset.parameters.items()}
    with pytest.raises(TypeError, match="lr is None"):
        unset.step(10)
    assert all(torch.equal(before[name], parameter) for name, parameter in unset.parameters.items())


def spoiled(name: str) -> list[tuple[str, Any]]:
    """Checkpoints that are not the peer's."""
    state = run_of(name)["state_after_10"]
    found = [("nothing", {}), ("a list", []), ("Adam's", {
        "state": {0: {"step": 3, "exp_avg": [0.0], "exp_avg_sq": [0.0], "max_exp_avg_sqs": [0.0]}},
        "param_groups": [{"lr": 0.1, "params": list(range(8))}]}), ("bitsandbytes'", {
            "state": {0: {"step": 3, "__bnb_optimizer_quant_state__": {"state1": [0.0], "unorm_vec": [0.0]}}},
            "param_groups": [{"params": [0]}]})]
    if isinstance(state, dict):
        extra = copy.deepcopy(state)
        extra["another"] = [1.0, 2.0]
        found.append(("one entry more", extra))
    return found


@pytest.mark.parametrize("name", FILES)
def test_another_checkpoint_is_refused_by_the_peers_name_and_nothing_is_loaded(name: str) -> None:
    run = run_of(name)
    for what, state in spoiled(name):
        replay = Replay(run, run["initial_weights"])
        replay.set_lr(0.25)
        before = copy.deepcopy(replay.optimizer.state_dict())
        if what == "one entry more" and "param_groups" in run["state_after_10"]:
            continue  # torch's own loaders pass over keys beside state and param_groups
        with pytest.raises(ValueError, match=replay.optimizer.like.replace(".", r"\.")):
            replay.optimizer.load_peer_state_dict(state)
        after = replay.optimizer.state_dict()
        assert after["param_groups"] == before["param_groups"] and not after["state"], what


@pytest.mark.parametrize("mask", [
    "ndim > 1", "ndim >= 2 and True", "not ndim == 1", "'bias' not in name", "name.endswith(('weight', 'scale'))",
    lambda parameter: parameter.ndim > 1, lambda tree: {name: leaf.ndim > 1 for name, leaf in tree.items()},
    {"conv.weight": True, "conv.bias": False}, {"conv": {"weight": True, "bias": False}},
])
def test_masks_as_their_users_write_them(mask: Any) -> None:
    optimizer = like("optax.lars", named(), learning_rate=0.1, weight_decay=0.1, weight_decay_mask=mask,
                     trust_ratio_mask=mask)
    assert optimizer.param_groups[0]["wd_mult"] == (1.0, 0.0)
    assert optimizer.param_groups[0]["skip_larc"] == (False, True)
    chained = like("optax.chain", named(), chain=[
        {"class": "optax.scale_by_novograd"},
        {"class": "optax.add_decayed_weights", "arguments": {"weight_decay": 0.1, "mask": mask}},
        {"class": "optax.scale_by_learning_rate", "arguments": {"learning_rate": 0.1}}])
    assert chained.param_groups[0]["wd_mult"] == (1.0, 0.0)


def test_colossalais_groups_without_lars_are_neither_scaled_nor_decayed() -> None:
    first, second = named(), named()
    ours = like("colossalai.nn.optimizer.Lars", [{"params": first, "lars": False}], lr=0.1, momentum=0.9,
                weight_decay=0.1)
    plain = torch.optim.SGD([parameter for _, parameter in second], lr=0.1, momentum=0.9)
    for optimizer, parameters in ((ours, first), (plain, second)):
        for _ in range(3):
            for _, parameter in parameters:
                parameter.grad = torch.ones_like(parameter)
            optimizer.step()
    for (_, one), (_, other) in zip(first, second, strict=True):
        torch.testing.assert_close(one, other)


def test_a_checkpoint_of_a_plain_optimizer_of_ours_loads() -> None:
    parameters = named()
    plain = layerwise.torch.LARCSGD(parameters, 0.1)
    for _, parameter in parameters:
        parameter.grad = torch.ones_like(parameter)
    plain.step()
    optimizer = like("tinygrad.LARS", named())
    optimizer.load_state_dict(plain.state_dict())
    assert set(optimizer.peer_state_dict()) == {"params.0", "params.1", "lr", "b.0", "b.1"}


def test_mxnets_momentum_needs_the_rate_of_its_last_step() -> None:
    run = run_of("mxnet.LARS-correction")
    replay = Replay(run, run["expected_weights_per_step"][9])
    with pytest.raises(ValueError, match="momentum_correction has the learning rate of its last step"):
        replay.optimizer.load_peer_state_dict(run["state_after_10"])
    replay.optimizer.load_peer_state_dict(run["state_after_10"], lr=run["lr_per_step"][9])
    replay.step(10)
    assert replay.distance(10) < 2e-6
    other = resumed(run_of("mxnet.LARS-no-correction"))
    with pytest.raises(TypeError, match="has no learning rate in its momentum"):
        other.optimizer.load_peer_state_dict(run["state_after_10"], lr=1.0)


def test_fastais_do_wd_leaves_a_parameter_out_of_decay() -> None:
    """fastai's Learner sets it for biases and norms, and it is saved in their state."""
    run = run_of("fastai.Larc-clip")
    state = copy.deepcopy(run["state_after_10"])
    state["state"][0]["do_wd"] = False
    replay = Replay(run, run["expected_weights_per_step"][9])
    replay.optimizer.load_peer_state_dict(state)
    assert replay.optimizer.param_groups[0]["wd_mult"] == (0.0, 1.0, 1.0, 1.0, 1.0)


def test_the_names_are_listed_with_their_arguments_and_defaults() -> None:
    listed = layerwise.torch.peers()
    assert listed["timm.optim.Lars"]["trust_coeff"] == 0.001
    assert listed["lightly.utils.lars.LARS"]["lr"] == "required"
    assert len(listed) >= 29
    assert json.dumps(listed)


@pytest.mark.parametrize("name", ["timm.Lars", "timm.optim.lars.Lars", "timm.nlarc", "timm.novogradc", "lightly.LARS",
                                  "apex.FusedNovoGrad", "tfa.NovoGrad", "solo.LARSWrapper", "mxnet.LARS"])
def test_short_forms(name: str) -> None:
    wrapper = ({"optimizer": sgd()} if name.endswith("Wrapper") else {"lr": 0.1} if name.startswith("li") else
               {"momentum": 0.9} if name == "timm.nlarc" else {})
    assert like(name, named(), **wrapper).like.startswith(name.split(".")[0].replace("tfa", "tensorflow_addons"))


def test_classes_themselves_and_params_by_keyword() -> None:
    inner = {"class": torch.optim.SGD, "arguments": {"lr": 0.1}}
    assert isinstance(like("apex.parallel.LARC", params=named(), optimizer=inner), layerwise.torch.LARCSGD)
    lars = type("LARS", (), {"__module__": "lightly.utils.lars"})
    assert like(lars, named(), lr=0.1).like == "lightly.utils.lars.LARS"


def test_it_works_without_jax() -> None:
    code = ("import sys; sys.modules['jax'] = None\nimport torch, layerwise.torch\n"
            "layerwise.torch.like('timm.Lars', [torch.nn.Parameter(torch.ones(2))])")
    assert subprocess.run([sys.executable, "-c", code], timeout=120).returncode == 0


def test_fastais_checkpoint_is_a_list_of_its_own() -> None:
    """Its hypers are fastcore's L, a collections.abc.Sequence that is no list."""
    class L(Sequence):  # type: ignore[type-arg]
        def __init__(self, items: list[Any]) -> None:
            self.items = items

        def __getitem__(self, index: Any) -> Any:
            return self.items[index]

        def __len__(self) -> int:
            return len(self.items)

    run = run_of("fastai.Larc-clip")
    replay = Replay(run, run["expected_weights_per_step"][9])
    state = run["state_after_10"]
    replay.optimizer.load_peer_state_dict({**state, "hypers": L(state["hypers"])})
    replay.step(10)
    assert replay.distance(10) < 2e-6


def test_a_group_needs_params() -> None:
    with pytest.raises(TypeError, match="a parameter group has 'weight_decay' and no params"):
        like("timm.Lars", [{"weight_decay": 0.1}])


def test_optaxs_multi_transform_is_its_partition() -> None:
    """optax's older name of it, which it still has."""
    run = run_of("optax.novograd-partition")
    replay = Replay({**run, "class": "optax.multi_transform"}, run["initial_weights"])
    replay.step(0)
    assert replay.distance(0) < 2e-6


def test_apexs_norms_are_of_each_groups_own_kind() -> None:
    parameters = [torch.nn.Parameter(torch.ones(4)) for _ in range(2)]
    optimizer = like("apex.FusedNovoGrad", [{"params": parameters[:1], "norm_type": 0},
                                            {"params": parameters[1:], "norm_type": 2}])
    for parameter in parameters:
        parameter.grad = torch.full((4,), 3.0)
    optimizer.step()
    norms = [group["exp_avg_sq"][1].tolist() for group in optimizer.peer_state_dict()["param_groups"]]
    assert norms == [[3.0], [6.0]]  # the infinity norm and the L2 norm of four 3s


@pytest.mark.parametrize(("ours", "theirs", "text"), [
    ("timm.Lars-lars", "mmpretrain.LARS-nesterov", "eta=0.02"), ("timm.Lars-lars", "colossalai.Lars", "eeta=1.0"),
    ("timm.Lars-lars", "holocron.LARS", "no 'trust_coeff'"), ("lightly.LARS", "torchlars.LARS-SGD", "maximize=False"),
    ("mmpretrain.LARS-exclude", "holocron.LARS", "no 'eta'"), ("holocron.LARS", "mmpretrain.LARS-exclude", "eta=0.02"),
    ("solo.LARSWrapper-SGD", "mmpretrain.LARS-nesterov", "eta=0.02"),
    ("torchlars.LARS-SGD", "timm.Lars-lars", "always_adapt=False"),
    ("colossalai.Lars", "solo.LARSWrapper-SGD", "dampening=0"), ("lightly.LARS", "timm.NvNovoGrad", "amsgrad="),
    ("nemo.Novograd", "timm.NvNovoGrad-novogradw", "corrected_weight_decay=False")])
def test_a_momentum_of_another_meaning_is_refused(ours: str, theirs: str, text: str) -> None:
    """All of LARS' states are a momentum_buffer: with lr inside, of raw gradients, of scaled ones. The keys of the
    groups say whose it is; loaded in silence, they were up to 2.8 off."""
    replay = Replay(run_of(ours), run_of(ours)["initial_weights"])
    with pytest.raises(ValueError, match=text) as raised:
        replay.optimizer.load_peer_state_dict(run_of(theirs)["state_after_10"])
    assert replay.optimizer.like in str(raised.value) and not replay.optimizer.state_dict()["state"]
