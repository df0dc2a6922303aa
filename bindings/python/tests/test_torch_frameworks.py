"""Lightning, Transformers' Trainer and Accelerate drive every optimizer of layerwise.torch through their own training loops,
where they are installed: mixed precision, clipping and a schedule. What is asked of each is that the loop ends, that the
loss has fallen, and that the optimizer has counted every step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch_models  # noqa: F401  skips where PyTorch is missing

import torch
from torch import Tensor, nn

from layerwise.torch import LARC, LARCSGD, NovoGrad

MAKERS = {
    "NovoGrad": lambda params: NovoGrad(params, lr=0.02),
    "LARCSGD": lambda params: LARCSGD(params, lr=0.5, momentum=0.9),
    "LARC": lambda params: LARC(torch.optim.SGD(params, lr=0.5, momentum=0.9)),
}
STEPS = 12


@pytest.fixture(params=MAKERS)
def make(request: pytest.FixtureRequest) -> Any:
    return MAKERS[request.param]


def data() -> tuple[Tensor, Tensor]:
    inputs = torch.randn(STEPS * 8, 6, generator=torch.Generator().manual_seed(0))
    return inputs, inputs.sum(1, keepdim=True)


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 1))


def loss_of(model: Any) -> float:
    inputs, targets = data()
    with torch.no_grad():
        return float(nn.functional.mse_loss(model(inputs).float(), targets))


def steps_of(optimizer: Any) -> set[int]:
    state = getattr(optimizer, "state", {})
    return {int(values["step"]) for values in state.values() if "step" in values}


def test_lightning_trains_with_mixed_precision_and_clipping(make: Any, tmp_path: Path) -> None:
    lightning = pytest.importorskip("lightning", reason="Lightning is not installed")

    class Module(lightning.LightningModule):  # type: ignore[name-defined,misc]
        def __init__(self) -> None:
            super().__init__()
            self.network = network()

        def training_step(self, batch: Any, _: int) -> Tensor:
            return nn.functional.mse_loss(self.network(batch[0]).float(), batch[1])

        def configure_optimizers(self) -> Any:
            optimizer = make(self.network.parameters())
            return [optimizer], [{"scheduler": torch.optim.lr_scheduler.StepLR(optimizer, 6), "interval": "step"}]

    module = Module()
    before = loss_of(module.network)
    batches = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*data()), batch_size=8)
    trainer = lightning.Trainer(max_epochs=1, accelerator="cpu", precision="bf16-mixed", gradient_clip_val=1.0,
                                logger=False, enable_progress_bar=False, enable_model_summary=False,
                                enable_checkpointing=False, default_root_dir=tmp_path)
    trainer.fit(module, batches)
    assert loss_of(module.network) < before and trainer.global_step == STEPS
    assert steps_of(trainer.optimizers[0]) <= {STEPS}
    assert trainer.optimizers[0].param_groups[0]["lr"] < make(network().parameters()).param_groups[0]["lr"]


def test_accelerate_prepares_and_steps(make: Any) -> None:
    accelerate = pytest.importorskip("accelerate", reason="Accelerate is not installed")
    accelerator = accelerate.Accelerator(cpu=True, mixed_precision="bf16")
    model = network()
    before = loss_of(model)
    optimizer = make(model.parameters())
    batches = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*data()), batch_size=8)
    prepared, wrapped, batches = accelerator.prepare(model, optimizer, batches)
    for inputs, targets in batches:
        wrapped.zero_grad()
        accelerator.backward(nn.functional.mse_loss(prepared(inputs).float(), targets))
        accelerator.clip_grad_norm_(prepared.parameters(), 1.0)
        wrapped.step()
    assert loss_of(model) < before and steps_of(optimizer) <= {STEPS}


def test_transformers_trainer_trains(make: Any, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="Transformers is not installed")
    pytest.importorskip("accelerate", reason="Accelerate, which the Trainer needs, is not installed")

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network()

        def forward(self, inputs: Tensor, labels: Tensor) -> dict[str, Tensor]:
            guess = self.network(inputs)
            return {"loss": nn.functional.mse_loss(guess, labels), "logits": guess}

    model = Model()
    before = loss_of(model.network)
    optimizer = make(model.parameters())
    rows = [{"inputs": one, "labels": two} for one, two in zip(*data(), strict=True)]
    arguments = transformers.TrainingArguments(
        output_dir=str(tmp_path), num_train_epochs=1, per_device_train_batch_size=8, use_cpu=True, report_to=[],
        save_strategy="no", logging_strategy="no", disable_tqdm=True, max_grad_norm=1.0)
    trainer = transformers.Trainer(model=model, args=arguments, train_dataset=rows,
                                   optimizers=(optimizer, torch.optim.lr_scheduler.StepLR(optimizer, 6)))
    trainer.train()
    assert loss_of(model.network) < before and trainer.state.global_step == STEPS
    assert steps_of(optimizer) <= {STEPS}
