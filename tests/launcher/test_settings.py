"""The settings of ``hydra/launcher``: what they may be, and what a wrong one is told."""

import dataclasses
from typing import Any

import pytest
from omegaconf import OmegaConf

from gsnr_sweep.launcher.settings import (
    LocalSettings,
    SlurmSettings,
    is_ours,
    place_of,
    read_settings,
)
from gsnr_sweep.launcher.settings_check import launcher_problems
from tests.conftest import CONF

LOCAL = {"_target_": "hydra_plugins.gsnr_launcher.launchers.LocalLauncher"}
SLURM = {"_target_": "hydra_plugins.gsnr_launcher.launchers.SlurmLauncher"}
WHOLE = {
    "workers": (1, True),
    "threads_per_worker": (1, False),
    "runs_per_job": (1, True),
    "max_retries": (0, False),
    "timeout_min": (1, False),
    "gpus_per_node": (0, True),
    "cpus_per_task": (1, True),
    "array_parallelism": (1, True),
    "signal_delay_s": (1, False),
}
COMMON = {"workers", "threads_per_worker", "runs_per_job", "max_retries", "detach"}


@pytest.fixture(autouse=True)
def cluster(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The programs that are there; all of SLURM's unless a test takes some away."""
    there = {"sbatch", "squeue", "srun"}
    monkeypatch.setattr(
        "gsnr_sweep.launcher.settings_check.shutil.which",
        lambda name: name if name in there else None,
    )
    return there


def _problem(launcher: dict[str, Any], **settings: Any) -> str:
    (problem,) = launcher_problems({**launcher, **settings})
    assert "\n" not in problem
    return problem


def _places(key: str) -> list[dict[str, str]]:
    return [LOCAL, SLURM] if key in COMMON else [LOCAL] if key == "gpus" else [SLURM]


# --- values


@pytest.mark.parametrize("value", ["all", True, 1.5, [1], "2", -1, None, 0])
@pytest.mark.parametrize("key", WHOLE)
def test_whole_numbers(key: str, value: object) -> None:
    least, optional = WHOLE[key]
    allowed = (value is None and optional) or (type(value) is int and value >= least)  # type: ignore[operator]
    for launcher in _places(key):
        if allowed:
            assert launcher_problems({**launcher, key: value}) == []
            continue
        words = {None: "null", True: "true"}
        shown = words.get(value, str(value)) if not isinstance(value, list) else "[1]"
        null = " or null" if optional else ""
        assert _problem(launcher, **{key: value}) == (
            f"hydra.launcher.{key}={shown}: a whole number of at least {least}{null} is needed."
        )


@pytest.mark.parametrize("key", WHOLE)
def test_whole_numbers_at_the_edge(key: str) -> None:
    least, _ = WHOLE[key]
    for launcher in _places(key):
        assert launcher_problems({**launcher, key: least}) == []
        assert f"{key}={least - 1}: " in _problem(launcher, **{key: least - 1})


@pytest.mark.parametrize(
    ("key", "value", "shown", "needed"),
    [
        ("mem_gb", 0, "0", "a positive number"),
        ("mem_gb", -1.5, "-1.5", "a positive number"),
        ("mem_gb", "32GB", "32GB", "a positive number"),
        ("mem_gb", True, "true", "a positive number"),
        ("mem_gb", float("inf"), "inf", "a positive number"),
        ("mem_gb", float("nan"), "nan", "a positive number"),
        ("poll_s", 0, "0", "a positive number"),
        ("poll_s", None, "null", "a positive number"),
        ("detach", "yes", "yes", "true or false"),
        ("detach", 1, "1", "true or false"),
        ("detach", None, "null", "true or false"),
        ("partition", ["gpu"], "[gpu]", "a text"),
        ("account", 1.5, "1.5", "a text"),
        ("qos", {"a": 1}, "{'a': 1}", "a text"),
        ("constraint", ["v100"], "[v100]", "a text"),
        ("setup", "module load cuda", "module load cuda", "a list of shell lines"),
        ("setup", [1], "[1]", "a list of shell lines"),
        ("setup", None, "null", "a list of shell lines"),
        ("sbatch", ["nice=100"], "[nice=100]", "a mapping"),
        ("sbatch", "nice=100", "nice=100", "a mapping"),
        ("gpus", -1, "-1", "a number of GPUs, a list of their numbers, or null"),
        ("gpus", [0, -1], "[0, -1]", "a number of GPUs"),
        ("gpus", ["cuda:0"], "[cuda:0]", "a number of GPUs"),
        ("gpus", [], "[]", "a number of GPUs"),
        ("gpus", True, "true", "a number of GPUs"),
        ("gpus", "all", "all", "a number of GPUs"),
        ("gpus", 1.0, "1.0", "a number of GPUs"),
    ],
)
def test_other_values(key: str, value: object, shown: str, needed: str) -> None:
    for launcher in _places(key):
        told = _problem(launcher, **{key: value})
        assert told.startswith(f"hydra.launcher.{key}={shown}: {needed}")
        assert told.endswith("needed.") or "is needed, such as" in told


def test_a_name_is_not_true_or_false() -> None:
    assert _problem(SLURM, partition=True).startswith("hydra.launcher.partition=true: a text")


@pytest.mark.parametrize(
    "settings",
    [
        {"mem_gb": 0.5},
        {"mem_gb": None},
        {"partition": "gpu", "account": None, "qos": 7},
        {"setup": ["module load cuda", ""]},
        {"sbatch": {"nice": 100, "exclusive": True}},
        {"gpus_per_node": 0},
        {"detach": True, "poll_s": 0.1},
    ],
)
def test_values_that_are_well(settings: dict[str, Any]) -> None:
    assert launcher_problems({**SLURM, **settings}) == []
    assert launcher_problems({**SLURM, **OmegaConf.create(settings)}) == []


@pytest.mark.parametrize("gpus", [None, 0, 2, [0], [1, 3]])
def test_gpus_that_are_well(gpus: object) -> None:
    assert launcher_problems({**LOCAL, "gpus": gpus}) == []
    assert launcher_problems({**LOCAL, **OmegaConf.create({"gpus": gpus})}) == []


def test_every_setting_is_judged() -> None:
    """A setting that is added later is not forgotten here."""
    keys = {item.name for item in dataclasses.fields(SlurmSettings)} | {"gpus"}
    for key in keys:
        wrong: object = object()
        assert f"hydra.launcher.{key}=" in _problem(_places(key)[0], **{key: wrong}), key


def test_all_problems_are_told_at_once() -> None:
    found = launcher_problems({**SLURM, "workers": 0, "mem_gb": 0, "wrokers": 3})
    assert [problem.partition(":")[0] for problem in found] == [
        *("hydra.launcher.wrokers", "hydra.launcher.workers=0", "hydra.launcher.mem_gb=0"),
    ]


# --- names


@pytest.mark.parametrize(
    ("launcher", "wrong", "right"),
    [
        (LOCAL, "worker", "workers"),
        (LOCAL, "gpu", "gpus"),
        (LOCAL, "retries", "max_retries"),
        (SLURM, "timeout", "timeout_min"),
        (SLURM, "gpus", "qos"),
        (SLURM, "partitions", "partition"),
    ],
)
def test_a_name_that_does_not_exist(launcher: dict[str, Any], wrong: str, right: str) -> None:
    told = _problem(launcher, **{wrong: 1})
    assert told.startswith(f"hydra.launcher.{wrong}: there is no such setting.")
    if wrong != "gpus":
        assert told.endswith(f"Did you mean {right}?")


def test_a_name_like_no_other_lists_them_all() -> None:
    told = _problem(LOCAL, xyzzy=1)
    assert told.endswith(
        f"There is: {', '.join(f.name for f in dataclasses.fields(LocalSettings))}."
    )


def test_settings_of_the_other_launcher_do_not_exist() -> None:
    assert "no such setting" in _problem(LOCAL, partition="gpu")
    assert "no such setting" in _problem(SLURM, gpus=2)


# --- SLURM


@pytest.mark.parametrize("missing", ["sbatch", "squeue", "srun"])
def test_a_machine_that_cannot_submit(cluster: set[str], missing: str) -> None:
    cluster.remove(missing)
    told = _problem(SLURM)
    assert told.startswith(f"hydra/launcher=slurm: there is no {missing} here.")
    assert "login node" in told
    assert launcher_problems(LOCAL) == []


def test_wrong_settings_are_told_before_a_missing_cluster(cluster: set[str]) -> None:
    cluster.clear()
    assert _problem(SLURM, workers=0).startswith("hydra.launcher.workers=0")


@pytest.mark.parametrize(("delay", "limit", "well"), [(60, 1, False), (59, 1, True), (90, 2, True)])
def test_the_warning_comes_within_the_time_limit(delay: int, limit: int, well: bool) -> None:
    found = launcher_problems({**SLURM, "signal_delay_s": delay, "timeout_min": limit})
    assert (found == []) == well
    if not well:
        assert found[0].startswith(f"hydra.launcher.signal_delay_s={delay}: ")
        assert f"timeout_min={limit}, that is {60 * limit} s" in found[0]


# --- whose they are


@pytest.mark.parametrize(
    "launcher",
    [
        {"_target_": "hydra._internal.core_plugins.basic_launcher.BasicLauncher"},
        {"_target_": "hydra_plugins.hydra_submitit_launcher.SlurmLauncher", "partition": [3]},
        {"workers": 0},
        {},
    ],
)
def test_other_launchers_are_their_own_business(launcher: dict[str, Any]) -> None:
    assert not is_ours(launcher)
    assert launcher_problems(launcher) == []


def test_places() -> None:
    assert (place_of(LOCAL), place_of(SLURM)) == ("local", "slurm")
    assert is_ours(LOCAL)
    assert is_ours(SLURM)


def test_typed_settings() -> None:
    assert read_settings({**LOCAL, "workers": 3}) == LocalSettings(workers=3)
    found = read_settings({**SLURM, "partition": "gpu", "max_retries": 0})
    assert found == SlurmSettings(partition="gpu", max_retries=0)


@pytest.mark.parametrize("name", ["local", "slurm"])
def test_defaults_are_written_down_in_full(name: str) -> None:
    """``conf/`` shows every setting with the default that the code has."""
    written = OmegaConf.to_container(OmegaConf.load(CONF / "hydra" / "launcher" / f"{name}.yaml"))
    assert isinstance(written, dict)
    assert launcher_problems(written) == []
    cls = SlurmSettings if name == "slurm" else LocalSettings
    assert read_settings(written) == cls()
    assert set(written) - {"_target_"} == {item.name for item in dataclasses.fields(cls)}


NO_LINES = ("gpu\n#SBATCH --uid=0", "a\nrm -rf x", "a\r", "a\x1b[31m", "a\u2028b", "\n", "a\x00")


@pytest.mark.parametrize("value", NO_LINES)
@pytest.mark.parametrize("key", ["partition", "account", "qos", "constraint"])
def test_no_setting_becomes_a_line_of_its_own_in_a_jobs_script(key: str, value: str) -> None:
    (problem,) = launcher_problems({**SLURM, key: value})
    assert problem.startswith(f"hydra.launcher.{key}=")
    assert "one line without control characters is needed" in problem


@pytest.mark.parametrize("value", NO_LINES)
def test_nor_does_an_option_of_sbatch(value: str) -> None:
    (problem,) = launcher_problems({**SLURM, "sbatch": {"comment": value}})
    assert "the value of comment must be one line" in problem
    (problem,) = launcher_problems({**SLURM, "sbatch": {value: 1}})
    assert "is no option of sbatch's" in problem


@pytest.mark.parametrize("value", ["gpu", "a b", "x=1,y=2", "Größe", "[a|b]&c", 3, None])
def test_lines_that_are_well(value: object) -> None:
    assert launcher_problems({**SLURM, "constraint": value, "sbatch": {"x-y": value}}) == []
