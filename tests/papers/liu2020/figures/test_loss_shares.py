"""Shares in the loss by layer, read back: bars, densities, deep networks, legibility."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.container import BarContainer
from matplotlib.patches import StepPatch

from gsnr_sweep.errors import GsnrError
from gsnr_sweep.papers.liu2020.catalog import FIGURES
from gsnr_sweep.papers.liu2020.figures.loss_shares import DENSITIES, MOST_LAYERS, SHARES
from gsnr_sweep.papers.plotting.panels import save_figure
from gsnr_sweep.records.record import RunRecord
from tests.papers.liu2020.figures.reading import LOG, draw, illegible, legend_of, titles_of
from tests.tables import make_analysis, make_run

CNN = ("conv1", "conv2", "fc1", "fc2")
RESNET = (
    *("conv1", "bn1"),
    *(
        f"layer{s}.{b}.{kind}"
        for s in (1, 2, 3, 4)
        for b in (0, 1)
        for kind in ("conv1", "bn1", "conv2", "bn2")
    ),
    *(f"layer{s}.0.shortcut.{k}" for s in (2, 3, 4) for k in (0, 1)),
    "fc",
)
BINS = 40


def density(epoch: int) -> list[float]:
    x = np.exp(-(np.linspace(-3, 2 + epoch / 2500, BINS) ** 2))
    return [float(v) for v in x / x.sum()]


def runs(
    layers: Sequence[str] = CNN, seeds: int = 2, arrays: bool = True, **settings: Any
) -> list[RunRecord]:
    """Runs whose shares grow from layer to layer, and change with epoch and seed."""
    total = sum(range(1, len(layers) + 1))

    def share(k: int, sign: int) -> Any:
        return lambda e: (k + 1) / total + sign * 0.001 * (k % 2 or -1) * (1 + e / 2500)

    return [
        make_run(
            {
                f"{kind}/{name}": share(k, sign * (1 if seed else -1))
                for kind, sign in (("loss_share", 1), ("gap_share", 2))
                for k, name in enumerate(layers)
            },
            arrays={
                "noise_density": density,
                "noise_density_weighted": lambda e: density(e)[::-1],
            }
            if arrays
            else None,
            **{"epochs": LOG, "seed": seed, **settings},
        )
        for seed in range(seeds)
    ]


def bars_of(axes: Any) -> list[list[float]]:
    return [[bar.get_width() for bar in c] for c in axes.containers if isinstance(c, BarContainer)]


def names_of(axes: Any) -> list[str]:
    return [text.get_text() for text in axes.get_yticklabels()]


def steps_of(axes: Any) -> list[StepPatch]:
    return [patch for patch in axes.patches if isinstance(patch, StepPatch)]


CASES = {
    "four layers": runs(),
    "one run": runs(seeds=1),
    "one layer": runs(["fc1"]),
    "as many layers as have a bar": runs([f"conv{k}" for k in range(MOST_LAYERS)]),
    "ResNet18": runs(RESNET, model="resnet18"),
    "two models": [*runs(model="table2_cnn"), *runs(RESNET, model="resnet18")],
}


@pytest.mark.parametrize("own", CASES.values(), ids=CASES)
def test_a_reader_can_make_out_everything(own: list[RunRecord]) -> None:
    assert illegible(draw("loss_shares", *own)) == []


def test_bars_are_means_over_the_runs_at_their_last_epoch() -> None:
    own = runs()
    left = draw("loss_shares", *own).axes[0]
    assert names_of(left) == list(CNN)
    assert left.get_ylim()[0] > left.get_ylim()[1]  # the first layer on top
    for bars, kind in zip(bars_of(left), SHARES, strict=True):
        last = [run.measurements[-1].metrics for run in own]
        expected = [np.mean([m[f"{kind}/{name}"] for m in last]) for name in CNN]
        assert bars == pytest.approx(expected)
        assert sum(bars) == pytest.approx(1)


def test_error_bars_are_the_standard_deviation_over_the_runs() -> None:
    left = draw("loss_shares", *runs()).axes[0]
    whiskers = (
        left.containers[0]
        if not isinstance(left.containers[0], BarContainer)
        else left.containers[1]
    )
    segments = whiskers.lines[2][0].get_segments()
    assert [seg[1][0] - seg[0][0] for seg in segments] == pytest.approx([0.004] * 4)
    alone = draw("loss_shares", *runs(seeds=1)).axes[0]
    assert all(isinstance(c, BarContainer) for c in alone.containers)


def test_runs_that_end_earlier_count_with_their_own_last_epoch() -> None:
    own = [*runs(seeds=1), *runs(seeds=1, epochs=(0, 10))]
    last = [run.measurements[-1].metrics["loss_share/fc2"] for run in own]
    assert last[0] != last[1]
    drawn = draw("loss_shares", *own)
    assert [bars_of(axes)[0][3] for axes in drawn.axes[::2]] == pytest.approx(last)
    assert titles_of(drawn)[::2] == [
        *("(a) by layer, last epoch, epochs = 2500", "(c) by layer, last epoch, epochs = 10")
    ]


def test_rows_for_what_the_paper_did_not_sweep_and_means_over_what_it_did() -> None:
    own = [run for lr in (0.1, 0.5) for n in (100, 200) for run in runs(seeds=1, n=n, lr=lr)]
    drawn = draw("loss_shares", *own)
    assert titles_of(drawn)[::2] == [
        *("(a) by layer, last epoch, lr = 0.1", "(c) by layer, last epoch, lr = 0.5")
    ]
    assert "means of 2 runs over n" in legend_of(drawn)


def test_deep_networks_are_drawn_by_their_parts() -> None:
    (run,) = runs(RESNET, seeds=1, model="resnet18")
    assert len(RESNET) == 41
    left = draw("loss_shares", run).axes[0]
    parts = ["conv1", "bn1", "layer1", "layer2", "layer3", "layer4", "fc"]
    assert names_of(left) == parts
    last = run.measurements[-1].metrics
    for bars, kind in zip(bars_of(left), SHARES, strict=True):
        expected = [
            sum(last[f"{kind}/{name}"] for name in RESNET if name.split(".")[0] == part)
            for part in parts
        ]
        assert bars == pytest.approx(expected)


def test_models_have_a_row_each_with_their_own_layers() -> None:
    drawn = draw("loss_shares", *CASES["two models"])
    assert titles_of(drawn) == [
        *("(a) by layer, last epoch, simple CNN", "(b) noise share of parameters"),
        *("(c) by layer, last epoch, ResNet18", "(d) noise share of parameters"),
    ]
    assert names_of(drawn.axes[0]) == list(CNN)
    assert names_of(drawn.axes[2])[-1] == "fc"


def test_densities_are_those_of_the_first_and_the_last_epoch() -> None:
    drawn = draw("loss_shares", *runs())
    found = steps_of(drawn.axes[1])
    assert [patch.get_linestyle() for patch in found] == ["--", "--", "-", "-"]
    for patch, epoch in zip(found, (0, 0, 2500, 2500), strict=True):
        (name,) = [
            n for n, (_, c) in DENSITIES.items() if to_hex(c) == to_hex(patch.get_edgecolor())
        ]
        expected = density(epoch) if name == "noise_density" else density(epoch)[::-1]
        values, edges, _ = patch.get_data()
        assert values == pytest.approx(expected)
        assert (edges[0], edges[-1], len(edges)) == pytest.approx((1e-4, 10, BINS + 1))
    assert drawn.axes[1].get_xscale() == "log"
    low, high = drawn.axes[1].get_xlim()
    assert low <= 1e-4
    assert high >= 10


def test_the_legend_says_what_everything_is() -> None:
    labels = list(legend_of(draw("loss_shares", *runs())))
    assert {"epoch 0", "epoch 2500", "means of 2 runs over seed"} < set(labels)
    assert {text for text, _ in (*SHARES.values(), *DENSITIES.values())} < set(labels)


def test_a_single_epoch_is_drawn_once_and_called_by_its_name() -> None:
    drawn = draw("loss_shares", *runs(epochs=(0,)))
    assert [patch.get_linestyle() for patch in steps_of(drawn.axes[1])] == ["-", "-"]
    assert "epoch 0" in legend_of(drawn)


def test_densities_that_were_not_measured_leave_the_bars() -> None:
    drawn = draw("loss_shares", *runs(arrays=False))
    assert bars_of(drawn.axes[0])


def test_the_measure_is_named_if_it_is_missing() -> None:
    with pytest.raises(GsnrError, match="loss_shares needs loss_share/LAYER"):
        draw("loss_shares", make_run({"train_loss": 1.0}))


def test_nothing_finite_can_still_be_saved_or_is_refused(tmp_path: Any) -> None:
    curves: Any = {f"{kind}/{name}": math.nan for kind in SHARES for name in CNN}
    analysis = make_analysis(
        make_run(curves, arrays={name: lambda e: [math.nan] * 40 for name in DENSITIES})
    )
    try:
        drawn = FIGURES["loss_shares"].draw(analysis)
    except GsnrError:
        return
    save_figure(drawn, tmp_path, "loss_shares")
