"""``python -m gsnr_sweep COMMAND``: a sweep afterwards, as `gsnr_sweep.cli.main` says."""

import sys
from contextlib import suppress

from gsnr_sweep._startup import leaving_quickly, search_launch_folder_last
from gsnr_sweep.cli.interrupts import heeding_ctrl_c

if __name__ == "__main__":
    with leaving_quickly(), heeding_ctrl_c():
        with suppress(OSError):  # said later
            search_launch_folder_last()
        from gsnr_sweep.cli.main import main

        sys.exit(main(guarded=True))
