"""The one exception that users are meant to read."""

import importlib
import importlib.util
from typing import Any

from gsnr_sweep.wording import printable


class GsnrError(Exception):
    """A mistake or a missing thing that the user can mend; its text says how.

    The text may hold names and values of anybody's: control characters are left out of it.
    """

    def __init__(self, *texts: object) -> None:
        """Take a text."""
        super().__init__(*(printable(t) if isinstance(t, str) else t for t in texts))


def resolve_name(path: str) -> Any:
    """Import the object that a dotted path such as ``package.module.Class`` names.

    `pkgutil.resolve_name` says of a module below a package that breaks while it is imported that it
    does not exist; here the reason is raised.

    Raises:
        Exception: Whatever importing the module raises, or AttributeError for an unknown name.
    """
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


def require_package(name: str, extra: str) -> None:
    """Refuse to go on without an optional package.

    Args:
        name: Of the package, as it is imported.
        extra: Of this project's extras, which brings it.

    Raises:
        GsnrError: It is not installed.
    """
    if importlib.util.find_spec(name) is None:
        raise GsnrError(
            f"this needs the package {name}, which is not installed. Install it: "
            f"pip install 'gsnr-sweep[{extra}]'"
        )


def describe_exception(error: BaseException) -> str:
    """Say in one line what an exception that others raised says."""
    text = printable(" ".join(str(error).split()))[:300]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
