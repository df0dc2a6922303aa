"""Trains a small network with JAX, from the schedule to the resumed checkpoint:

    python bindings/python/examples/train_jax.py                                 digits, NovoGrad, about 5 seconds
    python bindings/python/examples/train_jax.py --amp --clip 1 --checkpoint run.npz --stop-after 100
    python bindings/python/examples/train_jax.py --amp --clip 1 --checkpoint run.npz         goes on from there
    python bindings/python/examples/train_jax.py --compare             equal budget, 3 seeds; AdamW and SGD need optax

The images are scikit-learn's digits, or drawn ones where it is not installed. --compare gives every optimizer the same
steps and the same number of learning rates, picks each one's by the loss on a validation set, and prints median, least
and greatest of the test set over the seeds.
"""

from __future__ import annotations

import argparse
import functools
import importlib.util
import math
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import images
import jax
import jax.numpy as jnp
import numpy as np

import layerwise.jax

HIDDEN = 64
RATES = {"novograd": 0.1, "larc": 1.0, "adamw": 0.03, "sgd": 0.3}  # in the middle of those that --compare tries
Step = Callable[[Any, Any, Any], tuple[Any, Any]]


def network(seed: int) -> dict[str, Any]:
    one, two = jax.random.split(jax.random.key(seed))
    return {"w1": jax.random.normal(one, (64, HIDDEN)) / 8, "b1": jnp.zeros(HIDDEN),
            "w2": jax.random.normal(two, (HIDDEN, 10)) / math.sqrt(HIDDEN), "b2": jnp.zeros(10)}


def loss_of(params: Any, pixels: Any, classes: Any, dtype: Any) -> Any:
    """Computed in dtype; the parameters stay float32, and so do the loss and the gradients."""
    p = jax.tree.map(lambda leaf: leaf.astype(dtype), params)
    hidden = jnp.tanh(pixels.astype(dtype) @ p["w1"] + p["b1"])
    scores = (hidden @ p["w2"] + p["b2"]).astype(jnp.float32)
    return -jnp.mean(jax.nn.log_softmax(scores)[jnp.arange(len(classes)), classes])


def schedule(lr: float, steps: int) -> Callable[[Any], Any]:
    """A tenth of the steps up, then half a cosine down."""
    warm = max(steps // 10, 1)
    return lambda count: lr * jnp.where(count < warm, (count + 1) / warm, 0.5 * (1 + jnp.cos(
        jnp.pi * (count - warm) / max(steps - warm, 1))))


def is_weight(params: Any) -> Any:
    return jax.tree.map(lambda leaf: float(leaf.ndim > 1), params)


def is_bias(params: Any) -> Any:
    return jax.tree.map(lambda leaf: leaf.ndim <= 1, params)


def make_optimizer(name: str, rate: Callable[[Any], Any]) -> tuple[Step, Callable[[Any], Any]]:
    """A function of parameters, gradients and state, and one that makes the first state. Biases are not decayed."""
    if name == "novograd":
        novograd = layerwise.jax.novograd(rate, wd_mult=is_weight)
        return novograd.step, novograd.init
    if name == "larc":
        larc = layerwise.jax.larc_sgd(rate, momentum=0.9, nesterov=True, weight_decay=1e-4, wd_mult=is_weight,
                                      skip_larc=is_bias)
        return larc.step, larc.init
    import optax

    weights = functools.partial(jax.tree.map, lambda leaf: leaf.ndim > 1)
    made = optax.adamw(rate, weight_decay=0.01, mask=weights) if name == "adamw" else optax.chain(
        optax.add_decayed_weights(1e-4, weights), optax.sgd(rate, momentum=0.9, nesterov=True))

    def step(params: Any, grads: Any, state: Any) -> tuple[Any, Any]:
        updates, state = made.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    return step, made.init


class Run(NamedTuple):
    """What changes from step to step. Batches are drawn from the seed and the number of the step."""

    params: Any
    state: Any
    done: int

    def save(self, path: Path) -> None:
        np.savez(path, done=self.done, **{str(number): leaf for number, leaf in enumerate(
            jax.tree.leaves((self.params, self.state)))})

    def loaded(self, path: Path) -> Run:
        """self gives the trees' structure."""
        with np.load(path) as saved:
            count = len(saved.files) - 1
            leaves = [jnp.asarray(saved[str(number)]) for number in range(count)]
            structure = jax.tree.structure((self.params, self.state))
            if structure.num_leaves != count:
                raise ValueError(f"{path} has {count} arrays: this run has {structure.num_leaves}")
            return Run(*jax.tree.unflatten(structure, leaves), int(saved["done"]))


def trainer(options: argparse.Namespace, name: str, lr: float) -> tuple[Callable[..., Any], Callable[[Any], Any]]:
    step, init = make_optimizer(name, schedule(lr, options.steps))
    dtype = jnp.bfloat16 if options.amp else jnp.float32

    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def train_step(params: Any, state: Any, pixels: Any, classes: Any) -> Any:
        loss, grads = jax.value_and_grad(loss_of)(params, pixels, classes, dtype)
        if options.clip:
            norm = jnp.sqrt(sum(jnp.sum(jnp.square(leaf)) for leaf in jax.tree.leaves(grads)))
            grads = jax.tree.map(lambda leaf: leaf / jnp.maximum(norm / options.clip, 1), grads)
        params, state = step(params, grads, state)
        return params, state, loss

    return train_step, init


def train(run: Run, train_step: Callable[..., Any], options: argparse.Namespace, seed: int, until: int, data: Any,
          shown: bool = False) -> Run:
    params, state, done = run
    while done < until:
        chosen = np.random.default_rng((seed, done)).integers(0, len(data[0]), options.batch)
        params, state, loss = train_step(params, state, data[0][chosen], data[1][chosen])
        done += 1
        if shown and (done % max(until // 10, 1) == 0 or done == until):
            width = 30 * done // until
            print(f"[{'#' * width}{'.' * (30 - width)}] step {done:5}  loss {float(loss):.4f}", flush=True)
    return Run(params, state, done)


def measure(params: Any, part: Any) -> tuple[float, float]:
    """Loss, and the share that is guessed right."""
    loss = float(loss_of(params, *part, jnp.float32))
    scores = jnp.tanh(part[0] @ params["w1"] + params["b1"]) @ params["w2"] + params["b2"]
    return (loss if math.isfinite(loss) else math.inf), float((scores.argmax(1) == part[1]).mean())


def train_one(parts: Any, options: argparse.Namespace) -> None:
    train_step, init = trainer(options, options.optimizer, options.lr or RATES[options.optimizer])
    params = network(options.seed)
    run = Run(params, init(params), 0)
    if options.checkpoint and options.checkpoint.exists():
        run = run.loaded(options.checkpoint)
        print(f"goes on after step {run.done} of {options.checkpoint}")
    until = min(options.steps, options.stop_after or options.steps)
    run = train(run, train_step, options, options.seed, until, parts[0], True)
    if options.checkpoint:
        run.save(options.checkpoint)
    loss, right = measure(run.params, parts[2])
    print(f"test: loss {loss:.6f}, {right:.3f} right")


def compare(parts: Any, options: argparse.Namespace) -> None:
    print(f"digits, {options.steps} steps of {options.batch}, {options.rates} learning rates each, {options.seeds} "
          f"seeds; share of the test set that is guessed right:\n{'':10}{'lr':>8}{'median':>9}{'least':>8}{'most':>8}")
    for name, middle in RATES.items():
        if name in ("adamw", "sgd") and importlib.util.find_spec("optax") is None:
            print(f"{name:10} left out: optax is not installed")
            continue
        by_rate = {}
        for power in range(options.rates):
            lr = middle * 10 ** ((power - options.rates // 2) / 2)
            train_step, init = trainer(options, name, lr)
            found = []
            for seed in range(options.seeds):
                params = network(seed)
                run = train(Run(params, init(params), 0), train_step, options, seed, options.steps, parts[0])
                found.append((measure(run.params, parts[1])[0], measure(run.params, parts[2])[1]))
            by_rate[lr] = statistics.median(loss for loss, _ in found), [right for _, right in found]
        best = min(by_rate, key=lambda lr: by_rate[lr][0])
        rights = by_rate[best][1]
        print(f"{name:10}{best:8.3g}{statistics.median(rights):9.3f}{min(rights):8.3f}{max(rights):8.3f}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--optimizer", choices=RATES, default="novograd")
    parser.add_argument("--lr", type=float, help="the greatest of the schedule; the optimizer's own without it")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--amp", action="store_true", help="compute in bfloat16, beside float32 parameters")
    parser.add_argument("--clip", type=float, default=0.0, help="the greatest norm of all gradients; 0: none")
    parser.add_argument("--checkpoint", type=Path, help="an .npz, written at the end, and gone on from where it is there")
    parser.add_argument("--stop-after", type=int, help="steps, as if the job had been stopped there")
    parser.add_argument("--compare", action="store_true")
    parser.add_argument("--rates", type=int, default=5, help="learning rates of each optimizer in --compare")
    parser.add_argument("--seeds", type=int, default=3, help="of --compare")
    options = parser.parse_args()
    parts = [(jnp.asarray(pixels.reshape(len(pixels), 64)), jnp.asarray(classes)) for pixels, classes in images.load()]
    (compare if options.compare else train_one)(parts, options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
