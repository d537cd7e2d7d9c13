"""What is refused where a number of something is asked for."""

from __future__ import annotations

from gsnr_sweep.errors import GsnrError


def refuse_no_count(name: str, value: object, of: str) -> None:
    """Refuse what is no positive whole number.

    Args:
        name: The argument.
        value: What was given.
        of: What is counted, such as ``steps``.

    Raises:
        GsnrError: It is none.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise GsnrError(f"{name}={value!r}: a positive whole number of {of} is needed.")
