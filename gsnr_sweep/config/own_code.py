"""Which code of the user's a config names."""

from __future__ import annotations

from gsnr_sweep.config.schema import Config
from gsnr_sweep.data.settings import CustomDataConfig
from gsnr_sweep.user_code import is_ours


def own_code(cfg: Config) -> list[str]:
    """Return key and value of everything that is not in the package, in the order of its use."""
    own = [f"data._target_={cfg.data._target_}"] if isinstance(cfg.data, CustomDataConfig) else []
    own += [f"preset.figures=[{name}]" for name in cfg.preset.figures if "." in name.strip(".")]
    own += [f"preset.claims=[{path}]" for path in cfg.preset.claims]
    if not is_ours(cfg.model._target_):
        own.append(f"model._target_={cfg.model._target_}")
    functions = cfg.measures.functions.items()
    own += [f"measures.functions.{name}={path}" for name, path in functions if not is_ours(path)]
    return own
