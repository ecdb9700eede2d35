"""Judging what comes back, resource by resource, before any byte leaves (security-checklist 4).

Rule b, G11-G15, G34, G39, G42. A resource passes when it is of a type that may leave, belongs to
the patient, and matches one of the scopes. A bundle is taken apart into raw bytes and put together
again from the entries that passed; nothing else of it is kept.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import orjson

from smart.gateway import strict_json
from smart.gateway.outcomes import UpstreamFault, operation_outcome
from smart.gateway.rewrite import Rewriter
from smart.policy.compartment import (
    BY_TARGETS,
    Known,
    contains_nobody_else,
    needed_patients,
)
from smart.policy.facts import Access, UserAccess
from smart.policy.references import Key, is_id
from smart.scopes import match

_NONE_KNOWN: Final[Known] = {}
_MORE: Final = (
    "There are more matches than this server can return in one answer. Narrow the search."
)


class _Search(msgspec.Struct):
    mode: str = "match"


class _Link(msgspec.Struct):
    relation: str
    url: str


class _Entry(msgspec.Struct):
    resource: msgspec.Raw = msgspec.Raw(b"null")
    search: _Search = msgspec.field(default_factory=_Search)


class _Bundle(msgspec.Struct):
    resourceType: str  # noqa: N815 - FHIR's own spelling
    type: str
    link: list[_Link] = []
    entry: list[_Entry] = []


_decode_bundle: Final = msgspec.json.Decoder(_Bundle).decode


@dataclass(frozen=True, slots=True)
class Page:
    """Where a searchset stands: this page's public URL, and how to link to the next one.

    `seal` turns the upstream's `next` URL into a link of this server that shows nothing of it
    (G34). Without it the page ends in a warning that there is more. `is_first` is false for the
    pages that such links lead to.
    """

    self_url: str
    seal: Callable[[str], str] | None = None
    is_first: bool = True


@dataclass(frozen=True, slots=True)
class GatedBundle:
    """A searchset ready to send: its bytes, how many entries stayed and how many were dropped."""

    body: bytes
    kept: tuple[Key, ...]
    dropped: int


@dataclass(frozen=True, slots=True)
class _Kept:
    key: Key
    raw: bytes
    mode: str


def judge(
    resource: object, access: Access, known: Known = _NONE_KNOWN, *, is_included: bool = False
) -> bool:
    """Whether a parsed resource may leave: at one of the levels it has to be in reach, and to
    match the scopes of that level.

    `known` are the other resources of the answer with the patients they are about, for Provenance
    and Binary (see `compartment.subjects_of`). `is_included` marks what an include brought.
    """
    if not isinstance(resource, dict):
        return False
    resource_type, resource_id = resource.get("resourceType"), resource.get("id")
    if not isinstance(resource_type, str) or not is_id(resource_id):
        return False
    if access.only is not None and (resource_type, resource_id) != access.only:
        return False
    if access.is_own_user:
        return contains_nobody_else(resource, access.patient, access.bases)
    patients = needed_patients(resource, access.bases, known)
    if patients is None:
        return False
    if patients <= {access.patient} and _admits(access, resource, is_included):
        return True
    user = access.user
    return user is not None and user.reach.opens(patients) and _admits(user, resource, is_included)


def _admits(level: Access | UserAccess, resource: dict[str, Any], is_included: bool) -> bool:
    resource_type = resource["resourceType"]
    if is_included:
        sets = level.included.get(resource_type, ())
        return bool(sets) and all(match.admits_any(scopes, resource) for scopes in sets)
    return match.admits_any(level.scopes.get(resource_type, ()), resource)


def gate_read(
    body: bytes, access: Access, rewriter: Rewriter, max_bytes: int, known: Known = _NONE_KNOWN
) -> bytes | None:
    """The resource to send, or None for a 404. Raises UpstreamFault for a 502.

    `max_bytes` bounds the upstream's body.
    """
    _check_size(body, max_bytes)
    if not judge(_loads(body), access, known):
        return None
    return rewriter.json(body)


def judge_bundle(
    body: bytes, access: Access, rewriter: Rewriter, page: Page, max_bytes: int
) -> GatedBundle:
    """The searchset with only what may leave. Raises UpstreamFault for a 502.

    `total` is there only when it is the gateway's own count of a whole result (one page, G15):
    the upstream's count would tell about resources that were left out.
    """
    _check_size(body, max_bytes)
    bundle = _parsed(body)
    kept, dropped = _sift(bundle.entry, access)
    onward = [link.url for link in bundle.link if link.relation == "next"]
    links = [{"relation": "self", "url": page.self_url}]
    if onward and page.seal is not None:
        links.append({"relation": "next", "url": page.seal(onward[0])})
    parts = [_entry(one, rewriter) for one in kept]
    if onward and page.seal is None:
        parts.append(_warning())
    head: dict[str, object] = {"resourceType": "Bundle", "type": "searchset"}
    if page.is_first and not onward:
        head["total"] = sum(one.mode == "match" for one in kept)
    head["link"] = links
    text = rewriter.json(orjson.dumps(head))
    if parts:
        text = text[:-1] + b',"entry":[' + b",".join(parts) + b"]}"
    return GatedBundle(text, tuple(one.key for one in kept), dropped)


def _sift(entries: list[_Entry], access: Access) -> tuple[list[_Kept], int]:
    """The entries that may leave, in order, and the number of those that may not."""
    parsed = [(entry, _resource(entry)) for entry in entries if entry.search.mode != "outcome"]
    known = _known([resource for _, resource in parsed], access)
    kept = [
        _Kept((resource["resourceType"], resource["id"]), bytes(entry.resource), _mode(entry))
        for entry, resource in parsed
        if judge(resource, access, known, is_included=_mode(entry) == "include")
    ]
    return kept, len(parsed) - len(kept)


def _resource(entry: _Entry) -> Any:
    """The parsed resource; None, which no judge lets pass, for one that is no clean JSON."""
    try:
        return strict_json.loads(bytes(entry.resource))
    except ValueError:
        return None


def _known(resources: list[Any], access: Access) -> Known:
    """The patients of a page's resources, where some entry belongs by what it points to."""
    found = [one for one in resources if isinstance(one, dict) and is_id(one.get("id"))]
    if not any(str(one.get("resourceType")) in BY_TARGETS for one in found):
        return _NONE_KNOWN
    patients = {
        (str(one["resourceType"]), one["id"]): needed_patients(one, access.bases) for one in found
    }
    return {key: needed for key, needed in patients.items() if needed}


def _mode(entry: _Entry) -> str:
    return "include" if entry.search.mode == "include" else "match"


def _entry(kept: _Kept, rewriter: Rewriter) -> bytes:
    full_url = orjson.dumps(f"{rewriter.public.decode()}/{kept.key[0]}/{kept.key[1]}")
    mode = orjson.dumps({"mode": kept.mode})
    resource = rewriter.json(kept.raw)
    return b'{"fullUrl":' + full_url + b',"resource":' + resource + b',"search":' + mode + b"}"


def _warning() -> bytes:
    outcome = operation_outcome("incomplete", _MORE, "warning")
    return orjson.dumps({"resource": outcome, "search": {"mode": "outcome"}})


def _check_size(body: bytes, max_bytes: int) -> None:
    if len(body) > max_bytes:
        raise UpstreamFault("the answer is too large")


def _parsed(body: bytes) -> _Bundle:
    try:
        bundle = _decode_bundle(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise UpstreamFault("the answer is not a Bundle") from None
    if bundle.resourceType != "Bundle" or bundle.type != "searchset":
        raise UpstreamFault("the answer is not a searchset")
    return bundle


def _loads(raw: bytes) -> Any:
    try:
        return strict_json.loads(raw)
    except ValueError:
        raise UpstreamFault("the answer is not valid JSON") from None
