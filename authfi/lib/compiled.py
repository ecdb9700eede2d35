"""Querysets compiled once and run many times, for the few statements of the hot paths (D15).

Building and compiling a queryset costs more than running it. Here it is written as ever and
compiled on first use with markers in place of its values; later runs only put the values in, the
bound tenant's id among them. PostgreSQL gets values apart from the text, so that it plans once.
"""

import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import chain
from typing import Any, Final, Generic, NamedTuple, TypeVar
from uuid import UUID, uuid4

from django.db import DEFAULT_DB_ALIAS, connections, models
from django.db.backends.postgresql.base import ServerBindingCursor
from django.db.models import sql
from django.db.models.query import get_related_populators

from authfi.lib import tenancy
from authfi.lib.models import TenantModel

M = TypeVar("M", bound=models.Model)
Types = dict[str, type]

_PREPARED: Final[dict[type, Any]] = {
    UUID: models.UUIDField(),
    datetime: models.DateTimeField(),
}
_TENANT: Final = "tenant"


class Query(Generic[M]):
    """A SELECT of model instances.

    `build` gets the named values and returns a queryset of a model; what it holds besides them is
    constant. `types` names the type of each: str, UUID, datetime.
    """

    def __init__(self, build: "Callable[..., models.QuerySet[M]]", **types: type) -> None:
        self._build = build
        self._types = types
        self._made: _Select | None = None

    def first(self, **values: Any) -> M | None:
        """The first instance of the bound tenant's rows, or None. Raises TenantNotBoundError."""
        made = self._made
        if made is None:
            made = self._made = _compiled(self._types, self._select)
        cursor = _execute(made.text, made.places.filled(values))
        with cursor:
            row = cursor.fetchone()
        return None if row is None else made.instance(row)

    def _select(self, values: dict[str, Any]) -> "_Select":
        compiler: Any = self._build(**values).query.get_compiler(DEFAULT_DB_ALIAS)
        text, params = compiler.as_sql()
        places = _Places.found(params, values)
        fields = [column[0] for column in compiler.select[: compiler.col_count]]
        return _Select(text, places, compiler, compiler.get_converters(fields))


class Change:
    """An UPDATE; `build` returns the queryset and its new values, otherwise as in `Query`."""

    def __init__(
        self, build: Callable[..., tuple["models.QuerySet[Any]", dict[str, Any]]], **types: type
    ) -> None:
        self._build = build
        self._types = types
        self._made: tuple[str, _Places] | None = None

    def run(self, **values: Any) -> int:
        """How many of the bound tenant's rows were changed. Raises TenantNotBoundError."""
        text, places = self.made()
        cursor = _execute(text, places.filled(values))
        with cursor:
            return int(cursor.rowcount)

    def made(self) -> "tuple[str, _Places]":
        """The statement and where its values go."""
        if self._made is None:
            self._made = _compiled(self._types, self._update)
        return self._made

    def _update(self, values: dict[str, Any]) -> "tuple[str, _Places]":
        rows, changes = self._build(**values)
        query: Any = rows.query.chain(sql.UpdateQuery)
        query.add_update_values(changes)
        text, params = query.get_compiler(DEFAULT_DB_ALIAS).as_sql()
        return text, _Places.found(params, values)


class Step(NamedTuple):
    """A change and its values."""

    change: Change
    values: dict[str, Any]


def insert(row: TenantModel, *after: Step) -> bool:
    """INSERT a new row of the bound tenant, if each change `after` which it comes hits a row.

    True where it did; otherwise what stands after the change that hit nothing is not done either.
    PostgreSQL is asked once for all of it. No signals are sent. Raises WrongTenantError.
    """
    row.check_tenant()
    connection = connections[DEFAULT_DB_ALIAS]
    made = _inserts.get(type(row)) or _inserts.setdefault(type(row), _Insert.of(row, connection))
    fields = row._meta.local_concrete_fields
    params = [one.get_db_prep_save(one.pre_save(row, True), connection) for one in fields]
    if after and connection.vendor == "postgresql":
        steps = [change.made() for change, _ in after]
        text = _joined(tuple(one for one, _ in steps), made)
        before = [
            places.filled(values) for (_, places), (_, values) in zip(steps, after, strict=True)
        ]
        with _execute(text, [*chain.from_iterable(before), *params]) as cursor:
            is_done = bool(cursor.rowcount == 1)
    else:
        is_done = all(change.run(**values) for change, values in after)
        if is_done:
            _execute(made.text, params).close()
    row._state.adding = not is_done
    return is_done


class _Insert(NamedTuple):
    """The INSERT of a model's row, by VALUES; and its head with the same values, typed."""

    text: str
    head: str
    typed: str

    @classmethod
    def of(cls, row: TenantModel, connection: Any) -> "_Insert":
        fields = row._meta.local_concrete_fields
        query: Any = sql.InsertQuery(type(row))
        query.insert_values(fields, [row])
        ((text, _),) = query.get_compiler(DEFAULT_DB_ALIAS).as_sql()
        typed = ", ".join(f"CAST(%s AS {one.db_type(connection)})" for one in fields)
        return cls(text, text[: text.index(" VALUES ")], typed)


@lru_cache(maxsize=256)
def _joined(changes: tuple[str, ...], last: _Insert) -> str:
    """Each change as a step that needs the one before to have hit something."""
    steps, needed = [], ""
    for number, text in enumerate(changes):
        needs = f" AND EXISTS (SELECT FROM {needed})" if needed else ""
        needed = f"step{number}"
        steps.append(f"{needed} AS ({text}{needs} RETURNING 1)")
    return " ".join(("WITH", ", ".join(steps), last.head, "SELECT", last.typed, "FROM", needed))


_inserts: dict[type, _Insert] = {}


@dataclass(frozen=True, slots=True)
class _Places:
    """The parameters of a statement: constants, and where values go."""

    constants: tuple[Any, ...]
    names: tuple[tuple[int, str], ...]

    @classmethod
    def found(cls, params: Iterable[Any], markers: dict[str, Any]) -> "_Places":
        """Raises ValueError where the tenant, or a value that was named, has no place."""
        marked = {name: _prepared(value) for name, value in markers.items()}
        marked[_TENANT] = _prepared(tenancy.current().id)
        constants, names = [], []
        for number, param in enumerate(params):
            name = next((one for one, value in marked.items() if value == param), None)
            constants.append(None if name else param)
            if name:
                names.append((number, name))
        if missing := set(marked) - {name for _, name in names}:
            raise ValueError(f"the statement has no place for {', '.join(sorted(missing))}")
        return cls(tuple(constants), tuple(names))

    def filled(self, values: dict[str, Any]) -> list[Any]:
        """The parameters of one run."""
        prepared = {name: _prepared(value) for name, value in values.items()}
        prepared[_TENANT] = _prepared(tenancy.current().id)
        params = list(self.constants)
        for number, name in self.names:
            params[number] = prepared[name]
        return params


class _Select:
    """A compiled SELECT and how its rows become instances."""

    def __init__(self, text: str, places: _Places, compiler: Any, converters: Any) -> None:
        self.text, self.places = text, places
        self._compiler, self._converters = compiler, converters
        info = compiler.klass_info
        columns = info["select_fields"]
        self._model, self._start, self._end = info["model"], columns[0], columns[-1] + 1
        self._names = [one[0].target.attname for one in compiler.select[self._start : self._end]]
        populators: Any = get_related_populators
        self._related = populators(info, compiler.select, DEFAULT_DB_ALIAS)
        self._annotations = compiler.annotation_col_map.items()

    def instance(self, row: Sequence[Any]) -> Any:
        """The model instance of a row, with what it was selected with."""
        if self._converters:
            (row,) = self._compiler.apply_converters([row], self._converters)
        made = self._model.from_db(DEFAULT_DB_ALIAS, self._names, row[self._start : self._end])
        for related in self._related:
            related.populate(row, made)
        for name, column in self._annotations:
            setattr(made, name, row[column])
        return made


T = TypeVar("T")


def _compiled(types: Types, make: Callable[[dict[str, Any]], T]) -> T:
    """What `make` makes of markers, for a tenant that does not exist: nothing is asked."""
    with tenancy.bind(tenancy.TenantRef(id=uuid4(), slug="compiled")):
        return make({name: _marker(kind) for name, kind in types.items()})


def _marker(kind: type) -> Any:
    """A value that occurs nowhere else."""
    if kind is UUID:
        return uuid4()
    if kind is datetime:
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=secrets.randbits(45))
    return secrets.token_hex(16)


def _prepared(value: Any) -> Any:
    """The value as the database's driver takes it."""
    field = _PREPARED.get(type(value))
    if field is None:
        return value
    return field.get_db_prep_value(value, connections[DEFAULT_DB_ALIAS])


def _execute(text: str, params: Sequence[Any]) -> Any:
    """A cursor that has run the statement, through Django's own wrapper of it.

    Where statements are captured it is Django's own cursor: it alone can tell them with values.
    """
    connection: Any = connections[DEFAULT_DB_ALIAS]
    if connection.vendor == "postgresql" and not connection.queries_logged:
        binding: Any = ServerBindingCursor
        connection.close_if_health_check_failed()
        connection.ensure_connection()
        cursor = connection.make_cursor(binding(connection.connection))
    else:
        cursor = connection.cursor()
    try:
        cursor.execute(text, params)
    except BaseException:
        cursor.close()
        raise
    return cursor
