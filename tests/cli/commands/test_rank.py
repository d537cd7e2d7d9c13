"""``gsnr-sweep rank``: which sweeps, which question, and what is written."""

from itertools import product
from pathlib import Path

import pandas as pd
import pytest

from gsnr_sweep.cli.main import main
from gsnr_sweep.records.manifest import Manifest
from tests.conftest import read_csv
from tests.fakes import put_record, put_run, put_sweep
from tests.tables import make_run

SETTINGS = tuple(product((100, 200, 400), (4, 8), (0, 1)))


def put(folder: Path, settings: tuple[tuple[int, int, int], ...] = SETTINGS) -> Manifest:
    """A sweep over n, ch and seed that measured a norm and the GSNR at two epochs."""
    manifest = put_sweep(folder, len(settings))
    for run, (n, ch, seed) in zip(manifest.runs, settings, strict=True):
        put_run(manifest.folder_of(run), "finished", alive=False)
        gap = 10 / n + 0.01 * ch + 0.001 * seed
        curves = {"gen_gap": [0.5 * gap, gap], "gsnr_mean": [gap, -gap], "norm": [1.0, gap**2]}
        record = make_run(curves, epochs=(1, 10), n=n, ch=ch, seed=seed)
        put_record(
            manifest.folder_of(run),
            config=record.config,
            config_hash=f"{n}-{ch}-{seed}",
            name=record.name,
            state="finished",
            measurements=record.measurements,
        )
    return manifest


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def rank(*arguments: str) -> int:
    return main(["rank", *arguments])


def table(folder: Path, name: str = "ranking.csv") -> pd.DataFrame:
    return read_csv(folder / name)


def test_the_files_of_a_sweep(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = put(here / "sweep").folder
    assert rank("sweep") == 0
    for name in ("ranking.csv", "ranking.tex", "ranking.png", "ranking.pdf"):
        assert (folder / name).stat().st_size > 300
    shown = capsys.readouterr().out
    assert "Which measure predicts gen_gap at end: 12 networks, 2 seeds" in shown
    assert "random numbers" in shown
    frame = table(folder).set_index("measure")
    assert frame.loc["gsnr_mean", "kendall_tau"] == pytest.approx(1)
    assert frame.loc["norm", "same_as"] == "gsnr_mean"
    latex = (folder / "ranking.tex").read_text()
    assert r"$-$gsnr\_mean" in latex
    assert latex.count(r"\begin{tabular}") == 1


def test_every_epoch(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = put(here / "sweep").folder
    assert rank("sweep", "--at", "every", "--target", "gen_gap") == 0
    frame = table(folder, "ranking-gen_gap-at-every.csv")
    found = frame[frame["measure"] == "gsnr_mean"].set_index("epoch")["kendall_tau"]
    assert found.to_dict() == pytest.approx({1: -1.0, 10: 1.0})
    assert "by epoch" in capsys.readouterr().out


def test_several_sweeps_are_ranked_together(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(here / "one", SETTINGS[:8])
    put(here / "other", SETTINGS[4:])  # four runs are in both
    assert rank("one", "other", "--at", "1", "--output", "both") == 0
    assert "at 1: 12 networks" in capsys.readouterr().out
    assert (here / "both" / "ranking-at-1.csv").is_file()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--target", "gap"), "no target 'gap'. Allowed: gen_error, gen_gap"),
        (("--at", "3"), "Nothing was measured at epoch 3; there is: 1, 10"),
        (("--measures", "nrm"), "no metric 'nrm'. Did you mean norm?"),
    ],
)
def test_wrong_questions(
    here: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], told: str
) -> None:
    folder = put(here / "sweep").folder
    assert rank("sweep", *arguments) == 1
    assert told in " ".join(capsys.readouterr().err.split())
    assert not list(folder.glob("ranking*"))


def test_an_epoch_that_is_none(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(here / "sweep")
    with pytest.raises(SystemExit) as ended:
        rank("sweep", "--at", "soon")
    assert ended.value.code == 2
    assert "'soon' is no epoch" in capsys.readouterr().err
