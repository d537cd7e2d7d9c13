"""What of Hydra's own config (``hydra.*``) is judged before Hydra acts on it.

Hydra finds such a mistake when it is at work already: with a traceback, or after a folder was made.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from gsnr_sweep.errors import GsnrError
from gsnr_sweep.wording import as_typed

OWN_LAUNCHERS = "gsnr_launcher"
_PLUGINS = ("hydra_plugins.", "hydra._internal.core_plugins.")
_SUBDIR = "${hydra.job.num}"


def judge_hydra(cfg: DictConfig, multirun: bool) -> None:
    """Judge Hydra's own settings of a launch.

    Args:
        cfg: A composed config, ``hydra`` part included.
        multirun: Whether it is a sweep's.

    Raises:
        GsnrError: One of them would stop Hydra, or would be passed over.
    """
    hydra = cfg.hydra
    _judge_common(hydra)
    if not multirun:
        if str(hydra.mode).endswith("MULTIRUN"):
            raise GsnrError("hydra.mode: MULTIRUN in a config is not heeded: add -m instead.")
        output_folder(cfg, "hydra.run.dir")
        return
    _judge_plugin(hydra.launcher, "launcher", "local or slurm")
    _judge_plugin(hydra.sweeper, "sweeper", "grid")
    _judge_sweeper(hydra.sweeper)
    output_folder(cfg, "hydra.sweep.dir")
    given = OmegaConf.to_container(hydra.sweep, resolve=False)
    assert isinstance(given, dict)
    ours = OWN_LAUNCHERS in str(hydra.launcher._target_)
    if ours and given["subdir"] not in (None, _SUBDIR):
        raise GsnrError(
            f"hydra.sweep.subdir={given['subdir']}: the runs of a sweep lie in folders by their "
            "numbers, which later commands rely on. Leave it out; where the sweep lies is "
            "hydra.sweep.dir."
        )


def output_folder(cfg: DictConfig, key: str) -> Path:
    """The folder that a launch would write to, as Hydra will work it out.

    Args:
        cfg: A composed config, ``hydra`` part included.
        key: ``hydra.run.dir`` or ``hydra.sweep.dir``.

    Raises:
        GsnrError: It cannot be worked out, or names no folder.
    """
    try:
        with _known_to_resolvers(cfg if key == "hydra.run.dir" else None):
            value = OmegaConf.select(cfg, key)
    except OmegaConfBaseException as error:
        told = str(error.msg or error).splitlines()[0].rstrip(".")
        if "HydraConfig was not set" in told:
            told = "${hydra:…} is not known yet; write ${hydra.…}, such as ${hydra.runtime.cwd}"
        raise GsnrError(
            f"{key}: {told}. Give a folder, such as {key}=results/first; its parts may refer to "
            "keys (${n}) and times (${now:%Y-%m-%d})."
        ) from None
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise GsnrError(f"{key}={value!r}: give the name of a folder, such as {key}=results/first.")
    return Path(value)


@contextmanager
def _known_to_resolvers(cfg: DictConfig | None) -> Iterator[None]:
    """Let ``${hydra:…}`` be looked up in this config: Hydra does in a run, not in a sweep."""
    state = HydraConfig.instance()
    before, state.cfg = state.cfg, cast(Any, cfg)
    try:
        yield
    finally:
        state.cfg = before


def _judge_common(hydra: DictConfig) -> None:
    verbose = hydra.verbose
    if not isinstance(verbose, bool | str | ListConfig):
        raise GsnrError(
            f"hydra.verbose={as_typed(verbose)}: give true, false, or loggers by name: "
            "hydra.verbose=[gsnr_sweep]."
        )
    if hydra.job.chdir:
        raise GsnrError(
            "hydra.job.chdir=true: runs work in the folder they are launched in, to which paths "
            "and modules of your own refer. Leave it out; where results go is hydra.run.dir or, "
            "of a sweep, hydra.sweep.dir."
        )


def _judge_plugin(settings: Any, kind: str, ours: str) -> None:
    """Refuse what Hydra would not make a launcher or sweeper of."""
    target = settings.get("_target_") if isinstance(settings, DictConfig) else None
    if target is None:
        raise GsnrError(f"hydra.{kind}: none is left of it. Choose one: hydra/{kind}={ours}.")
    if not str(target).startswith(_PLUGINS) or not re.fullmatch(r"\w+(\.\w+)+", str(target)):
        raise GsnrError(
            f"hydra.{kind}._target_={target}: this is no {kind} of Hydra's. Choose one: "
            f"hydra/{kind}={ours}."
        )


def _judge_sweeper(sweeper: DictConfig) -> None:
    if "max_batch_size" in sweeper:
        size = sweeper.max_batch_size
        whole = isinstance(size, int) and not isinstance(size, bool)
        if size is not None and not (whole and size >= 1):
            raise GsnrError(
                f"hydra.sweeper.max_batch_size={as_typed(size)}: a whole number of at least 1, or "
                "null for the whole grid at once, is needed."
            )
    params = sweeper.get("params")
    if params is not None and not isinstance(params, DictConfig):
        raise GsnrError(
            f"hydra.sweeper.params={as_typed(params)}: a mapping from keys to values is needed, "
            "such as +hydra.sweeper.params.n='\"1000,2000\"', or on the command line n=1000,2000."
        )
