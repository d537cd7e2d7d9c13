"""A password in the address of the tracking store: no file, no text and no upload holds it."""

import shutil
from pathlib import Path

import pytest
from mlflow import MlflowClient
from omegaconf import OmegaConf

from gsnr_sweep.launcher.secrecy import fit_to_be_seen
from gsnr_sweep.records.manifest import Manifest
from gsnr_sweep.tracking.sync import send_unsent
from gsnr_sweep.wording import printable
from tests.conftest import Launched, launch_here
from tests.launcher.planted import files_with

SECRET = "hunter2-planted"
TOY = (
    *("data=toy", "model=mlp", "n=20", "ch=2", "n_sets=2", "n_test=20", "epochs=1"),
    "measure_at=[1]",
)


def _store(folder: Path) -> str:
    """A store that takes a password, and pays no heed to it."""
    return f"sqlite:///file:{folder / 'mlflow.db'}?uri=true&password={SECRET}"


@pytest.fixture(scope="module")
def launched(
    tmp_path_factory: pytest.TempPathFactory, migrated_store: Path
) -> tuple[Launched, Launched]:
    """A sweep told its store on the command line, and a run alone told it by a config file."""
    folder = tmp_path_factory.mktemp("secret")
    shutil.copy(migrated_store, folder / "mlflow.db")
    (folder / "own").mkdir()
    (folder / "own" / "mine.yaml").write_text(
        f"defaults: [config, _self_]\ntracking:\n  uri: '{_store(folder)}'\n  run_name: \"[/x]\"\n"
    )
    sweep = launch_here(folder, "-m", *TOY, "seed=1,2", f"tracking.uri='{_store(folder)}'")
    own = ("--config-dir", str(folder / "own"), "--config-name", "mine")
    return sweep, launch_here(folder, *own, *TOY, "seed=3", "hydra.run.dir='outputs/d/out[/b]'")


def test_everything_reaches_the_store(launched: tuple[Launched, Launched]) -> None:
    assert [done.code for done in launched] == [0, 0], launched[0].err + launched[1].err
    client = MlflowClient(f"sqlite:///{launched[0].folder / 'mlflow.db'}")
    (experiment,) = (e for e in client.search_experiments() if e.name == "gsnr-sweep")
    runs = client.search_runs([experiment.experiment_id])
    assert sorted(run.data.params.get("seed", "") for run in runs) == ["", "1", "2", "3"]
    assert {run.info.status for run in runs} == {"FINISHED"}
    for run in runs:
        uri = run.data.params.get("tracking.uri", "password=***")
        assert uri.endswith("password=***")


def test_nothing_holds_the_password(launched: tuple[Launched, Launched]) -> None:
    folder = launched[0].folder
    for done in launched:
        assert SECRET not in done.out + done.err
    files = [path for path in folder.rglob("*") if path.is_file()]
    names = {path.name for path in files}
    assert {"record.json", "config.yaml", "overrides.yaml", "multirun.yaml", "sweep.json"} <= names
    assert {"report.html", "payload.pkl", "mlflow.db", "hydra.yaml"} <= names
    assert files_with(folder, [SECRET.encode()]) == {"mine.yaml"}  # what the user wrote


def test_names_are_printed_as_texts_without_control_characters(
    launched: tuple[Launched, Launched],
) -> None:
    alone = launched[1]
    assert "[/x]" in alone.out
    assert "out[/b]" in alone.out
    for done in launched:
        assert printable(done.out + done.err) == done.out + done.err


def test_a_later_process_needs_the_password_and_says_so(
    launched: tuple[Launched, Launched], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = launched[0].folder
    (sweep,) = folder.glob("multirun/*/*/sweep.json")
    assert [p.parent for p in folder.glob("multirun/*/*/multirun.yaml")] == [sweep.parent]
    manifest = Manifest.read(sweep.parent)
    for sent in sweep.parent.glob("*/mlflow.json"):
        sent.write_text(sent.read_text().replace('"digest": "', '"digest": "not '))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    left, why = send_unsent(manifest)
    assert left == 2
    assert "MLFLOW_TRACKING_URI" in why
    monkeypatch.setenv("MLFLOW_TRACKING_URI", _store(folder))
    assert send_unsent(manifest) == (0, "")


def test_a_config_is_copied_without_passwords_whatever_it_forbids() -> None:
    cfg = OmegaConf.create(
        {"a": {"uri": "http://me:pw@host/x"}, "given": ["b=http://me:pw@host"], "c": "${a.uri}"}
    )
    OmegaConf.set_readonly(cfg, True)
    seen = fit_to_be_seen(cfg)
    assert OmegaConf.to_container(seen) == {
        "a": {"uri": "http://***@host/x"},
        "given": ["b=http://***@host"],
        "c": "${a.uri}",
    }
    assert cfg.a.uri == "http://me:pw@host/x"
