"""What goes into one MLflow run: within MLflow's limits, under names that it takes.

MLflow refuses a whole batch for one name or value in it. What it can take in another form is given
that form, what it refuses all the same is left out alone, and both are noted. The record keeps the
original.
"""

from __future__ import annotations

import hashlib
import logging
import posixpath
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gsnr_sweep.errors import GsnrError, describe_exception
from gsnr_sweep.tracking.uri import without_password
from gsnr_sweep.wording import printable

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput, Run

log = logging.getLogger(__name__)

LONGEST_NAME = 250
LONGEST_PARAM = 6000
LONGEST_TAG = 5000  # older servers take no more
_AT_ONCE = {"metrics": 1000, "params": 100, "tags": 100}
_REFUSALS = ("INVALID_PARAMETER_VALUE", "BAD_REQUEST", "INVALID_STATE", "RESOURCE_ALREADY_EXISTS")
_NOT_ALLOWED = re.compile(r"[^\w/.\- :]")


def legal_name(name: str) -> str:
    """Return a name as MLflow takes it: of letters, digits and ``_/.- :``, and no odd path.

    A name that has to change ends in a part of its digest, so that different ones stay different.
    """
    is_path = posixpath.normpath(name) == name != "." and not name.startswith(("/", ".."))
    if is_path and len(name) <= LONGEST_NAME and not _NOT_ALLOWED.search(name):
        return name
    parts = _NOT_ALLOWED.sub("_", name).split("/")
    kept = "/".join(part for part in parts if part not in ("", ".", "..")).lstrip(".")
    digest = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:6]
    return f"{kept[: LONGEST_NAME - 10].rstrip('/') or 'unnamed'}-{digest}"


def legal_text(text: str, longest: int) -> str:
    """Return a text as databases and terminals take it: no control characters, not too long."""
    return printable(text.encode(errors="replace").decode())[:longest]


def is_refusal(error: Exception) -> bool:
    """Tell whether a store refused what it was sent because of its content: it is not away."""
    from mlflow.exceptions import MlflowException

    return isinstance(error, MlflowException) and error.error_code in _REFUSALS


def is_conflict(error: BaseException | None) -> bool:
    """Tell whether a database refused a row because another process has just written the same.

    MLflow looks whether a data set is known before it writes it: of two sweeps that send the same
    sets in the same moment, both find them missing and one is refused.
    """
    from sqlalchemy.exc import IntegrityError

    while error is not None:
        if isinstance(error, IntegrityError):
            return True
        error = error.__cause__ or error.__context__
    return False


def find_run(client: MlflowClient, run_id: str) -> Run | None:
    """Return a run; None if the store was exchanged, or the run deleted by hand."""
    from mlflow.exceptions import MlflowException

    if not run_id:
        return None
    try:
        run = client.get_run(run_id)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise
    return run if run.info.lifecycle_stage == "active" else None


class RunDeletedError(GsnrError):
    """Somebody deleted a run while it was written to."""


@dataclass
class RunWriter:
    """One MLflow run to be filled.

    Attributes:
        client: Connection to the store.
        run_id: The run.
        remarks: What MLflow has otherwise than the record, or lacks, each as a sentence's middle.
    """

    client: MlflowClient
    run_id: str
    remarks: dict[str, None] = field(default_factory=dict)

    def params(self, params: Mapping[str, Any]) -> None:
        """Log parameters."""
        from mlflow.entities import Param

        texts = {key: without_password(str(value)) for key, value in params.items()}
        for key, text in texts.items():
            if len(text) > LONGEST_PARAM:
                self.note(f"parameter {key} is cut to {LONGEST_PARAM} characters")
        entries = [
            Param(self._legal(key), legal_text(text, LONGEST_PARAM)) for key, text in texts.items()
        ]
        self._log("params", entries)

    def tags(self, tags: Mapping[str, str]) -> None:
        """Set tags."""
        from mlflow.entities import RunTag

        entries = [
            RunTag(self._legal(key), legal_text(text, LONGEST_TAG)) for key, text in tags.items()
        ]
        self._log("tags", entries)

    def metrics(self, metrics: Iterable[tuple[str, float, int, int]]) -> None:
        """Log metrics, each a name, a value, a time in milliseconds and a step."""
        from mlflow.entities import Metric

        entries = [Metric(self._legal(name), value, at, step) for name, value, at, step in metrics]
        self._log("metrics", entries)

    def inputs(self, inputs: list[DatasetInput]) -> None:
        """Log data sets."""
        try:
            with self._noting("its data sets are"):
                self.client.log_inputs(self.run_id, datasets=inputs)
        except Exception as error:
            if not is_conflict(error):
                raise
            self.client.log_inputs(self.run_id, datasets=inputs)  # they are there now

    def file(self, path: Path) -> None:
        """Add a file."""
        with self._noting(f"file {path.name!r} is"):
            self.client.log_artifact(self.run_id, str(path))

    def note(self, remark: str) -> None:
        """Note what MLflow has otherwise than the record."""
        self.remarks[remark] = None

    def _legal(self, name: str) -> str:
        legal = legal_name(name)
        if legal != name:
            self.note(f"{name!r} is called {legal!r}")
        return legal

    def _log(self, kind: str, entries: list[Any]) -> None:
        for start in range(0, len(entries), _AT_ONCE[kind]):
            self._log_batch(kind, entries[start : start + _AT_ONCE[kind]])

    def _log_batch(self, kind: str, entries: list[Any]) -> None:
        """Log a batch; of one that is refused its halves, down to what is refused alone.

        Raises:
            RunDeletedError: The run was deleted meanwhile.
        """
        try:
            log_batch: Callable[..., object] = self.client.log_batch
            log_batch(self.run_id, **{kind: entries})
        except Exception as error:
            if not is_refusal(error):
                raise
            if len(entries) > 1:
                half = len(entries) // 2
                self._log_batch(kind, entries[:half])
                self._log_batch(kind, entries[half:])
                return
            with self._noting(f"{kind[:-1]} {entries[0].key!r} is"):
                raise

    @contextmanager
    def _noting(self, what: str) -> Iterator[None]:
        """Note what the store refuses because of its content.

        Raises:
            RunDeletedError: The run was deleted meanwhile.
        """
        try:
            yield
        except Exception as error:
            if not is_refusal(error) or is_conflict(error):
                raise
            if find_run(self.client, self.run_id) is None:
                raise RunDeletedError(f"the run {self.run_id} was deleted meanwhile") from error
            told = without_password(describe_exception(error).partition(": ")[2][:200])
            self.note(f"{what} missing, for it was refused ({told})")
