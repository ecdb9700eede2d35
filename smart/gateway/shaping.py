"""`_summary` and `_elements`, applied to what leaves (security-checklist G14; FHIR R4 3.1.1.5.8).

A resource is taken apart into the raw text of its members, so that numbers keep the precision
they were written with, and put together again from those that stay. It is then marked SUBSETTED,
so that nobody stores it as if it were whole.
"""

from typing import Any, Final

import msgspec
import orjson

from smart.gateway.outcomes import UpstreamFault
from smart.policy.shape import Shape

_SUBSETTED: Final = {
    "system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue",
    "code": "SUBSETTED",
    "display": "subsetted",
}
_Members = dict[str, msgspec.Raw]
_members: Final = msgspec.json.Decoder(_Members).decode


def shaped(raw: bytes, resource_type: str, shape: Shape) -> bytes:
    """A resource (JSON object of an R4 type) with the members that the shape leaves in it."""
    if shape.is_whole:
        return raw
    members = _taken_apart(raw)
    kept = {
        name: bytes(value) for name, value in members.items() if shape.shows(resource_type, name)
    }
    kept["meta"] = _marked(kept.get("meta", b"{}"))
    order = ["resourceType", "id", "meta", *(name for name in kept if name not in _FIRST)]
    return _object({name: kept[name] for name in order})


_FIRST: Final = ("resourceType", "id", "meta")


def _marked(meta: bytes) -> bytes:
    members = {name: bytes(value) for name, value in _taken_apart(meta).items()}
    found: Any = orjson.loads(members.get("tag", b"[]"))
    tags = found if isinstance(found, list) else []
    members["tag"] = orjson.dumps([*tags, _SUBSETTED])
    return _object(members)


def _taken_apart(raw: bytes) -> _Members:
    try:
        return _members(raw)
    except msgspec.DecodeError:
        raise UpstreamFault("a resource is not of the form it should have") from None


def _object(members: dict[str, bytes]) -> bytes:
    pairs = (orjson.dumps(name) + b":" + value for name, value in members.items())
    return b"{" + b",".join(pairs) + b"}"
