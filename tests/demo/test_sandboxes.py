"""Waiting for the sandbox servers: a stale credentials file fools nobody (D6)."""

import json
import os
import subprocess

import pytest
from django.core.management import CommandError

from smart.demo import sandboxes


@pytest.fixture
def folder(settings, tmp_path):
    settings.DATA_DIR = tmp_path
    return tmp_path


def write(slug: str, **said: object) -> None:
    sandboxes.credentials(slug).write_text(json.dumps(said))


def ended_process() -> int:
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


@pytest.mark.parametrize("pid", [ended_process, os.getpid], ids=["dead", "another program"])
def test_the_file_of_a_killed_server_is_not_believed(folder, pid):
    write("general-hospital", port=1, bearer="old", pid=pid())
    with pytest.raises(CommandError, match="general-hospital did not start"):
        sandboxes.wait_until_ready("general-hospital", 0.2)


def test_a_half_written_file_is_waited_for(folder):
    sandboxes.credentials("general-hospital").write_text('{"port":')
    with pytest.raises(CommandError):
        sandboxes.wait_until_ready("general-hospital", 0.1)


@pytest.mark.usefixtures("sandbox_servers")
def test_another_bearer_on_a_live_port_is_not_ready():
    path = sandboxes.credentials("lakeside-clinic")
    good = path.read_bytes()
    said = json.loads(good)
    write("lakeside-clinic", **{**said, "bearer": "of a former run"})
    try:
        with pytest.raises(CommandError):
            sandboxes.wait_until_ready("lakeside-clinic", 0.2)
    finally:
        path.write_bytes(good)
    sandboxes.wait_until_ready("lakeside-clinic", 5)


@pytest.mark.usefixtures("sandbox_servers")
def test_patients_are_those_in_the_file():
    assert {"456", "789", "790"} < set(sandboxes.patient_ids("general-hospital"))


def test_before_the_first_start_there_are_none_and_no_file_is_made(folder):
    assert sandboxes.patient_ids("general-hospital") == []
    assert list(folder.iterdir()) == []
