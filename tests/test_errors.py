"""Importing what a config names, and quoting what went wrong."""

from pathlib import Path

import pytest

from gsnr_sweep.errors import describe_exception, resolve_name


def test_what_a_path_names() -> None:
    assert resolve_name("pathlib.Path") is Path
    assert resolve_name("gsnr_sweep.errors.describe_exception") is describe_exception


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
        resolve_name(path)


def test_a_module_that_breaks_on_import_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "breaks_on_import.py").write_text("import no_such_dependency\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ModuleNotFoundError, match="no_such_dependency"):
        resolve_name("breaks_on_import.Thing")
    (tmp_path / "of_a_package").mkdir()
    (tmp_path / "of_a_package" / "breaks.py").write_text("import no_such_dependency\n")
    with pytest.raises(ModuleNotFoundError, match="no_such_dependency"):
        resolve_name("of_a_package.breaks.Thing")


def test_reasons_are_one_short_line() -> None:
    assert describe_exception(ValueError("a\n  b")) == "ValueError: a b"
    assert describe_exception(KeyboardInterrupt()) == "KeyboardInterrupt"
    assert len(describe_exception(ValueError("x" * 9000))) < 350
