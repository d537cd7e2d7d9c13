"""`run` and `sweep`: what ``gsnr-sweep`` does, called from Python."""

from __future__ import annotations

from typing import Any

from gsnr_sweep.from_python.load import read_run, read_sweep_folder
from gsnr_sweep.from_python.overrides import command_arguments
from gsnr_sweep.from_python.process import launch
from gsnr_sweep.from_python.results import Sweep
from gsnr_sweep.records.record import RunRecord


def run(*overrides: str, progress: bool = False, **settings: Any) -> RunRecord:
    """Run one point, or return its record if it is finished already.

    The same as ``gsnr-sweep OVERRIDES`` typed in the working folder: the same checks, folders,
    tracking, and reuse of a finished run. The work is done in a process of its own, so that this
    one keeps its state; code of your own is named by dotted path, as on the command line.

    Args:
        *overrides: As on the command line: ``"n=1000"``, ``"+model.args.depth=3"``.
        progress: Whether to print what the command line prints.
        **settings: Overrides as values by key: ``n=1000``, ``measure_at=[0, 20]``; keys with a dot
            as ``**{"data.eta": 0.2}``.

    Returns:
        Settings and measurements of the run, read from its ``record.json``.

    Raises:
        GsnrError: An override is wrong, or the run failed or diverged.
        KeyboardInterrupt: Ctrl-C came; the run has written a checkpoint, from which the same call
            goes on.

    Examples:
        >>> record = gsnr_sweep.run(data="toy", model="mlp", n=100, epochs=20)  # doctest: +SKIP
        >>> record.measurements[-1].metrics["osgr_rhs"]  # doctest: +SKIP
    """
    return read_run(launch(command_arguments(overrides, settings, sweep=False), progress))


def sweep(*overrides: str, progress: bool = False, **settings: Any) -> Sweep:
    """Run every point of a grid that is not finished already.

    The same as ``gsnr-sweep -m OVERRIDES`` typed in the working folder, see `run`. Runs work in
    processes that do not import the calling script: it needs no ``if __name__ == "__main__"``.

    Args:
        *overrides: As on the command line: ``"n=1000,2000"``, ``"experiment=fig4_mnist"``.
        progress: Whether to print what the command line prints.
        **settings: Overrides as values by key. A list, tuple, range or array holds the values of an
            axis: ``n=[1000, 2000]``. A list within it is one value: ``measure_at=[[0, 20]]``.

    Returns:
        The sweep with the records of its finished runs. With ``hydra.launcher.detach=true`` it is
        returned at once; `load` of its folder later finds more.

    Raises:
        GsnrError: An override is wrong, or some runs failed; the others are complete, and the text
            says how they are loaded.
        KeyboardInterrupt: Ctrl-C came; the runs have written checkpoints, from which the same call
            goes on.

    Examples:
        >>> done = gsnr_sweep.sweep(data="toy", model="mlp", n=[50, 200])  # doctest: +SKIP
        >>> done.table[["n", "epoch", "osgr_lhs", "osgr_rhs"]]  # doctest: +SKIP
    """
    return read_sweep_folder(launch(command_arguments(overrides, settings, sweep=True), progress))
