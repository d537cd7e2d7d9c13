"""Checks of the launcher's settings, before anything is launched."""

from __future__ import annotations

import dataclasses
import math
import re
import shutil
from collections.abc import Mapping
from typing import Any

from gsnr_sweep.launcher.settings import is_ours, place_of, settings_class
from gsnr_sweep.wording import as_typed, did_you_mean, printable

# key: (least value, whether null is allowed); all are whole numbers
_WHOLE = {
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

_POSITIVE = {"mem_gb": True, "poll_s": False}

_TEXTS = ("partition", "account", "qos", "constraint")


def launcher_problems(launcher: Mapping[str, Any]) -> list[str]:
    """Judge the settings of ``hydra/launcher``.

    Returns:
        One sentence or two a problem: key, value, what is allowed. Empty if all is well.
    """
    if not is_ours(launcher):
        return []
    known = [item.name for item in dataclasses.fields(settings_class(launcher))]
    given = {key: value for key, value in launcher.items() if key != "_target_"}
    found = [_unknown(key, known) for key in given if key not in known]
    for key, value in given.items():
        if key in known and (problem := _problem(key, value)):
            found.append(f"hydra.launcher.{key}={as_typed(value)}: {problem}")
    if not found and place_of(launcher) == "slurm":
        found += _slurm_problems(given)
    return found


def _unknown(key: str, known: list[str]) -> str:
    hint = did_you_mean(key, known) or f"There is: {', '.join(known)}."
    return f"hydra.launcher.{key}: there is no such setting. {hint}"


def _problem(key: str, value: object) -> str:
    if key in _WHOLE:
        least, optional = _WHOLE[key]
        if value is None and optional:
            return ""
        if not _is_whole(value) or value < least:  # type: ignore[operator]
            return f"a whole number of at least {least}{' or null' if optional else ''} is needed."
    if key in _POSITIVE:
        if value is None and _POSITIVE[key]:
            return ""
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not 0 < value < math.inf:  # type: ignore[operator]
            return "a positive number is needed."
    return _other_problem(key, value)


def _other_problem(key: str, value: object) -> str:
    if key == "detach" and not isinstance(value, bool):
        return "true or false is needed."
    if key in _TEXTS:
        return _text_problem(value)
    if key == "setup" and not (_is_list(value) and all(isinstance(line, str) for line in value)):  # type: ignore[attr-defined]
        return "a list of shell lines is needed."
    if key == "sbatch":
        return _sbatch_problem(value)
    return _gpus_problem(value) if key == "gpus" else ""


def _text_problem(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | None):
        return "a text is needed."
    if not _is_line(value):
        return "one line without control characters is needed: it becomes one of a job's script."
    return ""


def _sbatch_problem(options: object) -> str:
    if options is None:
        return ""
    if not isinstance(options, Mapping):
        return "a mapping from sbatch's long options to values is needed, such as {nice: 100}."
    for option, value in options.items():
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", str(option)):
            return f"{str(option)!r} is no option of sbatch's: letters, digits, - and _ are."
        if not _is_line(value):
            return (
                f"the value of {option} must be one line without control characters: it becomes "
                "one of a job's script."
            )
    return ""


def _is_line(value: object) -> bool:
    """Whether a value is one line; of a job's script a second one would be a command."""
    text = str(value)
    return printable(text) == text and len(text.splitlines()) <= 1 and "\n" not in text


def _gpus_problem(value: object) -> str:
    if value is None or (_is_whole(value) and value >= 0):  # type: ignore[operator]
        return ""
    if _is_list(value) and value and all(_is_whole(one) and one >= 0 for one in value):  # type: ignore[attr-defined]
        return ""
    return "a number of GPUs, a list of their numbers, or null for all is needed."


def _slurm_problems(given: Mapping[str, Any]) -> list[str]:
    missing = [name for name in ("sbatch", "squeue", "srun") if shutil.which(name) is None]
    if missing:
        return [
            f"hydra/launcher=slurm: there is no {missing[0]} here. Start this on a machine that "
            "can submit to the cluster (its login node), or use hydra/launcher=local."
        ]
    delay, limit = given.get("signal_delay_s", 0), given.get("timeout_min", 1)
    if delay >= 60 * limit:
        return [
            f"hydra.launcher.signal_delay_s={delay}: the warning must come within the time limit "
            f"(timeout_min={limit}, that is {60 * limit} s)."
        ]
    return _partition_problems(given.get("partition"))


def _partition_problems(wanted: object) -> list[str]:
    from gsnr_sweep.launcher.backends.slurm import partitions

    known = partitions() if wanted is not None else []
    unknown = [name for name in str(wanted).split(",") if known and name not in known]
    if unknown:
        return [
            f"hydra.launcher.partition={wanted}: the cluster has no partition {unknown[0]}. There "
            f"is: {', '.join(known)}."
        ]
    return []


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_list(value: object) -> bool:
    from omegaconf import ListConfig

    return isinstance(value, list | tuple | ListConfig)
