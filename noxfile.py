"""The tests in fresh environments: each Python that is there, newest and lowest versions.

``nox`` runs README's test command on every interpreter that is found, ``nox -s lowest`` the oldest
versions that ``pyproject.toml`` allows, ``nox -s slow`` what takes long.
"""

import nox

nox.options.default_venv_backend = "uv|virtualenv"
nox.options.error_on_missing_interpreters = False
nox.options.sessions = ["newest", "lowest"]
PYTHONS = ["3.11", "3.12", "3.13"]


@nox.session(python=PYTHONS)
def newest(session: nox.Session) -> None:
    """Whatever the package index gives."""
    session.install("-e", ".[test]")
    session.run("pytest", *session.posargs)


@nox.session(python=PYTHONS[:2], venv_backend="uv")
def lowest(session: nox.Session) -> None:
    """The lowest versions of what the project asks for itself."""
    session.install("--resolution", "lowest-direct", "-e", ".[test]")
    session.run("pytest", *session.posargs)


@nox.session(python=PYTHONS)
def slow(session: nox.Session) -> None:
    """Fault campaign, SLURM, kernels on each instruction set."""
    session.install("-e", ".[test]")
    session.run("pytest", "-m", "slow", *session.posargs)


@nox.session(python=PYTHONS[0])
def style(session: nox.Session) -> None:
    """Style and types."""
    session.install("-e", ".[dev]")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")
