"""The folder that a command is typed in, where a user's own modules lie."""

from __future__ import annotations

from gsnr_sweep._startup import search_launch_folder_last
from gsnr_sweep.errors import GsnrError, describe_exception


def search_working_folder() -> None:
    """Find a user's own models and measures in the working folder.

    Raises:
        GsnrError: The folder is gone.
    """
    try:
        search_launch_folder_last()
    except OSError as error:
        raise GsnrError(
            f"The working folder is gone ({describe_exception(error)}). Change to another one."
        ) from None
