"""Search criteria compiled to SQL: token, string, date, reference, chains, _has (FHIR R4 3.1.1)."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from smart.sandbox import dates
from smart.sandbox.indexing import normalize, split_reference
from smart.sandbox.outcome import FhirError, invalid, unsupported
from smart.sandbox.parameters import (
    DATE,
    REFERENCE,
    STRING,
    TOKEN,
    URI,
    Parameter,
    parameters_of,
)
from smart.sandbox.resource_types import RESOURCE_TYPES

_MAX_DEPTH = 3
_MAX_ALTERNATIVES = 300
_LAST_SIGN = "\U0010ffff"
_LOGICAL_ID = re.compile(r"[A-Za-z0-9.-]{1,64}", re.ASCII)
_FROM = {
    TOKEN: "SELECT resource FROM token WHERE key = ? AND ",
    URI: "SELECT resource FROM token WHERE key = ? AND ",
    STRING: "SELECT resource FROM string WHERE key = ? AND ",
    DATE: "SELECT resource FROM date WHERE key = ? AND ",
    REFERENCE: "SELECT resource FROM reference WHERE key = ? AND ",
}
_LAST_UPDATED = (
    "SELECT row FROM (SELECT row, updated AS low, updated + 1 AS high FROM current"
    " WHERE type = ?) WHERE "
)
_BY_ID = "SELECT row FROM current WHERE type = ? AND "
_CHAIN = (
    "SELECT link.resource FROM reference AS link JOIN current AS target"
    " ON target.type = link.type AND target.id = link.id"
    " WHERE link.key = ? AND target.type = ? AND target.row"
)
_REVERSE = (
    "SELECT target.row FROM reference AS link JOIN current AS target"
    " ON target.type = link.type AND target.id = link.id"
    " WHERE link.key = ? AND target.type = ? AND link.resource"
)
Condition = tuple[str, list[Any]]


class UnknownParameterError(Exception):
    """The type has no such search parameter; `handling` decides what that means."""


@dataclass(frozen=True)
class Filter:
    """A sub-select of the rows that match, or do not match if `negated`."""

    sql: str
    arguments: tuple[Any, ...]
    negated: bool = False

    def membership(self) -> str:
        """The filter as the right side of a row number: `IN (...)` or `NOT IN (...)`."""
        return f" NOT IN ({self.sql})" if self.negated else f" IN ({self.sql})"


def compile_filter(resource_type: str, name: str, value: str, base: str, depth: int = 0) -> Filter:
    """One criterion, `name` with its modifier or chain, `base` the server's own FHIR base.

    Raises UnknownParameterError, or FhirError 400 for a bad value or modifier.
    """
    if depth > _MAX_DEPTH:
        raise unsupported(f"Chains go {_MAX_DEPTH} steps deep at most.")
    if not value:
        raise invalid(f"The search parameter '{name}' has no value.")
    if name.startswith("_has:"):
        return _compile_has(resource_type, name, value, base, depth)
    if "." in name:
        return _compile_chain(resource_type, name, value, base, depth)
    bare, _, modifier = name.partition(":")
    if bare in {"_id", "_lastUpdated"}:
        return _compile_column(resource_type, bare, modifier, value)
    parameter = _parameter(resource_type, bare)
    if modifier == "missing":
        return _compile_missing(resource_type, parameter, value)
    return _compile_values(resource_type, parameter, modifier, value, base)


def _parameter(resource_type: str, name: str) -> Parameter:
    parameter = parameters_of(resource_type).get(name)
    if parameter is None:
        raise UnknownParameterError(f"'{name}' is no search parameter of {resource_type}.")
    return parameter


def split_values(text: str) -> list[str]:
    """The alternatives of a value: split at commas that no backslash escapes.

    Raises FhirError 400 when there are too many for one SQL expression.
    """
    parts = [part for part in re.split(r"(?<!\\),", text) if part]
    if len(parts) > _MAX_ALTERNATIVES:
        raise FhirError(400, "too-costly", f"Give {_MAX_ALTERNATIVES} alternatives at most.")
    return parts


def unescape(text: str) -> str:
    """A value without the backslashes before comma, dollar, bar and backslash."""
    return re.sub(r"\\([,$|\\])", r"\1", text)


def _any_of(conditions: list[Condition]) -> Condition:
    sql = " OR ".join(part for part, _ in conditions)
    return f"({sql})", [argument for _, arguments in conditions for argument in arguments]


def _compile_column(resource_type: str, name: str, modifier: str, value: str) -> Filter:
    if modifier:
        raise unsupported(f"'{name}' takes no modifier.")
    if name == "_id":
        conditions: list[Condition] = [("id = ?", [text]) for text in split_values(value)]
        prefix = _BY_ID
    else:
        conditions = [dates.condition(text) for text in split_values(value)]
        prefix = _LAST_UPDATED
    sql, arguments = _any_of(conditions)
    return Filter(prefix + sql, (resource_type, *arguments))


def _compile_missing(resource_type: str, parameter: Parameter, value: str) -> Filter:
    if value not in {"true", "false"}:
        raise invalid(f"'{parameter.name}:missing' is true or false.")
    key = f"{resource_type}.{parameter.name}"
    return Filter(_FROM[parameter.kind] + "1", (key,), negated=value == "true")


def _compile_values(
    resource_type: str, parameter: Parameter, modifier: str, value: str, base: str
) -> Filter:
    key = f"{resource_type}.{parameter.name}"
    table = _FROM[parameter.kind]
    negated = False
    make: Callable[[str], Condition]
    if parameter.kind == REFERENCE and modifier == "identifier":
        key, table, make = f"{key}:identifier", _FROM[TOKEN], _token_condition
    elif parameter.kind == REFERENCE:
        make = _reference_maker(parameter, modifier, base)
    elif parameter.kind == TOKEN and modifier in {"", "not"}:
        make, negated = _token_condition, modifier == "not"
    elif parameter.kind == STRING and modifier in _STRING_CONDITIONS:
        make = _STRING_CONDITIONS[modifier]
    elif parameter.kind == DATE and not modifier:
        make = dates.condition
    elif parameter.kind == URI and not modifier:
        make = _uri_condition
    else:
        raise unsupported(
            f"The modifier ':{modifier}' is not supported on the {parameter.kind}"
            f" parameter '{parameter.name}'."
        )
    alternatives = split_values(value)
    if not alternatives:
        raise invalid(f"The search parameter '{parameter.name}' has no value.")
    sql, arguments = _any_of([make(text) for text in alternatives])
    return Filter(table + sql, (key, *arguments), negated)


def _token_condition(text: str) -> Condition:
    system, bar, code = re.sub(r"(?<!\\)\|", "\0", text, count=1).partition("\0")
    if not bar:
        return "(code = ?)", [unescape(text)]
    if not code:
        return "(system = ?)", [unescape(system)]
    return "(code = ? AND system = ?)", [unescape(code), unescape(system)]


def _uri_condition(text: str) -> Condition:
    return "(code = ?)", [unescape(text)]


def _starts_with(text: str) -> Condition:
    folded = normalize(unescape(text))
    return "(folded >= ? AND folded < ?)", [folded, folded + _LAST_SIGN]


def _equals(text: str) -> Condition:
    return "(exact = ?)", [unescape(text)]


def _contains(text: str) -> Condition:
    return "(instr(folded, ?) > 0)", [normalize(unescape(text))]


_STRING_CONDITIONS = {"": _starts_with, "exact": _equals, "contains": _contains}


def _reference_maker(
    parameter: Parameter, target_type: str, base: str
) -> Callable[[str], Condition]:
    if target_type and target_type not in RESOURCE_TYPES:
        raise unsupported(f"The modifier ':{target_type}' is not supported on '{parameter.name}'.")

    def make(text: str) -> Condition:
        plain = unescape(text)
        if _LOGICAL_ID.fullmatch(plain):
            if target_type:
                return "(type = ? AND id = ? AND url = '')", [target_type, plain]
            return "(id = ? AND url = '')", [plain]
        found_type, found_id, url = split_reference(plain.removeprefix(f"{base}/"))
        if url:
            return "(url = ?)", [url]
        if target_type and target_type != found_type:
            raise invalid(f"'{plain}' is no reference to a {target_type}.")
        return "(type = ? AND id = ? AND url = '')", [found_type, found_id]

    return make


def _reference_parameter(resource_type: str, name: str) -> Parameter:
    parameter = _parameter(resource_type, name)
    if parameter.kind != REFERENCE:
        raise invalid(f"'{name}' of {resource_type} is no reference and cannot be chained.")
    return parameter


def _compile_chain(resource_type: str, name: str, value: str, base: str, depth: int) -> Filter:
    """`subject:Patient.name`: what the reference names must itself match."""
    link, _, rest = name.partition(".")
    bare, _, wanted = link.partition(":")
    parameter = _reference_parameter(resource_type, bare)
    targets = (wanted,) if wanted else parameter.targets
    parts: list[str] = []
    arguments: list[Any] = []
    for target in targets:
        try:
            inner = compile_filter(target, rest, value, base, depth + 1)
        except UnknownParameterError:
            continue  # the other types that the reference may name can still have it
        parts.append(_CHAIN + inner.membership())
        arguments += [f"{resource_type}.{bare}", target, *inner.arguments]
    if not parts:
        raise invalid(f"No resource that '{link}' names has the search parameter '{rest}'.")
    return Filter(" UNION ".join(parts), tuple(arguments))


def _compile_has(resource_type: str, name: str, value: str, base: str, depth: int) -> Filter:
    """`_has:Observation:patient:code`: something that refers to the resource must match."""
    parts = name.split(":", 3)
    if len(parts) != 4 or parts[1] not in RESOURCE_TYPES:
        raise invalid(f"'{name}' is not of the form _has:Type:reference:parameter.")
    _, source, link, rest = parts
    try:
        _reference_parameter(source, link)
        inner = compile_filter(source, rest, value, base, depth + 1)
    except UnknownParameterError as error:
        raise FhirError(400, "invalid", str(error)) from None
    arguments = (f"{source}.{link}", resource_type, *inner.arguments)
    return Filter(_REVERSE + inner.membership(), arguments)
