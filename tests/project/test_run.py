"""Both passes run, their output is shown, and a failure of either is the suite's."""

import subprocess
import sys

import pytest

from tests import check, run


@pytest.mark.parametrize(
    ("statuses", "narrowed", "expected"),
    [
        ([0, 0], False, 0),
        ([1, 0], False, 1),
        ([0, 2], False, 2),
        ([5, 0], False, 5),
        ([5, 0], True, 0),
        ([0, 5], True, 0),
        ([5, 5], True, 5),
        ([5, 1], True, 1),
    ],
)
def test_verdict(statuses, narrowed, expected):
    assert run.verdict(statuses, narrowed=narrowed) == expected


def test_output_is_shown_and_its_last_line_kept(capfdbinary):
    script = "print('first'); print('=== 3 passed in 1s ===')"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as child:
        assert run.show(child) == "=== 3 passed in 1s ==="
    assert capfdbinary.readouterr().out == b"first\n=== 3 passed in 1s ===\n"


def test_a_process_left_behind_does_not_hold_the_run():
    script = "sleep 60 & echo $!"
    with subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE) as child:
        left = run.show(child)
    subprocess.run(["kill", left], check=True)


def test_each_pass_sees_its_own_database(monkeypatch):
    seen = []

    def popen(command, *, env, **_options):
        seen.append((command, env))
        return real([sys.executable, "-c", "print('done')"], stdout=subprocess.PIPE)

    real = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", popen)
    variables = {"DATABASE_URL": "postgres://db", "REDIS_URL": "redis://r", "DATA_DIR": "/d"}
    results = [run.run_pass(suite, variables, ["-k", "x"]) for suite in run.PASSES]
    assert results == [(0, "done"), (0, "done")]
    (on_postgres, servers), (on_sqlite, embedded) = seen
    assert variables.items() <= servers.items()
    assert embedded["DATA_DIR"] == "/d"
    assert not {"DATABASE_URL", "REDIS_URL"} & set(embedded)
    assert "not postgres" in on_sqlite
    assert "--ignore=tests/scopes" in on_postgres
    assert on_postgres[-2:] == on_sqlite[-2:] == ["-k", "x"]


def test_addresses_in_requirements_are_named(tmp_path):
    (tmp_path / "base.txt").write_text("django==5.2 \\\n    --hash=sha256:00\n")
    assert check.addresses_in_requirements(tmp_path) == []
    (tmp_path / "dev.txt").write_text("--index-url https://mirror.example\nx @ git+ssh://h/x\n")
    assert [line.partition(": ")[2][:11] for line in check.addresses_in_requirements(tmp_path)] == [
        "--index-url",
        "x @ git+ssh",
    ]
