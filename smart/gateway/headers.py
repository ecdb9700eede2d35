"""What a FHIR request's headers must not say (security-checklist G37, G38, G40, G41, G52).

No header is ever sent on: the upstream request has headers of the gateway's own.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from smart.gateway.outcomes import BadRequest

Headers = Sequence[tuple[bytes, bytes]]
#: The values of each header, by its name in lower case.
Fields = Mapping[bytes, Sequence[bytes]]

#: How many headers a request may have, and how long names and values may be together (V3).
MAX_HEADERS: Final = 100
MAX_HEADER_BYTES: Final = 16 * 1024

_OVERRIDES: Final = frozenset({b"x-http-method-override", b"x-http-method", b"x-method-override"})
_ONCE: Final = frozenset({b"content-length", b"content-type", b"transfer-encoding"})
_JSON_RANGES: Final = frozenset(
    {"*/*", "application/*", "application/fhir+json", "application/json", "text/json"}
)
_JSON_FORMATS: Final = frozenset({"json", "application/fhir+json", "application/json", "text/json"})


def fields_of(headers: Headers) -> Fields:
    """Headers by name, the values in the order they came."""
    found: dict[bytes, list[bytes]] = {}
    for name, value in headers:
        found.setdefault(name.lower(), []).append(value)
    return found


def check_one_credential(fields: Fields) -> None:
    """Refuse two Authorization headers. Raises BadRequest (400)."""
    if len(fields.get(b"authorization", ())) > 1:
        raise BadRequest(
            400, "invalid", "Send one Authorization header only.", is_token_misuse=True
        )


def check_size(headers: Headers) -> None:
    """Refuse too many and too long headers. Raises BadRequest (431)."""
    size = 0
    for name, value in headers:
        size += len(name) + len(value)
    if len(headers) > MAX_HEADERS or size > MAX_HEADER_BYTES:
        raise BadRequest(431, "too-long", "The request has too many or too long headers.")


def check(method: str, fields: Fields) -> None:
    """Refuse what no request may carry. Raises BadRequest (400)."""
    if not _OVERRIDES.isdisjoint(fields):
        raise BadRequest(400, "invalid", "The HTTP method cannot be overridden.")
    for name in _ONCE:
        if len(fields.get(name, ())) > 1:
            raise BadRequest(400, "invalid", f"Send one {name.decode()} header only.")
    if b"content-length" in fields and b"transfer-encoding" in fields:
        raise BadRequest(400, "invalid", "Content-Length and Transfer-Encoding exclude each other.")
    if method in ("GET", "HEAD", "DELETE") and _has_body(fields):
        raise BadRequest(400, "invalid", f"A {method} request carries no body.")
    if "respond-async" in _tokens(fields, b"prefer"):
        raise BadRequest(400, "not-supported", "Asynchronous answers are not offered.")


def check_form(headers: Headers) -> None:
    """Refuse a search by POST that is no form in UTF-8. Raises BadRequest (415, G38)."""
    found = [value.decode("latin-1") for name, value in headers if name.lower() == b"content-type"]
    media, *parameters = (part.strip() for part in "".join(found).lower().split(";"))
    pairs = [_pair(one) for one in parameters if one]
    is_utf8 = all(pair in (("charset", "utf-8"), ("charset", "utf8")) for pair in pairs)
    if media != "application/x-www-form-urlencoded" or not is_utf8:
        raise BadRequest(
            415, "not-supported", "A search by POST takes application/x-www-form-urlencoded."
        )


def check_accept(fields: Fields) -> None:
    """Refuse a request that takes no FHIR JSON in UTF-8. Raises BadRequest (406, G38)."""
    ranges = _tokens(fields, b"accept")
    if ranges and not any(_is_json(one) for one in ranges):
        raise BadRequest(
            406, "not-supported", "Only application/fhir+json in UTF-8 is served, FHIR 4.0."
        )


def check_format(value: str) -> None:
    """The same for `_format`, which stands above Accept. Raises BadRequest (406).

    An unencoded plus sign has arrived as a space, which FHIR clients rely on.
    """
    if not _is_json(value.strip().replace(" +", "+").replace(" ", "+"), _JSON_FORMATS):
        raise BadRequest(406, "not-supported", "_format is json or application/fhir+json.")


def _has_body(fields: Fields) -> bool:
    lengths = fields.get(b"content-length", ())
    return b"transfer-encoding" in fields or any(one.strip() != b"0" for one in lengths)


def _tokens(fields: Fields, name: bytes) -> list[str]:
    values = fields.get(name)
    if values is None:
        return []
    text = b",".join(values).decode("latin-1")
    return [part.strip().lower() for part in text.split(",") if part.strip()]


def _is_json(text: str, known: frozenset[str] = _JSON_RANGES) -> bool:
    media, *parameters = (part.strip() for part in text.lower().split(";"))
    if media not in known:
        return False
    return all(_is_served(*_pair(parameter)) for parameter in parameters if parameter)


def _pair(parameter: str) -> tuple[str, str]:
    name, _, value = parameter.partition("=")
    return name.strip(), value.strip().strip('"')


def _is_served(name: str, value: str) -> bool:
    if name == "q":
        return value.strip("0.") != ""
    if name == "charset":
        return value == "utf-8"
    return name != "fhirversion" or value in ("4.0", "4.0.1")
