"""Conditions of a write in its headers: honoured or refused, never passed over (G23, G24).

RFC 9110 13, FHIR R4 http 3.1.0.4.1, 3.1.0.8.1.
"""

import re
from typing import Final

from smart.gateway.headers import Headers
from smart.gateway.outcomes import BadRequest
from smart.policy.facts import Deny
from smart.policy.request import FhirInteraction, FhirRequest

_NOT_OFFERED: Final = (b"if-none-match", b"if-unmodified-since", b"if-modified-since")
_tags = re.compile(r'(?:\s*(?:W/)?"[\x21\x23-\x7e]*"\s*(?:,|\Z))+').fullmatch
_tag = re.compile(r'"([\x21\x23-\x7e]*)"')

#: A whole entity tag as RFC 9110 8.8.3 has it, of a length to keep.
is_etag: Final = re.compile(r'(?:W/)?"[\x21\x23-\x7e]{1,200}"').fullmatch


def refusal(request: FhirRequest, headers: Headers) -> Deny | None:
    """403 for a conditional create, which is not offered (G23, SCOP-26)."""
    if _values(headers, b"if-none-exist"):
        reason = f"This server does not offer conditional {request.interaction}."
        return Deny(403, "interaction.offered", reason, "not-supported")
    return None


def check(request: FhirRequest, headers: Headers) -> None:
    """Refuse conditions that are not offered or malformed. Raises BadRequest (400)."""
    for name in _NOT_OFFERED:
        if _values(headers, name):
            text = f"{name.decode()} is not offered on writes; use if-match."
            raise BadRequest(400, "not-supported", text)
    wanted = _values(headers, b"if-match")
    if not wanted:
        return
    if request.interaction is FhirInteraction.CREATE:
        raise BadRequest(400, "invalid", "A create takes no if-match.")
    joined = ",".join(wanted)
    if joined.strip() != "*" and not _tags(joined):
        raise BadRequest(400, "invalid", 'if-match is of the form W/"3".')


def is_wanted(headers: Headers, etag: str) -> bool:
    """Whether the app's If-Match, if it sent one, admits the version that stands.

    FHIR's entity tags are weak and are compared by what is between the quotation marks.
    """
    joined = ",".join(_values(headers, b"if-match"))
    if not joined or joined.strip() == "*":
        return True
    standing = _tag.search(etag)
    return standing is not None and standing[1] in _tag.findall(joined)


def _values(headers: Headers, name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in headers if key.lower() == name]
