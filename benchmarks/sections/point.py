"""Section 3a: a whole grid point, beside the script that a researcher would write by hand."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from benchmarks import commands
from benchmarks.machine import cores
from benchmarks.peers.moments import VmapGrad
from benchmarks.peers.training import PlainLoop
from benchmarks.peers.tuning import best_setting, settings
from benchmarks.plans import Plan
from benchmarks.statistics import Spread, ratio, take_turns
from benchmarks.tables import Section, Table
from benchmarks.workers import working
from benchmarks.workloads import Workload

SIDES = ("osgr_lhs", "osgr_rhs")
AGREE = 1e-3


def run(plan: Plan, console: Console) -> Section:
    """Time both commands in turn and compare their numbers.

    Args:
        plan: Sizes.
        console: Where to say what is going on.
    """
    console.print(f"whole grid point: {_words(plan.point)}", highlight=False)
    options = hand_options(plan)
    ran: dict[str, list[commands.Ran]] = {"ours": [], "by hand": []}
    store = commands.migrated_store()
    overrides = [f"{key}={value}" for key, value in plan.point.items()]
    lines = {"ours": commands.ours(overrides), "by hand": commands.by_hand(plan.point, *options)}

    def turn(name: str) -> float:
        ran[name].append(commands.run(lines[name], store))
        return ran[name][-1].seconds

    turns = {name: (lambda name=name: turn(name)) for name in lines}
    times = take_turns(turns, plan.point_rounds)
    apart = difference(ran["ours"][-1].records, ran["by hand"][-1].output)
    compute = {name: [computing(one) for one in runs] for name, runs in ran.items()}
    table = _table(plan, times, compute, apart, options)
    facts = {"seconds": times, "computing": compute, "apart": apart, "settings": options}
    return Section("point", [table], facts)


def hand_options(plan: Plan) -> list[str]:
    """Choose the chunk sizes that suit the hand-written script here, with PyTorch's own threads."""
    if plan.quick:
        return ["--chunk", "50", "--sample-chunk", "50"]
    n, ch = int(plan.point["n"].split(",")[0]), int(plan.point["ch"].split(",")[0])
    with working(HandTuning) as worker:
        workload = Workload("table2_cnn", ch, n, 1)
        chunk, samples = worker.call("chunks", workload, plan.chunks, plan.sample_chunks)
    return ["--chunk", str(chunk), "--sample-chunk", str(samples)]


class HandTuning:
    """Finds good settings of the hand-written script, in a process of its own."""

    def chunks(
        self, workload: Workload, chunks: tuple[int, ...], sample_chunks: tuple[int, ...]
    ) -> tuple[int, int]:
        """Return the best chunk sizes of its gradient and of its vmap."""
        loop, samples = PlainLoop(workload, 1, chunks), VmapGrad(workload, sample_chunks)
        mine = [s for s in settings([*chunks, workload.n], workload.n) if s.threads == cores()]
        under_vmap = [s for s in settings(sample_chunks, workload.n) if s.threads == cores()]
        return (
            best_setting(mine, lambda setting: loop.gradient(0, setting)).chunk,
            best_setting(under_vmap, lambda setting: samples.one_pass(0, setting)).chunk,
        )


def difference(records: list[dict[str, Any]], output: str) -> float:
    """Return the largest difference of the two sides of eq. (19), over all runs and epochs.

    Raises:
        SystemExit: The two did not measure the same runs and epochs, or differ by more than 0.001.
    """
    mine = {
        (*_key(record["config"]), m["epoch"], side): m["metrics"][side]
        for record in records
        for m in record["measurements"]
        for side in SIDES
    }
    theirs = {
        (*_key(result), int(epoch), side): metrics[side]
        for result in commands.hand_results(output)
        for epoch, metrics in result["measurements"].items()
        for side in SIDES
    }
    if mine.keys() != theirs.keys():
        raise SystemExit("the hand-written script measured other runs or epochs than the tool")
    apart = max(abs(mine[key] - theirs[key]) for key in mine)
    if not apart <= AGREE:
        raise SystemExit(f"the hand-written script's numbers differ by {apart:.1e} from the tool's")
    return apart


def _key(settings: dict[str, Any]) -> tuple[Any, ...]:
    return settings["n"], settings["ch"], settings["seed"]


def computing(ran: commands.Ran) -> float:
    """Return the seconds that a command's runs spent training and measuring."""
    summaries = [record["summary"] for record in ran.records]
    if summaries:
        return float(sum(s["wall_time_s"] - s["overhead_s"] for s in summaries))
    return float(sum(result["seconds"] for result in commands.hand_results(ran.output)))


def _words(point: dict[str, str]) -> str:
    return " ".join(f"{key}={value}" for key, value in point.items())


def _table(
    plan: Plan,
    times: dict[str, list[float]],
    compute: dict[str, list[float]],
    apart: float,
    options: list[str],
) -> Table:
    columns = ["", "whole command [s]", "times ours", "of it training and measuring [s]"]
    table = Table(f"One grid point: {_words(plan.point)}, all else as by default", columns)
    names = {"ours": "python launch.py", "by hand": "python -m benchmarks.by_hand"}
    for name, seconds in times.items():
        faster = ratio(seconds, times["ours"]).text()
        spread = Spread.of(seconds).text()
        table.add(f"`{names[name]}`", spread, faster, Spread.of(compute[name]).text())
    table.notes.append(
        f"Each {plan.point_rounds} times in turn, in a fresh folder with a SQLite store whose "
        f"schema exists. By hand: {' '.join(options)}, the best sizes here, PyTorch's own number "
        f"of threads. Both sides of eq. (19) agree within {apart:.0e} at every measured epoch; "
        "ours also measures standard errors, GSNR by layer, sign agreement and loss shares, and "
        "keeps a record and checkpoints."
    )
    return table
