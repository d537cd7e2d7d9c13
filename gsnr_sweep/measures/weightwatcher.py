"""WeightWatcher's exponents of the weights' spectra, by its own package."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterator
from threading import Lock

from torch import Tensor, nn

from gsnr_sweep.errors import require_package
from gsnr_sweep.measures.trained_network import PassCounts, TrainedNetwork, of_network
from gsnr_sweep.measures.undefined import Undefined

_PASSES = 1000.0  # of one sample: no sample is looked at, but spectra take about that long
_ONE_AT_A_TIME = Lock()  # the package keeps state of its own


def _check(_: nn.Module, __: Tensor) -> None:
    require_package("weightwatcher", "measures")


@of_network(passes=lambda _: PassCounts(0.0, _PASSES), check=_check)
def weightwatcher(network: TrainedNetwork) -> dict[str, float]:
    """Power-law exponents of the eigenvalues of each layer's WᵀW (Martin et al. 2021).

    What ``weightwatcher.WeightWatcher(model).analyze()`` says of the network, batch normalization
    folded, with its defaults: layers with fewer than eight eigenvalues do not count.

    Returns:
        ``weightwatcher_alpha``, the mean over the layers, and ``weightwatcher_alpha_weighted``, in
        which log10 of the largest eigenvalue weighs each; `Undefined` if no layer is large enough.
    """
    with _ONE_AT_A_TIME, _quiet():
        from weightwatcher import WeightWatcher

        watcher = WeightWatcher(model=network.folded.float(), log_level=logging.CRITICAL)
        details = watcher.analyze()
        summary = watcher.get_summary(details)
    return {
        f"weightwatcher_{name}": _value(summary.get(name)) for name in ("alpha", "alpha_weighted")
    }


def _value(found: object) -> float:
    if found is None:
        return Undefined("no layer has eight eigenvalues or more")
    value = float(found)  # type: ignore[arg-type]
    return value if value > 0 else Undefined("no power law was fitted to any layer")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the package's remarks out of a run's log."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield
