"""What the site takes from elsewhere when it is built, so that no page repeats it by hand.

Tables made from the code stand where a page has an HTML comment such as ``<!-- group keys -->``,
which GitHub does not show. The tutorial is a notebook without outputs, which is executed here and
becomes a page like the others, its links checked like theirs; a cell that fails ends the build.
"""

import re
from collections.abc import Callable, Iterable
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import nbformat
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from nbconvert import MarkdownExporter
from nbconvert.preprocessors import ExecutePreprocessor
from omegaconf import OmegaConf

from gsnr_sweep.cli.help import launcher_settings
from gsnr_sweep.config.schema import choices_with, describe_group_keys, describe_keys
from gsnr_sweep.wording import as_typed

ROOT = Path(__file__).parents[1]
CONF = ROOT / "conf"
GROUPS = ("data", "model", "optim", "loss", "measures", "tracking", "experiment", "scale")


NOTEBOOK = "tutorial.ipynb"
PAGE = "tutorial.md"
SECONDS_A_CELL = 300
# What pandas adds to a table, and the theme does not want.
_OF_PANDAS = re.compile(
    r'<style scoped>.*?</style>| border="1" class="dataframe"| style="text-align: right;"', re.S
)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the tutorial's page and figures; the notebook itself stays, to be downloaded."""
    text, figures = executed((Path(config.docs_dir) / NOTEBOOK).read_text(encoding="utf-8"))
    files.append(File.generated(config, PAGE, content=text))
    for name, content in figures.items():
        files.append(File.generated(config, name, content=content))
    return files


@lru_cache(maxsize=1)  # `mkdocs serve` builds again and again
def executed(notebook: str) -> tuple[str, dict[str, bytes]]:
    """Execute a notebook; return it as Markdown, and its figures by file name."""
    cells = nbformat.reads(notebook, as_version=4)
    ExecutePreprocessor(timeout=SECONDS_A_CELL, kernel_name="python3").preprocess(cells, {})
    text, resources = MarkdownExporter().from_notebook_node(
        cells, {"output_files_dir": "tutorial_files", "unique_key": "tutorial"}
    )
    return _OF_PANDAS.sub("", text), resources["outputs"]


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put what is generated in place of the comments that ask for it."""
    markdown = markdown.replace(f"]({NOTEBOOK}", f"]({PAGE}")
    for name, make in GENERATED.items():
        comment = f"<!-- {name} -->"
        if comment in markdown:
            markdown = markdown.replace(comment, make())
    return markdown


def top_level_keys() -> str:
    """The keys of a run with their defaults."""
    defaults = _values(CONF / "config.yaml")
    rows = [(f"`{key}`", text, f"`{as_typed(defaults.get(key))}`") for key, text in describe_keys()]
    return _table(("key", "meaning", "default"), rows)


def group_keys() -> str:
    """The keys within groups, a table for each group, with the defaults of its options."""
    parts: list[str] = []
    for group in GROUPS:
        options = sorted(path.stem for path in (CONF / group).glob("*.yaml"))
        listed = ", ".join(f"`{option}`" for option in options)
        parts.append(f"### {group}\n\nOptions (`{group}=…`): {listed}.")
        rows = [
            (f"`{key}`", _without_choices(key, text), _defaults_in(group, options, key))
            for key, text in describe_group_keys()
            if key.startswith(f"{group}.")
        ]
        if rows:
            parts.append(_table(("key", "meaning", "default"), rows))
    return "\n\n".join(parts)


def keys_of(section: str) -> str:
    """The keys of a section that is no group."""
    told = describe_group_keys()
    rows = [(f"`{key}`", text) for key, text in told if key.startswith(f"{section}.")]
    return _table(("key", "meaning"), rows)


def launcher_keys() -> str:
    """The settings of each launcher."""
    parts: list[str] = []
    for name in ("local", "slurm"):
        rows = [
            (f"`hydra.launcher.{key}`", text, f"`{value}`")
            for key, text, value in launcher_settings(CONF, name)
        ]
        parts.append(f"### hydra/launcher={name}\n\n{_table(('key', 'meaning', 'default'), rows)}")
    return "\n\n".join(parts)


def changelog() -> str:
    """CHANGELOG.md below its title, with links as this folder has them."""
    _, _, text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").partition("\n\n")
    return text.replace("](docs/", "](")


GENERATED: dict[str, Callable[[], str]] = {
    "top-level keys": top_level_keys,
    "group keys": group_keys,
    "stop keys": partial(keys_of, "stop"),
    "preset keys": partial(keys_of, "preset"),
    "launcher keys": launcher_keys,
    "changelog": changelog,
}


def _defaults_in(group: str, options: Iterable[str], key: str) -> str:
    """A key's default, or that of each option that has one where they differ."""
    name = key.partition(".")[2]
    found: dict[str, str] = {}
    for option in options:
        values = _values(CONF / group / f"{option}.yaml")
        values = values.get(group, values)
        if name in values:
            found[option] = f"`{_short(values[name])}`"
    if name == "name":
        return "the option's name"
    if len(set(found.values())) > 1:
        return "<br>".join(f"{option}: {value}" for option, value in found.items())
    chosen = choices_with(key)
    only = f" ({', '.join(chosen)})" if 0 < len(chosen) < len(list(options)) else ""
    return next(iter(found.values()), "") + only


def _short(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(value) + "}"
    return str(as_typed(value)).replace("???", "to be given")


def _without_choices(key: str, text: str) -> str:
    return text.removesuffix(f" [{', '.join(choices_with(key))}]")


def _values(path: Path) -> dict[str, Any]:
    values = OmegaConf.to_container(OmegaConf.load(path))
    return {str(key): value for key, value in values.items()} if isinstance(values, dict) else {}


def _table(titles: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = (titles, ("---",) * len(titles), *rows)
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", r"\|")
