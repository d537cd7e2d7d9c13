"""What a shell may complete besides Hydra's overrides: commands, their options, and sweeps."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path

from gsnr_sweep.cli.commands.lookup import all_sweeps

_OPTIONS = ("-sc", "--shell-completion")


def asks_for_completion(arguments: Sequence[str]) -> bool:
    """Whether a shell asks how a line may go on, as Hydra's completion scripts do."""
    asked = any(argument in _OPTIONS for argument in arguments)
    return asked and any(argument.startswith("query=") for argument in arguments)


def completions(line: str, commands: dict[str, argparse.ArgumentParser]) -> tuple[list[str], bool]:
    """How a line with a command may go on.

    Args:
        line: What was typed so far, the program's name first.
        commands: The commands with their parsers.

    Returns:
        The words that may stand last; and whether overrides, too, may stand there.
    """
    _, *words = line.split() or [""]
    word = words.pop() if words and not line.endswith(" ") else ""
    if not words:
        return _beginning(word, commands), True
    if words[0] not in commands:
        return [], True
    parser = commands[words[0]]
    if word.startswith("-"):
        return _beginning(word, parser._option_string_actions), False
    if _takes_value(parser, words[-1]):
        return [], False  # a file, as the shell completes by itself
    if _takes_overrides(parser):
        return [], True
    return _beginning(word, [sweep.id for sweep in all_sweeps(Path.cwd())]), False


def without_command(line: str, commands: dict[str, argparse.ArgumentParser]) -> str:
    """Return a line as Hydra can complete its last override: without a command and its options."""
    program, *words = line.split() or [""]
    parser = commands.get(words[0]) if words else None
    if parser is None or not _takes_overrides(parser):
        return line
    given = words[1:] if line.endswith(" ") else words[1:-1]
    before = [program, *given]
    kept = [
        word
        for previous, word in zip(before, given, strict=False)
        if not word.startswith("-") and not _takes_value(parser, previous)
    ]
    return " ".join([program, *kept, "" if line.endswith(" ") else words[-1]])


def _takes_value(parser: argparse.ArgumentParser, word: str) -> bool:
    action = parser._option_string_actions.get(word)
    return action is not None and action.nargs is None


def _takes_overrides(parser: argparse.ArgumentParser) -> bool:
    return any(action.dest == "overrides" for action in parser._actions)


def _beginning(word: str, known: Iterable[str]) -> list[str]:
    return sorted(name for name in known if name.startswith(word))
