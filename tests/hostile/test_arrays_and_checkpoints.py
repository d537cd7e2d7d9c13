"""Damaged .npz files and checkpoints: one paragraph, or what was written, never else."""

import io
import struct
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.lib import format as npy_format

from gsnr_sweep.data.npz_reader import read_array, read_headers
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.records.checkpoint import CHECKPOINT_FILE, Checkpoint
from gsnr_sweep.records.record import Measurement
from tests.data.test_npz_reader import NAMES, header, use, whole, write
from tests.hostile.files import damaged
from tests.hostile.measuring import within_bounds

_NUMBERS = st.sampled_from([0, 1, 6, 30, -1, 2**31, 2**63, 10**30, True, 1.5, None, "30"])
_SHAPES = st.one_of(
    st.lists(_NUMBERS, max_size=3).map(tuple), _NUMBERS, st.lists(st.integers(0, 40), max_size=33)
)
_TYPES = st.one_of(
    st.sampled_from(["<f8", "<i4", "|O", "<U3", "|u1", "<f2", "<c16", "<M8[s]", "|V8", ">f4", "?"]),
    st.text(max_size=6),
    st.lists(st.tuples(st.text(max_size=3), st.sampled_from(["<f8", "<i2"])), max_size=3),
    st.none(),
)
_HEADERS = st.one_of(
    st.fixed_dictionaries(
        {"descr": _TYPES, "fortran_order": st.sampled_from([False, True, 1]), "shape": _SHAPES}
    ).map(repr),
    st.text(st.characters(max_codepoint=255), max_size=40),
    st.sampled_from(["{}", "[]", "(" * 500, "{'descr': '<f8'}", "9" * 5000, "1+1", "open('x')"]),
)


def _judge(path: Path) -> None:
    """Use the file as a launch and a run do: it is taken, or one paragraph says why not."""
    said = ""
    with within_bounds():
        try:
            use(path)
        except GsnrError as error:
            said = str(error)
    assert not said or said.startswith(f"data.path={path}: ")
    assert said.isprintable()
    assert len(said) < 1200


@settings(max_examples=150, suppress_health_check=list(HealthCheck))
@given(
    st.sampled_from(NAMES),
    _HEADERS,
    st.binary(max_size=30) | st.just(b"\0" * 1440),
    st.sampled_from([b"\x01\x00", b"\x02\x00", b"\x03\x00"]),
)
def test_any_header(
    tmp_path_factory: pytest.TempPathFactory, name: str, text: str, data: bytes, version: bytes
) -> None:
    folder = tmp_path_factory.getbasetemp()
    _judge(write(folder, whole() | {f"{name}.npy": header(_latin(text), data, version)}))


def _latin(text: str) -> str:
    return text.encode("latin1", "replace").decode("latin1")


@pytest.mark.parametrize("name", ["x_train", "y_test"])
def test_each_bit_of_a_header(tmp_path: Path, name: str) -> None:
    members = whole()
    content = members[f"{name}.npy"]
    start = io.BytesIO(content)
    npy_format.read_magic(start)
    npy_format.read_array_header_1_0(start)
    said = 128  # of a header most bytes are blanks
    for place in range(0, min(start.tell(), said)):
        changed = bytearray(content)
        changed[place] ^= 1 << place % 8
        path = write(tmp_path, members | {f"{name}.npy": bytes(changed)})
        with within_bounds():
            try:
                shape, dtype = read_headers(path)[name]
                array = read_array(path, name)
            except GsnrError as error:
                refused = str(error)
            else:
                refused = ""
                assert (array.shape, array.dtype) == (shape, dtype)
        assert not refused or f"its member {name}.npy is damaged or no array (" in refused


@settings(max_examples=150, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_any_damage_of_an_archive(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = write(tmp_path_factory.getbasetemp(), whole())
    path.write_bytes(data.draw(damaged(path.read_bytes())))
    _judge(path)


@settings(max_examples=120, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_any_damage_of_a_checkpoint(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.getbasetemp()
    tensors = {"0.fc.weight": torch.arange(6.0).view(2, 3), "1.count": torch.tensor(3)}
    known = Checkpoint(2, tensors, "feed", "1", "d", {"wall": 1.5}, [Measurement(0, {"a": 0.5})])
    known.write(folder)
    path, state = folder / CHECKPOINT_FILE, torch.get_rng_state()
    path.write_bytes(data.draw(damaged(path.read_bytes()) | st.binary(max_size=60)))
    with within_bounds():
        found = Checkpoint.read(folder)
    assert torch.equal(torch.get_rng_state(), state)
    assert found is None or found.measurements == known.measurements
    assert found is None or all(torch.equal(found.tensors[name], tensors[name]) for name in tensors)


@settings(max_examples=25, suppress_health_check=list(HealthCheck))
@given(st.dictionaries(st.text(max_size=5), st.text(max_size=9), max_size=3), st.binary(max_size=9))
def test_any_safetensors_file(
    tmp_path_factory: pytest.TempPathFactory, metadata: dict[str, str], more: bytes
) -> None:
    """Whole files of the format that are no checkpoints of ours, and headers of absurd lengths."""
    from safetensors.torch import save_file

    folder = tmp_path_factory.getbasetemp()
    path = folder / CHECKPOINT_FILE
    tensors = {"rng/cpu": torch.zeros(3), "rng/cuda.x": torch.zeros(1)}
    about = '{"schema": 1, "epoch": "x", "measurements": [{}]}'
    for given_ in (metadata, {"gsnr_sweep": about}, {"gsnr_sweep": "[]"}, {"gsnr_sweep": "5"}):
        save_file(tensors, path, given_)
        assert Checkpoint.read(folder) is None
    for length in (0, 2**20, 2**40, 2**63):
        path.write_bytes(struct.pack("<Q", length) + more)
        with within_bounds():
            assert Checkpoint.read(folder) is None
