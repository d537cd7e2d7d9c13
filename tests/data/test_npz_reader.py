"""Damaged and strange .npz files: one paragraph that names file and member, and nothing read."""

import io
import os
import random
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.lib import format as npy_format

from gsnr_sweep.data.npz_reader import check_file, read_array, read_headers
from gsnr_sweep.data.registry import distribution
from gsnr_sweep.data.settings import NpzConfig
from gsnr_sweep.errors import GsnrError

NAMES = ("x_train", "y_train", "x_test", "y_test")


def npy(array: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def header(text: str, data: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    """An array's bytes with any header at all."""
    length = struct.pack("<H" if version[0] == 1 else "<I", len(text.encode("latin1")))
    return b"\x93NUMPY" + version + length + text.encode("latin1") + data


def whole() -> dict[str, bytes]:
    rng = np.random.default_rng(0)
    found = {}
    for split, n in (("train", 30), ("test", 20)):
        found[f"x_{split}.npy"] = npy(rng.normal(size=(n, 6)))
        found[f"y_{split}.npy"] = npy(np.arange(n) % 3)
    return found


def write(folder: Path, members: dict[str, bytes], kind: int = zipfile.ZIP_DEFLATED) -> Path:
    path = folder / "mine.npz"
    with zipfile.ZipFile(path, "w", kind) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def use(path: Path) -> None:
    """Do all that a launch and a run do with the file."""
    cfg = NpzConfig("npz", True, "uniform", str(path), "auto", True)
    place = distribution(cfg)
    place.prepare()
    place.train_set(10, 0, 0)
    place.test_set(10, 0)


def told(path: Path) -> str:
    with pytest.raises(GsnrError) as refusal:
        use(path)
    said = str(refusal.value)
    assert said.startswith(f"data.path={path}: ")
    assert said.isprintable()
    assert len(said) < 900
    return said


@pytest.mark.parametrize(
    "kind", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
)
@pytest.mark.parametrize("suffix", [".npy", ""])
def test_arrays_are_read_as_numpy_reads_them(tmp_path: Path, kind: int, suffix: str) -> None:
    members = {name.removesuffix(".npy") + suffix: content for name, content in whole().items()}
    path = write(tmp_path, members, kind)
    with np.load(path) as arrays:
        for name in NAMES:
            np.testing.assert_array_equal(read_array(path, name), arrays[name])
            assert read_headers(path)[name] == (arrays[name].shape, arrays[name].dtype)
    use(path)


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
@pytest.mark.parametrize("dtype", [">f8", "<f2", "<f4", "u1"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_every_form_of_an_array(
    tmp_path: Path, version: tuple[int, int], dtype: str, order: Any
) -> None:
    members = whole()
    for name, n in (("x_train", 30), ("x_test", 20)):
        stream = io.BytesIO()
        x = np.arange(n * 6).reshape(n, 6).astype(dtype, order=order)
        npy_format.write_array(stream, x, version)
        members[f"{name}.npy"] = stream.getvalue()
    path = write(tmp_path, members)
    np.testing.assert_array_equal(read_array(path, "x_test"), x)
    use(path)


GOOD = "{'descr': '<f8', 'fortran_order': False, 'shape': (30, 6), }"
MEMBERS: dict[str, bytes] = {
    "empty": b"",
    "text": b"a,b,c\n1,2,3\n",
    "magic alone": b"\x93NUMPY",
    "version": header(GOOD, b"\0" * 1440, b"\x09\x00"),
    "short": header(GOOD, b"\0" * 1000),
    "long": header(GOOD, b"\0" * 1448),
    "huge": header(GOOD.replace("30", str(10**15))),
    "beyond 64 bits": header(GOOD.replace("30", str(10**30))),
    "negative": header(GOOD.replace("30", "-30"), b"\0" * 1440),
    "bool": header(GOOD.replace("30", "True"), b"\0" * 48),
    "float shape": header(GOOD.replace("30", "30.0"), b"\0" * 1440),
    "no tuple": header(GOOD.replace("(30, 6)", "30"), b"\0" * 240),
    "no mapping": header("[1, 2, 3]"),
    "no literal": header("__import__('os').system('true')"),
    "unclosed": header("{'descr': '<f8', "),
    "nested": header("(" * 3000),
    "long header": header(GOOD + " " * 20_000, b"\0" * 1440, b"\x02\x00"),
    "header beyond the end": b"\x93NUMPY\x02\x00\xff\xff\xff\xff{",
    "missing key": header("{'descr': '<f8', 'shape': (30, 6)}", b"\0" * 1440),
    "one key more": header(GOOD.replace("}", "'x': 1}"), b"\0" * 1440),
    "no type": header(GOOD.replace("<f8", "<q99"), b"\0" * 1440),
    "control characters": header(GOOD.replace("<f8", "\x1b[31m"), b"\0" * 1440),
    "not UTF-8": b"\x93NUMPY\x03\x00\x04\x00\x00\x00\xff\xfe\xff\xfe",
    "an archive": b"PK\x03\x04" + b"\0" * 40,
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", MEMBERS)
def test_members_that_are_no_arrays(tmp_path: Path, kind: str, name: str) -> None:
    path = write(tmp_path, whole() | {f"{name}.npy": MEMBERS[kind]})
    assert f"its member {name}.npy is damaged or no array (" in told(path)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.array([None] * 30), "x_train has type object"),
        (np.array(["a"] * 30), "x_train has type <U1"),
        (np.zeros(30, [("a", "<f8"), ("b", "<i4")]), "x_train has type [('a', '<f8')"),
        (np.zeros((30, 6), complex), "x_train has type complex128"),
        (np.zeros((30, 6), "M8[s]"), "x_train has type datetime64[s]"),
        (np.zeros((30, 0)), "x_train (30, 0)"),
        (np.zeros(()), "x_train is a single number"),
    ],
)
def test_arrays_of_other_things(tmp_path: Path, array: Any, words: str) -> None:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    assert words in told(write(tmp_path, whole() | {"x_train.npy": stream.getvalue()}))


def test_no_features_and_no_targets_are_refused(tmp_path: Path) -> None:
    nothing = {
        f"x_{split}.npy": npy(np.zeros((n, 0))) for split, n in (("train", 30), ("test", 20))
    }
    assert "x_train (30, 0) has no features" in told(write(tmp_path, whole() | nothing))
    nothing = {
        f"y_{split}.npy": npy(np.zeros((n, 0))) for split, n in (("train", 30), ("test", 20))
    }
    assert "y_train (30, 0) has no targets" in told(write(tmp_path, whole() | nothing))


def test_other_members_do_not_matter(tmp_path: Path) -> None:
    use(write(tmp_path, whole() | {"notes.txt": b"mine", "../x_train.npy": b"?", "a/": b""}))


def test_nested_members_and_names_of_strangers(tmp_path: Path) -> None:
    members = {f"../{name}": content for name, content in whole().items()}
    members |= {"\x1b[31mred": b"", "n" * 500: b"", **{f"m{i:02}": b"" for i in range(20)}}
    said = told(write(tmp_path, members))
    assert "the arrays x_train, y_train, x_test, y_test are missing; found are ?[31mred, " in said
    assert said.count("m1") == 0
    assert "and 16 more" in said


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_array_twice(tmp_path: Path) -> None:
    path = write(tmp_path, whole())
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("x_test.npy", npy(np.zeros((20, 6))))
    assert "x_test is in it 2 times" in told(path)
    assert "x_test is in it 2 times" in told(write(tmp_path, whole() | {"x_test": b""}))


def _field(path: Path, name: str, offset: int, value: int) -> None:
    """Overwrite two bytes of a member's entry, in the directory and before its data."""
    content = bytearray(path.read_bytes())
    for mark, shift in ((b"PK\x01\x02", 2), (b"PK\x03\x04", 0)):
        name_at = {0: 30, 2: 46}[shift]
        at = content.find(mark)
        while content[at + name_at : at + name_at + len(name)] != name.encode():
            at = content.find(mark, at + 1)
        content[at + offset + shift : at + offset + shift + 2] = struct.pack("<H", value)
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("offset", "value", "words"),
    [(6, 1, "it is encrypted"), (8, 99, "NotImplementedError"), (8, 12, "damaged or no array")],
)
def test_what_zip_knows_and_we_do_not(tmp_path: Path, offset: int, value: int, words: str) -> None:
    path = write(tmp_path, whole())
    _field(path, "y_train.npy", offset, value)
    said = told(path)
    assert "its member y_train.npy is damaged or no array (" in said
    assert words in said


@pytest.mark.parametrize("kind", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_flipped_bits_change_no_number(tmp_path: Path, kind: int) -> None:
    """A bit of a name, a date or a comment may flip without harm; a number never changes."""
    path = write(tmp_path, whole(), kind)
    good = {name: read_array(path, name) for name in NAMES}
    content = path.read_bytes()
    rng = random.Random(0)
    refused = []
    for _ in range(300):
        damaged = bytearray(content)
        damaged[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        try:
            read_headers(path)
            for name in NAMES:
                np.testing.assert_array_equal(read_array(path, name), good[name])
        except GsnrError as error:
            refused.append(str(error))
    assert len(refused) > 150
    assert all(said.startswith(f"data.path={path}: ") and said.isprintable() for said in refused)


def test_a_file_cut_anywhere(tmp_path: Path) -> None:
    path = write(tmp_path, whole())
    content = path.read_bytes()
    for length in range(0, len(content), len(content) // 60):
        path.write_bytes(content[:length])
        assert "this is not an .npz file (" in told(path)


def test_what_is_no_file(tmp_path: Path) -> None:
    assert "there is no such file" in told(tmp_path / "none.npz")
    assert "this is a folder" in told(tmp_path)
    assert "it cannot be read (File name too long)" in told(tmp_path / ("n" * 300))
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert "it cannot be read (Too many levels of symbolic links)" in told(tmp_path / "loop")
    (tmp_path / "file").touch()
    assert "it cannot be read (Not a directory)" in told(tmp_path / "file" / "mine.npz")
    os.mkfifo(tmp_path / "pipe")
    assert "this is no ordinary file" in told(tmp_path / "pipe")
    assert "this is no ordinary file" in told(Path("/dev/zero"))
    with pytest.raises(GsnrError, match=r"it cannot be read \(embedded null byte\)"):
        check_file(tmp_path / "a\0b")


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    path = write(tmp_path, whole())
    monkeypatch.setattr(zipfile, "ZipFile", refuse)
    assert "it cannot be read (Permission denied)" in told(path)


def test_an_array_beyond_memory_is_refused_unread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, whole())
    monkeypatch.setattr(os, "sysconf", {"SC_PHYS_PAGES": 1, "SC_PAGE_SIZE": 1000}.__getitem__)
    assert read_array(path, "y_test").shape == (20,)
    with pytest.raises(GsnrError, match="x_train takes 0 GB, and this process may have 0 GB"):
        read_array(path, "x_train")
