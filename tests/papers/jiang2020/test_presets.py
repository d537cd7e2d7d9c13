"""The grids of ``experiment=which_measure_…``: their axes at each scale, and that they run."""

import math
from pathlib import Path
from typing import Any

import pytest
import yaml

from gsnr_sweep.config.identity import run_identity
from gsnr_sweep.config.validation import problems
from gsnr_sweep.papers.registry import FIGURES
from gsnr_sweep.preflight.check import check
from gsnr_sweep.records.state import State
from gsnr_sweep.runs.runner import run_point
from tests.conftest import CONF, expanded, read_csv
from tests.papers.presets import SCALES, aggregate

AXES = {
    "which_measure_mlp": {
        *("n", "p_random", "ch", "model.args.depth", "optim", "optim.batch_size", "lr", "seed"),
    },
    "which_measure_cnn": {
        *("n", "p_random", "ch", "model.args.stages", "model.args.batch_norm"),
        *("optim.batch_size", "lr", "seed"),
    },
}
# Of a paper-size grid a part stands for all: what is not on this line has all its values.
PART = ("n=1000", "p_random=0.5", "seed=0", "optim.batch_size=64")
every_scale = pytest.mark.parametrize("scale", SCALES)
every_experiment = pytest.mark.parametrize("experiment", AXES)


def points_of(experiment: str, scale: str) -> list[Any]:
    part = PART if scale == "paper" else ()
    return expanded("-m", f"experiment={experiment}", f"scale={scale}", *part).points


def params_of(experiment: str, scale: str) -> dict[str, str]:
    path = CONF / "scales" / experiment / f"{scale}.yaml"
    params = yaml.safe_load(path.read_text())["hydra"]["sweeper"]["params"]
    return {key: str(values) for key, values in params.items()}


@every_scale
@every_experiment
def test_the_grid_is_legal(experiment: str, scale: str) -> None:
    configs = [point.cfg for point in points_of(experiment, scale)]
    for cfg in configs:
        assert cfg is not None
        assert problems(cfg) == []
        assert (cfg.preset.name, cfg.preset.scale) == (experiment, scale)
        assert set(cfg.preset.figures) <= FIGURES.keys()
        assert cfg.measured_epochs[0] == 0  # where the predicted gap is summed from
        assert cfg.stop.train_loss == 0.01
        assert cfg.measures.of_networks.networks_at == "end"
    assert len({run_identity(cfg) for cfg in configs}) == len(configs)


@every_experiment
def test_the_axes(experiment: str) -> None:
    paper, laptop = (params_of(experiment, scale) for scale in ("paper", "laptop"))
    assert paper.keys() == AXES[experiment]
    assert all(values.count(",") >= 1 for values in paper.values())
    assert laptop.keys() <= AXES[experiment]
    for params in (paper, laptop):
        assert len(params["seed"].split(",")) >= 3


@every_experiment
def test_smaller_scales_cost_less(experiment: str) -> None:
    smoke, laptop = (check(points_of(experiment, scale)) for scale in SCALES[:2])
    assert sum(point.flops for point in smoke) < sum(point.flops for point in laptop) / 50


def test_the_smoke_scale_runs(
    real_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In this process, to the ranking with its table, figure and place on the page."""
    monkeypatch.setenv("GSNR_DATA_ROOT", str(real_data))
    line = ("-m", "experiment=which_measure_mlp", "scale=smoke", "tracking=none", "threads=1")
    points = check(expanded(*line).points)
    sweep = tmp_path / "sweep"
    for index, point in enumerate(points):
        (sweep / str(index)).mkdir(parents=True)
        record = run_point(point.cfg, sweep / str(index)).record
        assert record.state == State.FINISHED
        first, last = record.measurements[0], record.measurements[-1]
        assert "param_norm" not in first.metrics
        assert math.isfinite(last.metrics["param_norm"])
        assert last.metrics["gap_predicted_rhs"] > 0
    result = aggregate(sweep, points)
    assert result.ranking is not None
    assert result.ranking.target == "gen_error"
    names = {row.name for row in result.ranking.rows}
    wanted = {"gap_predicted_rhs", "gsnr_early_mean", "pac_bayes_flatness", "distance_from_init"}
    assert wanted <= names
    assert len(read_csv(sweep / "ranking.csv")) == len(result.ranking.rows)
    page = (sweep / "report.html").read_text()
    assert "Which measure predicts gen_error" in page
    assert page.count(f'alt="{FIGURES["ranking"].caption[:30]}') == 1
    assert (sweep / "ranking.png").is_file()
