"""Rows as the arrays that `audit_append` takes, in PostgreSQL's binary form.

psycopg would look at each element to find the array's type; here the types are known, which halves
what a batch costs. See `array_send` in PostgreSQL's sources: dimensions, nulls, element type,
length, first index, then each element with its length in front.
"""

import struct
from collections.abc import Iterable, Sequence
from typing import ClassVar

import psycopg
from psycopg.adapt import Dumper
from psycopg.pq import Format

from audit.rows import Row

CALL = f"audit_append({', '.join(['%b'] * len(Row._fields))})"
APPEND = f"SELECT {CALL}"

_HEADER = struct.Struct("!iiIii")
_LENGTH = struct.Struct("!i").pack
_TIME = struct.Struct("!q").pack
#: Microseconds from 1970 to 2000, where PostgreSQL's time begins.
_TO_2000 = 946_684_800_000_000


class _Array(bytes):
    """A whole array parameter; PostgreSQL's numbers of its type and of its elements'."""

    oid: ClassVar[int]
    element: ClassVar[int]


class _UuidArray(_Array):
    oid, element = 2951, 2950


class _TimeArray(_Array):
    oid, element = 1185, 1184


class _TextArray(_Array):
    oid, element = 1009, 25


class _BytesArray(_Array):
    oid, element = 1001, 17


def of(rows: Sequence[Row]) -> list[_Array]:
    """The parameters of `CALL`."""
    if len(rows) == 1:  # most requests come alone
        return _of_one(rows[0])
    tenants, ids, ats, *texts, details, leaves = zip(*rows, strict=True)
    return [
        _fixed(_UuidArray, [tenant.bytes for tenant in tenants]),
        _fixed(_UuidArray, ids),
        _fixed(_TimeArray, [_TIME(at * 1000 - _TO_2000) for at in ats]),
        *(_varying(_TextArray, map(str.encode, column)) for column in texts),
        _varying(_BytesArray, details),
        _fixed(_BytesArray, leaves),
    ]


def _of_one(row: Row) -> list[_Array]:
    tenant_id, event_id, at, *texts, details, leaf = row
    return [
        _UuidArray(_ONE_UUID + tenant_id.bytes),
        _UuidArray(_ONE_UUID + event_id),
        _TimeArray(_ONE_TIME + _TIME(at * 1000 - _TO_2000)),
        *[_TextArray(_ONE_TEXT + _LENGTH(len(text)) + text) for text in map(str.encode, texts)],
        _BytesArray(_ONE_BYTES + _LENGTH(len(details)) + details),
        _BytesArray(_ONE_BYTES + _LENGTH(len(leaf)) + leaf),
    ]


def _fixed(kind: type[_Array], values: Sequence[bytes]) -> _Array:
    """Values of one length."""
    length = _LENGTH(len(values[0]))
    return kind(_header(kind, len(values)) + length + length.join(values))


def _varying(kind: type[_Array], values: Iterable[bytes]) -> _Array:
    parts = [_LENGTH(len(value)) + value for value in values]
    return kind(_header(kind, len(parts)) + b"".join(parts))


def _header(kind: type[_Array], count: int) -> bytes:
    return _HEADER.pack(1, 0, kind.element, count, 1)


_ONE_UUID = _header(_UuidArray, 1) + _LENGTH(16)
_ONE_TIME = _header(_TimeArray, 1) + _LENGTH(8)
_ONE_TEXT, _ONE_BYTES = _header(_TextArray, 1), _header(_BytesArray, 1)


class _ArrayDumper(Dumper):
    """An array is ready as it is."""

    format = Format.BINARY

    def dump(self, obj: _Array) -> _Array:
        return obj


for _kind in (_UuidArray, _TimeArray, _TextArray, _BytesArray):
    _name = f"{_kind.__name__}Dumper"
    psycopg.adapters.register_dumper(_kind, type(_name, (_ArrayDumper,), {"oid": _kind.oid}))
