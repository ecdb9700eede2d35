"""Reading a FHIR request into a value, and writing it out again (security-checklist 4, rule a).

FHIR R4 http. The raw path and query never reach the upstream: they are parsed by a strict
grammar, decided upon, and serialised anew (G8, G9, G10). All interactions of FHIR are recognised,
so that a refusal can name them.
"""

import re
from dataclasses import replace
from typing import Final, NamedTuple
from urllib.parse import quote

from smart.gateway import headers as header_rules
from smart.gateway import query
from smart.gateway.headers import Headers
from smart.gateway.outcomes import BadRequest
from smart.policy.references import is_id
from smart.policy.request import FhirInteraction, FhirRequest, SearchParameter
from smart.scopes.resource_types import RESOURCE_TYPES

__all__ = [
    "BadRequest",
    "FhirInteraction",
    "FhirRequest",
    "SearchParameter",
    "parse",
    "public_url",
    "takes_form",
    "to_upstream",
    "with_form",
]

#: Longest path and query together, in bytes (V3).
MAX_URL_BYTES: Final = 8192
#: Longest form of a search by POST, in bytes: many ids, but no payload.
MAX_FORM_BYTES: Final = 64 * 1024
#: The parameter of the FHIR base that leads to a further page of a search.
PAGE: Final = "_page"

_segment = re.compile(r"[A-Za-z0-9._*$-]+").fullmatch
_operation = re.compile(r"\$[A-Za-z][A-Za-z0-9-]*").fullmatch
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"})

Methods = dict[str, FhirInteraction]
_OPERATION: Final[Methods] = {
    "GET": FhirInteraction.OPERATION,
    "POST": FhirInteraction.OPERATION,
}
_SYSTEM: Final[dict[str, Methods]] = {
    "": {"GET": FhirInteraction.SEARCH_SYSTEM, "POST": FhirInteraction.BATCH},
    "metadata": {"GET": FhirInteraction.CAPABILITIES},
    "_history": {"GET": FhirInteraction.HISTORY_SYSTEM},
    "_search": {"POST": FhirInteraction.SEARCH_POST},
}
_TYPE: Final[dict[str, Methods]] = {
    "": {
        "GET": FhirInteraction.SEARCH_TYPE,
        "POST": FhirInteraction.CREATE,
        "PUT": FhirInteraction.CONDITIONAL_UPDATE,
        "PATCH": FhirInteraction.CONDITIONAL_PATCH,
        "DELETE": FhirInteraction.CONDITIONAL_DELETE,
    },
    "_history": {"GET": FhirInteraction.HISTORY_TYPE},
    "_search": {"POST": FhirInteraction.SEARCH_POST},
}
_INSTANCE: Final[Methods] = {
    "GET": FhirInteraction.READ,
    "PUT": FhirInteraction.UPDATE,
    "PATCH": FhirInteraction.PATCH,
    "DELETE": FhirInteraction.DELETE,
}
_WITHOUT_PARAMETERS: Final = frozenset(
    {
        FhirInteraction.READ,
        FhirInteraction.VREAD,
        FhirInteraction.CREATE,
        FhirInteraction.UPDATE,
        FhirInteraction.DELETE,
    }
)


class _Place(NamedTuple):
    """What a path names: the members of a FhirRequest that follow its interaction."""

    resource_type: str | None = None
    resource_id: str | None = None
    version_id: str | None = None
    operation: str | None = None
    target_type: str | None = None


_Route = tuple[_Place, Methods]
_SERVER: Final = _Place()


def parse(method: str, raw_path: bytes | str, raw_query: bytes, headers: Headers) -> FhirRequest:
    """The request, or BadRequest.

    `raw_path` is the path below the FHIR base, percent-encoded as it came, with or without the
    leading slash; `raw_query` what follows the question mark. HEAD reads as GET (G37).
    """
    fields = header_rules.fields_of(headers)
    header_rules.check_one_credential(fields)
    query.check_no_token(raw_query)
    path = raw_path.encode("utf-8", "replace") if isinstance(raw_path, str) else raw_path
    if len(path) + len(raw_query) > MAX_URL_BYTES:
        raise BadRequest(414, "too-long", f"The URL is longer than {MAX_URL_BYTES} bytes.")
    header_rules.check_size(headers)
    header_rules.check(method, fields)
    if method not in _METHODS:
        raise BadRequest(405, "not-supported", "FHIR has no such method.", allow=("GET", "HEAD"))
    place, methods = _route(_segments(path))
    interaction = methods.get("GET" if method == "HEAD" else method)
    if interaction is None:
        allow = tuple(methods) + (("HEAD",) if "GET" in methods else ())
        raise BadRequest(405, "not-supported", "Not a method of this URL.", allow=allow)
    found, is_format_given = query.take_format(query.pairs(raw_query))
    if not is_format_given:
        header_rules.check_accept(fields)
    request = FhirRequest(interaction, *place, is_head=method == "HEAD")
    if interaction is FhirInteraction.SEARCH_SYSTEM and any(name == PAGE for name, _ in found):
        return _page(request, found)
    parameters = _parameters(request, found)
    return replace(request, parameters=parameters) if parameters else request


def takes_form(method: str, request: FhirRequest) -> bool:
    """Whether this is a search of one type whose parameters (also) come in the body."""
    return method == "POST" and _searched_type(request) is not None


def with_form(request: FhirRequest, form: bytes) -> FhirRequest:
    """The search that URL and form ask for together (FHIR R4 search 3.1.1.3; G7, RSVR-07).

    Raises BadRequest (400, 406, 413): what both name has to be the same in both.
    """
    if len(form) > MAX_FORM_BYTES:
        raise BadRequest(413, "too-long", f"A search form has at most {MAX_FORM_BYTES} bytes.")
    query.check_no_token(form)
    found, _ = query.take_format(query.pairs(form))
    sent = query.search_parameters(_searched_type(request) or "", found)
    for name in {one.name for one in sent} & {one.name for one in request.parameters}:
        if set(request.named(name)) != {one for one in sent if one.name == name}:
            raise BadRequest(400, "invalid", f"URL and body disagree on {name}.")
    added = tuple(one for one in sent if one not in request.parameters)
    is_plain = request.interaction is FhirInteraction.SEARCH_POST
    return replace(
        request,
        interaction=FhirInteraction.SEARCH_TYPE if is_plain else request.interaction,
        parameters=(*request.parameters, *added),
    )


def to_upstream(request: FhirRequest) -> tuple[str, str]:
    """Path below the base (no leading slash) and query, canonical. ValueError if not offered."""
    kind, number, version = request.resource_type, request.resource_id, request.version_id
    match request.interaction:
        case FhirInteraction.CAPABILITIES:
            return "metadata", ""
        case FhirInteraction.READ if kind and number:
            return f"{kind}/{number}", ""
        case FhirInteraction.VREAD if kind and number and version:
            return f"{kind}/{number}/_history/{version}", ""
        case FhirInteraction.HISTORY_INSTANCE if kind and number:
            return f"{kind}/{number}/_history", _query(request)
        case FhirInteraction.SEARCH_TYPE if kind:
            return kind, _query(request)
    raise ValueError(f"{request.describe()} is not sent upstream")


def public_url(base: str, request: FhirRequest) -> str:
    """The URL of an offered request on this server, for a searchset's `self` link."""
    path, parameters = to_upstream(request)
    return f"{base.rstrip('/')}/{path}" + (f"?{parameters}" if parameters else "")


def _query(request: FhirRequest) -> str:
    pairs = (f"{quote(one.key, safe=':')}={_value(one)}" for one in request.parameters)
    return "&".join(pairs)


def _value(parameter: SearchParameter) -> str:
    return quote(parameter.text, safe="/:,")


def _searched_type(request: FhirRequest) -> str | None:
    """The type a search asks for; None for searches of several types, and for all else."""
    if request.interaction is FhirInteraction.COMPARTMENT_SEARCH:
        return None if request.target_type == "*" else request.target_type
    is_search = request.interaction in (FhirInteraction.SEARCH_TYPE, FhirInteraction.SEARCH_POST)
    return request.resource_type if is_search else None


def _segments(path: bytes) -> list[str]:
    """The path's segments, decoded one by one (G8). A slash too many is an empty segment."""
    path = path.removeprefix(b"/")
    if not path:
        return []
    segments = [query.decode(part) for part in path.split(b"/")]
    for segment in segments:
        if not _segment(segment) or segment in (".", ".."):
            raise BadRequest(400, "invalid", "The path is not a FHIR path.")
    return segments


def _route(segments: list[str]) -> _Route:
    if len(segments) < 2 and (segments or [""])[0] in _SYSTEM:
        return _SERVER, _SYSTEM[(segments or [""])[0]]
    first, *rest = segments
    if first.startswith("$") and not rest:
        return _operation_route(_SERVER, first)
    if first not in RESOURCE_TYPES:
        raise BadRequest(404, "not-found", "Unknown resource type; names are case-sensitive.")
    return _type_route(_Place(first), rest)


def _type_route(base: _Place, rest: list[str]) -> _Route:
    head = rest[0] if rest else ""
    if len(rest) < 2 and head in _TYPE:
        return base, _TYPE[head]
    if len(rest) == 1 and head.startswith("$"):
        return _operation_route(base, head)
    return _instance_route(base._replace(resource_id=_id(head)), rest[1:])


def _instance_route(base: _Place, rest: list[str]) -> _Route:
    match rest:
        case []:
            return base, _INSTANCE
        case [name] if name.startswith("$"):
            return _operation_route(base, name)
        case ["_history"]:
            return base, {"GET": FhirInteraction.HISTORY_INSTANCE}
        case ["_history", version]:
            return base._replace(version_id=_id(version)), {"GET": FhirInteraction.VREAD}
        case ["_history", version, name] if name.startswith("$"):
            return _operation_route(base._replace(version_id=_id(version)), name)
        case [target] if target == "*" or target in RESOURCE_TYPES:
            method = {"GET": FhirInteraction.COMPARTMENT_SEARCH}
            return base._replace(target_type=target), method
        case [target, "_search"] if target == "*" or target in RESOURCE_TYPES:
            method = {"POST": FhirInteraction.COMPARTMENT_SEARCH}
            return base._replace(target_type=target), method
    raise BadRequest(404, "not-found", "FHIR has no such URL.")


def _operation_route(base: _Place, name: str) -> _Route:
    if not _operation(name):
        raise BadRequest(400, "invalid", "Not the name of an operation.")
    return base._replace(operation=name), _OPERATION


def _id(text: str) -> str:
    if not is_id(text):
        raise BadRequest(400, "invalid", "Not a FHIR id.")
    return text


def _page(request: FhirRequest, found: query.Pairs) -> FhirRequest:
    """A further page: the cursor stands for all of the search."""
    if len(found) != 1:
        raise BadRequest(400, "invalid", f"{PAGE} stands alone: follow the link as it is.")
    cursor = SearchParameter(PAGE, (found[0][1],))
    return replace(request, interaction=FhirInteraction.PAGE, parameters=(cursor,))


def _parameters(request: FhirRequest, found: query.Pairs) -> tuple[SearchParameter, ...]:
    """Parameters of the interactions that are offered; of others only the names are refused."""
    searched = _searched_type(request)
    if searched is not None:
        return query.search_parameters(searched, found)
    if request.interaction is FhirInteraction.HISTORY_INSTANCE:
        return query.history_parameters(found)
    if request.interaction is FhirInteraction.CAPABILITIES:
        found = [pair for pair in found if pair != ("mode", "full")]
    elif request.interaction not in _WITHOUT_PARAMETERS:
        return ()
    if found:
        raise BadRequest(
            400, "not-supported", f"{request.describe()} takes no parameter {found[0][0][:60]}."
        )
    return ()
