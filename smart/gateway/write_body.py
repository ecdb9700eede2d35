"""The resource in a request's body (security-checklist G22, G38, G39; FHIR R4 json).

The bytes that came are never sent on: they are parsed without any leniency and written out anew,
numbers with the digits they came with (R4 json 2.6.2), and strings as the server behind knows
them: what an app read and sends back is stored as it stood (G35).
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import orjson

from smart.gateway import fetch, strict_json
from smart.gateway.headers import Headers
from smart.gateway.outcomes import BadRequest
from smart.gateway.write_upstream import Current
from smart.policy.references import is_id
from smart.policy.request import FhirInteraction, FhirRequest
from smart.policy.write_rules import strings_of

MAX_DEPTH: Final = 64
_MEDIA_TYPES: Final = frozenset({"application/fhir+json", "application/json"})
_VERSIONS: Final = ("4.0", "4.0.1")


@dataclass(frozen=True, slots=True)
class Written:
    """A resource to write: parsed, and as the text that goes upstream."""

    resource: dict[str, Any]
    text: bytes


def check_media_type(headers: Headers) -> None:
    """Only JSON in UTF-8 is taken. Raises BadRequest (415)."""
    found = [value.decode("latin-1") for name, value in headers if name.lower() == b"content-type"]
    media, *parameters = (part.strip() for part in "".join(found).lower().split(";"))
    pairs = dict(parameter.partition("=")[::2] for parameter in parameters if parameter)
    values = {name.strip(): value.strip().strip('"') for name, value in pairs.items()}
    if (
        media not in _MEDIA_TYPES
        or values.pop("charset", "utf-8") not in ("utf-8", "utf8")
        or values.pop("fhirversion", _VERSIONS[0]) not in _VERSIONS
        or values
    ):
        raise BadRequest(415, "not-supported", "Send application/fhir+json in UTF-8, FHIR 4.0.")


def parse(raw: bytes, request: FhirRequest) -> Written:
    """The resource, which must be the one the URL speaks of. Raises BadRequest (400)."""
    try:
        resource = strict_json.loads(raw)
    except ValueError as error:
        raise _bad("structure", _why(error)) from None
    if not isinstance(resource, dict):
        raise _bad("structure", "The body is no resource.")
    if not _is_within(resource, MAX_DEPTH):
        raise _bad("structure", f"The body is nested deeper than {MAX_DEPTH} levels.")
    _check_names_url(resource, request)
    return Written(resource, _written_anew(raw))


def behind(written: Written, before: Current | None, upstream_base: str, base: str) -> Written:
    """The resource by the names of the server behind.

    A string that stands there is written as it stands; of the others, URLs of this server that can
    be told for certain go back to what they are shown in place of.
    """
    rewriter = fetch.rewriter_of(upstream_base, base)
    stood = list(strings_of(before.resource if before else None))
    shown = {rewriter.text(one): one for one in stood} | {one: one for one in stood}
    text = _mapped(written.text, lambda one: shown.get(one) or rewriter.back(one))
    return written if text == written.text else Written(strict_json.loads(text), text)


def _check_names_url(resource: dict[str, Any], request: FhirRequest) -> None:
    if resource.get("resourceType") != request.resource_type:
        raise _bad("invalid", f"The resource in the body is no {request.resource_type}.")
    if request.interaction is FhirInteraction.CREATE:
        if "id" in resource:
            raise _bad("invalid", "A new resource has no id: the server gives it one.")
    elif not is_id(resource.get("id")) or resource["id"] != request.resource_id:
        raise _bad("invalid", "The resource's id must be the one in the URL.")


def _is_within(value: object, levels: int) -> bool:
    """Whether objects and lists are nested at most so many levels deep."""
    waiting = [(value, 1)]
    while waiting:
        node, depth = waiting.pop()
        if isinstance(node, dict | list):
            if depth > levels:
                return False
            inner = node.values() if isinstance(node, dict) else node
            waiting += [(one, depth + 1) for one in inner]
    return True


def _written_anew(raw: bytes) -> bytes:
    """The same value as compact JSON; numbers keep their digits, which a float would lose."""
    return orjson.dumps(_exact(raw))


def _mapped(raw: bytes, change: Callable[[str], str]) -> bytes:
    """The same value as compact JSON, with every string in it changed."""
    whole = _exact(raw)
    waiting = [whole]
    while waiting:
        node = waiting.pop()
        for name, one in list(node.items() if isinstance(node, dict) else enumerate(node)):
            if isinstance(one, str):
                node[name] = change(one)
            elif isinstance(one, dict | list):
                waiting.append(one)
    return orjson.dumps(whole)


def _exact(raw: bytes) -> Any:
    return json.loads(raw.decode(), parse_float=_digits, parse_int=_digits)


def _digits(text: str) -> orjson.Fragment:
    return orjson.Fragment(text)


def _why(error: ValueError) -> str:
    if isinstance(error, orjson.JSONDecodeError):
        return "The body is no JSON in UTF-8."
    return f"The body is no JSON of this server's kind: {error}."


def _bad(issue: str, text: str) -> BadRequest:
    return BadRequest(400, issue, text)
