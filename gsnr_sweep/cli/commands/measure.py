"""``gsnr-sweep measure``: measure checkpoints without any training."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gsnr_sweep.cli.working_folder import search_working_folder
from gsnr_sweep.errors import GsnrError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from gsnr_sweep.config.schema import Config
    from gsnr_sweep.records.record import Measurement
    from gsnr_sweep.records.weights import Weights

DESCRIPTION = """\
Measure networks from files of their weights, without any training: both sides of eq. (19) of Liu et
al. 2020, GSNR and whatever else measures= names, at the step of gradient descent of size lr from
the given weights.

The set that is measured is a training set of the data (M = 1; n samples, drawn by the seed), the
test side is that of its test set. Any KEY=VALUE of a run may follow: data=mnist n=60000, ch=32,
+model.args.depth=3, lr=0.1, measures.parameters=[fc1]. Nothing is written but --output.
"""
EPILOG = """\
examples:
  %(prog)s --model my_models.Net --weights a.safetensors,b.pt data=npz data.path=mine.npz n=500
  %(prog)s --weights multirun/2026-11-21/01-31-47.104690/0/weights.safetensors ch=6
  %(prog)s --model mlp ch=32 --weights net.pt data=mnist --output values.json
"""
PARSER: dict[str, Any] = {
    "description": DESCRIPTION,
    "epilog": EPILOG,
    "formatter_class": argparse.RawDescriptionHelpFormatter,
}
_FIXED = {"n_sets": "1", "epochs": "0", "measure_at": "[0]"}
_OF_TRAINING = {
    "n_sets": "one training set is measured (M = 1)",
    "epochs": "nothing is trained",
    "measure_at": "nothing is trained",
}
_COLUMNS = 4


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command line takes."""
    add = parser.add_argument
    add(
        "overrides", metavar="KEY=VALUE", nargs="*", help="settings as of a run, such as data=mnist"
    )
    add(
        "--model",
        metavar="PATH",
        help="the torch.nn.Module as a dotted path, such as my_models.Net, or a model of this tool "
        "(default: that of the data)",
    )
    add(
        "--weights",
        metavar="FILE,FILE,...",
        action="append",
        required=True,
        help="safetensors files, state dicts written by torch.save, or weights kept by a run (of "
        "which each replica is measured); may be repeated",
    )
    add("--output", type=Path, metavar="FILE", help="JSON file: values by metric, by weights file")
    add("--config-dir", metavar="DIR", help="a folder of configs of your own")
    parser.set_defaults(tracking_uri=None)


def measure_command(options: argparse.Namespace, console: Console) -> int:
    """Measure and show what came out.

    Returns:
        The exit code.

    Raises:
        GsnrError: A setting is wrong, a file cannot be read or does not fit the network, or the
            output cannot be written.
    """
    from gsnr_sweep.records.weights import read_weights

    files = list(_files(options.weights))
    _judge_output(options.output, files)
    cfg = _config(options)
    weights = [one for path in files for one in read_weights(path)]
    measured = _measured(cfg, weights)
    for start in range(0, len(measured), _COLUMNS):
        console.print(_table(cfg, dict(list(measured.items())[start : start + _COLUMNS])))
    every = measured.values()
    if lacking := sorted({n for one in every for n in one.nonfinite if n not in one.reasons}):
        console.print(
            f"– not finite, or not to be had of one training set (M = 1): {', '.join(lacking)}"
        )
    for name, measurement in measured.items():
        about = f"{name}: " if len(measured) > 1 else ""
        for told in measurement.undefined:
            console.print(f"  {about}{told}", soft_wrap=True)
    if options.output is not None:
        from gsnr_sweep.records.atomic import write_atomically

        values = {name: _values(measurement) for name, measurement in measured.items()}
        write_atomically(options.output, json.dumps(values, indent=1, allow_nan=False) + "\n")
        console.print(f"written: {options.output}", soft_wrap=True)
    return 0


def _files(given: Sequence[str]) -> Iterator[Path]:
    """Return the files named, each once; a comma may be part of a file's name."""
    names = [
        name for text in given for name in ([text] if Path(text).exists() else text.split(","))
    ]
    for name in dict.fromkeys(names):
        if not name.strip():
            raise GsnrError(
                f"--weights {','.join(given)}: a name is empty. Give files, with commas between: "
                "--weights a.safetensors,b.safetensors."
            )
        yield Path(name)


def _judge_output(output: Path | None, files: Sequence[Path]) -> None:
    """Refuse a file that cannot be written before anything is computed."""
    if output is None:
        return
    folder = output.absolute().parent
    if output.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise GsnrError(
            f"--output {output}: no file can be written there. Give a file in a folder that is "
            "there, such as --output values.json."
        )
    if output.resolve() in {path.resolve() for path in files}:
        raise GsnrError(f"--output {output}: these are the weights. Give another file.")


def _config(options: argparse.Namespace) -> Config:
    """Compose and check the config of the measurement, and fetch its data."""
    from gsnr_sweep.config.grid import CommandLine, expand
    from gsnr_sweep.config.location import config_folder
    from gsnr_sweep.preflight.check import check, prepare

    for override in options.overrides:
        key = override.partition("=")[0].lstrip("+~")
        if why := _OF_TRAINING.get(key):
            raise GsnrError(f"{override}: {why} where checkpoints are measured. Leave it out.")
    search_working_folder()
    own = ["--config-dir", options.config_dir] if options.config_dir else []
    fixed = [f"{key}={value}" for key, value in _FIXED.items()]
    # as a grid, so that several values are told from one
    arguments = ["-m", *own, *_model(options.model), *options.overrides, *fixed, "tracking=none"]
    grid = expand(CommandLine.parse(arguments, config_folder()))
    if grid.axes:
        key, values = next(iter(grid.axes.items()))
        raise GsnrError(
            f"{key}={','.join(values)}: one value is needed where checkpoints are measured. Call "
            "this once for each."
        )
    (point,) = check(grid.points)
    prepare([point])
    return point.cfg


def _model(path: str | None) -> list[str]:
    if path is None:
        return []
    return ["model=custom", f"model._target_={path}"] if "." in path else [f"model={path}"]


def _measured(cfg: Config, weights: Sequence[Weights]) -> dict[str, Measurement]:
    """Measure in a thread of its own, on one core as runs do."""
    from gsnr_sweep.runs.device import on_one_core
    from gsnr_sweep.runs.weights import measure_weights

    return on_one_core(lambda: dict(measure_weights(cfg, weights)))


def _values(measurement: Measurement) -> dict[str, float | list[float | None] | None]:
    return {**measurement.metrics, **dict.fromkeys(measurement.nonfinite), **measurement.arrays}


def _table(cfg: Config, measured: dict[str, Measurement]) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    confusion = f", confusion={cfg.data.confusion}" if cfg.data.confusion else ""
    about = (
        f"{cfg.data.name}, n={cfg.n}{confusion}, n_test={cfg.n_test}, lr={cfg.lr}, seed={cfg.seed}"
    )
    table = Table(title=Text(about), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("metric", no_wrap=True)
    for name in measured:
        table.add_column(Text(name), justify="right", overflow="fold")
    for metric in dict.fromkeys(
        n for one in measured.values() for n in (*one.metrics, *one.nonfinite)
    ):
        values = [one.metrics.get(metric) for one in measured.values()]
        table.add_row(Text(metric), *("–" if v is None else f"{v:.4g}" for v in values))
    return table
