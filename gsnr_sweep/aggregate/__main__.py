"""``python -m gsnr_sweep.aggregate SWEEP``: the command ``aggregate`` by its older name."""

import sys

from gsnr_sweep._startup import leaving_quickly
from gsnr_sweep.cli.aggregate import main

if __name__ == "__main__":
    with leaving_quickly():
        sys.exit(main())
