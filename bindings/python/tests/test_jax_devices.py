"""layerwise.jax on a mesh of devices (of the host): where arrays lie before and after a step, what a device holds, and
what JAX's own check of jax.shard_map sees.

The right values: the step on one device; NumPy's float64 for models that are independent; optax's novograd for memory.
Layers that are cut have the bits of one device but for the order in which their sums are added: 8 roundings, as in
test_vectors.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from processes import compiler, python

VERSION = pytest.importorskip("jax", reason="jax is not installed here").__version_info__
pytest.importorskip("optax", reason="optax is not installed here")

# JAX 0.7.0 and 0.7.1 lower the addition in a psum of float64 to a function of float32 while x64 is off.
SUMS_FLOAT64 = not (0, 7, 0) <= VERSION < (0, 7, 2)
needs_sums_of_float64 = pytest.mark.skipif(not SUMS_FLOAT64, reason="this JAX does not compile sums of float64 over "
                                           "devices: layers cut over a mesh are refused")

BEFORE = """
import re, sys
import jax, jax.numpy as jnp, numpy as np, optax, layerwise.jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec as P

devices = np.array(jax.devices())
mesh = Mesh(devices.reshape(2, -1), ("replica", "model"))
random = np.random.default_rng(0)
SHAPES = {"kernel": (256, 96), "bias": (64,), "table": (512, 40), "wide": (64, 1024), "scale": (), "whole": (33, 5)}
SPECS = {"kernel": P("model"), "bias": P(("replica", "model")), "table": P("replica", "model"),
         "wide": P(None, "model"), "scale": P(), "whole": P()}
PARAMS, GRADS = ({name: jnp.asarray(random.normal(size=shape), jnp.float32) for name, shape in SHAPES.items()}
                 for _ in range(2))
OPTIMIZERS = {"novograd": layerwise.jax.novograd(0.1), "larc_sgd": layerwise.jax.larc_sgd(0.1, eta=0.02),
              "novograd inf": layerwise.jax.novograd(0.1, norm="inf", amsgrad=True, bias_correction=True),
              "larc": optax.chain(layerwise.jax.larc(0.1, eta=0.02), optax.sgd(0.1, momentum=0.9)),
              "injected": optax.inject_hyperparams(layerwise.jax.novograd)(0.1, beta1=0.9)}

def on(mesh, tree, specs=SPECS):
    return {name: jax.device_put(leaf, NamedSharding(mesh, specs[name])) for name, leaf in tree.items()}

def update_of(optimizer):
    def train_step(params, grads, state):
        updates, state = optimizer.update(grads, state, params)
        return optax.apply_updates(params, updates), state
    return train_step

def steps_of(optimizer):
    return [update_of(optimizer)] + ([optimizer.step] if hasattr(optimizer, "step") else [])

def near(got, want, before):
    got, want, before = (np.asarray(x, np.float64) for x in (got, want, before))
    ulps = np.spacing(np.abs(want).astype(np.float32))
    return bool((np.abs(got - want) <= 8 * 2.0**-24 * np.abs(want - before) + ulps).all())

def lies_as(got, like):
    return got.sharding.is_equivalent_to(like.sharding, like.ndim)
"""


@pytest.fixture(scope="module", autouse=True)
def needs_handlers() -> None:
    compiler()


def on_devices(code: str, count: int = 4, *arguments: object, level: int = 0) -> list[str]:
    """What a script prints. LLVM's optimization level takes its time and moves no array."""
    flags = f"--xla_force_host_platform_device_count={count} --xla_backend_optimization_level={level}"
    return python(BEFORE + code, *arguments, XLA_FLAGS=flags)


@pytest.fixture(scope="module")
def printed() -> dict[str, list[str]]:
    """What each of SCRIPTS prints on four devices. They share a process, which is most of their time; each begins with
    variables of its own, and what one raises is the last that it prints."""
    lines = on_devices(f"""
import traceback
for name, code in {SCRIPTS!r}.items():
    print("script", name)
    try:
        exec(code, dict(globals(), random=np.random.default_rng(1)))
    except Exception:
        traceback.print_exc(file=sys.stdout)
""")
    found: dict[str, list[str]] = {}
    for line in lines:
        if line.startswith("script "):
            found[line.split()[1]] = []
        else:
            found[[*found][-1]].append(line)
    return found


SHARDED = """
for name, optimizer in OPTIMIZERS.items():
    placed, grads = on(mesh, PARAMS), on(mesh, GRADS)
    for step in steps_of(optimizer):
        for run in [jax.jit(step)] + [step] * (name == "novograd"):
            got, state, want, its = placed, optimizer.init(placed), PARAMS, optimizer.init(PARAMS)
            for _ in range(2):
                (got, state), (want, its) = run(got, grads, state), run(want, GRADS, its)
            for leaf in SHAPES:
                if not lies_as(got[leaf], placed[leaf]):
                    print(name, leaf, "lies as", got[leaf].sharding)
                if not near(got[leaf], want[leaf], PARAMS[leaf]):
                    print(name, leaf, "differs")
                if run is not step and leaf in ("scale", "whole") and not np.array_equal(got[leaf], want[leaf]):
                    print(name, leaf, "is whole on each device and has other bits")
            for path, leaf in jax.tree_util.tree_leaves_with_path(state):
                like = placed.get(getattr(path[-1], "key", None))
                if leaf.ndim and leaf.shape == like.shape and not lies_as(leaf, like):
                    print(name, jax.tree_util.keystr(path), "lies as", leaf.sharding)
print("done")
"""


# Hazard: a call that XLA cannot look into gathers sharded arrays, and returns them replicated on every device.
@needs_sums_of_float64
def test_sharded_arrays_stay_sharded_and_have_the_values_of_one_device(printed: dict[str, list[str]]) -> None:
    assert printed["SHARDED"] == ["done"]


MEMORY = """
def bytes_of(step, *arguments, **options):
    compiled = jax.jit(step, **options).lower(*arguments).compile()
    memory = compiled.memory_analysis()
    gathers = len(re.findall(r"all-gather|all-to-all|collective-permute", compiled.as_text()))
    reductions = len(re.findall(r"= [^=]* all-reduce(?:-start)?\\(", compiled.as_text()))
    return (memory.argument_size_in_bytes + memory.output_size_in_bytes + memory.temp_size_in_bytes
            - memory.alias_size_in_bytes), gathers, reductions

params, grads = on(mesh, PARAMS), on(mesh, GRADS)
theirs = {(rival, donated): bytes_of(update_of(peer), params, grads, peer.init(params), donate_argnums=donated)[0]
          for rival, peer in (("novograd", optax.novograd(0.1)), ("larc", optax.sgd(0.1, momentum=0.9)))
          for donated in ((), (0, 2))}
for name, optimizer in OPTIMIZERS.items():
    rival = "larc" if name.startswith("larc") else "novograd"
    apart = rival == "larc" and jax.__version_info__ < (0, 7)  # XLA did not make one exchange of LARC's two sums yet
    for step in steps_of(optimizer):
        ours, gathers, reductions = bytes_of(step, params, grads, optimizer.init(params))
        if ours > 1.2 * theirs[rival, ()] or gathers or reductions != 1 + apart:
            print(name, ours / theirs[rival, ()], gathers, reductions)
    if hasattr(optimizer, "step"):
        ours, _, _ = bytes_of(optimizer.step, params, grads, optimizer.init(params), donate_argnums=(0, 2))
        if ours > 1.2 * theirs[rival, (0, 2)]:
            print(name, "donated", ours / theirs[rival, (0, 2)])
print("done")
"""


@needs_sums_of_float64
def test_a_device_holds_no_more_than_with_optax_and_sums_alone_are_exchanged(printed: dict[str, list[str]]) -> None:
    assert printed["MEMORY"] == ["done"]


TYPES = """
typed = jax.make_mesh((2, 2), ("replica", "model"), axis_types=(AxisType.Explicit,) * 2)
optimizer = OPTIMIZERS["novograd"]
want, _ = jax.jit(optimizer.step)(PARAMS, GRADS, optimizer.init(PARAMS))
for run in (optimizer.step, jax.jit(optimizer.step)):
    for spec in (SPECS, {**SPECS, "table": P("model", "replica")}):  # gradients cut as their parameters, and otherwise
        placed = on(typed, PARAMS)
        got, state = run(placed, on(typed, GRADS, spec), optimizer.init(placed))
        print(all(jax.typeof(got[leaf]) == jax.typeof(placed[leaf]) == jax.typeof(state.first_moment[leaf])
                  for leaf in SHAPES), all(near(got[leaf], want[leaf], PARAMS[leaf]) for leaf in SHAPES))

def first_step(params):
    return optimizer.step(params, params, optimizer.init(params))[0]

many = jnp.asarray(random.normal(size=(4, 8, 6)), jnp.float32)
for spec in (P("replica"), P("replica", "model"), P(None, "model")):
    placed = jax.device_put(many, NamedSharding(typed, spec))
    try:
        got = jax.jit(jax.vmap(first_step))(placed)
    except layerwise.ArgumentError as problem:
        is_affected = (0, 8, 0) <= jax.__version_info__ < (0, 9, 1) and spec[0] == "replica"
        print(is_affected, "cannot cut their step" in str(problem))
        continue
    values = np.asarray(got)
    right = [near(values[at], first_step(many[at]), many[at]) for at in range(4)]
    print(jax.typeof(got) == jax.typeof(placed), all(right))
"""


@needs_sums_of_float64
def test_sharding_in_types_is_kept(printed: dict[str, list[str]]) -> None:
    """jax.sharding.AxisType.Explicit: an array's type says how it is cut. JAX 0.8.0 to 0.9.0 take the axis that models
    lie along for jax.vmap's own where the rule for a call runs: refused."""
    assert printed["TYPES"] == ["True True"] * 7


OTHERS = """
optimizer = OPTIMIZERS["novograd"]
params, grads = on(mesh, PARAMS), on(mesh, GRADS)

def three_steps(params):
    def step(carry, _):
        return optimizer.step(carry[0], GRADS, carry[1]), None
    return jax.lax.scan(step, (params, optimizer.init(params)), length=3)[0][0]

got, want = jax.jit(three_steps)(params), jax.jit(three_steps)(PARAMS)
print("scan", all(lies_as(got[leaf], params[leaf]) and near(got[leaf], want[leaf], PARAMS[leaf]) for leaf in SHAPES))

# optax.MultiSteps and apply_if_finite run the step under lax.cond.
for outer in (optax.MultiSteps(optimizer, 2), optax.apply_if_finite(optimizer, 2)):
    step = jax.jit(update_of(outer))
    got, state, want, its = params, outer.init(params), PARAMS, outer.init(PARAMS)
    for _ in range(2):
        (got, state), (want, its) = step(got, grads, state), step(want, GRADS, its)
    print(type(outer).__name__, all(lies_as(got[leaf], params[leaf]) and near(got[leaf], want[leaf], PARAMS[leaf])
                                    for leaf in SHAPES))

# Models that lie along a first dimension, one or more to a device, each of them cut along another axis.
many = {name: jnp.asarray(random.normal(size=shape), jnp.float32) for name, shape in (("a", (4, 8, 6)), ("b", (4, 3)))}
states = jax.vmap(optimizer.init)(many)
for specs in ({"a": P("replica"), "b": P("replica")}, {"a": P("replica", "model"), "b": P("replica")}):
    placed = on(mesh, many, specs)
    got, _ = jax.jit(jax.vmap(optimizer.step))(placed, placed, states)
    alone = [optimizer.step(*[jax.tree.map(lambda leaf: leaf[model], tree) for tree in (many, many, states)])[0]
             for model in range(4)]
    values = [near(got[leaf][model], alone[model][leaf], many[leaf][model]) for leaf in many for model in range(4)]
    print("vmap", all(values), all(lies_as(got[leaf], placed[leaf]) for leaf in many))

# A gradient that is not finite on one device's piece leaves the whole layer as it is.
bad = {**GRADS, "kernel": GRADS["kernel"].at[200, 3].set(jnp.nan), "table": GRADS["table"].at[0, 0].set(jnp.inf)}
for name in ("novograd", "novograd inf", "larc_sgd"):
    got, _ = jax.jit(OPTIMIZERS[name].step)(params, on(mesh, bad), OPTIMIZERS[name].init(params))
    print("not finite", [leaf for leaf in SHAPES if np.array_equal(got[leaf], PARAMS[leaf])])
"""


@needs_sums_of_float64
def test_scanned_wrapped_and_mapped_steps_keep_sharding_and_values(printed: dict[str, list[str]]) -> None:
    assert printed["OTHERS"] == ["scan True", "MultiSteps True", "GradientTransformationExtraArgs True",
                                  "vmap True True", "vmap True True"] + ["not finite ['kernel', 'table']"] * 3


OTHER_PARTITIONER = """
jax.config.update('jax_use_shardy_partitioner', not jax.config.jax_use_shardy_partitioner)
OPTIMIZERS = {name: OPTIMIZERS[name] for name in ("novograd", "larc_sgd")}
"""


@needs_sums_of_float64
def test_the_partitioner_that_is_not_the_default_keeps_sharding_too() -> None:
    """Hazard: until JAX 0.7.2 Shardy takes a rule without the names of what may not be cut."""
    assert on_devices(OTHER_PARTITIONER + SHARDED) == ["done"]


@pytest.mark.skipif(SUMS_FLOAT64, reason="this JAX compiles sums of float64 over devices")
def test_where_jax_does_not_compile_the_sums_a_cut_layer_is_refused_and_x64_is_the_way_out() -> None:
    """Hazard: the error of JAX's verifier names nothing that a user has written."""
    cut = """
params = on(mesh, PARAMS)
for x64 in (False, True):
    jax.config.update("jax_enable_x64", x64)
    try:
        jax.jit(OPTIMIZERS["novograd"].step)(params, params, OPTIMIZERS["novograd"].init(params))
        print("runs")
    except Exception as problem:
        print("does not compile those while jax_enable_x64 is off" in str(problem))
"""
    assert on_devices(cut) == ["True", "runs"]


# Hazard: what an ffi_call returns counts as the same on every device. jax.shard_map then takes cut layers for whole
# ones, in silence, and jax.grad sums the gradients of models that have nothing to do with each other.
MODELS = """
line = Mesh(devices, ("model",))
weights, inputs = random.normal(size=(4, 4, 3)), random.normal(size=(4, 8, 4))

def gradient(w, x):
    return 2 * x.T @ (x @ w - 1) / 24

def novograd(w, x):
    v, m = 0, 0 * w
    for _ in range(3):
        g = gradient(w, x)
        n = (g * g).sum()
        v = n if v == 0 else 0.98 * v + 0.02 * n
        m = 0.95 * m + g / (np.sqrt(v) + 1e-8) + 0.001 * w
        w = w - 0.1 * m
    return w

def larc_sgd(w, x):
    m = 0 * w
    for _ in range(3):
        g = gradient(w, x)
        m = 0.9 * m + min(0.02 * np.linalg.norm(w) / (np.linalg.norm(g) + 1e-8) / 0.1, 1) * g
        w = w - 0.1 * m
    return w

for name, reference in (("novograd", novograd), ("larc_sgd", larc_sgd), ("larc", larc_sgd)):
    want = np.array([reference(w, x) for w, x in zip(weights, inputs)])
    for check in (True, False):
        for step in steps_of(OPTIMIZERS[name]):
            def body(w, x):
                w, x = w[0], x[0]
                state = OPTIMIZERS[name].init(w)
                for _ in range(3):
                    w, state = step(w, jax.grad(lambda w: jnp.mean((x @ w - 1) ** 2))(w), state)
                return w[None]
            models = jax.shard_map(body, mesh=line, in_specs=(P("model"), P("model")), out_specs=P("model"),
                                   check_vma=check)
            got = jax.jit(models)(jnp.asarray(weights, jnp.float32), jnp.asarray(inputs, jnp.float32))
            if np.abs(np.asarray(got, np.float64) - want).max() > 1e-5:
                print(name, check, np.abs(np.asarray(got, np.float64) - want).max())
print("done")
"""


def test_independent_models_on_the_devices_of_a_mesh_stay_independent(printed: dict[str, list[str]]) -> None:
    assert printed["MODELS"] == ["done"]


CUT = """
line = Mesh(devices, ("model",))
params = {"cut": jnp.ones((8, 3)), "same": jnp.ones(5)}

def outcome(name, in_specs, out_specs, entry, grads_vary=False):
    optimizer = OPTIMIZERS[name]
    def body(params, grads):
        if grads_vary:
            grads = jax.tree.map(lambda leaf: leaf * jax.lax.axis_index("model"), grads)
        new, state = update_of(optimizer)(params, grads, optimizer.init(params))
        return {"params": new, "state": state}[entry]
    try:
        jax.jit(jax.shard_map(body, mesh=line, in_specs=in_specs, out_specs=out_specs))(params, params)
        return "runs"
    except ValueError as problem:
        return "refused" if "require replication" in str(problem) else str(problem)

cut, same = {"cut": P("model"), "same": P()}, {"cut": P(), "same": P()}
for name in ("novograd", "novograd inf", "larc_sgd", "larc"):
    print(outcome(name, (cut, cut), cut, "params"),   # a leaf that is the same everywhere stays so beside a cut one
          outcome(name, (cut, cut), same, "params"),  # a cut leaf is not the same on every device
          outcome(name, (same, same), same, "params", True),  # nor is a parameter whose gradient is not
          outcome(name, (cut, cut), P(), "state"))    # nor are its norm and its momentum
"""


def test_jaxs_own_check_sees_what_varies_over_a_mesh_and_what_does_not(printed: dict[str, list[str]]) -> None:
    assert printed["CUT"] == ["runs refused refused refused"] * 3 + ["runs refused refused refused"]


# Pieces of layers inside a caller's shard_map: with the axis named, a step is that of whole layers.
NAMED = """
line = Mesh(devices, ("model",))
AXIS = {"kernel": P("model"), "bias": P("model"), "table": P("model"), "wide": P(None, "model"), "scale": P(),
        "whole": P()}
MAKERS = {
    "novograd": lambda **axis: layerwise.jax.novograd(0.1, **axis),
    "novograd inf": lambda **axis: layerwise.jax.novograd(0.1, norm="inf", amsgrad=True, bias_correction=True, **axis),
    "larc_sgd": lambda **axis: layerwise.jax.larc_sgd(0.1, eta=0.02, fold_weight_decay=True, weight_decay=0.01, **axis),
    "larc": lambda **axis: optax.chain(layerwise.jax.larc(0.1, eta=0.02, **axis), optax.sgd(0.1))}

def trained(optimizer, step, shard):
    params, state = PARAMS, optimizer.init(PARAMS)
    if shard:
        specs = jax.tree.map(lambda leaf: P(), state)
        fields = {name: AXIS for name in ("first_moment", "momentum") if getattr(state, name, None) is not None}
        if fields:
            specs = specs._replace(**fields)
        step = jax.shard_map(step, mesh=line, in_specs=(AXIS, AXIS, specs), out_specs=(AXIS, specs))
    step = jax.jit(step)
    for _ in range(3):
        params, state = step(params, GRADS, state)
    return params, state

for name, make in MAKERS.items():
    for kind in range(len(steps_of(make()))):
        one, named = (steps_of(make(**axis))[kind] for axis in ({}, {"axis_name": "model"}))
        want, wanted = trained(make(), one, False)
        got, state = trained(make(axis_name="model"), named, True)
        print(all(np.abs(np.asarray(a, np.float64) - b).max() <= 1e-6 * np.abs(b).max()
                  for a, b in zip(*map(jax.tree.leaves, ((got, state), (want, wanted))))))

def refused(make, check=True, summed=True):
    optimizer = make(axis_name="model")
    def body(params, grads):
        params, grads = {"w": params}, {"w": grads}
        if not summed:
            grads = {"w": grads["w"] * jax.lax.axis_index("model")}
        return update_of(optimizer)(params, grads, optimizer.init(params))[0]
    spec = P() if not summed else P("model")
    mapped = jax.shard_map(body, mesh=line, in_specs=(spec, spec), out_specs=P("model"), check_vma=check)
    try:
        jax.jit(mapped)(jnp.ones(8), jnp.ones(8))
        print("runs")
    except layerwise.ArgumentError as problem:
        print(problem)

refused(MAKERS["novograd"], check=False)
refused(MAKERS["larc_sgd"], summed=False)
try:
    layerwise.jax.larc(0.1, fold_weight_decay="gradient", axis_name="model")
except layerwise.ArgumentError as problem:
    print(problem)
"""


@needs_sums_of_float64
def test_pieces_along_a_named_axis_step_as_whole_layers() -> None:
    *same, check, summed, fold = on_devices(NAMED)
    assert same == ["True"] * 7
    assert "check_vma=True" in check and "jax.lax.psum" in summed and "fold_weight_decay" in fold
    assert summed.startswith("params['w'] varies over")


# Many leaves step in several calls, each with an exchange of its own, which XLA makes one of from JAX 0.7.2 on.
SEVERAL = """
from layerwise.jax import _call

def compiled(step, leaves, *arguments):
    _call.LEAVES_A_CALL = leaves
    made = jax.jit(lambda *operands: step(*operands)).lower(*arguments).compile()  # traced anew
    moved = len(re.findall(r"all-gather|all-to-all|collective-permute", made.as_text()))
    reductions = len(re.findall(r" all-reduce(?:-start)?\\(", made.as_text()))
    return made, (len(re.findall("custom_call_target=.layerwise", made.as_text())), moved, reductions)

placed, grads = on(mesh, PARAMS), on(mesh, GRADS)
for name, optimizer in OPTIMIZERS.items():
    for step in steps_of(optimizer)[-1:]:
        state = optimizer.init(placed)
        (one, alone), (several, counted) = (compiled(step, leaves, placed, grads, state) for leaves in (100, 2))
        same = [np.array_equal(*pair) for pair in zip(*map(jax.tree.leaves, (
            one(placed, grads, state), several(placed, grads, state))))]
        exchanges = 1 if jax.__version_info__ >= (0, 7, 2) else 3
        if not all(same) or counted != (3 * alone[0], alone[1], exchanges * alone[2]):
            print(name, same, alone, counted)
_call.LEAVES_A_CALL = 100
print("done")
"""


@needs_sums_of_float64
def test_several_calls_have_the_bits_and_the_exchange_of_one(printed: dict[str, list[str]]) -> None:
    assert printed["SEVERAL"] == ["done"]


CODE = """
weights, grads = (jnp.asarray(x) for x in np.random.default_rng(0).normal(size=(2, 64, 200)).astype(np.float32))
optimizer = layerwise.jax.novograd(0.1)
expected, _ = optimizer.step(weights, grads, optimizer.init(weights))
mesh = Mesh(devices, ("data",))

for spec in (P(), P("data"), P(None, "data")):
    placed = [jax.device_put(array, NamedSharding(mesh, spec)) for array in (weights, grads)]
    new, _ = jax.jit(optimizer.step)(*placed, optimizer.init(placed[0]))
    print(all(np.array_equal(shard.data, expected[shard.index]) for shard in new.addressable_shards))

def replica(weights, grads, state):
    return optimizer.step(weights, jax.lax.pmean(grads, "data"), state)[0]

replicas = jax.shard_map(replica, mesh=mesh, in_specs=(P(), P("data"), P()), out_specs=P())
print(np.array_equal(jax.jit(replicas)(weights, jnp.concatenate([grads, grads]), optimizer.init(weights)), expected))
"""


@needs_sums_of_float64
def test_replicated_and_sharded_arrays_give_the_bits_of_one_device() -> None:
    assert on_devices(CODE, 2, level=3) == ["True"] * 4


# Hazard: JAX's persistent cache knows a program by its text, in which custom_partitioning leaves nothing of what was
# compiled: a step would be taken from a file that was written for another weight decay.
CACHED = """
import sys
jax.config.update("jax_compilation_cache_dir", sys.argv[1])
jax.config.update("jax_remove_custom_partitioning_ptr_from_cache_key", True)  # else by the address of a Python object
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
different = [dict(weight_decay=0), dict(weight_decay=0.5), dict(lr_mult={"kernel": 0.5}), dict(wd_mult={"kernel": 700}),
             dict(norm="inf"), dict(grad_averaging=True), dict(maximize=True)]
weights, grads = {"kernel": PARAMS["kernel"]}, {"kernel": GRADS["kernel"]}
placed, placed_grads = on(mesh, weights), on(mesh, grads)
for options in different:
    optimizer = layerwise.jax.novograd(0.1, **options)
    want, _ = optimizer.step(weights, grads, optimizer.init(weights))
    for run in (jax.jit(optimizer.step), optimizer.step):
        got, _ = run(placed, placed_grads, optimizer.init(placed))
        if not near(got["kernel"], want["kernel"], weights["kernel"]):
            print(options, "another's step")
print("done")
"""


@needs_sums_of_float64
def test_a_persistent_cache_gives_each_optimizer_its_own_step(tmp_path: Path) -> None:
    for _ in range(2):
        assert on_devices(CACHED, 4, tmp_path) == ["done"]


SCRIPTS = {"SHARDED": SHARDED, "MEMORY": MEMORY, "TYPES": TYPES, "OTHERS": OTHERS, "MODELS": MODELS, "CUT": CUT,
           "SEVERAL": SEVERAL}
