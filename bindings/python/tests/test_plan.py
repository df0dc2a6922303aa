"""The life of a plan: properties, closing, the garbage collector, threads, forks, copies.

Expected properties are counted by hand from the layout (a tile is 8192 elements of one layer).
"""

from __future__ import annotations

import copy
import gc
import os
import pickle
import subprocess
import sys
import threading
import weakref

import numpy as np
import pytest
from conftest import make_model

import layerwise


def test_properties_say_what_was_planned() -> None:
    with layerwise.Plan([10, 0, 8193], offsets=[8200, 5, 0], threads=1, isa="baseline") as plan:
        assert (plan.layers, plan.elements, plan.tiles, plan.extent) == (3, 8203, 3, 8210)
        assert (plan.device, plan.layout, plan.threads, plan.isa, plan.path) == ("cpu", "packed", 1, "baseline", "cpu")
        assert plan.workspace_bytes == 0 and plan.dtypes["weights_extra_dtype"] == "none"
        assert repr(plan) == "<layerwise.Plan: 3 layers, 8203 elements, packed, on cpu>"


def test_the_fingerprint_tells_layouts_apart_and_not_threads() -> None:
    prints = [layerwise.Plan(sizes, threads=threads).fingerprint for sizes, threads in (
        ([3, 4], 1), ([3, 4], 2), ([4, 3], 1))]
    assert prints[0] == prints[1] != prints[2]


def test_a_plan_without_layers_is_legal() -> None:
    empty = np.zeros(0, np.float32)
    with layerwise.Plan([]) as plan:
        plan.novograd_step(empty, empty, empty, empty, lr=0.1)
        assert plan.extent == 0


def test_a_closed_plan_is_refused_and_closes_twice() -> None:
    plan = layerwise.Plan([3])
    plan.close()
    plan.close()
    assert repr(plan) == "<layerwise.Plan, closed>"
    model = make_model([3])
    with pytest.raises(layerwise.ArgumentError, match="the plan is closed"):
        plan.larc_scale(model.weights, model.grads, lr=0.1)
    with pytest.raises(layerwise.ArgumentError, match="the plan is closed"):
        plan.set_layers()


def test_a_plan_that_was_never_made_is_collected_in_silence() -> None:
    with pytest.raises(layerwise.LayoutError):
        layerwise.Plan([-1])
    gc.collect()


def test_a_forgotten_plan_frees_what_it_owns() -> None:
    plan = layerwise.Plan([3])
    finalizer, ghost = plan._finalizer, weakref.ref(plan)
    del plan
    gc.collect()
    assert ghost() is None and finalizer is not None and not finalizer.alive


def test_plans_left_open_do_not_disturb_the_end_of_the_process() -> None:
    code = "import layerwise; plan = layerwise.Plan([100000] * 3); cycle = [plan]; cycle.append(cycle)"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=60,
                          env=dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)))
    assert done.returncode == 0 and not done.stderr


def test_a_plan_cannot_be_copied_or_pickled() -> None:
    with layerwise.Plan([3]) as plan:
        for attempt in (copy.copy, copy.deepcopy, pickle.dumps):
            with pytest.raises(TypeError, match="cannot be copied or pickled"):
                attempt(plan)


def test_steps_from_two_python_threads_on_one_plan_wait_for_each_other() -> None:
    sizes = [20000] * 8
    models = [make_model(sizes, seed) for seed in (1, 2)]
    with layerwise.Plan(sizes) as plan:
        def run(model: object) -> None:
            for _ in range(50):
                plan.novograd_step(model.weights, model.grads, model.first_moment, model.second_moment, lr=0.01)  # type: ignore[attr-defined]

        alone = make_model(sizes, 1)
        run(alone)
        threads = [threading.Thread(target=run, args=(model,)) for model in models]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert models[0].weights.tobytes() == alone.weights.tobytes()


def run_script(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60,
                          env=dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)))
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")


@forks
def test_a_forked_child_goes_on_with_its_parents_plan_and_both_end_well() -> None:
    """The parent's threads are not in the child. The right value is the parent's own next step."""
    assert run_script("""
import os, gc, numpy as np, layerwise
plan = layerwise.Plan([100000] * 3, threads=2)
random = np.random.default_rng(0)
weights, grads = random.standard_normal((2, 300000)).astype(np.float32)
moment, second = np.zeros_like(weights), np.zeros(3, np.float32)
plan.novograd_step(weights, grads, moment, second, lr=0.1)
read, write = os.pipe()
child = os.fork()
plan.novograd_step(weights, grads, moment, second, lr=0.1)
if child == 0:
    os.write(write, weights[::100].tobytes())
    plan.close()
    del plan
    gc.collect()
    os._exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert os.read(read, 100000) == weights[::100].tobytes()
print("ok")
""") == "ok"


@forks
def test_a_child_that_was_forked_amid_another_threads_step_does_not_wait_for_it() -> None:
    """The lock that the thread holds is copied as it is; a step that was under way may ask for reset()."""
    assert run_script("""
import os, signal, threading, numpy as np, layerwise
plan = layerwise.Plan([1000000], threads=2)
arrays = lambda: [np.ones(1000000, np.float32), np.ones(1000000, np.float32)]
mine, others = arrays(), arrays()
stop = threading.Event()
def run():
    while not stop.is_set():
        plan.larc_scale(*others, lr=0.1)
thread = threading.Thread(target=run)
thread.start()
for _ in range(10):
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        try:
            plan.larc_scale(*mine, lr=0.1)
        except layerwise.BackendError as error:
            assert "reset" in str(error)
            plan.reset()
            plan.larc_scale(*mine, lr=0.1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
stop.set()
thread.join()
print("ok")
""") == "ok"


@forks
def test_a_forked_child_is_told_that_it_cannot_use_a_cuda_plan() -> None:
    """Without a GPU: a plan that says it is one of CUDA."""
    assert run_script("""
import os, layerwise
plan = layerwise.Plan([3])
plan._on_cuda = True
child = os.fork()
if child == 0:
    try:
        plan.reset()
    except layerwise.ArgumentError as error:
        os._exit(7 if "forked" in str(error) and "spawn" in str(error) else 1)
    os._exit(2)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
""") == "7"


def test_experimental_ways_are_named_in_a_list_and_for_cuda() -> None:
    assert layerwise.Plan([3]).experimental == []
    with pytest.raises(layerwise.ArgumentError, match="experimental is 3 beside device"):
        layerwise.Plan([3], experimental=["bulk_copy", "dependent_launch", "bulk_copy"])
    with pytest.raises(layerwise.ArgumentError, match="'bulk'.*'dependent_launch'"):
        layerwise.Plan([3], experimental=["bulk"])  # type: ignore[list-item]
    for value in ("bulk_copy", None, 2):
        with pytest.raises(TypeError, match=f"experimental is {value!r}: it must be a list of names"):
            layerwise.Plan([3], experimental=value)  # type: ignore[arg-type]
