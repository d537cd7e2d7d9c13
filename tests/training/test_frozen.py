"""Layers that are not trained: they stay as they are, and the rest is a smaller problem."""

import copy
import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from gsnr_sweep.data.samples import Samples
from gsnr_sweep.data.sampling import RunSets
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.gradients.parameters import layers_of
from gsnr_sweep.models.build import build_model
from gsnr_sweep.runs.runner import run_point
from gsnr_sweep.training.ensemble import Ensemble
from gsnr_sweep.training.snapshot import Snapshot
from tests.conftest import tiny_config
from tests.measures.networks import CPU, config_of, sets_of

STEPS, LR, WIDTH = 3, 0.1, 5


def _build(
    *frozen: str, model: str = "mlp", ch: int = WIDTH, shape: Sequence[int] = (3,), outputs: int = 1
) -> nn.Module:
    cfg = dataclasses.replace(tiny_config(f"model={model}").model, frozen=list(frozen))
    return build_model(cfg, ch, tuple(shape), outputs, seed=0)


def _trained(
    model: nn.Module, sets: RunSets, task: str, *overrides: str
) -> tuple[Ensemble, list[Snapshot]]:
    cfg = config_of(f"epochs={STEPS}", f"measure_at=[0,{STEPS}]", *overrides)
    ensemble = Ensemble(copy.deepcopy(model), sets, task, cfg.training, CPU)  # type: ignore[arg-type]
    return ensemble, list(ensemble.run())


# --- they stay


@pytest.mark.parametrize(
    ("frozen", "layers", "size"),
    [
        ((), ["fc1", "fc2"], 26),
        (("fc1",), ["fc2"], 6),
        (("fc2",), ["fc1"], 20),
        (("fc1.bias",), ["fc1", "fc2"], 21),
        (("fc1.weight", "fc1.bias", "fc2.bias"), ["fc2"], 5),
        (("fc1", "fc1.bias", "fc1"), ["fc2"], 6),
    ],
    ids=str,
)
def test_what_is_frozen_does_not_move_and_is_not_counted(
    frozen: tuple[str, ...], layers: list[str], size: int
) -> None:
    model = _build(*frozen)
    ensemble, shots = _trained(model, sets_of(config_of(), regression=1), "regression")
    assert list(layers_of(ensemble.parameters)) == layers
    assert ensemble.n_parameters == size
    assert all(shot.gradient_sum.shape == (2, size) for shot in shots)
    for replica in ensemble.replicas:
        for (name, now), before in zip(
            replica.model.named_parameters(), model.parameters(), strict=True
        ):
            stays = name in frozen or name.partition(".")[0] in frozen
            assert torch.equal(now, before.double()) == stays, name


@pytest.mark.parametrize("chunk", ["null", "4"])
def test_a_frozen_normalization_and_a_frozen_kernel(chunk: str) -> None:
    frozen = ("bn1a", "conv2b.weight", "fc1")
    model = _build(*frozen, model="table3_cnn", ch=2, shape=(1, 16, 16), outputs=4)
    sets = sets_of(config_of(), (1, 16, 16))
    ensemble, _ = _trained(model, sets, "classification", f"chunk_size={chunk}")
    names = [p.name for p in ensemble.parameters]
    still = [n for n, _ in model.named_parameters() if n in frozen or n.partition(".")[0] in frozen]
    assert len(still) == 5
    assert names == [n for n, _ in model.named_parameters() if n not in still]
    assert ensemble.parameters[-1].stop == ensemble.n_parameters
    for replica in ensemble.replicas:
        moved = dict(replica.model.named_parameters())
        for name, before in model.named_parameters():
            if not (name.startswith("conv") and name.endswith("bias")):  # BN takes those out
                assert torch.equal(moved[name], before.double()) == (name in still), name


def test_initial_weights_do_not_depend_on_what_is_frozen() -> None:
    for plain, frozen in zip(_build().parameters(), _build("fc1").parameters(), strict=True):
        assert torch.equal(plain, frozen)


# --- the rest is a linear regression on fixed features


def _features(model: nn.Module, samples: Samples) -> np.ndarray:
    """[n, N + 1] ReLU features of the frozen layer, and a one for the bias."""
    weight, bias = (p.detach().double().numpy() for p in model.fc1.parameters())
    hidden = np.maximum(samples.x.numpy() @ weight.T + bias, 0)
    return np.hstack([hidden, np.ones((len(hidden), 1))])


@pytest.mark.parametrize("chunk", ["null", "3"])
def test_the_second_layer_is_a_linear_regression_on_fixed_features(chunk: str) -> None:
    """g_i = 2 (a_i·v − y_i) a_i, and gradient descent on v alone, in NumPy."""
    model = _build("fc1")
    sets = sets_of(config_of("n=12"), regression=1)
    _, shots = _trained(model, sets, "regression", "n=12", f"chunk_size={chunk}")
    for m, train in enumerate(sets.train):
        a, y = _features(model, train), train.y.numpy()[:, 0]
        v = np.concatenate([p.detach().double().numpy().ravel() for p in model.fc2.parameters()])
        for epoch in range(STEPS + 1):
            gradients = 2 * (a @ v - y)[:, None] * a
            for shot in shots:
                if shot.epoch == epoch:
                    found = shot.gradient_sum[m].numpy(), shot.gradient_square_sum[m].numpy()
                    np.testing.assert_allclose(found[0], gradients.sum(0), rtol=1e-9, atol=1e-12)
                    np.testing.assert_allclose(found[1], (gradients**2).sum(0), rtol=1e-9)
                    assert shot.train_loss[m] == pytest.approx(((a @ v - y) ** 2).mean())
            v = v - LR * gradients.mean(0)
    assert [shot.epoch for shot in shots] == [0, STEPS]


def test_a_run_with_a_frozen_layer_measures_the_rest_only(tmp_path: Path) -> None:
    cfg = tiny_config("data=toy", "model=mlp", "ch=5", "tracking=none", "model.frozen=[fc1]")
    record = run_point(cfg, tmp_path).record
    assert record.summary["n_parameters"] == 6
    assert all("gsnr_mean/fc2" in m.metrics for m in record.measurements)
    assert not any("gsnr_mean/fc1" in m.metrics for m in record.measurements)


# --- what cannot be frozen


@pytest.mark.parametrize("name", ["fc3", "fc", "fc1.gain", "relu1", "", "."])
def test_an_unknown_name_is_refused_with_those_there_are(name: str) -> None:
    with pytest.raises(GsnrError) as refusal:
        _build("fc1", name)
    assert str(refusal.value) == (
        f"model.frozen: {name!r} is no layer or parameter of this network. Its layers: fc1, fc2."
    )
