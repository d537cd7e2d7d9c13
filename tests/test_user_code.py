"""The boundary to code of the user's."""

import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any

import pytest

from gsnr_sweep.errors import GsnrError
from gsnr_sweep.user_code import UserCodeError, as_error, at_work, call, is_ctrl_c, load


def raises(error: BaseException) -> Any:
    raise error


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ValueError("two\nlines"), "ValueError: two lines"),
        (StopIteration(), "StopIteration"),
        (GeneratorExit(), "GeneratorExit"),
        (SystemExit(), "it asks to leave Python: SystemExit None"),
        (SystemExit("bye"), "it asks to leave Python: SystemExit 'bye'"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (RecursionError("deep"), "RecursionError: deep"),
        (ValueError("\x1b[31mred"), "ValueError: [31mred"),
    ],
)
def test_whatever_is_raised_is_a_mistake_of_that_code(error: BaseException, words: str) -> None:
    with pytest.raises(UserCodeError) as found:
        call("key=value", raises, error)
    line = raises.__code__.co_firstlineno + 1
    assert str(found.value) == f"{words}, test_user_code.py line {line}"
    assert found.value.__cause__ is error


def test_what_it_says_to_people_itself_is_passed_on() -> None:
    with pytest.raises(UserCodeError, match=r"^it needs images$"):
        call("key=value", raises, GsnrError("it needs images"))


def test_a_mistake_is_told_once() -> None:
    with pytest.raises(UserCodeError, match=r"^KeyError: 1, test_user_code.py line \d+$"):
        call("outer", call, "inner", raises, KeyError(1))


def test_arguments_and_results_pass() -> None:
    assert call("key=value", lambda a, *, function: (a, function), 1, function=2) == (1, 2)


def test_what_is_at_work_is_known_also_to_another_process() -> None:
    def asks() -> tuple[str, str, str]:
        outside = at_work()
        inside = call("b" * 5000 + "ö", at_work)
        return outside, inside[:10], at_work()

    assert call("model=ä", asks) == ("model=ä", "b" * 10, "model=ä")
    assert at_work() == ""
    with pytest.raises(UserCodeError):
        call("key=value", raises, SystemExit(0))
    assert at_work() == ""


def test_threads_leave_in_any_order() -> None:
    """What is left at the end is nothing, also if who came first went first."""
    came, gone = Event(), Event()

    def first() -> None:
        call("first", lambda: came.wait(10))
        gone.set()

    def second() -> str:
        came.set()
        gone.wait(10)
        return at_work()

    with ThreadPoolExecutor(2) as pool:
        one = pool.submit(first)
        while at_work() != "first":
            pass
        assert pool.submit(call, "second", second).result() == "second"
        one.result()
    assert at_work() == ""


def test_many_threads_leave_nothing() -> None:
    with ThreadPoolExecutor(8) as pool:
        for _ in pool.map(lambda k: call(f"key={k}", call, "inner", int, k), range(5000)):
            pass
    assert at_work() == ""


# --- Ctrl-C


def presses_ctrl_c() -> None:
    os.kill(os.getpid(), signal.SIGINT)
    for _ in range(10**9):  # until it is heard
        pass


def catches(work: Callable[[], Any]) -> BaseException:
    try:
        work()
    except BaseException as error:
        return error
    raise AssertionError("nothing was raised")


def test_the_users_ctrl_c_passes() -> None:
    with pytest.raises(KeyboardInterrupt):
        call("key=value", presses_ctrl_c)
    assert at_work() == ""


def test_a_handler_of_ours_passes_too(monkeypatch: pytest.MonkeyPatch) -> None:
    from gsnr_sweep.launcher.launch import _Interrupts

    before = signal.signal(signal.SIGINT, _Interrupts())
    try:
        assert is_ctrl_c(catches(presses_ctrl_c))
    finally:
        signal.signal(signal.SIGINT, before)


def test_an_interrupt_of_its_own_is_none() -> None:
    assert not is_ctrl_c(catches(lambda: raises(KeyboardInterrupt())))
    with ThreadPoolExecutor(1) as pool:
        error = pool.submit(catches, lambda: raises(KeyboardInterrupt())).result()
    assert not is_ctrl_c(error)


def test_what_would_end_a_run() -> None:
    ordinary, pressed = ValueError(), catches(presses_ctrl_c)
    assert as_error("model=a", ordinary) is ordinary
    assert as_error("model=a", pressed) is pressed
    left = SystemExit(0)
    error = as_error("model=a", left)
    assert isinstance(error, UserCodeError)
    assert str(error) == "model=a: it ends the run (it asks to leave Python: SystemExit 0)."
    assert error.__cause__ is left


# --- imports


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("no_such_module.f", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("os.no_such_name", "AttributeError: module 'os' has no attribute 'no_such_name'"),
        ("plain", "ValueError: Empty module name"),
    ],
)
def test_what_cannot_be_imported(path: str, words: str) -> None:
    with pytest.raises(GsnrError) as found:
        load(f"key={path}", path, "Give another one.")
    assert str(found.value) == f"key={path}: it cannot be imported ({words}). Give another one."


def test_a_module_that_leaves_python(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "leaves_at_once.py").write_text("import sys\nsys.exit(0)\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(GsnrError, match=r"SystemExit 0, leaves_at_once.py line 2\)\. Give"):
        load("key=leaves_at_once.f", "leaves_at_once.f", "Give another one.")
