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

from django.db import DEFAULT_DB_ALIAS, DataError, connections, models
from django.db.backends.postgresql.base import ServerBindingCursor
from django.db.models import sql
from django.db.models.base import ModelState
from psycopg.errors import DivisionByZero

from authfi.lib import tenancy
from authfi.lib.models import TenantModel

M = TypeVar("M", bound=models.Model)
Types = dict[str, type]

_PREPARED: Final[dict[type, Any]] = {
    UUID: models.UUIDField(),
    datetime: models.DateTimeField(),
}
_TENANT: Final = "tenant"
#: Types that need no preparing for PostgreSQL.
_PLAIN: Final = frozenset({UUID, datetime, type(None)})


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


class Write(NamedTuple):
    """Changes that each must hit a row, and a new row of the bound tenant: all of it or nothing."""

    steps: tuple[Step, ...]
    row: TenantModel | None = None


def write(wanted: Write) -> bool:
    """Write one after the other; False where a change hit nothing, then take back the rest.

    For an open transaction. Raises WrongTenantError.
    """
    if not all(change.run(**values) for change, values in wanted.steps):
        return False
    if wanted.row is not None:
        insert(wanted.row)
    return True


def write_in_one(wanted: Write, last: str, params: Sequence[Any]) -> bool:
    """Write all, call the SQL function `last` with `params`, and commit, in one statement.

    For PostgreSQL with no transaction open. False, and nothing was written, where a change hit
    nothing: dividing by the number of rows is what takes the statement back. Raises
    WrongTenantError.
    """
    made = [change.made() for change, _ in wanted.steps]
    values = [
        places.filled(step.values) for (_, places), step in zip(made, wanted.steps, strict=True)
    ]
    texts = [text for text, _ in made]
    if wanted.row is not None:
        texts.append(_insert_of(wanted.row).text)
        values.append(_values(wanted.row))
    text = _joined(tuple(texts), last)
    try:
        _execute(text, [*chain.from_iterable(values), *params], is_told_without=True).close()
    except DataError as error:
        if isinstance(error.__cause__, DivisionByZero):
            return False
        raise
    if wanted.row is not None:
        wanted.row._state.adding = False
    return True


def insert(row: TenantModel) -> None:
    """INSERT a new row of the bound tenant. No signals are sent. Raises WrongTenantError."""
    _execute(_insert_of(row).text, _values(row)).close()
    row._state.adding = False


class _Insert(NamedTuple):
    """The INSERT of a model's row, and how its fields' values are had."""

    text: str
    fields: tuple["models.Field[Any, Any]", ...]


def _insert_of(row: TenantModel) -> _Insert:
    """Raises WrongTenantError."""
    row.check_tenant()
    made = _inserts.get(type(row))
    if made is None:
        fields = tuple(row._meta.local_concrete_fields)
        query: Any = sql.InsertQuery(type(row))
        query.insert_values(fields, [row])
        ((text, _),) = query.get_compiler(DEFAULT_DB_ALIAS).as_sql()
        made = _inserts[type(row)] = _Insert(text, fields)
    return made


def _values(row: TenantModel) -> list[Any]:
    connection = connections[DEFAULT_DB_ALIAS]
    is_plain = _takes_any()
    values = []
    for field in _inserts[type(row)].fields:
        value = field.pre_save(row, True)
        if not (is_plain and type(value) in _PLAIN):
            value = field.get_db_prep_save(value, connection)
        values.append(value)
    return values


@lru_cache(maxsize=256)
def _joined(texts: tuple[str, ...], last: str) -> str:
    """Each text as a step, and a call that is undone with all of them unless each hit a row."""
    names = [f"step{number}" for number in range(len(texts))]
    steps = (f"{name} AS ({text} RETURNING 1)" for name, text in zip(names, texts, strict=True))
    hits = " * ".join(f"(SELECT count(*) FROM {name})" for name in names)  # noqa: S608
    return f"WITH {', '.join(steps)} SELECT 1 / ({hits}), {last}"


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
        self._loaded = _Loaded(compiler.klass_info, compiler.select)
        self._annotations = compiler.annotation_col_map.items()

    def instance(self, row: Sequence[Any]) -> Any:
        """The model instance of a row, with what it was selected with."""
        if self._converters:
            (row,) = self._compiler.apply_converters([row], self._converters)
        made = self._loaded.instance(row)
        for name, column in self._annotations:
            setattr(made, name, row[column])
        return made


class _Loaded:
    """How a model's instance is made of its columns in a row, and those it refers to likewise.

    As `Model.from_db` for a model whose attributes do nothing when they are set.
    """

    def __init__(self, info: dict[str, Any], select: Sequence[Any]) -> None:
        columns = info["select_fields"]
        self._model = info["model"]
        self._start, self._end = columns[0], columns[-1] + 1
        names = [one[0].target.attname for one in select[self._start : self._end]]
        self._names = names
        self._key = self._start + names.index(self._model._meta.pk.attname)
        self._related = [
            (one["field"], _Loaded(one, select)) for one in info.get("related_klass_infos", ())
        ]

    def instance(self, row: Sequence[Any]) -> Any:
        """None for a related row that is not there."""
        if row[self._key] is None:
            return None
        made = self._model.__new__(self._model)
        made.__dict__.update(zip(self._names, row[self._start : self._end], strict=True))
        made._state = state = ModelState()
        state.db, state.adding = DEFAULT_DB_ALIAS, False
        for field, loaded in self._related:
            field.set_cached_value(made, loaded.instance(row))
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
    if field is None or _takes_any():
        return value
    return field.get_db_prep_value(value, connections[DEFAULT_DB_ALIAS])


@lru_cache(maxsize=1)
def _takes_any() -> bool:
    """PostgreSQL's driver takes UUIDs and times as they are."""
    return connections[DEFAULT_DB_ALIAS].vendor == "postgresql"


def _execute(text: str, params: Sequence[Any], *, is_told_without: bool = False) -> Any:
    """A cursor that has run the statement, through Django's own wrapper of it.

    Where statements are captured it is Django's own cursor, which alone can tell them with values,
    unless they may be told without.
    """
    connection: Any = connections[DEFAULT_DB_ALIAS]
    is_told = connection.queries_logged
    if connection.vendor == "postgresql" and (is_told_without or not is_told):
        binding: Any = ServerBindingCursor
        connection.close_if_health_check_failed()
        connection.ensure_connection()
        cursor = connection.make_cursor(binding(connection.connection))
        if is_told:
            connection.queries_log.append({"sql": text, "time": "0"})
    else:
        cursor = connection.cursor()
    try:
        cursor.execute(text, params)
    except BaseException:
        cursor.close()
        raise
    return cursor
