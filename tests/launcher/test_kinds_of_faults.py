"""Each kind of fault once; ``python -m tests.faults --rounds 10`` makes them at more moments."""

from collections.abc import Callable, Iterator

import pytest

from tests.faults import FAULTS, NotHereError, stage

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
