"""Addresses of tracking stores."""

from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from gsnr_sweep.config.schema import TrackingConfig
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.tracking import uri as uris
from gsnr_sweep.tracking.uri import (
    describe_tracking,
    missing_file,
    recorded_store,
    recorded_uri,
    sqlite_file,
    sqlite_uri,
    store_uri,
    tell_store,
    tracking_uri,
    uri_for_files,
    without_password,
    without_passwords,
)


def _tracking(uri: str | None) -> TrackingConfig:
    return TrackingConfig("mlflow", uri, "mine", None, None)


@pytest.mark.parametrize("uri", ["http://host:5000", "postgresql://u:p@host/db", "sqlite://", ""])
def test_other_stores_are_no_files(uri: str) -> None:
    assert sqlite_file(uri) is None
    assert missing_file(uri) is None


def test_the_file_of_a_sqlite_store(tmp_path: Path) -> None:
    path = tmp_path / "a b.db"
    assert sqlite_file(sqlite_uri(path)) == path
    assert sqlite_file(f"{sqlite_uri(path)}?timeout=5") == path
    assert missing_file(sqlite_uri(path)) == path
    path.touch()
    assert missing_file(f"{sqlite_uri(path)}?timeout=5") is None


def test_a_file_is_looked_for_where_runs_are_launched(tmp_path: Path) -> None:
    assert tracking_uri(_tracking("sqlite:///x.db"), tmp_path) == f"sqlite:///{tmp_path}/x.db"
    assert tracking_uri(_tracking("sqlite:///x.db?a=1"), tmp_path).endswith("/x.db?a=1")
    elsewhere = f"sqlite:///{tmp_path / 'there.db'}"
    assert tracking_uri(_tracking(elsewhere), Path("/here")) == elsewhere
    assert tracking_uri(_tracking("http://host"), tmp_path) == "http://host"


def test_the_default_store(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert store_uri(None, folder) == sqlite_uri(folder / "mlflow.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://host")
    assert store_uri(None, folder) == "http://host"
    assert store_uri("sqlite:///x.db", folder) == "sqlite:///x.db"


@pytest.mark.parametrize("uri", ["mlruns", "./mlruns", "file:///tmp/mlruns"])
def test_plain_folders_are_refused(uri: str, tmp_path: Path) -> None:
    with pytest.raises(GsnrError, match=r"tracking\.uri=.*sqlite:///FILE\.db"):
        tracking_uri(_tracking(uri), tmp_path)


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A process that was told of no store and knows no password."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("MLFLOW_TRACKING_URI", *uris._CREDENTIALS):
        monkeypatch.delenv(name, raising=False)


PASSWORDS = ("s3cret", "s3/cr@et", "s3//cret", "s3:c?r#et", "@s3cret@", "s3%40cret", "s3'cr\"et")


@pytest.mark.parametrize("password", PASSWORDS)
@pytest.mark.parametrize("scheme", ["http", "https", "postgresql+psycopg2", "mysql", "mssql"])
def test_what_is_seen_of_a_uri(scheme: str, password: str) -> None:
    uri = f"{scheme}://me:{password}@host:5000/db"
    seen = f"{scheme}://***@host:5000/db"
    assert without_password(uri) == seen
    assert without_password(seen) == seen
    assert without_password(f"tracking.uri={uri}") == f"tracking.uri={seen}"
    assert without_password(f"python launch.py n=1 tracking.uri={uri} ch=2") == (
        f"python launch.py n=1 tracking.uri={seen} ch=2"
    )
    assert without_passwords({"a": [uri, 1], "b": {"c": (uri,)}}) == {
        "a": [seen, 1],
        "b": {"c": (seen,)},
    }


@pytest.mark.parametrize("option", ["password", "sslpassword", "passwd", "pwd", "token", "api_key"])
def test_secrets_among_the_options_are_not_seen(option: str) -> None:
    uri = f"postgresql://host/db?a=1&{option}=s3cret&b=2"
    assert without_password(uri) == f"postgresql://host/db?a=1&{option}=***&b=2"


@pytest.mark.parametrize(
    "text",
    [
        "sqlite:////home/me@host/mlflow.db",
        "sqlite:///C:/x@y.db?timeout=5",
        "sqlite+pysqlite:////home/me@host/mlflow.db",
        "file:///home/me@host/x",
        "http://host:5000",
        "no address, but me@host",
        "acc@5=1",
    ],
)
def test_what_holds_no_password_is_seen_whole(text: str) -> None:
    assert without_password(text) == text


def test_a_known_password_with_blanks_is_not_seen_within_a_text(nobody: None) -> None:
    uri = "postgresql://me:two words@host/db"
    tell_store(uri)
    assert without_password(f"a {uri} b") == "a postgresql://***@host/db b"


@pytest.mark.parametrize(
    "uri",
    [
        "sqlite:////a/b.db",
        "sqlite:///b c.db",
        "sqlite:////a/b%20c.db",
        "sqlite:////a/b.db?timeout=5&x=/y",
        "sqlite+pysqlite:////a/b.db",
        "sqlite:////a@b/c:d.db",
    ],
)
def test_files_are_those_that_the_database_opens(uri: str) -> None:
    assert str(sqlite_file(uri)) == make_url(uri).database
    absolute = tracking_uri(_tracking(uri), Path("/x"))
    assert make_url(absolute).database == str(Path("/x") / str(make_url(uri).database))
    assert make_url(absolute).query == make_url(uri).query


@pytest.mark.parametrize("name", ["q?x", "50%", "a%20b", "%3F"])
def test_any_folder_may_hold_the_default_store(nobody: None, tmp_path: Path, name: str) -> None:
    """With a SQLAlchemy whose URIs cannot name it, it is refused, never another file opened."""
    path = tmp_path / name / "mlflow.db"
    if make_url("sqlite:////%25").database != "/%":
        with pytest.raises(GsnrError, match="cannot hold a tracking store"):
            tracking_uri(_tracking(None), path.parent)
        return
    uri = tracking_uri(_tracking(None), path.parent)
    assert sqlite_file(uri) == path
    assert make_url(uri).database == str(path)
    assert tracking_uri(_tracking(uri), Path("/x")) == uri


def test_a_file_named_by_a_uri_of_its_own(tmp_path: Path) -> None:
    uri = f"sqlite:///file:{tmp_path}/x.db?uri=true"
    assert sqlite_file(uri) == tmp_path / "x.db"
    assert tracking_uri(_tracking(uri), Path("/x")) == uri


def test_a_recorded_store_gets_its_password_from_the_environment(
    nobody: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = "postgresql://***@host/db"
    with pytest.raises(GsnrError, match="MLFLOW_TRACKING_URI"):
        recorded_uri(seen, Path("/x"))
    whole = "postgresql://me:s3/cr@et@host/db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://me:pw@other/db")
    with pytest.raises(GsnrError, match="MLFLOW_TRACKING_URI"):  # another store's is not given away
        recorded_uri(seen, Path("/x"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", whole)
    assert recorded_uri(seen, Path("/x")) == whole
    assert recorded_store(_tracking(seen), Path("/x")) == whole
    assert tracking_uri(_tracking(seen), Path("/x")) == whole


@pytest.mark.parametrize("name", uris._CREDENTIALS)
def test_credentials_go_to_the_configured_store_only(
    nobody: None, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    foreign = "http://foreign:5000/x"
    assert recorded_uri(foreign, Path("/x")) == foreign  # nothing to give away
    monkeypatch.setenv(name, "s3cret")
    with pytest.raises(GsnrError, match="named by a file only"):
        recorded_uri(foreign, Path("/x"))
    with pytest.raises(GsnrError, match="named by a file only"):
        recorded_store(_tracking(foreign), Path("/x"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mine:5000")
    with pytest.raises(GsnrError, match="named by a file only"):
        recorded_uri(foreign, Path("/x"))
    assert recorded_uri("http://mine:5000", Path("/x")) == "http://mine:5000"
    assert store_uri("http://foreign:5000", Path("/x")) == "http://foreign:5000"
    tell_store("http://foreign:5000")
    assert recorded_uri(foreign, Path("/x")) == foreign  # now its user has named it


def test_credentials_in_the_home_folder_count(nobody: None, tmp_path: Path) -> None:
    (tmp_path / ".mlflow").mkdir()
    (tmp_path / ".mlflow" / "credentials").write_text("[mlflow]\n")
    with pytest.raises(GsnrError, match="named by a file only"):
        recorded_uri("http://foreign:5000", Path("/x"))


def test_the_plan_shows_no_password(nobody: None) -> None:
    uri = "sqlite:////x/a.db?password=s3cret"
    assert "s3cret" not in describe_tracking(_tracking(uri), Path("/x"))
    with pytest.raises(GsnrError) as raised:
        tracking_uri(_tracking("file://me:s3cret@host/x"), Path("/x"))
    assert "s3cret" not in str(raised.value)


# --- what files hold


@pytest.mark.parametrize(
    ("uri", "held"),
    [
        ("sqlite:////x/mlflow.db", "sqlite:///mlflow.db"),
        ("sqlite+pysqlite:////x/sub/a b.db?timeout=5", "sqlite+pysqlite:///sub/a b.db?timeout=5"),
        ("sqlite:////y/mlflow.db", "sqlite:////y/mlflow.db"),
        ("sqlite:///file:/x/a.db?uri=true", "sqlite:///file:/x/a.db?uri=true"),
        ("postgresql://me:s3cret@host/db", "postgresql://***@host/db"),
    ],
)
def test_a_store_below_the_launch_folder_is_named_relative_to_it(
    nobody: None, uri: str, held: str
) -> None:
    assert uri_for_files(uri, Path("/x")) == held
    tell_store(uri)
    assert recorded_uri(held, Path("/x")) == uri


def test_a_recorded_file_is_found_where_its_project_is_now(nobody: None, tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    path.touch()
    for held in ("sqlite:///mlflow.db", "sqlite:////no/such/folder/mlflow.db"):
        assert recorded_uri(held, tmp_path) == sqlite_uri(path)


def test_a_recorded_file_that_is_gone_is_not_made_anew(nobody: None, tmp_path: Path) -> None:
    for held in ("sqlite:///mlflow.db", f"sqlite:///{tmp_path}/gone/other.db"):
        with pytest.raises(GsnrError, match="is not there any more"):
            recorded_uri(held, tmp_path)
    assert list(tmp_path.iterdir()) == []
