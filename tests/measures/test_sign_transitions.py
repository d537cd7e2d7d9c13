"""Transitions between W·g < 0 and W·g > 0 against loops over weights; the looks they need."""

import itertools
import math

import numpy as np
import pytest
import torch

from gsnr_sweep.gradients.parameters import Parameter
from gsnr_sweep.measures import requirements_of
from gsnr_sweep.measures.sign_transitions import sign_transitions
from gsnr_sweep.training.ensemble import Ensemble
from gsnr_sweep.training.last_look import LastLook
from gsnr_sweep.training.snapshot import Look, Snapshot
from tests.gradients.oracles import gradient_descent, per_sample_gradients
from tests.measures.networks import CPU, config_of, cross_entropy, mlp, plain_and_watched, sets_of
from tests.measures.snapshots import snapshot

PARAMETERS = (
    Parameter("fc1.weight", 0, 20, (4, 5)),
    Parameter("fc1.bias", 20, 24, (4,)),
    Parameter("fc2.weight", 24, 54, (3, 10)),
)
LAYERS = {"fc1": range(20), "fc2": range(24, 54)}
M, P = 3, 54
WANTED = requirements_of({"sign_transitions": sign_transitions})
Arrays = dict[str, np.ndarray]


def _shot(now: Arrays, before: Arrays | None) -> Snapshot:
    tensors = {name: torch.from_numpy(values) for name, values in now.items()}
    look = before and Look(0, *(torch.from_numpy(before[name]) for name in ("w", "g")))
    return snapshot(
        np.zeros((M, 5, P)),
        parameters=PARAMETERS,
        weights=tensors["w"],
        step_gradient=tensors["g"],
        previous=look,
    )


@pytest.fixture
def looks() -> tuple[Arrays, Arrays]:
    """Two looks; weights of fc2 are ten times smaller; a few weights and gradients are zero."""
    rng = np.random.default_rng(5)
    before = {name: rng.normal(size=(M, P)) for name in ("w", "g")}
    before["w"][:, 24:] /= 10
    now = {name: before[name] + rng.normal(scale=0.1, size=(M, P)) for name in ("w", "g")}
    now["g"] -= 0.5 * before["w"]
    before["w"][0, [1, 30]] = now["g"][1, [2, 31]] = 0
    return now, before


def _expected(now: Arrays, before: Arrays) -> dict[str, float]:
    """Weight by weight, replica by replica."""
    values: dict[str, float] = {}
    for suffix, layers in {"": list(LAYERS), "/fc1": ["fc1"], "/fc2": ["fc2"]}.items():
        for kind, origin in itertools.product(("", "_top10"), ("", "_from_same", "_from_opposite")):
            shares: dict[str, list[float]] = {}
            for m in range(M):
                found: dict[str, list[bool]] = {}
                for layer in layers:
                    places = sorted(LAYERS[layer], key=lambda j: -abs(before["w"][m, j]))
                    for j in places[: len(places) // 10] if kind else places:
                        w0, g0 = before["w"][m, j], before["g"][m, j]
                        w, g = now["w"][m, j], now["g"][m, j]
                        if 0 in (w0 * g0, w * g):
                            continue
                        if origin and (w0 * g0 > 0) != (origin == "_from_same"):
                            continue
                        changed, w_flips = (w0 * g0 > 0) != (w * g > 0), (w > 0) != (w0 > 0)
                        found.setdefault("changed", []).append(changed)
                        found.setdefault("changed_by_g", []).append(changed and not w_flips)
                        found.setdefault("g_grew", []).append(abs(g) > abs(g0))
                        both = abs(g) > abs(g0) and abs(w) > abs(w0)
                        found.setdefault("both_grew", []).append(both)
                for name, told in found.items():
                    shares.setdefault(name, []).append(sum(told) / len(told))
            for name in ("changed", "changed_by_g", "g_grew", "both_grew"):
                own = shares.get(name, [])
                values[f"{name}{origin}{kind}{suffix}"] = sum(own) / len(own) if own else math.nan
    return values


def test_shares_are_those_of_loops_over_the_weights(looks: tuple[Arrays, Arrays]) -> None:
    expected = _expected(*looks)
    assert 0 < expected["changed_by_g"] < expected["changed"] < 1
    assert sign_transitions(_shot(*looks)) == pytest.approx(expected, rel=1e-12, nan_ok=True)


def test_the_largest_are_those_of_the_earlier_look(looks: tuple[Arrays, Arrays]) -> None:
    """Chosen by what they are now, those that grew would be among them more often."""
    now, before = looks
    now["w"][:, 0] = 100
    assert sign_transitions(_shot(now, before)) == pytest.approx(
        _expected(now, before), rel=1e-12, nan_ok=True
    )


def test_nothing_is_said_at_the_first_look(looks: tuple[Arrays, Arrays]) -> None:
    assert sign_transitions(_shot(looks[0], None)) == {}


def test_signs_of_weights_that_do_not_matter_give_equal_shares() -> None:
    """What counts as chance: signs of W drawn anew, independent of the gradients' course."""
    rng = np.random.default_rng(0)
    g0 = rng.normal(size=(M, P))
    g = 0.3 * g0 + rng.normal(size=(M, P))
    found: dict[str, list[float]] = {}
    for _ in range(400):
        w = rng.choice([-1.0, 1.0], size=(M, P))
        for name, value in sign_transitions(_shot({"w": w, "g": g}, {"w": w, "g": g0})).items():
            found.setdefault(name, []).append(value)
    for name in ("changed_by_g", "g_grew"):
        for origin in ("_from_same", "_from_opposite"):
            assert np.mean(found[f"{name}{origin}"]) == pytest.approx(found[name][0], abs=0.01)


@pytest.mark.parametrize("chunk", ["null", "3"])
def test_looks_are_those_of_plain_pytorch(chunk: str) -> None:
    cfg = config_of(f"chunk_size={chunk}", "epochs=5", "measure_at=[1,2,5]", "n_sets=2")
    sets = sets_of(cfg)
    ensemble = Ensemble(mlp(), sets, "classification", cfg.training, CPU)
    shots = list(ensemble.run(wanted=WANTED))
    assert shots[0].previous is None
    for before, shot in itertools.pairwise(shots):
        assert shot.previous is not None
        assert shot.previous.step == before.epoch
        for m, train in enumerate(sets.train):
            model = mlp()
            gradient_descent(model, train.x, train.y, cross_entropy, cfg.lr, before.epoch)
            rows = per_sample_gradients(model, train.x, train.y, cross_entropy)
            flat = torch.cat([p.detach().flatten() for p in model.parameters()])
            close = {"rtol": 1e-9, "atol": 1e-12}
            torch.testing.assert_close(shot.previous.weights[m], flat, **close)
            torch.testing.assert_close(shot.previous.gradient[m], rows.mean(0), **close)


def test_looking_does_not_change_the_training() -> None:
    for one, other in plain_and_watched(WANTED):
        assert one.previous is None
        assert torch.equal(one.train_loss_next, other.train_loss_next)
        assert torch.equal(one.gradient_sum, other.gradient_sum)


def test_a_look_of_another_run_of_the_same_training_does_not_count() -> None:
    """Kept weights hold the last look of the run that kept them, at an epoch of its schedule."""
    kept = LastLook(1)
    kept.note(Look(2, torch.ones(1, 3), torch.ones(1, 3)))
    for measured in ((), (0, 2)):
        again = LastLook(1)
        again.load_state(0, kept.state(0))
        again.keep_if_of(measured)
        assert (again.look is not None) == bool(measured)
