"""DeepSpeed cuts flat parameters over ranks; apart from test_torch_ranks.py, since DeepSpeed is seldom installed. What is
right is the same network in one process."""

from __future__ import annotations

import pytest
from test_torch_ranks import expect_one_network, on_ranks, rank_programs


@pytest.mark.parametrize("stage", [1, 2])
def test_deepspeed_trains_along_the_curve_of_one_process(stage: int) -> None:
    pytest.importorskip("deepspeed", reason="DeepSpeed is not installed")
    returned = on_ranks(2, "deepspeed_engine", stage=stage, maker="NovoGrad", steps=8)
    expect_one_network(returned, rank_programs.one_process("NovoGrad", 8))
