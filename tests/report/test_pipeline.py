"""From a real store of runs to table, figure and statistics, and what a wrong request is told."""

import itertools
import json
import math
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from rich.console import Console

from gsnr_sweep.analysis.table import SHORT_NAMES, read_sweep
from gsnr_sweep.cli.aggregate import epoch_as_typed as parse_epoch
from gsnr_sweep.cli.aggregate import main
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.records.record import Measurement, RunRecord
from gsnr_sweep.report.files import file_safe
from gsnr_sweep.report.pipeline import aggregate
from gsnr_sweep.wording import describe_epoch
from tests.conftest import ROOT, read_csv

SWEEP = "digits sweep 2026-11-20 23:15"
EPOCHS = (0, 20, 100)
GRID = tuple(itertools.product((200, 1000), (0.0, 0.5), (6, 12)))
METRICS = ("osgr_lhs", "osgr_rhs", "osgr_diff")


@dataclass
class Store:
    """A store of one experiment, and the ways to put runs into it."""

    folder: Path
    client: MlflowClient
    experiment: str
    records: dict = field(default_factory=dict)

    def sweep(self, name=SWEEP):
        tags = {"gsnr.kind": "sweep"}
        return self.client.create_run(self.experiment, tags=tags, run_name=name).info.run_id

    def run(self, record, parent=None, status="FINISHED"):
        tags = {"gsnr.kind": "run"} | ({"mlflow.parentRunId": parent} if parent else {})
        name = record if isinstance(record, str) else record.name
        run = self.client.create_run(self.experiment, tags=tags, run_name=name)
        if isinstance(record, RunRecord):
            self.records[run.info.run_id] = record
            record.write(self.folder)
            self.client.log_artifact(run.info.run_id, str(self.folder / "record.json"))
        self.client.set_terminated(run.info.run_id, status)
        return run.info.run_id


@pytest.fixture
def store(migrated_store, tmp_path, monkeypatch):
    shutil.copy(migrated_store, tmp_path / "mlflow.db")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for name in ("TELEMETRY", "HTTP_REQUEST_MAX_RETRIES", "ENABLE_ARTIFACTS_PROGRESS_BAR"):
        monkeypatch.delenv(f"MLFLOW_{name}", raising=False)
    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    experiment = client.create_experiment("digits", (tmp_path / "my artifacts").as_uri())
    return Store(tmp_path, client, experiment)


def make_record(n, p, ch, *, state="finished", epochs=EPOCHS, **config):
    generator = np.random.default_rng([n, int(10 * p), ch])
    measurements = []
    for k, epoch in enumerate(epochs):
        rhs = 1 / (1 + (0.6 + p + 0.02 * ch) * 100 / n) - 0.03 * k + generator.normal(0, 0.01)
        lhs = rhs + 0.02 * k + generator.normal(0, 0.01)
        values = {"osgr_lhs": lhs, "osgr_rhs": rhs, "osgr_diff": lhs - rhs}
        values |= {f"{name}_se": 0.01 for name in METRICS} | {"train_loss": 2.3 - 0.1 * k}
        measurements.append(Measurement.from_values(epoch, values))
    settings = {
        **{"n": n, "p_random": p, "ch": ch, "n_sets": 10, "n_test": 1000, "epochs": max(epochs)},
        **{"measure_at": list(epochs), "lr": 1e-3, "seed": 0, "device": "cpu"},
        "data": {"name": "digits", "noisy_test": True},
        "model": {"name": "table2_cnn", "init": "he_normal"},
    }
    return RunRecord(
        name=f"n={n} ch={ch} p={p}",
        config=settings | config,
        config_hash=f"{n}-{p}-{ch}",
        environment={},
        state=state,
        measurements=measurements,
    )


def fill(store, name=SWEEP):
    """Put a sweep of eight finished runs into the store and return its id."""
    parent = store.sweep(name)
    for point in GRID:
        store.run(make_record(*point), parent)
    store.client.set_terminated(parent)
    return parent


def with_failures(store):
    """Put a sweep of eight finished and five other runs into the store."""
    parent = fill(store)
    store.run("n=1 never began", parent, status="FAILED")
    store.run(make_record(1, 0.0, 6, state="failed", epochs=(0,)), parent, status="FAILED")
    store.run(make_record(2, 0.0, 6, state="diverged", epochs=(0, 20)), parent)
    store.run(make_record(3, 0.0, 6, state="running"), parent, status="RUNNING")
    torn = store.run(make_record(4, 0.0, 6), parent)
    uri = store.client.get_run(torn).info.artifact_uri
    (Path(uri.removeprefix("file://").replace("%20", " ")) / "record.json").write_text("{")
    return parent


def printed(width=80):
    return Console(width=width, record=True, file=(Path("/dev/null")).open("w"))


def run_python(arguments):
    command = [sys.executable, *arguments]
    return subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True)


def correlation(x, y):
    dx, dy = x - x.mean(), y - y.mean()
    return (dx * dy).sum() / math.sqrt((dx**2).sum() * (dy**2).sum())


# --- reading


def test_the_table_holds_every_measurement_of_every_run(store):
    table = read_sweep(store.client, fill(store))
    assert (table.name, table.runs, table.left_out) == (SWEEP, 8, ())
    assert len(table.frame) == 8 * 3
    rows = {(row.run_id, row.epoch): row for row in table.frame.itertuples()}
    for run_id, record in store.records.items():
        for measurement in record.measurements:
            row = rows[run_id, measurement.epoch]
            assert row.name == record.name
            assert (row.n, row.p_random, row.ch) == tuple(
                record.config[key] for key in ("n", "p_random", "ch")
            )
            assert (row.data, row.model, row.init) == ("digits", "table2_cnn", "he_normal")
            for name, value in measurement.metrics.items():
                assert getattr(row, name) == value


def test_columns_come_in_a_fixed_order(store):
    table = read_sweep(store.client, fill(store))
    assert table.settings == (
        *("n", "p_random", "ch", "n_sets", "n_test", "epochs", "lr", "seed"),
        *("data", "model", "init"),
    )
    assert list(table.frame.columns) == [
        *("run_id", "name", "state", "config_hash"),
        *table.settings,
        *("epoch", *table.metrics, "nonfinite"),
    ]


def test_other_settings_are_shown_where_they_vary(store):
    parent = store.sweep()
    noisy = {"data": {"name": "digits", "noisy_test": False}}
    store.run(make_record(200, 0.0, 6), parent)
    store.run(make_record(200, 0.0, 6, **noisy, depth=[1, 2], width=3), parent)
    store.run(make_record(200, 0.0, 6, width="wide"), parent)
    frame = read_sweep(store.client, parent).frame.drop_duplicates("run_id")
    assert frame["data.noisy_test"].tolist() == [True, False, True]
    assert frame["depth"].fillna("").tolist() == ["", "[1, 2]", ""]
    assert frame["width"].fillna("").tolist() == ["", "3", "wide"]
    assert "device" not in frame
    assert not set(SHORT_NAMES) & set(frame)


def test_values_that_were_not_finite_are_nan_and_named(store):
    parent = store.sweep()
    record = make_record(200, 0.0, 6)
    record.measurements[1] = Measurement.from_values(20, {"osgr_lhs": math.inf, "osgr_rhs": 0.5})
    store.run(record, parent)
    frame = read_sweep(store.client, parent).frame
    assert frame["nonfinite"].tolist() == ["", "osgr_lhs", ""]
    assert math.isnan(frame["osgr_lhs"][1])
    assert frame["osgr_rhs"][1] == 0.5


def test_a_metric_never_hides_a_setting_of_the_same_name(store):
    parent = store.sweep()
    record = make_record(200, 0.0, 6)
    record.measurements[0].metrics["lr"] = 0.5
    store.run(record, parent)
    frame = read_sweep(store.client, parent).frame
    assert frame["lr"].tolist() == [1e-3] * 3
    assert frame["metric.lr"][0] == 0.5


def test_runs_that_did_not_finish_are_left_out_with_their_reason(store):
    table = read_sweep(store.client, with_failures(store))
    assert table.runs == 8
    assert set(table.frame["n"]) == {200, 1000}
    reasons = {run.name: run.reason for run in table.left_out}
    assert reasons == {
        "n=1 never began": "failed, and there is no record of it",
        "n=1 ch=6 p=0.0": "failed after 1 measured epoch",
        "n=2 ch=6 p=0.0": "diverged after 2 measured epochs",
        "n=3 ch=6 p=0.0": "still running or killed hard after 3 measured epochs",
        "n=4 ch=6 p=0.0": reasons["n=4 ch=6 p=0.0"],
    }
    assert reasons["n=4 ch=6 p=0.0"].startswith("finished, but its record cannot be read: Expect")


def test_records_elsewhere_are_downloaded(store, monkeypatch):
    parent = with_failures(store)
    here = read_sweep(store.client, parent)
    monkeypatch.setattr("gsnr_sweep.analysis.table._local_folder", lambda uri: None)
    there = read_sweep(store.client, parent)
    pd.testing.assert_frame_equal(there.frame, here.frame)
    assert len(there.left_out) == 5
    assert there.left_out[0].reason.startswith("failed, and its record could not be fetched: ")


# --- finding


def test_a_sweep_is_found_by_id_name_start_of_id_and_experiment(store):
    parent = fill(store)
    for wanted in (parent, parent[:6], parent[:6].upper(), SWEEP, f" {SWEEP} "):
        assert read_sweep(store.client, wanted).parent_id == parent
    whole = read_sweep(store.client, "digits")
    assert (whole.name, whole.parent_id, whole.runs) == ("digits", None, 8)


def test_an_experiment_holds_the_runs_of_its_sweeps_and_those_alone(store):
    fill(store)
    store.run(make_record(200, 0.1, 6), store.sweep("a second one"))
    store.run(make_record(200, 0.2, 6))
    assert read_sweep(store.client, "digits").runs == 10


def test_an_unknown_sweep_is_answered_with_those_there_are(store):
    for k in range(7):
        store.sweep(f"sweep {k}")
    with pytest.raises(GsnrError) as caught:
        read_sweep(store.client, "sweeep 5")
    text = str(caught.value)
    assert "'sweeep 5'" in text
    assert "Did you mean 'sweep 5'?" in text
    assert "digits" in text
    assert [k for k in range(7) if f"  sweep {k}  (" in text] == [2, 3, 4, 5, 6]
    assert "and 2 more" in text


def test_an_unknown_sweep_in_an_empty_store(store):
    with pytest.raises(GsnrError, match="There is no sweep in this store yet"):
        read_sweep(store.client, "0" * 32)


def test_two_sweeps_of_one_name_are_told_apart_by_id(store):
    ids = [fill(store), fill(store)]
    with pytest.raises(GsnrError, match="2 sweeps have the name") as caught:
        read_sweep(store.client, SWEEP)
    assert all(run_id[:8] in str(caught.value) for run_id in ids)


def test_an_ambiguous_start_of_an_id_is_refused(store):
    ids = sorted(store.sweep(f"sweep {k}") for k in range(17))  # 16 first digits
    shared = next(a[0] for a, b in itertools.pairwise(ids) if a[0] == b[0])
    with pytest.raises(GsnrError, match=f"sweeps have the start of a run id {shared}"):
        read_sweep(store.client, shared)


def test_a_single_run_is_no_sweep(store):
    parent = store.sweep()
    child = store.run(make_record(200, 0.0, 6), parent)
    alone = store.run(make_record(200, 0.0, 6))
    with pytest.raises(GsnrError, match=f"aggregate {parent}"):
        read_sweep(store.client, child)
    with pytest.raises(GsnrError, match="name of the experiment"):
        read_sweep(store.client, alone)


def test_sweep_and_experiment_without_runs(store):
    with pytest.raises(GsnrError, match="has no runs yet"):
        read_sweep(store.client, store.sweep())
    with pytest.raises(GsnrError, match="Experiment digits holds no runs"):
        read_sweep(store.client, "digits")


# --- writing, printing, logging


def test_files_hold_the_table_and_the_statistics(store, tmp_path):
    parent = with_failures(store)
    out = tmp_path / "new" / "out"
    result = aggregate(store.client, parent, out, console=printed())
    assert {path.name for path in result.files} == {path.name for path in out.iterdir()}
    assert {path.name for path in result.files} == {
        *("table.csv", "table.parquet", "statistics.csv", "left_out.csv"),
        *("lhs_rhs.png", "lhs_rhs.pdf"),
    }
    parquet = pd.read_parquet(out / "table.parquet")
    pd.testing.assert_frame_equal(parquet, result.table.frame)
    csv = read_csv(out / "table.csv", keep_default_na=False)
    pd.testing.assert_frame_equal(csv, result.table.frame, check_exact=True)
    statistics = pd.read_csv(out / "statistics.csv").set_index("epoch")
    rows = result.table.frame[result.table.frame["epoch"] == 20]
    r = correlation(rows["osgr_rhs"], rows["osgr_lhs"])
    assert statistics["pearson"][20] == pytest.approx(r, rel=1e-12)
    assert statistics["points"].tolist() == [8, 8, 8]
    assert len(pd.read_csv(out / "left_out.csv")) == 5


def test_the_terminal_shows_statistics_and_runs_left_out(store, tmp_path):
    console = printed()
    result = aggregate(store.client, with_failures(store), tmp_path / "out", console=console)
    text = console.export_text()
    assert max(len(line) for line in text.splitlines()[:12]) <= 80
    assert f"{SWEEP}: osgr_lhs against osgr_rhs, 8 of 13 runs" in text
    s = result.statistics[20]
    for shown in (
        f"{s.pearson:.3f}",
        f"[{s.pearson_low:.3f},{s.pearson_high:.3f}]",
        f"{s.slope:.3f} ± {s.slope_se:.3f}",
        f"{s.intercept:.3f} ± {s.intercept_se:.3f}",
        f"{round(8 * s.within_error)}/8",
        "5 runs left out:",
        "diverged after 2 measured epochs",
        "lhs_rhs.pdf",
    ):
        assert shown in text


def test_the_terminal_says_why_too_few_points_have_no_statistics(store, tmp_path):
    parent = store.sweep()
    store.run(make_record(200, 0.0, 6), parent)
    store.run(make_record(1000, 0.0, 6), parent)
    console = printed(200)
    aggregate(store.client, parent, tmp_path / "out", console=console)
    assert (
        "epochs 0, 20, 100: only 2 points: a correlation or a line needs at least 3"
        in console.export_text()
    )


def test_the_parent_run_gets_statistics_and_files(store, tmp_path):
    parent = fill(store)
    result = aggregate(store.client, parent, tmp_path / "out", console=printed())
    assert result.logged
    for name in ("pearson", "pearson_low", "spearman_high", "slope", "intercept"):
        history = store.client.get_metric_history(parent, name)
        assert {m.step: m.value for m in history} == {
            epoch: getattr(s, name) for epoch, s in result.statistics.items()
        }
    artifacts = {a.path for a in store.client.list_artifacts(parent, "aggregate")}
    assert artifacts == {f"aggregate/{path.name}" for path in result.files}
    assert store.client.get_run(parent).info.status == "FINISHED"


def test_aggregating_again_logs_only_what_changed(store, tmp_path):
    parent = fill(store)
    for _ in range(2):
        aggregate(store.client, parent, tmp_path / "out", console=printed())
    assert len(store.client.get_metric_history(parent, "pearson")) == 3
    store.run(make_record(500, 0.2, 8), parent)
    result = aggregate(store.client, parent, tmp_path / "out", console=printed())
    assert len(store.client.get_metric_history(parent, "pearson")) == 6
    latest = store.client.get_run(parent).data.metrics["pearson"]
    assert latest == result.statistics[100].pearson


def test_ends_and_steps_of_a_sweep_are_found_by_name_and_logged_apart(store, tmp_path):
    """Each training has epochs of its own length, and an end of its own."""
    parent = store.sweep()
    for place, n in enumerate((200, 400, 800, 1600)):
        record = make_record(n, 0.0, 6)
        record.stopped_by = "stop.train_error"
        first, within, last = record.measurements
        first.epoch, first.step = 0, 0
        within.epoch, within.step = 1 / (place + 2), 1
        last.epoch, last.step, last.is_end = 5 + place, (5 + place) * (place + 2), True
        store.run(record, parent)
    asked = [parse_epoch(text) for text in ("end", "step:1")]
    console = printed()
    result = aggregate(store.client, parent, tmp_path / "out", epochs=asked, console=console)
    assert [describe_epoch(epoch) for epoch in result.statistics] == ["0", "step 1", "end"]
    assert "step 1" in console.export_text()
    for name, epoch in (("pearson", 0), ("pearson_end", math.inf)):
        (logged,) = store.client.get_metric_history(parent, name)
        assert logged.step == 0
        assert logged.value == result.statistics[epoch].pearson
    with pytest.raises(GsnrError, match="at epoch step 2; there is: 0, step 1, end"):
        aggregate(store.client, parent, tmp_path / "out", epochs=[parse_epoch("step:2")])


@pytest.mark.parametrize(("text", "told"), [("20", "20"), ("0.5", "0.5"), ("20.0", "20")])
def test_epochs_as_they_are_typed(text, told):
    assert describe_epoch(parse_epoch(text)) == told


def test_what_is_no_epoch(capsys):
    with pytest.raises(SystemExit):
        main(["sweep", "--epochs", "late"])
    assert "'late' is no epoch: give a number such as 20 or 0.5, step:5, or end" in (
        capsys.readouterr().err
    )


def test_undefined_statistics_are_not_logged(store, tmp_path):
    parent = store.sweep()
    store.run(make_record(200, 0.0, 6), parent)
    result = aggregate(store.client, parent, tmp_path / "out", console=printed())
    assert result.logged
    assert store.client.get_run(parent).data.metrics == {}


def test_another_pair_does_not_overwrite_the_first(store, tmp_path):
    parent = fill(store)
    first = aggregate(store.client, parent, tmp_path / "out", console=printed())
    other = aggregate(store.client, parent, tmp_path / "out", y="osgr_diff", console=printed())
    assert {"osgr_diff_against_osgr_rhs.png", "statistics_osgr_diff_against_osgr_rhs.csv"} <= {
        path.name for path in other.files
    }
    assert (tmp_path / "out" / "lhs_rhs.png").exists()
    metrics = store.client.get_run(parent).data.metrics
    assert metrics["pearson"] == first.statistics[100].pearson
    assert metrics["osgr_diff_against_osgr_rhs/pearson"] == other.statistics[100].pearson


def test_of_many_epochs_the_terminal_says_that_some_are_not_drawn(store, tmp_path):
    parent = store.sweep()
    for point in GRID[:3]:
        store.run(make_record(*point, epochs=range(20)), parent)
    console = printed()
    result = aggregate(store.client, parent, tmp_path / "out", console=console)
    assert len(result.statistics) == 20
    assert "16 of 20 epochs" in console.export_text()


@pytest.mark.parametrize("wanted", ["digits", SWEEP])
def test_nothing_is_logged_where_there_is_no_parent_or_no_wish(store, tmp_path, wanted):
    parent = fill(store)
    result = aggregate(store.client, wanted, tmp_path, log=wanted == "digits", console=printed())
    assert not result.logged
    assert store.client.get_run(parent).data.metrics == {}


def test_results_survive_a_store_that_does_not_take_them(store, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise mlflow.MlflowException("the disk is full")

    parent = fill(store)
    monkeypatch.setattr(MlflowClient, "log_artifact", refuse)
    console = printed(200)
    result = aggregate(store.client, parent, tmp_path / "out", console=console)
    assert not result.logged
    assert "the disk is full" in result.log_problem
    assert "the disk is full" in console.export_text()
    assert (tmp_path / "out" / "lhs_rhs.pdf").exists()
    assert main([parent]) == 1


def test_a_sweep_without_a_finished_run(store, tmp_path):
    parent = store.sweep()
    store.run("n=1", parent, status="FAILED")
    with pytest.raises(GsnrError, match=r"None of the 1 runs .* has finished[^$]*n=1 \("):
        aggregate(store.client, parent, tmp_path / "out")
    assert not (tmp_path / "out").exists()


# --- the command line


def test_the_command_line_finds_the_store_here(store, capsys):
    parent = fill(store)
    assert main([parent[:8], "--epochs", "100", "--error-bars", "--hue", "p_random"]) == 0
    out = Path("aggregate", "digits-sweep-2026-11-20-23-15")
    assert (out / "lhs_rhs.png").stat().st_size > 10_000
    captured = capsys.readouterr()
    assert "8 of 8 runs" in captured.out
    assert captured.err == ""


def test_the_command_line_takes_store_and_folder(store, tmp_path, monkeypatch):
    fill(store)
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert main([SWEEP, "--tracking-uri", uri, "--output", "a", "--no-log"]) == 0
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert main([SWEEP, "--output", "b"]) == 0
    assert sorted(path.name for path in elsewhere.iterdir()) == ["a", "b"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["another"], ["'another'", SWEEP]),
        ([""], [SWEEP]),
        ([SWEEP, "--x", "osgr_rsh"], ["no metric 'osgr_rsh'", "mean osgr_rhs?", "train_loss"]),
        ([SWEEP, "--y", "zzz"], ["no metric 'zzz'", "osgr_lhs"]),
        ([SWEEP, "--x", "train_loss", "--error-bars"], ["no metric 'train_loss_se'"]),
        ([SWEEP, "--hue", "p_rand"], ["no setting 'p_rand'", "mean p_random?"]),
        ([SWEEP, "--style", "zzz"], ["no setting 'zzz'", "n_sets"]),
        ([SWEEP, "--epochs", "20", "30", "40"], ["epoch 30, 40", "0, 20, 100"]),
        ([SWEEP, "--output", "mlflow.db"], ["cannot be written into mlflow.db"]),
        ([SWEEP, "--tracking-uri", "sqlite:///no.db"], ["no tracking store no.db"]),
        ([SWEEP, "--tracking-uri", "sqlite:///text.db"], ["text.db cannot be used"]),
        ([SWEEP, "--tracking-uri", "odd://host"], ["odd://host cannot be used"]),
        ([SWEEP, "--tracking-uri", "./mlruns"], ["./mlruns cannot be used"]),
        (
            [SWEEP, "--tracking-uri", "http://me:pw@127.0.0.1:9"],
            ["http://***@127.0.0.1:9 cannot", "no server answers"],
        ),
    ],
)
def test_a_wrong_request_is_answered_in_words(store, capsys, monkeypatch, arguments, words):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    fill(store)
    Path("text.db").write_text("no data base")
    before = sorted(store.folder.iterdir())
    assert main(arguments) == 1
    message = capsys.readouterr().err
    assert message.startswith("error: ")
    assert "Traceback" not in message
    for word in words:
        assert word in message
    assert sorted(store.folder.iterdir()) == before


def test_without_a_store_none_is_made(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert main(["anything"]) == 1
    assert f"no tracking store {tmp_path / 'mlflow.db'}" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_usage_errors_exit_with_two(capsys):
    with pytest.raises(SystemExit) as caught:
        main([])
    assert caught.value.code == 2
    assert "SWEEP" in capsys.readouterr().err


def test_help_imports_nothing_heavy():
    code = (
        "import sys\n"
        "from gsnr_sweep.cli.aggregate import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "sys.exit(bool({'pandas', 'mlflow', 'matplotlib', 'scipy', 'torch'} & set(sys.modules)))"
    )
    done = run_python(["-c", code])
    assert done.returncode == 0, done.stderr
    assert "--tracking-uri" in done.stdout


def test_the_module_runs_as_a_program(store):
    fill(store)
    options = ["--output", str(store.folder / "out"), "--tracking-uri", store.client.tracking_uri]
    done = run_python(["-m", "gsnr_sweep.aggregate", SWEEP, *options])
    assert (done.returncode, done.stderr) == (0, "")
    assert "8 of 8 runs" in done.stdout
    assert json.loads((store.folder / "record.json").read_text())["schema"] == 1
    assert pd.read_parquet(store.folder / "out" / "table.parquet").shape[0] == 24


@pytest.mark.parametrize(
    ("name", "safe"),
    [(SWEEP, "digits-sweep-2026-11-20-23-15"), ("../..", "sweep"), ("a/b c", "a-b-c")],
)
def test_file_safe(name, safe):
    assert file_safe(name) == safe
