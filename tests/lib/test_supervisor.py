"""Children are restarted when they die, and nothing outlives the supervisor (D1)."""

import os
import signal
import subprocess
import sys
import time

import pytest

from authfi.lib.supervisor import Supervisor


@pytest.fixture
def supervisor(tmp_path):
    made = Supervisor(env=os.environ, folder=str(tmp_path))
    yield made
    made.stop()


def wait_for(is_true, seconds=10):
    deadline = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{pid}/stat") as stat:
        return stat.read().rpartition(") ")[2][0] != "Z"


def a_family(folder):
    """A program that starts another, notes its id, and lives on."""
    code = (
        "import subprocess, sys, time;"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
        f"open({str(folder / 'child')!r}, 'w').write(str(child.pid)); time.sleep(60)"
    )
    return [sys.executable, "-c", code]


def test_stopping_ends_what_the_children_started_as_well(supervisor, tmp_path):
    child = supervisor.add("family", a_family(tmp_path))
    noted = tmp_path / "child"
    wait_for(lambda: noted.exists() and noted.read_text())
    grandchild = int(noted.read_text())
    supervisor.stop()
    assert child.process.returncode is not None
    wait_for(lambda: not is_running(grandchild))


def test_a_dead_child_is_started_again_and_its_orphans_are_not_left(supervisor, tmp_path):
    child = supervisor.add("family", a_family(tmp_path))
    noted = tmp_path / "child"
    wait_for(lambda: noted.exists() and noted.read_text())
    orphan, former = int(noted.read_text()), child.process.pid
    os.kill(former, signal.SIGKILL)
    child.process.wait()
    supervisor._restart_dead()
    wait_for(lambda: not is_running(orphan))
    child.due_at = 0.0
    supervisor._restart_dead()
    assert child.process.pid != former


def test_a_program_that_dies_at_once_is_started_ever_more_slowly(supervisor):
    child = supervisor.add("broken", [sys.executable, "-c", "raise SystemExit(1)"])
    pauses = []
    for _ in range(3):
        child.process.wait()
        child.plan_restart(time.monotonic())
        pauses.append(child.pause_seconds)
        child.start()
    assert pauses == sorted(pauses)
    assert pauses[0] < pauses[-1]


def test_a_signal_ends_the_supervisor_with_its_children(tmp_path):
    noted = tmp_path / "child"
    code = (
        "import os, sys; from authfi.lib.supervisor import Supervisor;"
        f"s = Supervisor(env=os.environ, folder={str(tmp_path)!r}); s.catch_signals();"
        f"s.add('family', {a_family(tmp_path)!r}); s.run()"
    )
    with subprocess.Popen([sys.executable, "-c", code]) as process:
        wait_for(lambda: noted.exists() and noted.read_text())
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    wait_for(lambda: not is_running(int(noted.read_text())))


def test_a_child_that_aborts_when_asked_to_end_is_an_end_like_any_other(supervisor):
    code = "import os, signal, time; signal.signal(15, lambda *_: os.abort())"
    child = supervisor.add("aborting", [sys.executable, "-c", f"{code}; time.sleep(60)"])
    process = child.process
    wait_for(lambda: _catches(process.pid, signal.SIGTERM))
    supervisor.stop()
    assert process.returncode == -signal.SIGABRT
    assert child.process is process, "it was not started again"


def _catches(pid, number):
    with open(f"/proc/{pid}/status") as status:
        caught = next(line for line in status if line.startswith("SigCgt"))
    return bool(int(caught.split()[1], 16) >> (number - 1) & 1)
