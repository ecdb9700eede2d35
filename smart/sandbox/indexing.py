"""Index rows of a resource: what each search parameter finds in it (FHIR R4 3.1.1.4)."""

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from smart.sandbox import dates
from smart.sandbox.outcome import Resource
from smart.sandbox.parameters import (
    DATE,
    REFERENCE,
    STRING,
    TOKEN,
    URI,
    Parameter,
    Path,
    parameters_of,
)

# One row of an index table without the resource it belongs to; the key is "Type.parameter".
IndexRow = tuple[str | int, ...]
_RELATIVE = re.compile(r"(?P<type>[A-Z][A-Za-z]{1,63})/(?P<id>[A-Za-z0-9.-]{1,64})", re.ASCII)
_HISTORY = re.compile(r"/_history/[A-Za-z0-9.-]{1,64}$", re.ASCII)
_CONTACT_SYSTEMS = frozenset({"phone", "fax", "email", "pager", "url", "sms", "other"})
_NAME_PARTS = ("text", "family", "given", "prefix", "suffix")
_ADDRESS_PARTS = ("text", "line", "city", "district", "state", "postalCode", "country")


def index_rows(resource: Resource) -> dict[str, list[IndexRow]]:
    """The rows per index table. Odd shapes yield no row, never an error."""
    rows: dict[str, list[IndexRow]] = {TOKEN: [], STRING: [], DATE: [], REFERENCE: []}
    resource_type = resource["resourceType"]
    for parameter in parameters_of(resource_type).values():
        key = f"{resource_type}.{parameter.name}"
        table = TOKEN if parameter.kind == URI else parameter.kind
        for value in values_of(resource, parameter.paths):
            rows[table].extend((key, *row) for row in _EXTRACTORS[parameter.kind](parameter, value))
            if parameter.kind == REFERENCE:
                rows[TOKEN].extend((f"{key}:identifier", *row) for row in _identifier_of(value))
    return rows


def values_of(resource: Resource, paths: Iterable[Path]) -> Iterator[Any]:
    """Every value at the paths, lists flattened."""
    for path in paths:
        if path.steps[0] not in resource:
            continue
        found: list[Any] = [resource]
        for step in path.steps:
            found = list(_flatten(part.get(step) for part in found if isinstance(part, dict)))
        if path.only is not None:
            member, wanted = path.only
            found = [
                part for part in found if isinstance(part, dict) and part.get(member) == wanted
            ]
        yield from found


def _flatten(values: Iterable[Any]) -> Iterator[Any]:
    for value in values:
        if isinstance(value, list):
            yield from (part for part in value if part is not None)
        elif value is not None:
            yield value


def _tokens(_parameter: Parameter, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, bool):
        yield ("true" if value else "false", "")
    elif isinstance(value, str):
        yield (value, "")
    elif isinstance(value, dict):
        yield from _tokens_of_object(value)


def _tokens_of_object(value: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Coding, CodeableConcept, Identifier or ContactPoint as (code, system)."""
    codings = value.get("coding", [value])
    for coding in codings if isinstance(codings, list) else []:
        if not isinstance(coding, dict):
            continue
        code = coding.get("code", coding.get("value"))
        system = coding.get("system", "")
        if isinstance(code, str) and isinstance(system, str):
            yield (code, "" if system in _CONTACT_SYSTEMS else system)


def _strings(_parameter: Parameter, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield (normalize(value), value)
    elif isinstance(value, dict):
        for part in (*_NAME_PARTS, *_ADDRESS_PARTS[1:]):
            texts = value.get(part)
            for text in texts if isinstance(texts, list) else [texts]:
                if isinstance(text, str):
                    yield (normalize(text), text)


def normalize(text: str) -> str:
    """Text as string search compares it: no case, no accents."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(sign for sign in decomposed if not unicodedata.combining(sign))


def _dates(_parameter: Parameter, value: Any) -> Iterator[tuple[int, int]]:
    if isinstance(value, str):
        span = _span(value)
        if span is not None:
            yield span
    elif isinstance(value, dict) and ("start" in value or "end" in value):
        start = _span(value["start"]) if "start" in value else None
        end = _span(value["end"]) if "end" in value else None
        yield (start.low if start else dates.EARLIEST, end.high if end else dates.LATEST)


def _span(value: Any) -> dates.Span | None:
    try:
        return dates.parse(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _references(parameter: Parameter, value: Any) -> Iterator[tuple[str, str, str]]:
    text = value.get("reference") if isinstance(value, dict) else value
    if not isinstance(text, str):
        return
    target_type, target_id, url = split_reference(text)
    if not url and parameter.targets and target_type not in parameter.targets:
        return
    yield (target_type, target_id, url)


def split_reference(text: str) -> tuple[str, str, str]:
    """A literal reference as (type, id, ""), any other one as ("", "", url); no version."""
    bare = _HISTORY.sub("", text)
    if match := _RELATIVE.fullmatch(bare):
        return match["type"], match["id"], ""
    return "", "", bare


def _identifier_of(value: Any) -> Iterator[tuple[str, str]]:
    identifier = value.get("identifier") if isinstance(value, dict) else None
    if isinstance(identifier, dict):
        yield from _tokens_of_object(identifier)


_EXTRACTORS: dict[str, Callable[[Parameter, Any], Iterator[IndexRow]]] = {
    TOKEN: _tokens,
    URI: _tokens,
    STRING: _strings,
    DATE: _dates,
    REFERENCE: _references,
}
