"""The RESTful interactions: a parsed request in, a response out (FHIR R4 3.1.0)."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal
from urllib.parse import parse_qsl

import orjson

from smart.sandbox import dates, history, search
from smart.sandbox.capability import capability_statement
from smart.sandbox.outcome import FhirError, Resource, Response, invalid, unsupported
from smart.sandbox.resource_types import RESOURCE_TYPES
from smart.sandbox.results import Searches
from smart.sandbox.store import Store, Version

_ID = re.compile(r"[A-Za-z0-9.-]{1,64}", re.ASCII)
_ETAG = re.compile(r'(?:W/)?"(?P<version>[0-9]{1,18})"', re.ASCII)
_JSON_TYPES = {"application/fhir+json", "application/json"}
_MAX_PARAMETERS = 200
_FORMATS = {"json", "application/json", "application/fhir+json"}


@dataclass(frozen=True)
class Request:
    """An HTTP request on the FHIR base; header names are in lower case."""

    method: str
    path: tuple[str, ...]
    query: str
    headers: dict[str, str]
    body: bytes
    base: str

    def pairs(self) -> list[tuple[str, str]]:
        """The parameters of the query string. Raises FhirError 400."""
        return parse_form(self.query)


def parse_form(text: str) -> list[tuple[str, str]]:
    """Names and values of a query string or form. Raises FhirError 400."""
    try:
        return parse_qsl(
            text, keep_blank_values=True, errors="strict", max_num_fields=_MAX_PARAMETERS
        )
    except ValueError:
        raise invalid("The parameters are no UTF-8 form, or there are too many.") from None


class Interactions:
    """The FHIR server on top of one store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._searches = Searches(store)

    def handle(self, request: Request) -> Response:
        """Answer a request; refusals come back as OperationOutcome."""
        try:
            _check_format(request)
            methods = self._methods(request.path)
            method = "GET" if request.method == "HEAD" else request.method
            if method not in methods:
                allowed = {"Allow": ", ".join(sorted(methods))}
                raise FhirError(405, "not-supported", f"{method} is not allowed here.", allowed)
            return methods[method](request)
        except FhirError as error:
            return error.to_response()

    def _methods(self, path: tuple[str, ...]) -> dict[str, Callable[[Request], Response]]:
        """What a path of this shape can do. Raises FhirError 404 for any other."""
        match path:
            case ():
                return {"GET": self._further_page}
            case ("metadata",):
                return {"GET": _metadata}
            case (name, *_) if name not in RESOURCE_TYPES:
                raise FhirError(404, "not-supported", f"'{name}' is no resource type of FHIR R4.")
            case (_,):
                return {"GET": self._search, "POST": self._create}
            case (_, "_search"):
                return {"POST": self._search_by_form}
            case (_, name) if _ID.fullmatch(name):
                return {"GET": self._read, "PUT": self._update, "DELETE": self._delete}
            case (_, _, "_history"):
                return {"GET": self._history}
            case (_, _, "_history", _):
                return {"GET": self._read_version}
        raise FhirError(404, "not-supported", "This server has no such interaction.")

    def _further_page(self, request: Request) -> Response:
        pairs = request.pairs()
        if not any(name == "_getpages" for name, _ in pairs):
            raise unsupported("Searching all types at once is not supported.")
        return Response(200, self._searches.page(pairs, request.base))

    def _search(self, request: Request) -> Response:
        return self._start_search(request, request.pairs())

    def _search_by_form(self, request: Request) -> Response:
        if _media_type(request) != "application/x-www-form-urlencoded":
            raise FhirError(415, "not-supported", "_search takes a form.")
        try:
            form = request.body.decode()
        except UnicodeDecodeError:
            raise invalid("The form is not UTF-8.") from None
        return self._start_search(request, [*request.pairs(), *parse_form(form)])

    def _start_search(self, request: Request, pairs: list[tuple[str, str]]) -> Response:
        query = search.parse(request.path[0], pairs, base=request.base, handling=_handling(request))
        now = dates.milliseconds(datetime.now(UTC))
        return Response(200, self._searches.start(query, request.base, now))

    def _read(self, request: Request) -> Response:
        version = self._store.read(request.path[0], request.path[1])
        if version is None:
            raise _unknown(request)
        if version.body is None:
            raise FhirError(410, "deleted", f"{'/'.join(request.path)} was deleted.")
        if version.number in _versions(request, "if-none-match"):
            return Response(304, b"", _version_headers(version))
        return _answer(200, version, version.body)

    def _read_version(self, request: Request) -> Response:
        resource_type, resource_id, _, number = request.path
        if not (number.isascii() and number.isdigit()) or len(number) > 18:
            raise _unknown(request)
        version = self._store.read_version(resource_type, resource_id, int(number))
        if version is None:
            raise _unknown(request)
        if version.body is None:
            raise FhirError(410, "deleted", f"Version {number} is the deletion.")
        return _answer(200, version, version.body)

    def _history(self, request: Request) -> Response:
        versions = self._store.history(request.path[0], request.path[1])
        if not versions:
            raise _unknown(request)
        page = history.page(versions, request.pairs(), "/".join([request.base, *request.path]))
        return Response(200, orjson.dumps(page))

    def _create(self, request: Request) -> Response:
        if "if-none-exist" in request.headers:
            raise unsupported("Conditional create is not supported.")
        version = self._store.create(_parse_resource(request))
        return _written(request, version, 201)

    def _update(self, request: Request) -> Response:
        resource = _parse_resource(request)
        if resource.get("id") != request.path[1]:
            raise invalid("The resource's id and the id of the URL differ.")
        version, is_new = self._store.update(resource, _if_match(request))
        return _written(request, version, 201 if is_new else 200)

    def _delete(self, request: Request) -> Response:
        resource_type, resource_id = request.path
        version = self._store.delete(resource_type, resource_id, _if_match(request))
        return Response(204, b"", {"ETag": f'W/"{version.number}"'} if version else {})


def _metadata(request: Request) -> Response:
    return Response(200, orjson.dumps(capability_statement(request.base)))


def _check_format(request: Request) -> None:
    asked = dict(request.pairs()).get("_format")
    if asked is not None and asked.split(";")[0].replace(" ", "+") not in _FORMATS:
        raise FhirError(406, "not-supported", "This server speaks JSON only.")
    accepted = request.headers.get("accept", "*/*")
    if asked is None and not any(word in accepted for word in ("json", "*/*", "application/*")):
        raise FhirError(406, "not-supported", "This server speaks JSON only.")


def _handling(request: Request) -> Literal["strict", "lenient"]:
    prefer = request.headers.get("prefer", "").replace(" ", "")
    return "strict" if "handling=strict" in prefer else "lenient"


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").split(";")[0].strip().lower()


def _versions(request: Request, header: str) -> list[int]:
    found = _ETAG.finditer(request.headers.get(header, ""))
    return [int(match["version"]) for match in found]


def _if_match(request: Request) -> int | None:
    if "if-match" not in request.headers:
        return None
    match = _ETAG.fullmatch(request.headers["if-match"].strip())
    if match is None:
        raise invalid('If-Match is of the form W/"3".')
    return int(match["version"])


def _parse_resource(request: Request) -> Resource:
    """The resource in the body. Raises FhirError 400 or 415."""
    if _media_type(request) not in _JSON_TYPES:
        raise FhirError(415, "not-supported", "Send application/fhir+json.")
    try:
        resource = orjson.loads(request.body)
    except orjson.JSONDecodeError:
        raise FhirError(400, "structure", "The body is no JSON.") from None
    if not isinstance(resource, dict) or resource.get("resourceType") != request.path[0]:
        raise FhirError(400, "structure", f"The body is no {request.path[0]}.")
    if not isinstance(resource.get("meta", {}), dict):
        raise FhirError(400, "structure", "'meta' is no object.")
    return resource


def _unknown(request: Request) -> FhirError:
    return FhirError(404, "not-found", f"{'/'.join(request.path)} is not known.")


def _version_headers(version: Version) -> dict[str, str]:
    return {"ETag": f'W/"{version.number}"', "Last-Modified": dates.http_date(version.updated)}


def _answer(status: int, version: Version, body: bytes, location: str = "") -> Response:
    headers = _version_headers(version)
    if location:
        headers["Location"] = location
    return Response(status, body, headers)


def _written(request: Request, version: Version, status: int) -> Response:
    parts = (request.base, version.type, version.id, "_history", str(version.number))
    minimal = "return=minimal" in request.headers.get("prefer", "").replace(" ", "")
    return _answer(status, version, b"" if minimal else version.body or b"", "/".join(parts))
