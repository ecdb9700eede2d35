"""The demo's FHIR servers: how each is started, and waiting until it answers (design D6)."""

import http.client
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError

from smart.sandbox.store import Store

SLUGS = ("general-hospital", "lakeside-clinic")
POLL_SECONDS = 0.02


def command(slug: str) -> list[str]:
    """The command line of a tenant's sandbox server."""
    return [
        *(sys.executable, "-m", "smart.sandbox.server"),
        *("--db", str(database(slug)), "--port", "0"),
        *("--credentials", str(credentials(slug)), "--seed", slug),
    ]


def database(slug: str) -> Path:
    """The file that holds the records."""
    return Path(settings.DATA_DIR) / f"sandbox-{slug}.sqlite3"


def credentials(slug: str) -> Path:
    """The file in which a running server says where it is."""
    return Path(settings.DATA_DIR) / f"sandbox-{slug}.json"


def wait_until_ready(slug: str, seconds: float) -> None:
    """Return once the server answers to what its credentials file says.

    A file that a killed server left behind names a bearer that no server takes. Raises
    CommandError after `seconds`.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        said = _read(credentials(slug))
        if said is not None and _answers(said):
            return
        time.sleep(POLL_SECONDS)
    raise CommandError(f"The sandbox FHIR server of {slug} did not start: see its message above.")


def patient_ids(slug: str) -> list[str]:
    """The patients in a tenant's sandbox, whether it runs or not; none before its first start."""
    if not database(slug).exists():
        return []
    store = Store(database(slug))
    try:
        rows = store.select("SELECT id FROM current WHERE type = 'Patient' ORDER BY row")
    finally:
        store.close()
    return [str(row[0]) for row in rows]


def _read(path: Path) -> dict[str, Any] | None:
    try:
        said = json.loads(path.read_bytes())
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    return said if _is_running(said["pid"]) else None


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return False
    return True


def _answers(said: dict[str, Any]) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", said["port"], timeout=2)
    try:
        connection.request(
            "GET", "/fhir/metadata", headers={"Authorization": f"Bearer {said['bearer']}"}
        )
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
