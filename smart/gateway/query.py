"""A query string as search parameters, decoded exactly once (FHIR R4 search; G5, G6, G37, G41).

Nothing is dropped: what is unknown or malformed is refused, since a filter lost is a search
widened. Whether a known parameter is allowed is for the policy to say.
"""

import re
from typing import Final
from urllib.parse import unquote_to_bytes

from smart.gateway.headers import check_format
from smart.gateway.outcomes import BadRequest
from smart.policy.request import SearchParameter
from smart.policy.search_parameters import (
    MODIFIERS,
    RESULT_PARAMETERS,
    UNBOUNDED_PARAMETERS,
    Definition,
    definitions,
    find,
)
from smart.scopes.resource_types import RESOURCE_TYPES

_MAX_PARAMETERS: Final = 100
_SHOWN: Final = 60
_PREFIX: Final = r"(?:eq|ne|gt|lt|ge|le|sa|eb|ap)?"
_NUMBER: Final = r"[+-]?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?"
_VALUES: Final = {
    "date": re.compile(
        rf"{_PREFIX}[0-9]{{4}}(?:-[0-9]{{2}}(?:-[0-9]{{2}}(?:T[0-9]{{2}}:[0-9]{{2}}"
        r"(?::[0-9]{2}(?:\.[0-9]+)?)?(?:Z|[+-][0-9]{2}:[0-9]{2})?)?)?)?"
    ),
    "number": re.compile(_PREFIX + _NUMBER),
    "quantity": re.compile(rf"{_PREFIX}{_NUMBER}(?:\|[^|]*\|[^|]*)?"),
}
_INSTANT: Final = re.compile(
    r"[0-9]{4}(?:-[0-9]{2}(?:-[0-9]{2}(?:T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?"
    r"(?:Z|[+-][0-9]{2}:[0-9]{2}))?)?)?"
)
_RESULT_VALUES: Final = {
    "_count": re.compile(r"[0-9]{1,9}"),
    "_elements": re.compile(r"[a-z][A-Za-z]{0,63}(?:,[a-z][A-Za-z]{0,63}){0,99}"),
    "_summary": re.compile(r"true|text|data|count|false"),
    "_total": re.compile(r"none|estimate|accurate"),
    "_sort": re.compile(r"-?[A-Za-z_][A-Za-z0-9_-]*(?:,-?[A-Za-z_][A-Za-z0-9_-]*)*"),
}
_INCLUDES: Final = ("_include", "_revinclude")
_include = re.compile(r"\*|([A-Za-z]+):(\*|[A-Za-z_][A-Za-z0-9_-]*)(?::([A-Za-z]+))?").fullmatch
_bad_percent = re.compile(rb"%(?![0-9A-Fa-f]{2})").search
_visible = re.compile(rb"[\x21-\x7e]*").fullmatch
_control = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]").search
_name = re.compile(
    r"([A-Za-z_][A-Za-z0-9_-]*)(?::([A-Za-z][A-Za-z-]*))?(\.[A-Za-z0-9_:.-]+)?"
).fullmatch
_has = re.compile(r"_has((?::[A-Za-z0-9_.-]+)+)").fullmatch
_alternatives = re.compile(r"((?:[^\\,]|\\[\\,$|])*)(,|\Z)")

Pairs = list[tuple[str, str]]


def decode(raw: bytes) -> str:
    """Percent-decoding, once and strict: UTF-8, no control characters. Raises BadRequest (400)."""
    if not _visible(raw) or _bad_percent(raw):
        raise BadRequest(
            400, "invalid", "URL or form have characters or percent signs not allowed."
        )
    try:
        text = (unquote_to_bytes(raw) if b"%" in raw else raw).decode("utf-8")
    except UnicodeDecodeError:
        raise BadRequest(400, "invalid", "URL or form are not UTF-8.") from None
    if _control(text):
        raise BadRequest(400, "invalid", "URL or form have control characters.")
    return text


def pairs(raw_query: bytes) -> Pairs:
    """Names and values in order. Raises BadRequest for overrides and empty values."""
    if not raw_query:
        return []
    parts = [part for part in raw_query.split(b"&") if part]
    if len(parts) > _MAX_PARAMETERS:
        raise BadRequest(400, "too-long", f"At most {_MAX_PARAMETERS} parameters are allowed.")
    split = [part.replace(b"+", b"%20").partition(b"=") for part in parts]
    found = [(decode(name), decode(value)) for name, _, value in split]
    for name, value in found:
        _refuse_misuse(name)
        if not value:
            raise BadRequest(400, "invalid", f"The parameter {name[:_SHOWN]} has no value.")
    return found


def take_format(found: Pairs) -> tuple[Pairs, bool]:
    """The pairs without `_format` and `_pretty`, and whether a `_format` was there (G38)."""
    if not found:
        return found, False
    formats = [value for name, value in found if name == "_format"]
    for value in formats:
        check_format(value)
    rest = [(name, value) for name, value in found if name not in ("_format", "_pretty")]
    return rest, bool(formats)


def search_parameters(resource_type: str, found: Pairs) -> tuple[SearchParameter, ...]:
    """The parameters of a search on a type. Raises BadRequest (400) for unknown ones (G6)."""
    parameters = tuple(_parameter(resource_type, name, value) for name, value in found)
    single = [one.name for one in parameters if one.name in _RESULT_VALUES]
    if len(single) != len(set(single)):
        once = ", ".join(_RESULT_VALUES)
        raise BadRequest(400, "invalid", f"These can be given once only: {once}.")
    _check_shape(parameters)
    return parameters


def history_parameters(found: Pairs) -> tuple[SearchParameter, ...]:
    """The parameters of a history (FHIR R4 http 3.1.0.11). Raises BadRequest (400)."""
    for name, value in found:
        if name != "_since":
            raise BadRequest(
                400, "not-supported", f"A history takes _since, but not {name[:_SHOWN]}."
            )
        if not _INSTANT.fullmatch(value):
            raise BadRequest(400, "invalid", "_since is an instant.")
    if len(found) > 1:
        raise BadRequest(400, "invalid", "_since can be given once only.")
    return tuple(SearchParameter(name, (value,)) for name, value in found)


def check_no_token(raw_query: bytes) -> None:
    """Refuse a token in the query, whatever else is wrong with it. Raises BadRequest (400)."""
    if not raw_query:
        return
    names = (part.partition(b"=")[0] for part in raw_query.split(b"&"))
    if any(unquote_to_bytes(name) == b"access_token" for name in names):
        raise BadRequest(
            400, "invalid", "Send the token in the Authorization header.", is_token_misuse=True
        )


def _refuse_misuse(name: str) -> None:
    if name == "_method":
        raise BadRequest(400, "invalid", "The HTTP method cannot be overridden.")


def _parameter(resource_type: str, key: str, value: str) -> SearchParameter:
    match = _name(key)
    if match is None:
        reverse = _has(key)
        if reverse is None:
            raise BadRequest(400, "invalid", f"{key[:_SHOWN]} is not a search parameter's name.")
        return SearchParameter("_has", (value,), chain=reverse[1])
    name, modifier, chain = match.groups()
    parameter = SearchParameter(name, _split(key, value), modifier, chain)
    if name in RESULT_PARAMETERS:
        _check_result_parameter(parameter)
    elif name not in UNBOUNDED_PARAMETERS:
        _check_filter(resource_type, parameter)
    return parameter


def _split(key: str, value: str) -> tuple[str, ...]:
    """The alternatives between unescaped commas, escapes kept. Raises BadRequest (400)."""
    found = []
    position = 0
    while True:
        match = _alternatives.match(value, position)
        if match is None or not match[1]:
            raise BadRequest(
                400, "invalid", f"A value of {key[:_SHOWN]} is empty or badly escaped."
            )
        found.append(match[1])
        position = match.end()
        if not match[2]:
            return tuple(found)


def _check_result_parameter(parameter: SearchParameter) -> None:
    if parameter.chain or (
        parameter.modifier
        and (parameter.name, parameter.modifier)
        not in (("_include", "iterate"), ("_revinclude", "iterate"))
    ):
        raise BadRequest(400, "not-supported", f"Unknown modifier in {parameter.key[:_SHOWN]}.")
    expected = _RESULT_VALUES.get(parameter.name)
    if expected and not expected.fullmatch(parameter.text):
        raise BadRequest(400, "invalid", f"The value of {parameter.name} is not valid.")
    if parameter.name in _INCLUDES:
        _check_include(parameter)


def _check_include(parameter: SearchParameter) -> None:
    """Its types and parameter are known; whether they may be used is for the policy to say."""
    found = _include(parameter.text)
    if found is None:
        raise BadRequest(400, "invalid", f"{parameter.name} is [Type]:[parameter].")
    source, name, target = found.groups()
    types = [one for one in (source, target) if one is not None]
    if not set(types) <= RESOURCE_TYPES:
        raise BadRequest(400, "not-supported", f"{parameter.name} names an unknown type.")
    if name is None or name == "*":
        return
    definition = find(source, name)
    if definition is None or definition.type != "reference":
        raise BadRequest(
            400, "not-supported", f"{source} has no reference {name[:_SHOWN]} to include by."
        )


def _check_shape(parameters: tuple[SearchParameter, ...]) -> None:
    """What cannot be asked for together (FHIR R4 search 3.1.1.5.8). Raises BadRequest (400)."""
    texts = {one.name: one.text for one in parameters}
    if "_elements" in texts and "_summary" in texts:
        raise BadRequest(400, "invalid", "_elements and _summary exclude each other.")
    if texts.get("_summary") == "text" and not texts.keys().isdisjoint(_INCLUDES):
        raise BadRequest(400, "invalid", "_summary=text brings no included resources.")


def _check_filter(resource_type: str, parameter: SearchParameter) -> None:
    definition = find(resource_type, parameter.name)
    if definition is None:
        known = ", ".join(sorted(definitions()[resource_type]))
        raise BadRequest(
            400,
            "not-supported",
            f"{resource_type} has no search parameter {parameter.name[:_SHOWN]}. It has: {known}.",
        )
    if parameter.chain and definition.type != "reference":
        raise BadRequest(400, "not-supported", f"{parameter.name} is no reference to follow.")
    _check_modifier(parameter, definition)
    _check_values(parameter, definition)


def _check_modifier(parameter: SearchParameter, definition: Definition) -> None:
    modifier = parameter.modifier
    if modifier is None or modifier in MODIFIERS[definition.type]:
        return
    is_type = modifier in RESOURCE_TYPES and definition.may_name(modifier)
    if not (definition.type == "reference" and is_type):
        raise BadRequest(
            400, "not-supported", f"{parameter.name} has no modifier {modifier[:_SHOWN]}."
        )


def _check_values(parameter: SearchParameter, definition: Definition) -> None:
    if parameter.modifier == "missing":
        if parameter.text not in ("true", "false"):
            raise BadRequest(400, "invalid", f"The value of {parameter.key} is true or false.")
        return
    expected = _VALUES.get(definition.type)
    if expected is None or parameter.chain:
        return
    for value in parameter.values:
        if not expected.fullmatch(value):
            raise BadRequest(
                400, "invalid", f"{value[:_SHOWN]} is not a {definition.type} for {parameter.name}."
            )
