"""Any value for any key: it is taken, or refused in a paragraph before anything is launched."""

import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gsnr_sweep.cli import launch as cli
from gsnr_sweep.wording import printable
from tests.conftest import CONF, shared_composer
from tests.hostile.files import ESCAPES
from tests.hostile.measuring import within_bounds

TOY = (
    *("data=toy", "model=mlp", "n=20", "ch=2", "n_sets=2", "n_test=20", "epochs=1"),
    *("measure_at=[1]", "tracking=none"),
)
KEYS = (
    *("n", "ch", "n_sets", "n_test", "epochs", "measure_at", "lr", "seed", "p_random", "dtype"),
    *("device", "threads", "kernels", "memory_mb", "checkpoint_minutes", "data.eta", "data"),
    *("model", "model.init", "model.frozen", "measures.parameters", "measures.functions"),
    *("tracking.run_name", "hydra.run.dir", "hydra.sweep.dir", "hydra.verbose", "+model.args.x"),
    *("hydra/launcher", "hydra.launcher.workers", "optim", "experiment", "scale", "preset.figures"),
)
_WORDS = st.sampled_from(
    [
        *("nan", "inf", "-inf", "null", "true", "1e400", "0x1f", "1_000", "9" * 400, "${n}"),
        *("${oc.env:HOME}", "${oc.env:NOPE}", "${hydra:job.num}", "${now:%Y}", "${eval:1}", "???"),
        *("range(1,3)", "choice(1,2)", "glob(*)", "int(3)", "json_str([1])", "sort(2,1)"),
        *(
            "every:2",
            "log:3",
            "${x}",
            "os.system",
            "torch.nn.Linear",
            "/etc/passwd",
            "../..",
            "~/x",
            "%j",
            "a\0b",
            "",
        ),
        *ESCAPES,
    ]
)
_NUMBERS = st.integers(-(10**20), 10**20).map(str) | st.floats().map(str)
_ANY = st.recursive(
    _WORDS | _NUMBERS | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: f"[{','.join(items)}]")
        | st.lists(inner, min_size=2, max_size=2).map(lambda pair: f"{{{pair[0]}:{pair[1]}}}")
        | st.lists(inner, min_size=2, max_size=3).map(",".join)
        | inner.map(lambda text: f"'{text}'")
    ),
    max_leaves=4,
)


class TakenError(Exception):
    """The launch would begin."""


@settings(max_examples=120, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(KEYS), _ANY, st.booleans())
def _any_value(here: Path, key: str, value: str, sweep: bool) -> None:
    arguments = ["-m"] * sweep + [*TOY, f"{key}={value}"]
    with within_bounds():
        try:
            cli.main(CONF, arguments)
        except TakenError:
            told = None
        except SystemExit as ended:
            told = ended.code
            assert isinstance(told, str), arguments
            assert told.startswith("gsnr-sweep: ")
            assert len(told) < 2000
            assert "Traceback" not in told
            assert printable(told) == told
    assert told is None or list(here.iterdir()) == []


def test_any_value_of_any_key(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def taken(*_: object) -> None:
        raise TakenError

    monkeypatch.setattr("gsnr_sweep.config.grid.composer_of", lambda _: shared_composer())
    monkeypatch.setattr(cli, "_hand_to_hydra", taken)
    monkeypatch.setattr(cli, "closing_at_ctrl_c", lambda: None)
    monkeypatch.setattr(sys, "argv", ["launch.py"])
    monkeypatch.setattr(sys, "path", list(sys.path))
    _any_value(folder)
