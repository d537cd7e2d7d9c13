"""Eq. (19) by hand: the script that a researcher would write for the paper's experiment.

One file, nothing clever: a loop over replicas, gradients summed over chunks, `torch.func.vmap` for
the variance of per-sample gradients, MLflow calls one by one. Only the data come from this project,
so that the sets are the same. The benchmarks time it beside ``python launch.py``.

``python -m benchmarks.by_hand --n 1000 --ch 6`` prints one JSON line a run; several values of
``--n``, ``--ch`` and ``--seed`` make a grid.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from pathlib import Path
from typing import Any

import mlflow
import torch
import torch.nn.functional as F
from omegaconf import OmegaConf
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from gsnr_sweep.data.digits import Digits
from gsnr_sweep.data.seeding import Stream, torch_seed
from gsnr_sweep.data.settings import DigitsConfig

DIGITS = Path(__file__).parents[1] / "conf" / "data" / "digits.yaml"
Set = tuple[Tensor, Tensor]


def network(ch: int, seed: int) -> nn.Module:
    """Table 2."""
    torch.manual_seed(torch_seed(seed, Stream.INITIAL_WEIGHTS))
    q = int(2.5 * ch)
    return nn.Sequential(
        nn.Conv2d(1, ch, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(ch, q, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(16 * q, 10 * q),
        nn.ReLU(),
        nn.Linear(10 * q, 10),
    )


def draw(n: int, n_sets: int, n_test: int, seed: int) -> tuple[list[Set], Set]:
    """Draw the sets; those of the tool, exactly."""
    digits = Digits(DigitsConfig(**OmegaConf.to_container(OmegaConf.load(DIGITS))))
    train = [digits.train_set(n, m, seed) for m in range(n_sets)]
    test = digits.test_set(n_test, seed)
    return [s.batch(0, n, torch.float32) for s in train], test.batch(0, n_test, torch.float32)


def mean_loss(model: nn.Module, data: Set, chunk: int) -> float:
    """Mean loss; the loss itself in float64, for differences of 1e-5 have to be told apart."""
    x, y = data
    with torch.no_grad():
        parts = [
            F.cross_entropy(model(a).double(), b, reduction="sum")
            for a, b in zip(x.split(chunk), y.split(chunk), strict=True)
        ]
    return float(sum(parts)) / len(x)


def add_gradient(model: nn.Module, data: Set, chunk: int) -> None:
    """Leave the gradient of the mean loss in the parameters."""
    x, y = data
    model.zero_grad()
    for a, b in zip(x.split(chunk), y.split(chunk), strict=True):
        (F.cross_entropy(model(a), b, reduction="sum") / len(x)).backward()


def variance_and_power(model: nn.Module, data: Set, chunk: int) -> tuple[float, float]:
    """Return Σ_j ρ²_j / n and Σ_j g²_j of one replica."""
    parameters = {name: p.detach() for name, p in model.named_parameters()}

    def sample_loss(parameters: Any, x: Tensor, y: Tensor) -> Tensor:
        outputs = functional_call(model, parameters, (x.unsqueeze(0),))
        return F.cross_entropy(outputs, y.unsqueeze(0))

    x, y = data
    gradients_of = vmap(grad(sample_loss), in_dims=(None, 0, 0))
    sums = {name: torch.zeros_like(p, dtype=torch.float64) for name, p in parameters.items()}
    squares = 0.0
    for a, b in zip(x.split(chunk), y.split(chunk), strict=True):
        for name, gradients in gradients_of(parameters, a, b).items():
            sums[name] += gradients.sum(0)
            squares += float(gradients.square().sum())
    power = sum(float((total / len(x)).square().sum()) for total in sums.values())
    return (squares / len(x) - power) / len(x), power


def step(model: nn.Module, optimizer: torch.optim.Optimizer, data: Set, chunk: int) -> None:
    """Take one step of full-batch gradient descent."""
    add_gradient(model, data, chunk)
    optimizer.step()


def measured_step(
    models: list[nn.Module],
    optimizers: list[torch.optim.Optimizer],
    train: list[Set],
    test: Set,
    options: argparse.Namespace,
) -> dict[str, float]:
    """Take one step of every replica and return both sides of eq. (19)."""
    totals = {"train": 0.0, "test": 0.0, "noise": 0.0, "power": 0.0, "loss": 0.0, "test_loss": 0.0}
    for model, optimizer, data in zip(models, optimizers, train, strict=True):
        before = mean_loss(model, data, options.chunk), mean_loss(model, test, options.chunk)
        noise, power = variance_and_power(model, data, options.sample_chunk)
        step(model, optimizer, data, options.chunk)
        totals["train"] += mean_loss(model, data, options.chunk) - before[0]
        totals["test"] += mean_loss(model, test, options.chunk) - before[1]
        totals["noise"] += noise
        totals["power"] += power
        totals["loss"] += before[0] / len(models)
        totals["test_loss"] += before[1] / len(models)
    return {
        "osgr_lhs": totals["test"] / totals["train"],
        "osgr_rhs": 1 - totals["noise"] / totals["power"],
        "train_loss": totals["loss"],
        "test_loss": totals["test_loss"],
    }


def grid_point(n: int, ch: int, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """Train M replicas and measure both sides at the epochs asked for."""
    train, test = draw(n, options.n_sets, options.n_test, seed)
    started = time.perf_counter()
    models = [network(ch, seed) for _ in train]
    optimizers = [torch.optim.SGD(model.parameters(), lr=options.lr) for model in models]
    found = {}
    for epoch in range(options.epochs + 1):
        if epoch in options.measure_at:
            found[epoch] = measured_step(models, optimizers, train, test, options)
            for name, value in found[epoch].items():
                mlflow.log_metric(name, value, step=epoch)
        elif epoch < options.epochs:
            for model, optimizer, data in zip(models, optimizers, train, strict=True):
                step(model, optimizer, data, options.chunk)
    seconds = time.perf_counter() - started
    return {"n": n, "ch": ch, "seed": seed, "seconds": seconds, "measurements": found}


def main() -> None:
    parser = argparse.ArgumentParser(description="Eq. (19) by hand")
    for name in ("n", "ch", "seed"):
        parser.add_argument(f"--{name}", type=int, nargs="+", required=name != "seed", default=[0])
    parser.add_argument("--n-sets", type=int, default=10)
    parser.add_argument("--n-test", type=int, default=10000)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--measure-at", type=int, nargs="+", default=[20, 100])
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--chunk", type=int, default=250, help="samples in a pass")
    parser.add_argument("--sample-chunk", type=int, default=64, help="the same under vmap")
    options = parser.parse_args()
    mlflow.set_tracking_uri("sqlite:///mlflow.db")
    mlflow.set_experiment("by hand")
    for n, ch, seed in itertools.product(options.n, options.ch, options.seed):
        with mlflow.start_run(run_name=f"n={n} ch={ch}"):
            for name, value in {**vars(options), "n": n, "ch": ch, "seed": seed}.items():
                mlflow.log_param(name, value)
            print(json.dumps(grid_point(n, ch, seed, options)), flush=True)


if __name__ == "__main__":
    main()
