"""The history of one resource, in pages (FHIR R4 http 3.1.0.11)."""

from typing import Any
from urllib.parse import urlencode

import orjson

from smart.sandbox import dates
from smart.sandbox.outcome import Resource, invalid
from smart.sandbox.store import Version

_PARAMETERS = {"_count", "_since", "_offset", "_format", "_pretty"}


def page(versions: list[Version], pairs: list[tuple[str, str]], address: str) -> Resource:
    """A page of the versions, newest first; `address` is the history's own URL.

    `_count` is the size of a page, `_since` an instant, `_offset` where the page begins (this
    server's own links use it). Raises FhirError 400.
    """
    values = dict(pairs)
    if unknown := values.keys() - _PARAMETERS:
        raise invalid(f"A history takes no parameter {min(unknown)}.")
    if "_since" in values:
        since = _since(values["_since"])
        versions = [version for version in versions if version.updated >= since]
    count = _number(values, "_count", len(versions) or 1)
    offset = _number(values, "_offset", 0)
    links = [{"relation": "self", "url": address}]
    if count and offset + count < len(versions):
        query = {**values, "_offset": offset + count, "_count": count}
        links.append({"relation": "next", "url": f"{address}?{urlencode(query)}"})
    base = address.rsplit("/", 3)[0]
    shown = versions[offset : offset + count]
    bundle: Resource = {
        "resourceType": "Bundle",
        "type": "history",
        "total": len(versions),
        "link": links,
    }
    if shown:
        bundle["entry"] = [_entry(version, base) for version in shown]
    return bundle


def _since(text: str) -> int:
    try:
        return dates.parse(text).low
    except ValueError:
        raise invalid("'_since' is an instant.") from None


def _number(values: dict[str, str], name: str, default: int) -> int:
    text = values.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise invalid(f"'{name}' is a whole number, zero or more.")
    return int(text)


def _entry(version: Version, base: str) -> dict[str, Any]:
    address = f"{version.type}/{version.id}"
    status = {"POST": "201", "DELETE": "204"}.get(
        version.method, "201" if version.number == 1 else "200"
    )
    entry: dict[str, Any] = {
        "fullUrl": f"{base}/{address}",
        "request": {
            "method": version.method,
            "url": version.type if version.method == "POST" else address,
        },
        "response": {
            "status": status,
            "etag": f'W/"{version.number}"',
            "lastModified": dates.instant(version.updated),
        },
    }
    if version.body is not None:
        entry["resource"] = orjson.Fragment(version.body)
    return entry
