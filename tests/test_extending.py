"""The examples of ``docs/extending.md``, run as they stand."""

import dataclasses
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from gsnr_sweep.config.schema import Config
from gsnr_sweep.data.registry import distribution
from gsnr_sweep.data.sampling import draw_sets
from gsnr_sweep.data.seeding import Stream, torch_seed
from gsnr_sweep.models.build import build_model
from gsnr_sweep.preflight.check import CheckedPoint, check
from gsnr_sweep.records.record import RunRecord
from gsnr_sweep.runs.runner import run_point
from tests.conftest import ROOT, expanded, launch, launch_here, tiny_config

TEXT = (ROOT / "docs" / "extending.md").read_text()
SMALL = ("n_sets=2", "n_test=50", "epochs=4", "measure_at=[0,4]", "tracking=none")
ONE = "hydra.launcher.workers=1"
WORKERS = "hydra.launcher.workers=2"


def files() -> dict[str, str]:
    """The examples that say in their first line which file they are, by its name."""
    found: dict[str, str] = {}
    for block in re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL):
        if named := re.match(r"# (\w+\.py)\b", block):
            found[named[1]] = found.get(named[1], "") + block
    return found


def command(named: str) -> list[str]:
    """The arguments of the one launch that names a module, or something of it."""
    lines = re.findall(r"^python launch\.py (.*)$", TEXT, re.MULTILINE)
    (line,) = [line for line in lines if re.search(rf"\b{re.escape(named)}\b", line)]
    return shlex.split(line)


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A folder with the files of all examples."""
    for name, text in files().items():
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.fixture
def imported(mine: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The files of all examples, importable in this process."""
    monkeypatch.syspath_prepend(str(mine))
    yield
    for name in files():
        sys.modules.pop(Path(name).stem, None)


def test_a_figure_of_the_users_is_drawn_and_shown(mine: Path) -> None:
    ended = launch_here(mine, *command("my_figures"), *SMALL, ONE)
    assert ended.code == 0, ended.out + ended.err
    (png,) = mine.glob("multirun/*/*/my_figures.spread.png")
    (page,) = mine.glob("multirun/*/*/report.html")
    assert png.stat().st_size > 5000
    assert png.with_suffix(".pdf").is_file()
    assert (png.parent / "lhs_rhs.png").is_file()
    assert 'alt="my_figures.spread"' in page.read_text()


def test_a_claim_of_the_users_is_judged_and_shown(mine: Path) -> None:
    ended = launch_here(mine, *command("my_claims"), *SMALL, ONE)
    assert ended.code == 0, ended.out + ended.err
    assert "The generalization gap rises in training. (my own)" in ended.out
    (page,) = mine.glob("multirun/*/*/report.html")
    assert "The generalization gap rises in training." in page.read_text()


def test_a_figure_that_is_none_is_refused_and_nothing_written(mine: Path) -> None:
    (mine / "my_figures.py").write_text("def spread(analysis):\n    return 3\n")
    ended = launch_here(mine, *command("my_figures"), *SMALL, ONE)
    assert ended.code == 1
    assert "preset.figures=[my_figures.spread]: it returned a value of type int" in ended.err
    assert {path.name for path in mine.iterdir()} == set(files())


def test_a_distribution_of_the_users_is_drawn_from(mine: Path) -> None:
    ended = launch(mine, *command("my_data"), *SMALL, "preset.figures=[]", WORKERS)
    assert ended.code == 0, ended.out + ended.err
    assert "data      my_data.Spirals" in ended.out
    records = [RunRecord.read(path) for path in mine.glob("multirun/*/*/*/record.json")]
    assert {record.config["data"]["args"]["turns"] for record in records} == {1, 3}
    assert {record.data["name"] for record in records} == {"spirals"}
    assert len({record.data["train_digest"] for record in records}) == 2
    for record in records:
        assert (record.state, record.data["train_size"]) == ("finished", 100)
        assert record.summary["n_parameters"] == 2 * 8 + 8 + 8 * 2 + 2


def test_points_of_the_spirals_lie_on_them(imported: None) -> None:
    cfg = tiny_config(*(part for part in command("my_data") if part.startswith("data")))
    cfg.data.args = {"turns": 3}  # type: ignore[attr-defined]
    samples = distribution(cfg.data).train_set(500, 0, 0)
    x, arm = samples.x.double().numpy(), samples.y.numpy()
    radius, angle = np.hypot(*x.T), np.arctan2(x[:, 1], x[:, 0])
    turned = np.exp(1j * angle) * np.exp(-2j * np.pi * 3 * radius)  # +1 or −1, by the arm
    np.testing.assert_allclose(turned, 1 - 2 * arm, atol=1e-9)
    assert 200 < arm.sum() < 300


def test_a_pair_of_data_sets_of_the_users_is_drawn_from(imported: None, folder: Path) -> None:
    cfg = tiny_config(*command("my_pairs"), "epochs=1", "measure_at=[1]", "tracking=none")
    record = run_point(cfg, folder).record
    assert (record.state, record.data["name"]) == ("finished", "my_pairs.blobs")
    assert (record.data["train_size"], record.data["test_size"]) == (100, 150)
    pool = distribution(cfg.data).train_set(200, 0, 0)
    centres = [pool.x[pool.y == label].mean(0) for label in range(3)]
    assert all(float(centre[label] - centre[9]) > 0.4 for label, centre in enumerate(centres))


def test_a_loss_of_the_users_is_minimized_and_measured(imported: None, folder: Path) -> None:
    """At the initial weights, before anything has moved them."""
    found = points("my_losses")
    assert [point.cfg.loss.args["gamma"] for point in found] == [1, 1, 2, 2]  # type: ignore[attr-defined]
    small = {"n_sets": 2, "n_test": 50, "epochs": 1, "measure_at": [0]}
    cfg = dataclasses.replace(found[-1].cfg, **small)  # type: ignore[arg-type]
    (measurement,) = run_point(cfg, folder).record.measurements
    spec = distribution(cfg.data).spec
    seed = torch_seed(cfg.seed, Stream.INITIAL_WEIGHTS)
    model = build_model(cfg.model, cfg.ch, spec.input_shape, spec.n_outputs, seed)
    losses = []
    for samples in draw_sets(distribution(cfg.data), cfg.sampling).train:
        x, y = samples.batch(0, len(samples), torch.float32)
        right = model(x).double().softmax(1)[torch.arange(len(y)), y]
        losses.append((-((1 - right) ** 2) * right.log()).mean().item())
    assert measurement.metrics["train_loss"] == pytest.approx(sum(losses) / 2, rel=1e-6)


def points(named: str, *more: str) -> list[CheckedPoint]:
    """The checked grid of a launch."""
    return check(expanded(*command(named), *more).points)


def measured(point: CheckedPoint, folder: Path) -> dict[str, float]:
    """The metrics of a run at its first measured epoch."""
    record = run_point(point.cfg, folder).record
    assert record.state == "finished"
    return record.measurements[0].metrics


TINY_STEP = (
    *("model=mlp", "ch=3", "dtype=float64", "lr=0.3", "epochs=0", "measure_at=[0]"),
    *("n=12", "n_sets=2", "n_test=20", "tracking=none"),
)


def replicas_by_hand(cfg: Config) -> list[tuple[nn.Module, Tensor, Tensor]]:
    """Each replica's network and training set, in float64."""
    spec = distribution(cfg.data).spec
    seed = torch_seed(cfg.seed, Stream.INITIAL_WEIGHTS)
    sets = draw_sets(distribution(cfg.data), cfg.sampling)

    def network() -> nn.Module:
        return build_model(cfg.model, cfg.ch, spec.input_shape, spec.n_outputs, seed).double()

    return [(network(), *samples.batch(0, 12, torch.float64)) for samples in sets.train]


def gradient(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    parts = torch.autograd.grad(cross_entropy(model(x), y), list(model.parameters()))
    return torch.cat([part.flatten() for part in parts])


def test_a_measure_of_the_users_is_what_it_says(imported: None, folder: Path) -> None:
    point, other = points("my_measures.gradient_noise_scale", *TINY_STEP, "n=12,15")
    assert (point.cfg.n, other.cfg.n) == (12, 15)
    scales = []
    for model, x, y in replicas_by_hand(point.cfg):
        each = torch.stack([gradient(model, x[i : i + 1], y[i : i + 1]) for i in range(len(x))])
        scales.append(float(each.var(0, correction=0).sum() / each.mean(0).square().sum()))
    assert measured(point, folder)["noise_scale"] == pytest.approx(np.mean(scales), rel=1e-9)


def test_a_measure_with_requirements_is_what_it_says(imported: None, folder: Path) -> None:
    (point,) = points("my_measures.my_measure", *TINY_STEP)
    changes, outputs = [], []
    for model, x, y in replicas_by_hand(point.cfg):
        outputs.append(float(model(x).detach().abs().max()))
        before = gradient(model, x, y)
        with torch.no_grad():
            stepped = nn.utils.parameters_to_vector(model.parameters()) - 0.3 * before
            nn.utils.vector_to_parameters(stepped, model.parameters())
        changes.append(float((gradient(model, x, y) - before).norm()))
    found = measured(point, folder)
    assert found["gradient_change"] == pytest.approx(np.mean(changes), rel=1e-6)
    assert found["largest_output"] == pytest.approx(max(outputs), rel=1e-9)


def test_a_measure_of_the_trained_network_is_what_it_says(imported: None, folder: Path) -> None:
    (point,) = points("my_measures.mean_margin", *TINY_STEP)
    margins = []
    for model, x, y in replicas_by_hand(point.cfg):
        outputs = model(x).detach()
        own = outputs.gather(1, y[:, None])[:, 0]
        others = outputs.scatter(1, y[:, None], -torch.inf).amax(1)
        margins.append(float((own - others).mean()))
    found = measured(point, folder)
    assert found["margin_mean"] == pytest.approx(np.mean(margins), rel=1e-9)
    assert found["margin_mean_se"] == pytest.approx(np.std(margins, ddof=1) / 2**0.5, rel=1e-7)


def test_a_model_of_the_users_is_trained(imported: None, folder: Path) -> None:
    sizes = ("n=12", "n_sets=2", "n_test=20", "epochs=1", "measure_at=[1]", "tracking=none")
    narrow, wide = points("my_models", *sizes)
    for point, ch in ((narrow, 8), (wide, 16)):
        assert point.n_parameters == (9 * ch + ch) + 2 * (9 * ch * ch + ch) + (10 * ch + 10)
    assert 2.2 < measured(narrow, folder)["train_loss"] < 2.5  # about log(10)
