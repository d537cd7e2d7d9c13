"""Where a user's config files are opened: what is wrong is said with the file's name."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml
from hydra.errors import HydraException
from hydra.plugins.config_source import ConfigResult
from omegaconf import DictConfig

from gsnr_sweep.config.hydra_internals import ConfigRepository
from gsnr_sweep.errors import GsnrError, describe_exception

_LARGEST = 10**6  # bytes
_MOST_VALUES = 100_000
_DEEPEST = 50
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class ConfigFiles(ConfigRepository):
    """Hydra's own reader of configs, behind a look at each file."""

    def load_config(self, config_path: str) -> ConfigResult | None:
        """Load a config.

        Raises:
            GsnrError: Its file is damaged, or no config.
        """
        sources = (source for source in self.sources if source.is_config(config_path))
        source = next(sources, None)
        if source is None or source.scheme() != "file" or source.provider in ("hydra", "main"):
            return super().load_config(config_path)
        path = Path(source.path, config_path).with_suffix(".yaml")
        try:
            judge_text(path)
            found = super().load_config(config_path)
            if found is None or not isinstance(found.config, DictConfig):
                raise ValueError("a list stands where a mapping is needed")
            return found
        except HydraException as error:
            reason = " ".join(str(error).split())
        except yaml.YAMLError as error:
            reason = _where(error)
        except Exception as error:  # of Hydra and OmegaConf, many kinds
            reason = describe_exception(error)
        raise GsnrError(
            f"{path}: this is no config ({reason.rstrip('.')}). A config is a YAML file of one "
            "mapping from keys to values; its defaults are a list of configs."
        )


def judge_text(path: Path) -> None:
    """Refuse a file whose values would take more memory or depth than a config ever does.

    Raises:
        ValueError: It is no text, or holds too much, aliases counted as what they stand for.
        yaml.YAMLError: It is no YAML.
        OSError: It cannot be read.
    """
    if (size := path.stat().st_size) > _LARGEST:
        raise ValueError(f"it has {size:,} bytes, {_LARGEST:,} are allowed")
    _count(yaml.parse(path.read_text(encoding="utf-8"), Loader=_LOADER))


def _count(events: Iterable[yaml.Event]) -> None:
    """Count values without making any; an alias within what it stands for is endless."""
    known: dict[str, int] = {}
    unfinished: list[tuple[str | None, int]] = []  # anchors, and values before them
    count = 0
    for event in events:
        if isinstance(event, yaml.AliasEvent):
            count += known.get(str(event.anchor), _MOST_VALUES + 1)
        elif isinstance(event, yaml.CollectionStartEvent):
            unfinished.append((event.anchor, count))
            count += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = unfinished.pop()
            known |= {anchor: count - before} if anchor else {}
        elif isinstance(event, yaml.ScalarEvent):
            count += 1
            known |= {event.anchor: 1} if event.anchor else {}
        if count > _MOST_VALUES:
            raise ValueError(f"it stands for more than {_MOST_VALUES:,} values")
        if len(unfinished) > _DEEPEST:
            raise ValueError(f"its values are nested more than {_DEEPEST} deep")


def _where(error: yaml.YAMLError) -> str:
    """Say in one line what is wrong with a YAML file, and in which one."""
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    if mark is None or not problem:
        return describe_exception(error)
    return f"line {mark.line + 1}: {problem}"
