"""The process: start, credentials, bearer, loopback, stop."""

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from smart.sandbox.server import main, open_store, reserve_port
from smart.sandbox.store import Store
from tests.sandbox.conftest import running


def test_a_fresh_database_is_seeded_and_served(tmp_path):
    database = tmp_path / "clinic.sqlite3"
    with running(database, "--seed", "lakeside-clinic") as server:
        patient = server.call("GET", "/Patient/789").json
        assert patient["name"][0]["text"] == "Luisa Ferreira"
        server.call("PUT", "/Basic/kept", {"resourceType": "Basic", "id": "kept"})
        old_bearer = server.bearer
    with running(database, "--seed", "lakeside-clinic") as server:
        assert server.bearer != old_bearer
        assert server.call("GET", "/Basic/kept").status == 200
        stale = server.send("GET", "/fhir/metadata", b"", {"Authorization": f"Bearer {old_bearer}"})
        assert stale.status == 401


def test_credentials_are_private_and_go_with_the_process(hospital_file, tmp_path):
    database = tmp_path / "hospital.sqlite3"
    shutil.copy(hospital_file, database)
    file = database.with_suffix(".credentials.json")
    with running(database) as server:
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        content = json.loads(file.read_bytes())
        assert set(content) == {"port", "bearer", "pid"}
        assert content["pid"] == server.process.pid
        assert len(content["bearer"]) == 43  # 256 bits in base64url
        assert sorted(tmp_path.glob(".*")) == []
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(timeout=10) == 0
        assert not file.exists()


def test_the_process_leaves_without_taking_the_interpreter_down(tmp_path, monkeypatch):
    """Else a thread of granian's that asks for the interpreter meanwhile aborts the process."""
    hooks, trace = tmp_path / "hooks", tmp_path / "finalized"
    hooks.mkdir()
    (hooks / "sitecustomize.py").write_text(
        f"import atexit, pathlib; atexit.register(pathlib.Path({str(trace)!r}).touch)"
    )
    monkeypatch.setenv("PYTHONPATH", str(hooks))
    subprocess.run([sys.executable, "-c", ""], check=True)
    assert trace.exists(), "the hook works"
    trace.unlink()
    with running(tmp_path / "x.sqlite3") as server:
        server.call("PUT", "/Basic/kept", {"resourceType": "Basic", "id": "kept"})
        server.process.terminate()
        assert server.process.wait(timeout=10) == 0
    assert not trace.exists()
    opened = Store(tmp_path / "x.sqlite3")
    assert [version.number for version in opened.history("Basic", "kept")] == [1]
    opened.close()


@pytest.mark.parametrize("path", ["/fhir/Patient/456", "/fhir/metadata", "/fhir", "/", "/nothing"])
@pytest.mark.parametrize(
    "value", [None, "", "Bearer", "Bearer ", "Bearer wrong", "bearer {}", "Basic {}", "Bearer {}x"]
)
def test_without_the_bearer_there_is_nothing(sandbox, path, value):
    headers = {} if value is None else {"Authorization": value.format(sandbox.bearer)}
    reply = sandbox.send("GET", path, b"", headers)
    assert reply.status == 401
    assert reply.headers["www-authenticate"] == "Bearer"
    assert reply.json["issue"][0]["code"] == "login"


def test_health_needs_no_bearer(sandbox):
    reply = sandbox.send("GET", "/healthz")
    assert (reply.status, reply.json) == (200, {"status": "ok"})


def test_other_paths_are_not_found(sandbox):
    headers = {"Authorization": f"Bearer {sandbox.bearer}"}
    for path in ("/", "/fhirx/Patient", "/admin"):
        assert sandbox.send("GET", path, b"", headers).status == 404


def test_answers_are_not_cached(sandbox):
    assert sandbox.call("GET", "/Patient/456").headers["cache-control"] == "no-store"


def arguments(tmp_path: Path, **changed: object) -> list[str]:
    named: dict[str, object] = {
        "db": tmp_path / "x.sqlite3",
        "port": "0",
        "credentials": tmp_path / "c.json",
    } | changed
    return [part for name, value in named.items() for part in (f"--{name}", str(value))]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"host": "::"}, "not a loopback address"),
        ({"host": "192.0.2.1"}, "not a loopback address"),
        ({"host": "example.com"}, "not a loopback address"),
        ({"port": "70000"}, "not a port"),
        ({"port": "-1"}, "not a port"),
        ({"seed": "no-hospital"}, "invalid choice"),
    ],
)
def test_bad_arguments_are_refused_before_anything_is_made(tmp_path, capsys, changed, words):
    with pytest.raises(SystemExit) as caught:
        main(arguments(tmp_path, **changed))
    assert caught.value.code == 2
    assert words in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_port_in_use_is_a_clear_error(tmp_path, hospital_file):
    database = tmp_path / "x.sqlite3"
    shutil.copy(hospital_file, database)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(SystemExit) as caught:
            main(arguments(tmp_path, db=database, port=taken.getsockname()[1]))
    assert "in use" in str(caught.value.code)
    assert not (tmp_path / "c.json").exists()


def test_a_reserved_port_is_kept_from_others():
    with (
        reserve_port("127.0.0.1", 0) as kept,
        socket.socket() as other,
        pytest.raises(OSError, match="in use"),
    ):
        other.bind(kept.getsockname())


def test_another_seed_is_refused(tmp_path, hospital_file):
    database = tmp_path / "x.sqlite3"
    shutil.copy(hospital_file, database)
    with pytest.raises(ValueError, match=r"holds general-hospital, not lakeside-clinic"):
        open_store(database, "lakeside-clinic")
    opened = open_store(database, "general-hospital")
    assert [version.number for version in opened.history("Patient", "456")] == [1]
    opened.close()


def test_an_unseeded_database_stays_empty(tmp_path):
    opened = open_store(tmp_path / "empty.sqlite3", None)
    assert opened.is_empty()
    opened.close()


def test_a_users_mistake_is_one_line(tmp_path):
    wrong = tmp_path / "notes.txt"
    wrong.write_text("no database at all, however long this text may become" * 20)
    command = [sys.executable, "-m", "smart.sandbox.server", *arguments(tmp_path, db=wrong)]
    root = Path(__file__).parents[2]
    ended = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert ended.stderr.startswith("sandbox: ")
    assert ended.stderr.count("\n") == 1


def test_a_store_belongs_to_its_owner(tmp_path):
    database = tmp_path / "x.sqlite3"
    old = os.umask(0)
    try:
        Store(database).close()
    finally:
        os.umask(old)
    assert stat.S_IMODE(database.stat().st_mode) == 0o600
