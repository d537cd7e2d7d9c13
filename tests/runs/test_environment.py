"""What identifies machine and code."""

import platform
import socket
import subprocess

import torch

from gsnr_sweep.runs.environment import describe_environment
from tests.conftest import ROOT


def test_versions_machine_and_device() -> None:
    found = describe_environment("cpu")
    assert found["version.torch"] == torch.__version__
    assert found["python"] == platform.python_version()
    assert found["host"] == socket.gethostname()
    assert found["device"] == "cpu"
    assert all(isinstance(value, str) for value in found.values())


def test_the_commit_is_that_of_the_checkout() -> None:
    found = describe_environment("cpu")
    head = subprocess.run(
        ["git", "-C", str(ROOT), "rev-parse", "HEAD"], capture_output=True, text=True, check=False
    )
    if head.returncode:
        assert "git.commit" not in found
    else:
        assert found["git.commit"] == head.stdout.strip()
        assert found["git.dirty"] in {"true", "false"}
