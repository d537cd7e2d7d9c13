"""The text of ``python launch.py --help``, made from the config's own descriptions."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from gsnr_sweep.cli.commands import COMMANDS
from gsnr_sweep.config.program import (
    INSTALLED,
    command_program,
    is_installed_command,
    launch_program,
)
from gsnr_sweep.config.schema import describe_group_keys, describe_keys
from gsnr_sweep.wording import as_typed

_GROUPS = {
    "data": "where training sets and test set are drawn from",
    "model": "the network",
    "optim": "how weights move",
    "loss": "what is minimized: by default cross entropy of labels, squared error of targets",
    "measures": "what is measured at a scheduled epoch",
    "tracking": "where results go besides the output folder",
    "experiment": "experiments of the paper (with -m)",
    "scale": "how large an experiment is run",
    "hydra/launcher": "where the runs of -m are executed",
}
_SETTING = re.compile(r"(?P<key>\w+): (?P<value>\S+) # (?P<text>.+)")
_EXAMPLES = """\
Examples
  python launch.py n=2000                          one run
  python launch.py -m n=1000,2000 ch=6,8           a grid: four runs, a figure, correlations
  python launch.py -m data=mnist p_random=0,0.2,0.5 n=1000,4000
  python launch.py -m data=toy n=50,200 data.eta=0.2,2 n_sets=100
  python launch.py -m experiment=fig4_mnist scale=laptop     a figure of the paper
  python launch.py -m n=1000,2000 dry_run=true     only show the plan and what it would cost
  python launch.py -m n=1000,2000 hydra/launcher=slurm hydra.launcher.partition=gpu
  python -m gsnr_sweep ui                          browse the runs in MLflow"""


def help_text(folders: Sequence[Path], config_name: str = "config") -> str:
    """Write the help page.

    Args:
        folders: Where configs are looked for, those of this project first; their groups and options
            are listed.
        config_name: The primary config, whose defaults are told.
    """
    config_dir = folders[0]
    defaults = _defaults(folders, config_name)
    return "\n".join(
        [
            "Measure both sides of eq. (19) of Liu et al. 2020 over a grid of settings: the",
            "one-step generalization ratio (OSGR), and what the gradient signal-to-noise ratio",
            "(GSNR) of the parameters predicts for it.",
            "",
            f"usage: {launch_program()} [-m] [KEY=VALUE ...] [GROUP=OPTION ...]",
            "       -m makes a grid of every KEY=VALUE,VALUE,...",
            "",
            _EXAMPLES.replace("python launch.py", launch_program()),
            "",
            "Keys (defaults in parentheses)",
            *[_key(name, text, defaults.get(name)) for name, text in describe_keys()],
            "",
            "Keys of the groups (of what is chosen: its defaults; --cfg job shows all values)",
            *[_wrapped(name, text) for name, text in describe_group_keys()],
            "",
            "Groups",
            *[_group(folders, name, text) for name, text in _GROUPS.items()],
            "",
            *_launcher(config_dir, "local", "Settings of -m on this machine"),
            "",
            *_launcher(config_dir, "slurm", "Settings of -m hydra/launcher=slurm"),
            "",
            f"After a launch ({command_program()} COMMAND --help)",
            *[f"  {command_program()} {name:<9} {text}" for name, text in COMMANDS.items()],
            "",
            f"Everything with its value: {launch_program()} --cfg job (Hydra's own: --hydra-help)",
            *_completion(),
            "",
        ]
    )


def _defaults(folders: Sequence[Path], config_name: str) -> DictConfig:
    """The values of the tool's primary config, and over them those of a user's."""
    files = [folder / f"{config_name}.yaml" for folder in folders]
    own = [OmegaConf.load(path) for path in files if path.is_file()][:1]
    defaults = OmegaConf.merge(OmegaConf.load(folders[0] / "config.yaml"), *own)
    assert isinstance(defaults, DictConfig)
    return defaults


def _completion() -> list[str]:
    """How the shell completes overrides and commands: of the installed command only."""
    if not is_installed_command():
        return []
    return [f'Completion in bash: eval "$({INSTALLED} --shell-completion install=bash)"']


def launcher_settings(config_dir: Path, name: str) -> list[tuple[str, str, str]]:
    """List a launcher's settings: key, the comment that explains it in its config, default."""
    lines = (config_dir / "hydra" / "launcher" / f"{name}.yaml").read_text().splitlines()
    found = [match for line in lines if (match := _SETTING.fullmatch(line))]
    return [(m["key"], m["text"], m["value"]) for m in found]


def _launcher(config_dir: Path, name: str, title: str) -> list[str]:
    settings = launcher_settings(config_dir, name)
    entries = [f"  {key:<18} {text} ({value})" for key, text, value in settings]
    return [f"{title} (hydra.launcher.KEY=VALUE)", *entries]


def _key(name: str, text: str, default: object) -> str:
    return f"{_entry(name, text)} ({as_typed(default)})"


def _entry(name: str, text: str) -> str:
    return f"  {name:<18} {text}"


def _wrapped(name: str, text: str) -> str:
    indent = " " * 26
    return textwrap.fill(text, 100, initial_indent=f"  {name:<23} ", subsequent_indent=indent)


def _group(folders: Sequence[Path], name: str, text: str) -> str:
    options = sorted({path.stem for folder in folders for path in (folder / name).glob("*.yaml")})
    listed = textwrap.fill(
        ", ".join(options), width=96, initial_indent=" " * 21, subsequent_indent=" " * 21
    )
    return f"{_entry(name, text)}\n{listed}" if options else _entry(name, text)
