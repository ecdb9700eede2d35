"""The throw-away servers are as an installation's, and gone afterwards."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest
import redis

from tests import services

ROOT = Path(__file__).resolve().parents[2]


def start_by_hand() -> tuple[subprocess.Popen[str], dict[str, str]]:
    """`python -m tests.services`, and the variables it prints."""
    command = [sys.executable, "-m", "tests.services"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(6)]
    return process, dict(re.findall(r"^export (\w+)='?([^'\n]+)", "".join(lines), re.MULTILINE))


def is_up(variables: dict[str, str]) -> bool:
    """Whether any of the two servers answers."""
    try:
        redis.Redis.from_url(variables["REDIS_URL"]).ping()
    except redis.ConnectionError:
        pass
    else:
        return True
    try:
        psycopg.connect(variables["DATABASE_URL"]).close()
    except psycopg.OperationalError:
        return False
    return True


def test_servers_are_set_up_as_an_installation():
    with services.services() as variables:
        assert os.listdir(variables["DATA_DIR"]) == []
        assert redis.Redis.from_url(variables["REDIS_URL"]).ping()
        query = (
            "SELECT current_user, rolsuper, rolbypassrls, rolcreaterole,"
            " current_database(), pg_get_userbyid(datdba)"
            " FROM pg_roles, pg_database WHERE rolname = current_user"
            " AND datname = current_database()"
        )
        rows = []
        for name in ("DATABASE_OWNER_URL", "DATABASE_URL"):
            with psycopg.connect(variables[name]) as connection:
                rows.append(connection.execute(query).fetchone())
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute("SET session_replication_role = replica")
        assert rows == [
            ("authfi_owner", False, False, True, "authfi", "authfi_owner"),
            ("authfi_app", False, False, False, "authfi", "authfi_owner"),
        ]
        wrong = variables["DATABASE_URL"].replace("authfi_app:", "authfi_app:x")
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(wrong)
    assert not is_up(variables)
    assert not Path(variables["DATA_DIR"]).parent.exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_nothing_is_left_after_a_signal(number):
    process, variables = start_by_hand()
    assert is_up(variables)
    process.send_signal(number)
    assert process.wait(30) == 128 + number
    assert not is_up(variables)
    assert not Path(variables["DATA_DIR"]).parent.exists()


def test_servers_end_with_a_killed_parent():
    process, variables = start_by_hand()
    process.kill()
    process.wait()
    deadline = time.monotonic() + 20
    while is_up(variables):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    shutil.rmtree(Path(variables["DATA_DIR"]).parent)


def test_run_gives_the_environment_and_returns_the_status(monkeypatch):
    monkeypatch.setenv("ORIGIN", "https://other.example")
    monkeypatch.setenv("SECRET_KEY_FILE", "/other")
    script = (
        "import os, sys; e = os.environ; sys.exit(7 if e['AUTHFI_MODE'] == 'test'"
        " and 'ORIGIN' not in e and 'SECRET_KEY_FILE' not in e else 1)"
    )
    command = [sys.executable, "-m", "tests.services", "run", "--", sys.executable, "-c", script]
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == 7


def test_server_that_cannot_start_says_why():
    def never_ready():
        raise redis.ConnectionError

    command = ["sh", "-c", "echo no such luck; exit 1"]
    with services.new_home() as home:
        server = services.server(home, "shell", command, never_ready)
        with pytest.raises(RuntimeError, match=r"(?s)shell.*no such luck"):
            server.__enter__()


def test_settings_of_another_installation_are_dropped(monkeypatch):
    foreign = ("AUTHFI_MODE", "DATABASE_URL", "DATABASE_OWNER_URL", "REDIS_URL", "SECRET_KEY_FILE")
    for name in (*foreign, "TZ"):
        monkeypatch.setenv(name, "theirs")
    assert services.clean_environment().items() >= {("TZ", "theirs")}
    assert not set(foreign) & set(services.clean_environment())
