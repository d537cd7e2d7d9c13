"""A real SLURM of virtual nodes on this host, for as long as a ``with`` block lasts."""

import os
import random
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

SCRIPT = Path(__file__).with_name("cluster.sh")
DAEMONS = ["munged", "slurmctld", "slurmd"]
CLIENTS = ["sacct", "sbatch", "scancel", "scontrol", "sinfo", "squeue", "srun"]
ENDED = {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "PREEMPTED", "NODE_FAIL", "OUT_OF_MEMORY"}


class UnavailableError(Exception):
    """This host cannot run SLURM; the message says why."""


@dataclass(frozen=True)
class Cluster:
    """A running SLURM.

    Nodes ``n1``, ``n2``, … have 2 CPUs and 2 pretend GPUs; ``c1`` has 2 CPUs and none. Partitions:
    ``low`` (default; its jobs are requeued when ``high`` needs the place), ``high`` and ``cpu``.

    Attributes:
        folder: Where all of it lives, gone at the end.
        environment: What clients need: ``SLURM_CONF``, and a ``PATH`` with the stand-in ``sacct``.
    """

    folder: Path
    environment: dict[str, str]

    def run(
        self, *command: str | Path, text: str | None = None, cwd: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command as a user of this cluster, with ``text`` on its standard input.

        It works in the folder of the daemons' logs unless told otherwise, so a job whose output has
        no place writes it there.
        """
        # A test session may itself be a SLURM job; its variables would become our jobs' options.
        outside = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM_", "SBATCH_"))}
        return subprocess.run(
            command,
            input=text,
            stdin=subprocess.DEVNULL if text is None else None,
            capture_output=True,
            text=True,
            cwd=cwd or self.folder / "log",
            env={**outside, **self.environment},
            timeout=60,
            check=False,
        )

    def output(self, *command: str | Path, text: str | None = None) -> str:
        """What a command prints; it has to succeed."""
        done = self.run(*command, text=text)
        assert done.returncode == 0, f"{command}: {done.stderr or done.stdout}"
        return done.stdout.strip()

    def submit(self, script: str, *options: str) -> str:
        """Submit the lines of a bash script and return the job's id."""
        return self.output("sbatch", "--parsable", *options, text=f"#!/bin/bash\n{script}\n")

    def states(self) -> dict[str, str]:
        """The state of each job and each array task (``7``, ``8_0``) the controller remembers.

        An array task cancelled before it started is forgotten at once, unless the whole array is.
        """
        lines = self.output("squeue", "-h", "-r", "-t", "all", "-o", "%i %T").splitlines()
        return dict(line.split() for line in lines)

    def wait_for(self, job: str, *states: str, seconds: float = 120) -> str:
        """Wait until a job is in one of ``states``; fail when it ends in another."""
        end = time.monotonic() + seconds
        while (state := self.states().get(job, "UNKNOWN")) not in states:
            assert state not in ENDED, f"job {job} is {state}, not {' or '.join(states)}"
            assert time.monotonic() < end, f"job {job} is {state} after {seconds} s\n{self.log()}"
            time.sleep(0.1)
        return state

    def wait_idle(self, seconds: float = 120) -> None:
        """Wait until no job is pending, running or completing."""
        end = time.monotonic() + seconds
        while busy := self.output("squeue", "-h", "-r", "-o", "%i %T %r"):
            assert time.monotonic() < end, f"after {seconds} s still:\n{busy}\n{self.log()}"
            time.sleep(0.1)

    def cancel_all(self) -> None:
        """Cancel every job and wait until all are gone."""
        self.run("scancel", "--user=root")
        self.wait_idle()

    def set_time_left(self, job: str, seconds: int) -> None:
        """Let a running job's time end so soon; limits themselves are whole minutes.

        The controller looks at time limits only every 30 s, counted from its start. A job past its
        end is then stopped as TIMEOUT (SIGTERM, SIGKILL some seconds later). A job whose end is
        less than 30 s plus its ``--signal=USR2@delay`` away is then sent USR2. So 1 s gives a
        time-out within 30 s, and 35 s the warning within 30 s and the time-out 30 s after it.
        """
        self.output("scontrol", "update", f"jobid={job}", f"EndTime=now+{seconds}")

    def log(self, lines: int = 10) -> str:
        """The last lines of the controller's log."""
        text = (self.folder / "log" / "slurmctld.log").read_text(errors="replace")
        return "\n".join(text.splitlines()[-lines:])


@contextmanager
def running_cluster(
    *,
    nodes: int = 4,
    max_array_size: int = 1001,
    min_job_age: int = 86400,
    grace: int = 20,
    accounting: Literal["memory", "none"] = "memory",
) -> Iterator[Cluster]:
    """Run a SLURM of its own, in a new folder and on free ports.

    Args:
        nodes: How many nodes with GPUs.
        max_array_size: The first array index that is refused.
        min_job_age: Seconds for which the controller remembers an ended job (looks every 10 s).
        grace: Seconds between a pre-empted job's warning and its end.
        accounting: ``memory``: ``sacct`` answers from the controller's memory; ``none``: it fails.

    Raises:
        UnavailableError: Where SLURM is not installed, cannot start, or this is not root.
    """
    _check_host()
    with tempfile.TemporaryDirectory(prefix="slurm-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        settings = {
            "SLURM_TEST_NODES": nodes,
            "SLURM_TEST_MAX_ARRAY_SIZE": max_array_size,
            "SLURM_TEST_MIN_JOB_AGE": min_job_age,
            "SLURM_TEST_GRACE": grace,
            "SLURM_TEST_ACCOUNTING": accounting,
        }
        with _held(folder, {key: str(value) for key, value in settings.items()}, nodes + 2):
            yield Cluster(
                folder,
                {
                    "SLURM_CONF": str(folder / "slurm.conf"),
                    "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
                },
            )


def _check_host() -> None:
    if os.geteuid() != 0:
        raise UnavailableError("SLURM's daemons need root")
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    if missing := [
        program for program in DAEMONS + CLIENTS if not shutil.which(program, path=path)
    ]:
        raise UnavailableError(f"not installed: {', '.join(missing)}")


@contextmanager
def _held(folder: Path, settings: dict[str, str], n_ports: int) -> Iterator[None]:
    """Keep the daemons running.

    The script stops them when its standard input ends, so however this process dies, they go too;
    a session of its own keeps Ctrl-C from it.
    """
    with tempfile.TemporaryFile("w+") as errors:
        script = subprocess.Popen(
            [SCRIPT, "hold", folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**os.environ, **settings, "SLURM_TEST_PORT": str(_free_ports(n_ports))},
            start_new_session=True,
        )
        try:
            assert script.stdout is not None
            if script.stdout.readline() != "ready\n":
                raise UnavailableError(f"SLURM does not start: {_tail(errors)}")
            yield
        finally:
            # A line and not only an end: a forked child of ours may keep the pipe open.
            script.communicate("stop\n")


def _tail(file: IO[str]) -> str:
    file.seek(0)
    return " | ".join(line for line in file.read().splitlines()[-12:] if line)


def _free_ports(n: int) -> int:
    """The first of ``n`` consecutive free ports, below those the kernel gives to clients."""
    for _ in range(100):
        first = random.randrange(15000, 32000)
        if all(_is_free(port) for port in range(first, first + n)):
            return first
    raise UnavailableError("no free ports")


def _is_free(port: int) -> bool:
    with closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True
