"""Importing what a config names, and quoting what went wrong."""

from pathlib import Path

import pytest

from gsnr_sweep.errors import locate, reason


def test_what_a_path_names() -> None:
    assert locate("pathlib.Path") is Path
    assert locate("gsnr_sweep.errors.reason") is reason


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("no_such_module.thing", ModuleNotFoundError),
        ("pathlib.NoSuchThing", AttributeError),
        ("thing", ValueError),
        ("", ValueError),
    ],
)
def test_what_it_does_not(path: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        locate(path)


def test_a_module_that_breaks_on_import_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "breaks_on_import.py").write_text("import no_such_dependency\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ModuleNotFoundError, match="no_such_dependency"):
        locate("breaks_on_import.Thing")


def test_reasons_are_one_short_line() -> None:
    assert reason(ValueError("a\n  b")) == "ValueError: a b"
    assert reason(KeyboardInterrupt()) == "KeyboardInterrupt"
    assert len(reason(ValueError("x" * 9000))) < 350
