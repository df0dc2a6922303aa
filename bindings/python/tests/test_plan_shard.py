"""Plans of shards from Python: that each argument arrives where it belongs. What they compute is held by the library's
own tests."""

from __future__ import annotations

import numpy as np
import pytest

import layerwise

SIZES = [10, 7, 3]
CUTS = [[(0, 4), (0, 7), (0, 0)], [(4, 6), (7, 0), (0, 3)]]  # by rank: begin and size of each layer's piece


def shards(**dtypes: str) -> list[layerwise.Plan]:
    plans = [layerwise.Plan([size for _, size in cut], threads=1, **dtypes) for cut in CUTS]
    for plan, cut in zip(plans, CUTS, strict=True):
        plan.set_shard(SIZES, [begin for begin, _ in cut])
    return plans


def pieces(whole: np.ndarray, rank: int) -> np.ndarray:
    layers = np.split(whole, np.cumsum(SIZES)[:-1])
    return np.concatenate([layer[begin:begin + size] for layer, (begin, size) in zip(layers, CUTS[rank], strict=True)])


@pytest.mark.parametrize("larc", [None, {"eta": 0.1}])
def test_two_ranks_step_as_one_plan_with_the_same_sums(larc: dict[str, float] | None) -> None:
    random = np.random.default_rng(0)
    weights, grads = (random.standard_normal(sum(SIZES)).astype(np.float32) for _ in range(2))
    plans, total = shards(), np.zeros((2, len(SIZES)))
    local = [(pieces(weights, rank), pieces(grads, rank)) for rank in range(2)]
    for plan, (w, g) in zip(plans, local, strict=True):
        sums = np.full((2, len(SIZES)), np.nan)
        plan.partial_norms(g, sums[0], weights=w, weight_sums=sums[1])
        total += sums
    given = {"lr": 0.1, "larc": larc, "grad_sums": total[0], "weight_sums": None if larc is None else total[1]}
    second, moment = np.zeros(3, np.float32), np.zeros_like(weights)
    with layerwise.Plan(SIZES, threads=1) as whole:
        whole.novograd_step(weights, grads, moment, second, **given)
    for rank, (plan, (w, g)) in enumerate(zip(plans, local, strict=True)):
        own = np.zeros(3, np.float32)
        plan.novograd_step(w, g, np.zeros_like(w), own, **given)
        assert np.array_equal(own, second)  # of the layers that are empty here, too
        assert np.array_equal(w, pieces(weights, rank))
        with pytest.raises(layerwise.ArgumentError, match="for a shard"):
            plan.novograd_step(w, g, np.zeros_like(w), own, lr=0.1)


def test_claims_of_ranks_that_agree_and_of_some_that_do_not() -> None:
    plans = shards()
    assert len({plan.global_fingerprint for plan in [*plans, layerwise.Plan(SIZES)]}) == 1
    for layers in (False, True):
        claims = [plan.shard_claim(b"lr 0.1", layers) for plan in plans]
        for plan, claim in zip(plans, claims, strict=True):
            plan.shard_verify(claim, sum(claims))
    claims = [plan.shard_claim(lr) for plan, lr in zip(plans, (b"0.1", b"0.2"), strict=True)]
    for plan, claim in zip(plans, claims, strict=True):
        with pytest.raises(layerwise.LayoutError, match="2 ranks differ in their agreed") as raised:
            plan.shard_verify(claim, sum(claims))
        assert raised.value.status_name == "LAYERWISE_ERROR_RANKS_DISAGREE"
    claims = [plan.shard_claim() for plan in (plans[0], plans[0])]
    with pytest.raises(layerwise.LayoutError, match="layer 0 has 10 elements; the 2 ranks count 8 of them"):
        plans[0].shard_verify(claims[0], sum(claims))


def test_replicas_are_not_counted() -> None:
    grads, sums = np.ones(5, np.float32), np.full(2, np.nan)
    with layerwise.Plan([2, 3], threads=1) as plan:
        plan.set_shard([2, 3], counted=[True, False])
        plan.partial_norms(grads, sums)
        assert sums.tolist() == [2, 0]


def test_what_a_shard_cannot_be_is_refused() -> None:
    with layerwise.Plan([2, 3], threads=1) as plan:
        with pytest.raises(layerwise.LayoutError, match=r"layer_sizes\[1\] is 2"):
            plan.set_shard([2, 2])
        with pytest.raises(layerwise.LayoutError, match=r"layer_begins\[0\] is 1"):
            plan.set_shard([2, 3], [1, 0])
        with pytest.raises(layerwise.ArgumentError, match="layer_sizes has 1 values"):
            plan.set_shard([2])
        with pytest.raises(layerwise.ArgumentError, match="layer_begins has 3 values"):
            plan.set_shard([2, 3], [0, 0, 0])
        with pytest.raises(layerwise.ArgumentError, match="counted"):
            plan.set_shard([2, 3], counted=[True])
        with pytest.raises(layerwise.ArgumentError, match="for a shard"):
            plan.shard_claim()
        plan.set_shard([2, 3])
        with pytest.raises(layerwise.ArgumentError, match="total has shape"):
            plan.shard_verify(plan.shard_claim(), np.zeros(17))
        with pytest.raises(layerwise.ArgumentError, match="weight_sums is given without larc"):
            plan.novograd_step(np.ones(5, np.float32), np.ones(5, np.float32), np.ones(5, np.float32),
                               np.ones(2, np.float32), lr=0.1, weight_sums=np.ones(2))
