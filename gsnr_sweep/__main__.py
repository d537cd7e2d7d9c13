"""``python -m gsnr_sweep COMMAND``: a sweep afterwards, as `gsnr_sweep.cli.main` says."""

import sys

from gsnr_sweep._startup import leaving_quickly
from gsnr_sweep.cli.main import main

if __name__ == "__main__":
    with leaving_quickly():
        sys.exit(main())
