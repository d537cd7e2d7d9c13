"""The text of ``python launch.py --help``, made from the config's own descriptions."""

from __future__ import annotations

import textwrap
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from gsnr_sweep.config import describe_keys

_GROUPS = {
    "data": "where training sets and test set are drawn from",
    "model": "the network",
    "optim": "how weights move",
    "measures": "what is measured at a scheduled epoch",
    "tracking": "where results go besides the output folder",
    "experiment": "ready-made grids (with -m)",
    "hydra/launcher": "where the runs of -m are executed",
}
_EXAMPLES = """\
Examples
  python launch.py n=2000                          one run
  python launch.py -m n=1000,2000 ch=6,8           a grid: four runs, a figure, correlations
  python launch.py -m data=mnist p_random=0,0.2,0.5 n=1000,4000
  python launch.py -m data=toy n=50,200 data.eta=0.2,2 n_sets=100
  python -m gsnr_sweep.aggregate SWEEP             draw a sweep again (SWEEP: name or MLflow run id)
  mlflow ui                                        browse all runs"""


def help_text(config_dir: Path) -> str:
    """Write the help page.

    Args:
        config_dir: Folder of the configs; its groups and options are listed.
    """
    defaults = OmegaConf.load(config_dir / "config.yaml")
    assert isinstance(defaults, DictConfig)
    return "\n".join(
        [
            "Measure both sides of eq. (19) of Liu et al. 2020 over a grid of settings: the",
            "one-step generalization ratio (OSGR), and what the gradient signal-to-noise ratio",
            "(GSNR) of the parameters predicts for it.",
            "",
            "usage: python launch.py [-m] [KEY=VALUE ...] [GROUP=OPTION ...]",
            "       -m makes a grid of every KEY=VALUE,VALUE,...",
            "",
            _EXAMPLES,
            "",
            "Keys (defaults in parentheses)",
            *[_key(name, text, defaults.get(name)) for name, text in describe_keys()],
            "",
            "Groups",
            *[_group(config_dir, name, text) for name, text in _GROUPS.items()],
            "",
            "Workers of -m: hydra.launcher.workers=W hydra.launcher.threads_per_worker=T",
            "Everything with its value: python launch.py --cfg job (Hydra's own: --hydra-help)",
            "",
        ]
    )


def _key(name: str, text: str, default: object) -> str:
    shown = "null" if default is None else str(default)
    return f"{_entry(name, text)} ({shown})"


def _entry(name: str, text: str) -> str:
    return f"  {name:<14} {text}"


def _group(config_dir: Path, name: str, text: str) -> str:
    options = sorted(path.stem for path in (config_dir / name).glob("*.yaml"))
    listed = textwrap.fill(
        ", ".join(options), width=96, initial_indent=" " * 17, subsequent_indent=" " * 17
    )
    return f"{_entry(name, text)}\n{listed}" if options else _entry(name, text)
