"""What the page says of one sweep."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from gsnr_sweep.analysis.claim import FAILS, HOLDS, UNCLEAR
from gsnr_sweep.analysis.curves import trained
from gsnr_sweep.papers.registry import caption, claims_title, papers_of
from gsnr_sweep.records.record import RunRecord, flatten
from gsnr_sweep.report.explorer import Explorer, explorer_of
from gsnr_sweep.report.ranking import explained, ranking_cells
from gsnr_sweep.wording import describe_duration, describe_epoch

if TYPE_CHECKING:
    from gsnr_sweep.analysis.analysis import Analysis
    from gsnr_sweep.analysis.ranking import Ranking
    from gsnr_sweep.analysis.statistics import PairStatistics
    from gsnr_sweep.analysis.table import LeftOut, SweepTable
    from gsnr_sweep.papers import Claim
    from gsnr_sweep.report.result import AggregateResult
    from gsnr_sweep.report.run_links import RunLinks

_TOP_FEATURES = 5
_NOT_SHOWN = ("tracking.", "preset.", "measures.functions.", "model._target_")
_MACHINE = {"device": "device", "host": "host", "platform": "system", "cpu_count": "cores"}
_DASH = "–"


@dataclass(frozen=True)
class Table:
    """A table of texts.

    Attributes:
        title: What it shows.
        columns: Headings.
        rows: Cells, the first of each row its heading.
        note: What is to be known of it.
    """

    title: str
    columns: list[str]
    rows: list[list[str]]
    note: str = ""


@dataclass(frozen=True)
class Picture:
    """A figure that was drawn: its PNG file and what it shows."""

    path: Path
    caption: str


@dataclass
class Section:
    """All that the page says of one sweep.

    Attributes:
        title: Experiment and scale, or the sweep's name.
        lead: What was run, in a line.
        papers: Whose figures are asked for, as authors with year, and title.
        facts: What was run, as heading and text.
        explorer: Its points, to be looked at from all sides; None if there are none.
        claims: The paper's and the user's own claims, judged.
        claims_title: Their heading.
        pictures: Its figures.
        tables: Statistics and the like.
        runs: One row a run.
        left_out: Runs that did not finish, and why.
        problems: What could not be shown, and why.
        again: Command lines that run it again.
    """

    title: str
    lead: str = ""
    papers: Sequence[tuple[str, str]] = ()
    facts: list[tuple[str, str]] = field(default_factory=list)
    explorer: Explorer | None = None
    claims: Sequence[Claim] = ()
    claims_title: str = ""
    pictures: list[Picture] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    runs: Table | None = None
    left_out: Sequence[LeftOut] = ()
    problems: list[str] = field(default_factory=list)
    again: list[str] = field(default_factory=list)

    @property
    def verdicts(self) -> list[tuple[str, int]]:
        """How many claims hold, do not hold, and cannot be told."""
        counts = Counter(claim.verdict for claim in self.claims)
        return [(verdict, counts[verdict]) for verdict in (HOLDS, FAILS, UNCLEAR)]


def section_of(
    table: SweepTable,
    result: AggregateResult | None,
    command: str,
    problem: str = "",
    links: RunLinks | None = None,
) -> Section:
    """Gather what there is to say of a sweep.

    Args:
        table: Its runs.
        result: What was drawn and computed of them; None if no run finished.
        command: The command line that launched it; empty if not known.
        problem: Why there is no result.
        links: Where its runs are found in MLflow; None if they are not.
    """
    records = [record for _, record in table.records]
    section = Section(_title(table, records), left_out=table.left_out)
    section.facts = _facts(table, records, command)
    section.lead = _lead(table, records)
    section.papers = papers_of(table.preset.figures)
    section.again = _again(records, command)
    if problem:
        section.problems.append(problem)
    if result is None:
        return section
    section.explorer = explorer_of(result.analysis, result.ranking, links)
    section.claims = result.claims
    section.claims_title = claims_title(table.preset)
    section.problems += result.problems
    section.pictures = _pictures(result)
    if result.statistics:
        section.tables.append(_statistics(result.statistics))
    if result.ranking is not None:
        section.tables.append(_ranking(result.ranking))
    section.tables += _features(result.analysis)
    section.runs = _runs(table)
    return section


def _title(table: SweepTable, records: Sequence[RunRecord]) -> str:
    preset = table.preset
    if not preset.name:
        return table.name
    inits = {record.config["model"]["init"] for record in records}
    about = f", initial weights '{inits.pop()}'" if len(inits) == 1 else ""
    return f"{preset.name}, {preset.scale} scale{about}"


def _lead(table: SweepTable, records: Sequence[RunRecord]) -> str:
    total = len(records) + len(table.left_out)
    if not records:
        return f"None of {total} runs has finished."
    seconds = sum(record.summary.get("wall_time_s", 0.0) for record in records)
    grid = _settings(records)[1]
    about = f": {grid}" if grid else ""
    return f"{len(records)} of {total} runs, {describe_duration(seconds)} of computing{about}."


def _facts(table: SweepTable, records: Sequence[RunRecord], command: str) -> list[tuple[str, str]]:
    total = len(records) + len(table.left_out)
    facts = [("sweep", table.name)]
    facts += [("command", command)] if command else []
    facts.append(("runs", f"{len(records)} of {total} finished"))
    if table.parent_id:
        facts.append(("MLflow run", table.parent_id))
    if not records:
        return facts
    seconds = sum(record.summary.get("wall_time_s", 0.0) for record in records)
    first, last = (f(record.started for record in records) for f in (min, max))
    started = first if first == last else f"{first} to {last}"
    facts.append(
        ("started", f"{started}; {describe_duration(seconds)} of computing in all runs together")
    )
    fixed, swept = _settings(records)
    facts.append(("grid", swept or "a single point"))
    facts.append(("settings", fixed))
    data = {f"{r.data.get('name')}: {r.data.get('source')}" for r in records}
    facts.append(("data", "; ".join(sorted(data))))
    digests = {str(r.data.get("test_digest")) for r in records}
    facts.append(("test set", f"sha256 {', '.join(sorted(digests)[:3])}"))
    facts.append(("machine", _environment(records, _MACHINE)))
    facts.append(("software", _software(records)))
    return facts


def _settings(records: Sequence[RunRecord]) -> tuple[str, str]:
    """Return the settings that all runs share and those that vary, in words."""
    flat = [flatten(record.config) for record in records]
    keys = [key for key in flat[0] if not key.startswith(_NOT_SHOWN)]
    fixed, swept = [], []
    for key in keys:
        values = list(dict.fromkeys(str(one.get(key)) for one in flat))
        if len(values) == 1:
            fixed.append(f"{key}={values[0]}")
        else:
            swept.append(f"{key} ∈ {{{', '.join(sorted(values, key=_numbers_first))}}}")
    return "  ".join(fixed), " × ".join(swept)


def _numbers_first(text: str) -> tuple[float, str]:
    try:
        return float(text), text
    except ValueError:
        return math.inf, text


def _environment(records: Sequence[RunRecord], keys: dict[str, str]) -> str:
    values = {
        ", ".join(f"{name} {record.environment.get(key, '?')}" for key, name in keys.items())
        for record in records
    }
    return "; ".join(sorted(values))


def _software(records: Sequence[RunRecord]) -> str:
    values = set()
    for record in records:
        own = record.environment
        versions = [f"{k.removeprefix('version.')} {v}" for k, v in own.items() if "version." in k]
        commit = own.get("git.commit", "")
        dirty = " with changes" if own.get("git.dirty") == "true" else ""
        at = f"commit {commit[:12]}{dirty}, " if commit else ""
        values.add(
            f"{at}code {own.get('code', '?')}, Python {own.get('python')}, {', '.join(versions)}"
        )
    return "; ".join(sorted(values))


def _again(records: Sequence[RunRecord], command: str) -> list[str]:
    commits = {record.environment.get("git.commit", "") for record in records} - {""}
    lines = [f"git checkout {commits.pop()}"] if len(commits) == 1 else []
    return [*lines, "pip install -e .", command] if command else []


def _pictures(result: AggregateResult) -> list[Picture]:
    found = [path for path in result.files if path.suffix == ".png"]
    order = {name: place for place, name in enumerate(result.table.preset.figures)}
    found.sort(key=lambda path: order.get(path.stem, len(order)))
    return [Picture(path, caption(path.stem)) for path in found]


def _statistics(by_epoch: dict[float, PairStatistics]) -> Table:
    rows = [
        [
            describe_epoch(epoch),
            str(s.points),
            _interval(s.pearson, s.pearson_low, s.pearson_high),
            _interval(s.spearman, s.spearman_low, s.spearman_high),
            f"{_number(s.slope)} ± {_number(s.slope_se)}",
            _interval(s.deming_slope, s.deming_slope_low, s.deming_slope_high),
            _interval(s.mean_difference, s.mean_difference_low, s.mean_difference_high),
            f"{round(s.within_error * s.compared)} of {s.compared}" if s.compared else _DASH,
        ]
        for epoch, s in by_epoch.items()
    ]
    heads = ["epoch", "points", "Pearson c", "Spearman", "slope", "slope, errors in both"]
    heads += ["mean LHS − RHS", "within error"]
    seeds = max((s.seeds for s in by_epoch.values()), default=0)
    over = (
        f"95 % intervals over {seeds} seeds"
        if seeds > 1
        else "95 % intervals of independent points, which those of one seed are not"
    )
    note = (
        f"{over}; ± 1 standard error; slope, errors in both: Deming's line with the runs' own "
        "standard errors; within error: points whose LHS − RHS is within its own 95 % "
        "interval (Student's t)."
    )
    return Table("LHS against RHS by epoch", heads, rows, note)


def _ranking(ranking: Ranking) -> Table:
    heads, rows = ranking_cells(ranking)
    about = f"{ranking.target} at {describe_epoch(ranking.epoch)}"
    seeds = f"{ranking.seeds} seed{'' if ranking.seeds == 1 else 's'}"
    title = f"Which measure predicts {about}: {ranking.networks} networks, {seeds}"
    return Table(title, heads, rows, explained(ranking))


def _features(analysis: Analysis) -> list[Table]:
    """Lay out Table 1 for the first run of each kind of initial weights that trains all layers."""
    if analysis.features is None:
        return []
    free = trained(analysis.features)
    tables = []
    heads = ["feature", "GSNR at start", "highest GSNR", "at epoch", "c at start", "c at highest"]
    for init, own in free.groupby("init", sort=False):
        first = own[own["seed"] == own["seed"].min()]
        first = first[first["run_id"] == first["run_id"].iloc[0]]
        top = first.sort_values("gsnr_max", ascending=False).head(_TOP_FEATURES)
        rows = [
            [
                str(row.feature),
                f"{row.gsnr_t0:.4f}",
                f"{row.gsnr_max:.4f}",
                str(row.t_max),
                f"{row.c_t0:+.2f}",
                f"{row.c_tmax:+.2f}",
            ]
            for row in top.itertuples()
        ]
        note = "c: Pearson's correlation of the feature with y. All features: features.csv."
        title = f"Table 1: features of largest GSNR, initial weights '{init}', first seed"
        tables.append(Table(title, heads, rows, note))
    return tables


def _runs(table: SweepTable) -> Table:
    heads = ["run", "last epoch", "LHS", "RHS", "train loss", "test loss", "wall time"]
    rows = []
    for _, record in table.records:
        last = record.measurements[-1]
        cells = [_number(last.metrics.get(n)) for n in ("osgr_lhs", "osgr_rhs")]
        cells += [_number(last.metrics.get(n)) for n in ("train_loss", "test_loss")]
        wall = describe_duration(record.summary.get("wall_time_s", 0.0))
        rows.append([record.name, describe_epoch(last.epoch), *cells, wall])
    return Table("Runs", heads, rows)


def _number(value: float | None) -> str:
    return _DASH if value is None or math.isnan(value) else f"{value:.3f}"


def _interval(value: float, low: float, high: float) -> str:
    if math.isnan(low):
        return _number(value)
    return f"{value:.3f} [{low:.3f}, {high:.3f}]"
