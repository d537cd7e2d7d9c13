"""Each kind of fault once; ``python -m tests.faults --rounds 10`` makes them at more moments."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults import FAULTS, NEYSHABUR, NotHereError, stage

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str, int], list[str]]]:
    with stage(tmp_path_factory.mktemp("faults")) as make:
        yield make


@pytest.mark.parametrize("name", FAULTS)
def test_nothing_is_lost_or_doubled(name: str, make: Callable[[str, int], list[str]]) -> None:
    try:
        assert make(name, 1) == []
    except NotHereError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def make_on_mnist(
    tmp_path_factory: pytest.TempPathFactory, real_data: Path
) -> Iterator[Callable[[str, int], list[str]]]:
    grid = (*NEYSHABUR, f"data.root={real_data}")
    with stage(tmp_path_factory.mktemp("faults"), grid) as make:
        yield make


@pytest.mark.parametrize("name", ["ctrl-c", "checkpoints"])
def test_runs_of_the_second_paper_lose_nothing_either(
    name: str, make_on_mnist: Callable[[str, int], list[str]]
) -> None:
    assert make_on_mnist(name, 1) == []
