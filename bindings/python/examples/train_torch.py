"""Trains a small network with PyTorch, from the schedule to the resumed checkpoint:

    python bindings/python/examples/train_torch.py                        digits, NovoGrad, about 5 seconds
    python bindings/python/examples/train_torch.py --task text --optimizer larc
    python bindings/python/examples/train_torch.py --amp --clip 1 --checkpoint run.pt --stop-after 100
    python bindings/python/examples/train_torch.py --amp --clip 1 --checkpoint run.pt       goes on from there
    python bindings/python/examples/train_torch.py --compare                      four optimizers, equal budget, 3 seeds
    python bindings/python/examples/train_torch.py --optimizer larc --plot larc.png     layers' factors over the steps

digits: 8 x 8 images of scikit-learn, or drawn ones where it is not installed, and a convolutional network. text: the
source of Python's argparse, character by character, and a recurrent network. --compare gives every optimizer the same
steps and the same number of learning rates, picks each one's by the loss on a validation set that is neither trained on
nor reported, and prints median, least and greatest of the test set over the seeds.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import math
import statistics
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import images
import plots
import torch
from torch import Tensor, nn

import layerwise.torch

CONTEXT = 32  # characters of text that are seen before one is guessed


class Task(NamedTuple):
    """inputs and targets of each part, and what makes a network for them."""

    train: tuple[Tensor, Tensor]
    validation: tuple[Tensor, Tensor]
    test: tuple[Tensor, Tensor]
    classes: int
    kind: str

    def network(self) -> nn.Module:
        return Images(self.classes) if self.kind == "digits" else Characters(self.classes)


class Images(nn.Sequential):
    def __init__(self, classes: int) -> None:
        super().__init__(nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
                         nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.Flatten(),
                         nn.Linear(32 * 16, classes))


class Characters(nn.Module):
    def __init__(self, classes: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(classes, 24)
        self.recurrent = nn.GRU(24, 64, batch_first=True)
        self.out = nn.Linear(64, classes)

    def forward(self, characters: Tensor) -> Tensor:
        guess: Tensor = self.out(self.recurrent(self.embedding(characters))[0][:, -1])
        return guess


# ---- Data ------------------------------------------------------------------------------------------------------------


def digits() -> Task:
    parts = [(torch.tensor(pixels).unsqueeze(1), torch.tensor(classes)) for pixels, classes in images.load()]
    return Task(parts[0], parts[1], parts[2], 10, "digits")


def text() -> Task:
    written = Path(argparse.__file__).read_text()
    alphabet = sorted(set(written))
    numbers = torch.tensor([alphabet.index(character) for character in written])
    windows = numbers.unfold(0, CONTEXT + 1, 3)
    one, two = int(0.8 * len(windows)), int(0.9 * len(windows))
    parts = [(part[:, :-1], part[:, -1]) for part in (windows[:one], windows[one:two], windows[two:])]
    return Task(parts[0], parts[1], parts[2], len(alphabet), "text")


TASKS = {"digits": digits, "text": text}

# ---- Optimizers ------------------------------------------------------------------------------------------------------

# Where each was best in bench/guide, on digits and on text.
RATES = {"novograd": {"digits": 0.03, "text": 0.03}, "larc": {"digits": 1.0, "text": 3.0},
         "adamw": {"digits": 0.01, "text": 0.01}, "sgd": {"digits": 0.1, "text": 1.0}}


def make_optimizer(name: str, network: nn.Module, lr: float, **options: Any) -> torch.optim.Optimizer:
    """Biases and norms are not decayed, and LARC leaves them alone."""
    named = list(network.named_parameters())
    if name == "novograd":
        return layerwise.torch.NovoGrad(named, lr, wd_mult=layerwise.torch.is_weight, **options)
    if name == "larc":
        return layerwise.torch.LARCSGD(named, lr, momentum=0.9, nesterov=True, **{
            "weight_decay": 1e-4, "wd_mult": layerwise.torch.is_weight, "skip_larc": layerwise.torch.is_bias_or_norm,
            **options})
    decay = options.pop("weight_decay", 0.01 if name == "adamw" else 1e-4)
    groups = [{"params": [p for n, p in named if layerwise.torch.is_weight(n, p)], "weight_decay": decay},
              {"params": [p for n, p in named if not layerwise.torch.is_weight(n, p)], "weight_decay": 0.0}]
    if name == "adamw":
        return torch.optim.AdamW(groups, lr, **options)
    return torch.optim.SGD(groups, lr, momentum=0.9, nesterov=True, **options)


def schedule(optimizer: torch.optim.Optimizer, steps: int) -> torch.optim.lr_scheduler.LRScheduler:
    """A tenth of the steps up, then half a cosine down."""
    warm = max(steps // 10, 1)

    def share(step: int) -> float:
        return (step + 1) / warm if step < warm else 0.5 * (1 + math.cos(math.pi * (step - warm) / max(steps - warm, 1)))

    return torch.optim.lr_scheduler.LambdaLR(optimizer, share)


# ---- The run ---------------------------------------------------------------------------------------------------------


class Run:
    """Everything that changes from step to step, so that a checkpoint of it goes on with the same bits."""

    def __init__(self, task: Task, options: argparse.Namespace, optimizer: str, lr: float, seed: int,
                 **of_optimizer: Any) -> None:
        torch.manual_seed(seed)
        self.task, self.options, self.done = task, options, 0
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.network = task.network().to(self.device)
        self.optimizer = make_optimizer(optimizer, self.network, lr, **of_optimizer)
        self.schedule = schedule(self.optimizer, options.steps)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=options.amp and self.device.type == "cuda")
        self.batches = torch.Generator().manual_seed(seed)

    def parts(self) -> dict[str, Any]:
        return {"network": self.network, "optimizer": self.optimizer, "schedule": self.schedule, "scaler": self.scaler}

    def save(self, path: Path) -> None:
        torch.save({"done": self.done, "batches": self.batches.get_state(),
                    **{name: part.state_dict() for name, part in self.parts().items()}}, path)

    def load(self, path: Path) -> None:
        saved = torch.load(path, map_location=self.device)
        self.done = saved["done"]
        self.batches.set_state(saved["batches"].cpu())
        for name, part in self.parts().items():
            part.load_state_dict(saved[name])

    def step(self) -> float:
        inputs, targets = self.task.train
        chosen = torch.randint(len(inputs), (self.options.batch,), generator=self.batches)
        self.network.train()
        self.optimizer.zero_grad()
        with torch.autocast(self.device.type, torch.float16 if self.scaler.is_enabled() else torch.bfloat16,
                            enabled=self.options.amp):
            guess = self.network(inputs[chosen].to(self.device))
        loss = nn.functional.cross_entropy(guess.float(), targets[chosen].to(self.device))
        self.scaler.scale(loss).backward()
        if self.options.clip:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.network.parameters(), self.options.clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.schedule.step()
        self.done += 1
        return float(loss.detach())

    @torch.no_grad()
    def measure(self, part: tuple[Tensor, Tensor]) -> tuple[float, float]:
        """Loss, and the share that is guessed right."""
        self.network.eval()
        guesses = torch.cat([self.network(inputs.to(self.device)) for inputs in part[0].split(512)]).float().cpu()
        loss = float(nn.functional.cross_entropy(guesses, part[1]))
        return (loss if math.isfinite(loss) else math.inf), float((guesses.argmax(1) == part[1]).float().mean())

    def train(self, until: int, shown: bool = False,
              keep: Sequence[Callable[[list[plots.Row]], object]] = ()) -> None:
        """Each of keep is given the layers' factors after every step."""
        while self.done < until:
            loss = self.step()
            if keep:
                rows = [(self.done, name, row.factor, row.effective_lr)
                        for name, row in self.optimizer.layer_stats().items()]  # type: ignore[attr-defined]
                for each in keep:
                    each(rows)
            if shown and (self.done % max(until // 10, 1) == 0 or self.done == until):
                width = 30 * self.done // until
                print(f"[{'#' * width}{'.' * (30 - width)}] step {self.done:5}  loss {loss:.4f}  "
                      f"lr {self.schedule.get_last_lr()[0]:.2e}", flush=True)


def train_one(task: Task, options: argparse.Namespace) -> None:
    run = Run(task, options, options.optimizer, options.lr or RATES[options.optimizer][options.task], options.seed)
    if options.checkpoint and options.checkpoint.exists():
        run.load(options.checkpoint)
        print(f"goes on after step {run.done} of {options.checkpoint}")
    until = min(options.steps, options.stop_after or options.steps)
    rows: list[plots.Row] = []
    keep: list[Callable[[list[plots.Row]], object]] = [rows.extend] if options.plot else []
    with contextlib.ExitStack() as files:
        if options.factors:
            table = csv.writer(files.enter_context(options.factors.open("w", newline="")))
            table.writerow(["step", "layer", "factor", "effective_lr"])
            keep.append(table.writerows)
        run.train(until, True, keep)
    if options.plot:
        plots.draw(rows, options.plot, f"{options.optimizer} on {options.task}")
        print(f"wrote {options.plot}")
    if options.checkpoint:
        run.save(options.checkpoint)
    loss, right = run.measure(run.task.test)
    print(f"test: loss {loss:.4f}, {right:.3f} right")


def compare(task: Task, options: argparse.Namespace) -> dict[str, tuple[float, list[float]]]:
    """By optimizer the learning rate that the validation set chose, and the test results by seed."""
    found = {}
    print(f"{options.task}, {options.steps} steps of {options.batch}, {options.rates} learning rates each, "
          f"{options.seeds} seeds; share of the test set that is guessed right:\n"
          f"{'':10}{'lr':>8}{'median':>9}{'least':>8}{'most':>8}")
    for name, rates in RATES.items():
        by_rate = {}
        for power in range(options.rates):
            lr = rates[options.task] * 10 ** ((power - options.rates // 2) / 2)
            runs = [Run(task, options, name, lr, seed) for seed in range(options.seeds)]
            for run in runs:
                run.train(options.steps)
            by_rate[lr] = (statistics.median(run.measure(task.validation)[0] for run in runs),
                           [run.measure(task.test)[1] for run in runs])
        best = min(by_rate, key=lambda lr: by_rate[lr][0])
        found[name] = best, by_rate[best][1]
        print(f"{name:10}{best:8.3g}{statistics.median(found[name][1]):9.3f}{min(found[name][1]):8.3f}"
              f"{max(found[name][1]):8.3f}", flush=True)
    return found


def parsed(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--task", choices=TASKS, default="digits")
    parser.add_argument("--optimizer", choices=RATES, default="novograd")
    parser.add_argument("--lr", type=float, help="the greatest of the schedule; the optimizer's own without it")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--amp", action="store_true", help="bfloat16 on the CPU, float16 and GradScaler on CUDA")
    parser.add_argument("--clip", type=float, default=0.0, help="the greatest norm of all gradients; 0: none")
    parser.add_argument("--checkpoint", type=Path, help="written at the end, and gone on from where it is there")
    parser.add_argument("--stop-after", type=int, help="steps, as if the job had been stopped there")
    parser.add_argument("--factors", type=Path, help="a CSV of each layer's factor and effective rate, step by step")
    parser.add_argument("--plot", type=Path, help="a picture of the same, such as run.png, by matplotlib")
    parser.add_argument("--compare", action="store_true")
    parser.add_argument("--rates", type=int, default=5, help="learning rates of each optimizer in --compare")
    parser.add_argument("--seeds", type=int, default=3, help="of --compare")
    options = parser.parse_args(arguments)
    for name, path in (("--factors", options.factors), ("--plot", options.plot)):
        if path and options.compare:
            parser.error(f"{name} is of one run: it does not go with --compare")
        if path and options.optimizer not in ("novograd", "larc"):
            parser.error(f"{name} needs --optimizer novograd or larc: {options.optimizer} has no factors of layers")
    why_not = plots.cannot_draw(options.plot) if options.plot else ""
    if why_not:
        parser.error(f"--plot: {why_not}")
    return options


def main() -> int:
    options = parsed()
    torch.set_num_threads(1)  # these networks are too small for more
    task = TASKS[options.task]()
    (compare if options.compare else train_one)(task, options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
