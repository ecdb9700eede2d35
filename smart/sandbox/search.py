"""Type-level search: parameters parsed into one query, and its rows (FHIR R4 3.1.1)."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from smart.sandbox.filters import Filter, UnknownParameterError, compile_filter, split_values
from smart.sandbox.outcome import FhirError, invalid, unsupported
from smart.sandbox.parameters import DATE, REFERENCE, STRING, TOKEN, parameters_of
from smart.sandbox.resource_types import RESOURCE_TYPES
from smart.sandbox.store import Store

DEFAULT_COUNT = 50
MAX_COUNT = 1000
_MAX_VALUES = 30_000
_TOTALS = {"none", "estimate", "accurate"}
_SUMMARIES = {"false", "count", "data"}
_FORMAT_PARAMETERS = {"_format", "_pretty"}
_SORT_VALUES = {
    (DATE, False): "(SELECT min(low) FROM date WHERE resource = row AND key = ?)",
    (DATE, True): "(SELECT max(high) FROM date WHERE resource = row AND key = ?)",
    (STRING, False): "(SELECT min(folded) FROM string WHERE resource = row AND key = ?)",
    (STRING, True): "(SELECT max(folded) FROM string WHERE resource = row AND key = ?)",
    (TOKEN, False): "(SELECT min(code) FROM token WHERE resource = row AND key = ?)",
    (TOKEN, True): "(SELECT max(code) FROM token WHERE resource = row AND key = ?)",
}
_SORT_COLUMNS = {"_id": "id", "_lastUpdated": "updated"}


@dataclass(frozen=True)
class Include:
    """One `_include` or `_revinclude`; `*` as parameter means every reference."""

    source: str
    parameter: str
    target: str = ""
    iterate: bool = False


@dataclass
class Query:
    """A parsed search on one type."""

    type: str
    filters: list[Filter] = field(default_factory=list)
    used: list[tuple[str, str]] = field(default_factory=list)
    order: list[str] = field(default_factory=list)
    order_arguments: list[Any] = field(default_factory=list)
    count: int = DEFAULT_COUNT
    includes: list[Include] = field(default_factory=list)
    revincludes: list[Include] = field(default_factory=list)
    elements: tuple[str, ...] = ()
    summary: str = "false"
    total: str = "accurate"


def parse(
    resource_type: str,
    pairs: Iterable[tuple[str, str]],
    *,
    base: str,
    handling: Literal["strict", "lenient"],
) -> Query:
    """The query that the parameters ask for; `base` is the server's own FHIR base.

    Unknown parameters are left out, or refused when `handling` is strict (FHIR R4 3.1.1.2).
    Raises FhirError 400.
    """
    query = Query(resource_type)
    seen: set[str] = set()
    for name, value in pairs:
        if name in _FORMAT_PARAMETERS:
            continue
        if reader := _RESULT_PARAMETERS.get(name):
            if name in seen and name not in _REPEATABLE:
                raise invalid(f"'{name}' may be given once.")
            seen.add(name)
            reader(query, value)
        else:
            try:
                query.filters.append(compile_filter(resource_type, name, value, base))
            except UnknownParameterError as error:
                if handling == "strict":
                    raise invalid(str(error)) from None
                continue
        query.used.append((name, value))
    return query


def run(store: Store, query: Query) -> list[int]:
    """The rows that match, in order. Raises FhirError 400 for more than SQLite can take."""
    conditions = ["type = ?", *(f"row{part.membership()}" for part in query.filters)]
    order = ", ".join([*query.order, "row"])
    arguments = [query.type, *(value for part in query.filters for value in part.arguments)]
    where = " AND ".join(conditions)
    sql = f"SELECT row FROM current WHERE {where} ORDER BY {order}"  # noqa: S608 - values are bound
    arguments += query.order_arguments
    if len(arguments) > _MAX_VALUES:
        raise FhirError(400, "too-costly", f"Search for {_MAX_VALUES} values at most.")
    return [row for (row,) in store.select(sql, arguments)]


def _read_count(query: Query, value: str) -> None:
    if not (value.isascii() and value.isdigit() and len(value) < 10):
        raise invalid("'_count' is a whole number, zero or more.")
    query.count = min(int(value), MAX_COUNT)


def _read_total(query: Query, value: str) -> None:
    if value not in _TOTALS:
        raise invalid(f"'_total' is one of {', '.join(sorted(_TOTALS))}.")
    query.total = value


def _read_summary(query: Query, value: str) -> None:
    if value not in _SUMMARIES:
        raise unsupported(f"'_summary' is supported as {', '.join(sorted(_SUMMARIES))}.")
    query.summary = value


def _read_elements(query: Query, value: str) -> None:
    query.elements = tuple(split_values(value))


def _read_sort(query: Query, value: str) -> None:
    for key in split_values(value):
        name = key.removeprefix("-")
        descending = key.startswith("-")
        direction = " DESC" if descending else ""
        if column := _SORT_COLUMNS.get(name):
            query.order.append(column + direction)
            continue
        parameter = parameters_of(query.type).get(name)
        expression = _SORT_VALUES.get((parameter.kind, descending)) if parameter else None
        if expression is None:
            raise unsupported(f"'_sort' by '{name}' is not supported on {query.type}.")
        query.order += [f"{expression} IS NULL", expression + direction]
        query.order_arguments += [f"{query.type}.{name}"] * 2


def _parse_include(name: str, value: str, iterate: bool) -> Include:
    if value == "*":
        return Include("*", "*", iterate=iterate)
    source, _, rest = value.partition(":")
    parameter_name, _, target = rest.partition(":")
    if source not in RESOURCE_TYPES or (target and target not in RESOURCE_TYPES):
        raise invalid(f"'{name}={value}' names a type that FHIR R4 does not have.")
    if parameter_name != "*":
        parameter = parameters_of(source).get(parameter_name)
        if parameter is None or parameter.kind != REFERENCE:
            raise invalid(f"'{parameter_name}' is no reference parameter of {source}.")
    return Include(source, parameter_name, target, iterate)


def _include_reader(name: str, iterate: bool) -> Callable[[Query, str], None]:
    def read(query: Query, value: str) -> None:
        include = _parse_include(name, value, iterate)
        (query.includes if name == "_include" else query.revincludes).append(include)

    return read


_REPEATABLE = {
    f"{name}{modifier}" for name in ("_include", "_revinclude") for modifier in ("", ":iterate")
}
_RESULT_PARAMETERS: dict[str, Callable[[Query, str], None]] = {
    "_count": _read_count,
    "_total": _read_total,
    "_summary": _read_summary,
    "_elements": _read_elements,
    "_sort": _read_sort,
    "_include": _include_reader("_include", iterate=False),
    "_include:iterate": _include_reader("_include", iterate=True),
    "_revinclude": _include_reader("_revinclude", iterate=False),
    "_revinclude:iterate": _include_reader("_revinclude", iterate=True),
}
