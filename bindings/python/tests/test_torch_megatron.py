"""Megatron-core 0.19 itself, on the CPU. It is seldom installed: `tests/long engines` installs it. What is right is the
same network in one process."""

from __future__ import annotations

from typing import Any

import pytest
from test_torch_ranks import expect_one_network, network_programs, on_ranks, same

pytest.importorskip("megatron.core.optimizer.emerging_optimizers", reason="Megatron-core is not installed")
pytest.importorskip("emerging_optimizers", reason="emerging-optimizers is not installed")
pytest.importorskip("psutil", reason="psutil is not installed, which Megatron's checkpoints need")


@pytest.mark.parametrize(("maker", "ranks"), [("NovoGrad", 2), ("LARCSGD", 2), ("NovoGrad", 3)])
def test_its_distributed_optimizer_trains_along_the_curve_of_one_process(maker: str, ranks: int) -> None:
    returned = on_ranks(ranks, "megatron_programs.distributed", maker=maker, steps=(0, 8))
    expect_one_network(returned, network_programs.one_process(maker, 8))


def test_its_distributed_optimizer_with_float32_masters_of_bfloat16_layers() -> None:
    """Every rank has the whole batch, so that the gradients are those of one rank; factors round otherwise where a
    layer is cut, and a master at an edge of bfloat16 then moves its parameter by 2^-8."""
    asked = {"maker": "NovoGrad", "steps": (0, 8), "bf16": True, "whole_batch": True}
    [(losses, *_)] = on_ranks(1, "megatron_programs.distributed", **asked)
    for of_rank in on_ranks(2, "megatron_programs.distributed", **asked):
        assert of_rank[0] == pytest.approx(losses, rel=1e-3)


@pytest.mark.parametrize("maker", ["NovoGrad", "LARCSGD"])
def test_its_distributed_optimizer_goes_on_with_another_number_of_ranks(maker: str, tmp_path: Any) -> None:
    """Its own checkpoint asks for exp_avg and exp_avg_sq of every parameter."""
    saved = str(tmp_path / "saved")
    on_ranks(2, "megatron_programs.distributed", maker=maker, steps=(0, 4), save=saved)
    for ranks in (1, 3):
        returned = on_ranks(ranks, "megatron_programs.distributed", maker=maker, steps=(4, 8), load=saved)
        expect_one_network(returned, network_programs.one_process(maker, 8))


def test_its_distributed_optimizer_goes_on_with_the_masters_that_were_saved(tmp_path: Any) -> None:
    saved = str(tmp_path / "saved")
    asked: dict[str, Any] = {"maker": "NovoGrad", "bf16": True, "whole_batch": True}
    unbroken = on_ranks(2, "megatron_programs.distributed", steps=(0, 8), **asked)
    on_ranks(2, "megatron_programs.distributed", steps=(0, 4), save=saved, **asked)
    for before, of_rank in zip(unbroken, on_ranks(2, "megatron_programs.distributed", steps=(4, 8), load=saved, **asked),
                               strict=True):
        assert of_rank[0] == before[0][4:] and same(of_rank[1], before[1])


def by_name(ranks: int, steps: tuple[int, int], **options: Any) -> list[Any]:
    return on_ranks(ranks, "megatron_programs.by_name", steps=steps, **options)


@pytest.mark.parametrize("name", ["novograd", "larcsgd"])
def test_layer_wise_ranks_have_the_bits_of_one_and_go_on_with_other_numbers_of_ranks(name: str, tmp_path: Any) -> None:
    """bfloat16, as Megatron's layer-wise optimizer asks for; every rank has the whole batch."""
    saved = str(tmp_path)
    [(losses, weights, kinds, held)] = by_name(1, (0, 8), name=name, bf16=True)
    assert losses[-1] < 0.9 * losses[0] and held == 6
    first = by_name(2, (0, 4), name=name, bf16=True, layer_wise=True, whole_batch=True, save=saved)
    assert all(of_rank[0] == losses[:4] and of_rank[2] == kinds for of_rank in first)
    assert sum(of_rank[3] for of_rank in first) == 6 and all(of_rank[3] for of_rank in first)
    for ranks in (2, 3, 1):
        for of_rank in by_name(ranks, (4, 8), name=name, bf16=True, layer_wise=True, whole_batch=True, load=saved):
            assert same(of_rank[1], weights)
            assert of_rank[0] == pytest.approx(losses[4:], rel=1e-6)


def test_replicas_in_float32_save_and_go_on_with_another_number_of_ranks(tmp_path: Any) -> None:
    saved = str(tmp_path)
    losses = [of_rank[0] for of_rank in by_name(2, (0, 4), name="novograd", save=saved)]
    whole, _ = network_programs.one_process("NovoGrad", 8)
    assert losses[0] == pytest.approx(whole[:4], rel=1e-5)
    for of_rank in by_name(3, (4, 8), name="novograd", load=saved):
        assert of_rank[0] == pytest.approx(whole[4:], rel=1e-5)
