"""Loading measures by name."""

import pytest

from gsnr_sweep.errors import GsnrError
from gsnr_sweep.measures import load_measures, measure_all


def test_loads_and_applies_functions() -> None:
    loaded = load_measures({"one": "tests.measures.test_registry.one"})
    assert measure_all(loaded, None) == {"one": 1.0}  # type: ignore[arg-type]


def test_two_measures_with_one_name_are_refused() -> None:
    loaded = load_measures(dict.fromkeys(("a", "b"), "tests.measures.test_registry.one"))
    with pytest.raises(ValueError, match="another one has too"):
        measure_all(loaded, None)  # type: ignore[arg-type]


@pytest.mark.parametrize("path", ["gsnr_sweep.measures.nothing.here", "nopackage.f", "plain"])
def test_an_unknown_path_is_explained(path: str) -> None:
    with pytest.raises(GsnrError, match=r"measures\.functions\.mine=.*cannot be imported"):
        load_measures({"mine": path})


def one(_: object) -> dict[str, float]:
    """A measure."""
    return {"one": 1.0}
