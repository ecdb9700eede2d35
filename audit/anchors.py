"""The newest checkpoint of each tenant, kept in a file outside the database as well (A6, A8).

Who can rewrite the database can also delete its checkpoints: this file still knows how long each
chain was. It only ever goes forward. A missing file breaks nothing, since an installation starts
without one and the other hosts of a cluster have none: verification then says that it had only the
database to go by. After restoring an older backup, a chain is shorter than its anchor: that is
reported until the operator moves the file away.
"""

import fcntl
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from uuid import UUID

import orjson
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from authfi.lib import localfiles


@dataclass(frozen=True, slots=True)
class Anchor:
    """A signed checkpoint as the file holds it: digests and signature in hex, `time` RFC 3339."""

    size: int
    root: str
    head: str
    time: str
    kid: str
    signature: str


def read() -> Mapping[UUID, Anchor]:
    """The anchors by tenant; none where there is no file. Raises ImproperlyConfigured."""
    path = settings.AUDIT_ANCHOR_FILE
    try:
        now = path.stat()
        return _load(path, now.st_ino, now.st_mtime_ns, now.st_size)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise ImproperlyConfigured(f"AUDIT_ANCHOR_FILE: {path} cannot be read") from error


def keep(tenant_id: UUID, anchor: Anchor) -> None:
    """Store an anchor unless the file knows of a longer chain already.

    Any number of processes may do so at once. Raises OSError, ImproperlyConfigured.
    """
    with _lock():
        anchors = read()
        known = anchors.get(tenant_id)
        if known is None or known.size < anchor.size:
            _write({**anchors, tenant_id: anchor})


@lru_cache(maxsize=1)
def _load(path: Path, *_version: int) -> Mapping[UUID, Anchor]:
    """Parsed once as long as it is the same file: sealing asks for every tenant in turn."""
    stored = orjson.loads(path.read_bytes())
    return {UUID(tenant): _parse(members) for tenant, members in stored.items()}


def _parse(members: dict[str, object]) -> Anchor:
    anchor = Anchor(**members)  # type: ignore[arg-type]
    texts = (anchor.root, anchor.head, anchor.time, anchor.kid, anchor.signature)
    if type(anchor.size) is not int or not all(isinstance(text, str) for text in texts):
        raise ValueError("an anchor is a number and five texts")
    for text in (anchor.root, anchor.head, anchor.signature):
        bytes.fromhex(text)
    return anchor


@contextmanager
def _lock() -> Iterator[None]:
    path = settings.AUDIT_ANCHOR_FILE
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = os.open(path.with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _write(anchors: dict[UUID, Anchor]) -> None:
    path = settings.AUDIT_ANCHOR_FILE
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    content = {str(tenant_id): asdict(anchor) for tenant_id, anchor in anchors.items()}
    try:
        localfiles.write_private(draft, orjson.dumps(content, option=orjson.OPT_INDENT_2))
        with draft.open("rb") as file:
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
