"""All of Hydra that is not part of its public interface: what an upgrade of Hydra may break.

No other file imports ``hydra._internal`` (``tests/test_architecture.py``), and
``tests/config/test_compose.py`` compares what is made of it with what Hydra itself makes. Of
OmegaConf nothing private is used.
"""

from __future__ import annotations

from collections.abc import Sequence

# Shows the sources that it reads (`repository`), which the public `ConfigLoader` does not, and sets
# overrides on a config that is composed already.
from hydra._internal.config_loader_impl import ConfigLoaderImpl

# hydra.job.override_dirname, which Hydra fills in only while it composes.
from hydra._internal.config_loader_impl import get_overrides_dirname as override_dirname

# Whether a source that hydra.searchpath names is there: Hydra passes over a missing one.
from hydra._internal.config_repository import ConfigRepository

# The same sources, before a loader is made of them.
from hydra._internal.config_search_path_impl import ConfigSearchPathImpl

# The grid of a command line, point by point, as the sweeper of -m splits it; and that sweeper, of
# which ours leaves one check out. As a module: Hydra's search for plugins executes it once more,
# and the class that was taken before is then none of its own.
from hydra._internal.core_plugins import basic_sweeper

# Makes the loader that `hydra.main` makes. The public `initialize_config_dir` takes no --config-dir
# and leaves Hydra's state set.
from hydra._internal.hydra import Hydra

# Hydra's own command line, to know before Hydra runs what it is asked for; and the folders in which
# it looks for configs, its own and those of plugins included.
from hydra._internal.utils import create_config_search_path
from hydra._internal.utils import get_args_parser as argument_parser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig

__all__ = [
    "ConfigLoaderImpl",
    "ConfigRepository",
    "ConfigSearchPathImpl",
    "Hydra",
    "apply_overrides",
    "argument_parser",
    "basic_sweeper",
    "create_config_search_path",
    "override_dirname",
]


def apply_overrides(overrides: Sequence[Override], cfg: DictConfig) -> None:
    """Set values on a composed config as Hydra does; the public interface only composes anew.

    Args:
        overrides: None of a config group.
        cfg: Is changed.

    Raises:
        HydraException: One does not fit the config, such as a key that is not there.
    """
    ConfigLoaderImpl._apply_overrides_to_config(list(overrides), cfg)
