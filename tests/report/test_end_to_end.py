"""Experiments of the paper from the command line to figures, claims and page."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest
from mlflow import MlflowClient

from gsnr_sweep.cli.aggregate import main as aggregate_main
from gsnr_sweep.cli.main import main
from gsnr_sweep.records.manifest import Manifest
from tests.conftest import Launched, launch, read_csv
from tests.report.reading import Page

TINY = ("data=digits", "model=table2_cnn", "n=40", "n_test=60", "ch=2", "epochs=3")


@dataclass
class Place:
    """A folder in which three experiments were launched, one after the other."""

    folder: Path
    ended: dict[str, Launched]

    @cached_property
    def sweeps(self) -> dict[str, Manifest]:
        found = [Manifest.read(p.parent) for p in self.folder.glob("multirun/*/*/sweep.json")]
        return {sweep.preset["name"]: sweep for sweep in found}

    @property
    def client(self) -> MlflowClient:
        return MlflowClient(f"sqlite:///{self.folder / 'mlflow.db'}")

    def artifacts(self, name: str) -> set[str]:
        run_id = self.sweeps[name].parent_run_id
        top = {file.path for file in self.client.list_artifacts(run_id)}
        return top | {file.path for file in self.client.list_artifacts(run_id, "aggregate")}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder = tmp_path_factory.mktemp("place")
    asked = {
        "fig6_frozen_toy": (),
        "fig5_gsnr_curves": TINY,
        "fig5_same_sign": TINY,  # of the same runs
    }
    ended = {
        name: launch(folder, "-m", f"experiment={name}", "scale=smoke", *others)
        for name, others in asked.items()
    }
    return Place(folder, ended)


FIGURES = {
    "fig6_frozen_toy": {"frozen"},
    "fig5_gsnr_curves": {"gsnr_curves", "layer_curves", "loss_shares"},
    "fig5_same_sign": {"same_sign"},
}
every_experiment = pytest.mark.parametrize("name", FIGURES)


@pytest.mark.slow
@every_experiment
def test_figures_table_and_page_are_in_the_sweeps_folder(place: Place, name: str) -> None:
    ended = place.ended[name]
    assert (ended.code, ended.err) == (0, "")
    assert "What the paper says, in these runs:" in ended.out
    sweep = place.sweeps[name]
    assert sweep.name.startswith(f"{name} sweep 20")
    assert {p.stem for p in sweep.folder.glob("*.png")} == FIGURES[name]
    assert {p.stem for p in sweep.folder.glob("*.pdf")} == FIGURES[name]
    page = Page((sweep.folder / "report.html").read_text())
    assert page.problems == []
    assert len(page.pictures) == len(FIGURES[name])
    assert f"{name}, smoke scale" in page.text
    assert f"experiment={name} scale=smoke" in page.text
    assert "not drawn" not in page.text


@pytest.mark.slow
@every_experiment
def test_the_same_is_with_the_sweeps_run_in_mlflow(place: Place, name: str) -> None:
    own = {p.name for p in place.sweeps[name].folder.iterdir() if p.is_file()}
    own -= {"report.html", "sweep.json", "mlflow.json", "payload.pkl", "multirun.yaml"}
    assert place.artifacts(name) >= {"report.html", *(f"aggregate/{file}" for file in own)}
    parent = place.client.get_run(place.sweeps[name].parent_run_id)
    assert f'"name": "{name}", "scale": "smoke"' in parent.data.tags["gsnr.preset"]


@pytest.mark.slow
def test_a_sweep_of_runs_of_another_experiment_draws_its_own_figure(place: Place) -> None:
    sweep = place.sweeps["fig5_same_sign"]
    assert {run.action for run in sweep.runs} == {"reuse"}
    assert "gradients become more consistent in sign" in place.ended["fig5_same_sign"].out


@pytest.mark.slow
@every_experiment
def test_aggregating_from_mlflow_alone_draws_the_same_figures(
    place: Place, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place.folder)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    sweep = place.sweeps[name]
    assert aggregate_main([sweep.name, "--output", str(tmp_path / "again"), "--no-log"]) == 0
    assert {p.stem for p in (tmp_path / "again").glob("*.png")} == FIGURES[name]
    for file in ("table.csv", "features.csv"):
        first, second = (
            read_sorted(folder / file) for folder in (sweep.folder, tmp_path / "again")
        )
        assert first == second


def read_sorted(path: Path) -> list[str]:
    """Read a table whatever the order of its rows and columns; it may be missing."""
    if not path.exists():
        return []
    frame = read_csv(path)
    return sorted(frame[sorted(frame)].to_csv(index=False).splitlines())


@pytest.mark.slow
def test_one_page_on_all_of_them(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(place.folder)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    names = [place.sweeps[name].id for name in FIGURES]
    assert main(["report", *names, "--output", "all.html"]) == 0
    page = Page((place.folder / "all.html").read_text())
    assert page.problems == page.loads == []
    assert page.tags["section"] == 3
    assert len(page.pictures) == sum(map(len, FIGURES.values()))
