"""Resources and their versions in SQLite, with one index table per kind of search parameter."""

import os
import sqlite3
import threading
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from smart.sandbox import dates
from smart.sandbox.indexing import IndexRow, index_rows
from smart.sandbox.outcome import FhirError, Resource

_FORMAT = 1
_SCHEMA = """
CREATE TABLE fact (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE version (
  row INTEGER PRIMARY KEY, type TEXT NOT NULL, id TEXT NOT NULL, number INTEGER NOT NULL,
  updated INTEGER NOT NULL, method TEXT NOT NULL, body BLOB, UNIQUE (type, id, number));
CREATE TABLE current (
  row INTEGER PRIMARY KEY AUTOINCREMENT, type TEXT NOT NULL, id TEXT NOT NULL,
  updated INTEGER NOT NULL, version INTEGER NOT NULL, UNIQUE (type, id));
CREATE TABLE token (
  key TEXT NOT NULL, code TEXT NOT NULL, system TEXT NOT NULL, resource INTEGER NOT NULL,
  PRIMARY KEY (key, code, system, resource)) WITHOUT ROWID;
CREATE TABLE string (
  key TEXT NOT NULL, folded TEXT NOT NULL, exact TEXT NOT NULL, resource INTEGER NOT NULL,
  PRIMARY KEY (key, folded, exact, resource)) WITHOUT ROWID;
CREATE TABLE date (
  key TEXT NOT NULL, low INTEGER NOT NULL, high INTEGER NOT NULL, resource INTEGER NOT NULL,
  PRIMARY KEY (key, low, high, resource)) WITHOUT ROWID;
CREATE TABLE reference (
  key TEXT NOT NULL, type TEXT NOT NULL, id TEXT NOT NULL, url TEXT NOT NULL,
  resource INTEGER NOT NULL, PRIMARY KEY (key, type, id, url, resource)) WITHOUT ROWID;
CREATE INDEX token_resource ON token (resource, key);
CREATE INDEX string_resource ON string (resource, key);
CREATE INDEX date_resource ON date (resource, key);
CREATE INDEX reference_resource ON reference (resource, key);
CREATE INDEX reference_target ON reference (type, id, key);
"""
_INSERT_INDEX = {
    "token": "INSERT OR IGNORE INTO token VALUES (?, ?, ?, ?)",
    "string": "INSERT OR IGNORE INTO string VALUES (?, ?, ?, ?)",
    "date": "INSERT OR IGNORE INTO date VALUES (?, ?, ?, ?)",
    "reference": "INSERT OR IGNORE INTO reference VALUES (?, ?, ?, ?, ?)",
}
_DELETE_INDEX = (
    "DELETE FROM token WHERE resource = ?",
    "DELETE FROM string WHERE resource = ?",
    "DELETE FROM date WHERE resource = ?",
    "DELETE FROM reference WHERE resource = ?",
)


@dataclass(frozen=True)
class Version:
    """One version of a resource; `body` is JSON with its meta, None for a deletion."""

    type: str
    id: str
    number: int
    updated: int
    method: str
    body: bytes | None


class Store:
    """A store in one SQLite file, safe to use from several threads."""

    def __init__(self, path: Path) -> None:
        """Open or make the file (mode 0600). Raises ValueError for a file of another kind."""
        self._path = path
        self._threads = threading.local()
        self._writing = threading.Lock()
        self._connections: list[sqlite3.Connection] = []
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        try:
            self._prepare(self._connection())
        except sqlite3.DatabaseError as error:
            self.close()
            raise ValueError(f"{path} is not a sandbox database: {error}.") from error

    def _prepare(self, connection: sqlite3.Connection) -> None:
        """Make the tables of an empty file. Raises ValueError for another kind of database."""
        found = connection.execute("PRAGMA user_version").fetchone()[0]
        if found == _FORMAT:
            return
        if found or connection.execute("SELECT 1 FROM sqlite_master").fetchone():
            self.close()
            raise ValueError(f"{self._path} is not a sandbox database of format {_FORMAT}.")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {_FORMAT}; COMMIT;")

    def close(self) -> None:
        """Close every thread's connection; the store cannot be used afterwards."""
        for connection in self._connections:
            connection.close()

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._threads, "connection", None)
        if connection is None:
            connection = sqlite3.connect(
                self._path, timeout=10, isolation_level=None, check_same_thread=False
            )
            self._threads.connection = connection
            self._connections.append(connection)
            connection.execute("PRAGMA synchronous = NORMAL")
        return connection

    @contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        connection = self._connection()
        with self._writing:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    def select(self, sql: str, arguments: Sequence[Any] = ()) -> list[Any]:
        """The rows of a query."""
        return self._connection().execute(sql, arguments).fetchall()

    def fact(self, name: str) -> str | None:
        """A fact kept about the store itself, such as the name of its seed."""
        rows = self.select("SELECT value FROM fact WHERE name = ?", (name,))
        return str(rows[0][0]) if rows else None

    def is_empty(self) -> bool:
        """Whether nothing was ever stored."""
        return not self.select("SELECT 1 FROM version LIMIT 1")

    def load(self, resources: Iterable[Resource], facts: dict[str, str]) -> int:
        """Store resources that bring their own id and meta.lastUpdated, all or none.

        Gives how many there were.
        """
        rows: dict[str, list[IndexRow]] = {table: [] for table in _INSERT_INDEX}
        count = 0
        with self._write() as connection:
            for resource in resources:
                updated = dates.parse(resource["meta"]["lastUpdated"]).low
                version = _stamp(resource, resource["id"], 1, updated, "PUT")
                row = _make_current(connection, version)
                for table, found in index_rows(resource).items():
                    rows[table] += [(*values, row) for values in found]
                count += 1
            for table, found in rows.items():
                connection.executemany(_INSERT_INDEX[table], sorted(found))
            connection.executemany("INSERT INTO fact VALUES (?, ?)", facts.items())
        return count

    def read(self, resource_type: str, resource_id: str) -> Version | None:
        """The newest version, which may be a deletion; None if there never was one."""
        return _newest(self._connection(), resource_type, resource_id)

    def read_version(self, resource_type: str, resource_id: str, number: int) -> Version | None:
        """One version by its number."""
        return next(
            (v for v in self.history(resource_type, resource_id) if v.number == number), None
        )

    def history(self, resource_type: str, resource_id: str) -> list[Version]:
        """All versions of one resource, newest first."""
        rows = self.select(
            "SELECT type, id, number, updated, method, body FROM version"
            " WHERE type = ? AND id = ? ORDER BY number DESC",
            (resource_type, resource_id),
        )
        return [Version(*row) for row in rows]

    def create(self, resource: Resource) -> Version:
        """Store a new resource under an id of the store's making."""
        with self._write() as connection:
            return _put(connection, resource, str(uuid.uuid4()), 1, "POST")

    def update(self, resource: Resource, if_match: int | None) -> tuple[Version, bool]:
        """Store a resource under its own id; tells whether it is new or was deleted.

        Raises FhirError 412 when `if_match` is not the newest version's number.
        """
        with self._write() as connection:
            newest = _newest(connection, resource["resourceType"], resource["id"])
            _check_match(newest, if_match)
            number = newest.number + 1 if newest else 1
            version = _put(connection, resource, resource["id"], number, "PUT")
        return version, newest is None or newest.body is None

    def delete(self, resource_type: str, resource_id: str, if_match: int | None) -> Version | None:
        """Delete a resource; None if there was nothing to delete. Raises FhirError 412."""
        with self._write() as connection:
            newest = _newest(connection, resource_type, resource_id)
            _check_match(newest, if_match)
            if newest is None or newest.body is None:
                return None
            gone = Version(resource_type, resource_id, newest.number + 1, _now(), "DELETE", None)
            row = connection.execute(
                "DELETE FROM current WHERE type = ? AND id = ? RETURNING row",
                (resource_type, resource_id),
            ).fetchone()[0]
            for statement in _DELETE_INDEX:
                connection.execute(statement, (row,))
            _insert_version(connection, gone)
        return gone


def _now() -> int:
    return dates.milliseconds(datetime.now(UTC))


def _newest(connection: sqlite3.Connection, resource_type: str, resource_id: str) -> Version | None:
    row = connection.execute(
        "SELECT type, id, number, updated, method, body FROM version"
        " WHERE type = ? AND id = ? ORDER BY number DESC LIMIT 1",
        (resource_type, resource_id),
    ).fetchone()
    return Version(*row) if row else None


def _check_match(newest: Version | None, if_match: int | None) -> None:
    if if_match is not None and (newest is None or newest.number != if_match):
        found = f"version {newest.number}" if newest else "no version"
        raise FhirError(412, "conflict", f"If-Match names version {if_match}, there is {found}.")


def _put(
    connection: sqlite3.Connection,
    resource: Resource,
    resource_id: str,
    number: int,
    method: str,
) -> Version:
    """Write a version, make it the current one and index it."""
    version = _stamp(resource, resource_id, number, _now(), method)
    row = _make_current(connection, version)
    for statement in _DELETE_INDEX:
        connection.execute(statement, (row,))
    for table, rows in index_rows(resource).items():
        connection.executemany(_INSERT_INDEX[table], [(*values, row) for values in rows])
    return version


def _stamp(resource: Resource, resource_id: str, number: int, updated: int, method: str) -> Version:
    """The version with the id and meta that the server gives it."""
    meta = resource.get("meta", {})
    meta = {**meta, "versionId": str(number), "lastUpdated": dates.instant(updated)}
    head = {"resourceType": resource["resourceType"], "id": resource_id, "meta": meta}
    stored = head | {name: value for name, value in resource.items() if name not in head}
    body = orjson.dumps(stored)
    return Version(resource["resourceType"], resource_id, number, updated, method, body)


def _make_current(connection: sqlite3.Connection, version: Version) -> int:
    """Write a version as the current one; gives the row that index rows point to."""
    row: int = connection.execute(
        "INSERT INTO current (type, id, updated, version) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (type, id) DO UPDATE SET updated = excluded.updated,"
        " version = excluded.version RETURNING row",
        (version.type, version.id, version.updated, _insert_version(connection, version)),
    ).fetchone()[0]
    return row


def _insert_version(connection: sqlite3.Connection, version: Version) -> int | None:
    return connection.execute(
        "INSERT INTO version (type, id, number, updated, method, body) VALUES (?, ?, ?, ?, ?, ?)",
        (
            version.type,
            version.id,
            version.number,
            version.updated,
            version.method,
            version.body,
        ),
    ).lastrowid
