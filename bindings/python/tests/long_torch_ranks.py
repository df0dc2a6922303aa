"""test_torch_ranks.py with more ranks and more steps. It takes many minutes, and is for `tests/long ranks`: pytest finds
it by its path alone."""

from __future__ import annotations

from typing import Any

import on_ranks
import pytest
import test_torch_ranks
from test_torch_ranks import EVERY, FLAT, close, expect_one_process, rank_programs, same

on_ranks.SECONDS = 1800
STEPS = 100
RANKS = [1, 2, 3, 5, 8]  # of layers of 1, 2, 4, 5, 7 and 13 rows: some have no element of most
BAD = {4: 4, 9: 0, 10: 2, 50: 3, 77: 1}  # steps, and the layer whose gradient is not finite: its first element
SKIPPING = [maker for maker in EVERY if not maker.startswith("LARC(")]  # others step what torch's optimizers make of it


@pytest.fixture(scope="module")
def expected() -> dict[str, Any]:
    return {maker: rank_programs.alone(maker, STEPS) for maker in EVERY}


@pytest.fixture(scope="module")
def skipped() -> dict[str, Any]:
    return {maker: rank_programs.alone(maker, STEPS, BAD) for maker in SKIPPING}


@pytest.mark.parametrize("ranks", RANKS)
@pytest.mark.parametrize("cut", ["rows", "columns", "mixed", "replicas"])
def test_cut_layers_train_as_whole_ones(ranks: int, cut: str, expected: Any) -> None:
    if cut == "replicas" and ranks % 2:
        pytest.skip("2 replicas need an even number of ranks")
    expect_one_process(on_ranks.on_ranks(ranks, "train", makers=EVERY, steps=STEPS, cut=cut), expected, EVERY)


@pytest.mark.parametrize("ranks", RANKS)
def test_layers_whose_gradient_is_not_finite_on_one_rank_are_skipped_on_all(ranks: int, skipped: Any) -> None:
    assert all(report["nonfinite"] == len(BAD) for report in skipped.values())
    reports = on_ranks.on_ranks(ranks, "train", makers=SKIPPING, steps=STEPS, bad=BAD)
    expect_one_process(reports, skipped, SKIPPING)


@pytest.mark.parametrize("ranks", RANKS)
@pytest.mark.parametrize("bad", [{}, BAD], ids=["finite", "not finite"])
def test_pieces_in_flat_parameters_train_as_whole_layers(ranks: int, bad: Any, expected: Any, skipped: Any) -> None:
    makers = [maker for maker in FLAT if not bad or maker in SKIPPING]
    returned = on_ranks.on_ranks(ranks, "flat_engine", makers=makers, steps=STEPS, bad=bad)
    for maker in makers:
        first, whole = returned[0][maker], (skipped if bad else expected)[maker]
        assert all(same(first[name], other[maker][name]) for name in ("weights", "stats") for other in returned), maker
        assert all(map(close, first["weights"], whole["weights"])), maker


def test_the_short_tests_have_the_same_makers() -> None:
    assert test_torch_ranks.EVERY is EVERY and set(FLAT) < set(EVERY)
