"""What a FHIR Reference names: one patient, someone else, or nobody (security-checklist 4, G11).

FHIR R4 references 2.3.0.1. Everything that cannot be shown to be harmless counts as naming
another patient: a foreign host, a URN, a conditional or identifier-only reference.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from functools import lru_cache
from typing import Any, Final
from urllib.parse import urlsplit

from smart.scopes.resource_types import RESOURCE_TYPES

ID_PATTERN: Final = r"(?!\.{1,2}(?![A-Za-z0-9.\-]))[A-Za-z0-9.\-]{1,64}"
_TYPE_AND_ID: Final = rf"([A-Z][A-Za-z]{{1,63}})/({ID_PATTERN})(?:/_history/{ID_PATTERN})?"
_relative = re.compile(_TYPE_AND_ID).fullmatch
_any_server = re.compile(rf"https?://[^\s?#]+/{_TYPE_AND_ID}").fullmatch
_is_id = re.compile(ID_PATTERN).fullmatch
_is_printable = re.compile(r"[\x21-\x7e]+").fullmatch
_TYPE_URL: Final = "http://hl7.org/fhir/StructureDefinition/"
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}

#: A resource by type and id.
Key = tuple[str, str]


class Naming(Enum):
    """What a reference names that is no patient of this server known by id."""

    NOBODY = auto()
    UNTOLD = auto()


def is_id(text: object) -> bool:
    """Whether this is a FHIR id (R4 datatypes `id`), without `.` and `..` (G9)."""
    return isinstance(text, str) and _is_id(text) is not None


def _normalised(url: str) -> str | None:
    """Scheme and host in lower case, default port and trailing slash gone; None if no plain URL."""
    if not _is_printable(url):  # urlsplit would silently remove line breaks and tabs
        return None
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname or "?" in url or "#" in url:
        return None
    if "@" in parts.netloc:
        return None
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    shown = "" if port in (None, _DEFAULT_PORTS[parts.scheme]) else f":{port}"
    return f"{parts.scheme}://{host}{shown}{parts.path.rstrip('/')}"


@dataclass(frozen=True, slots=True)
class Bases:
    """The base URLs under which resources of this server are known, normalised."""

    urls: tuple[str, ...]

    def resolve(self, text: str) -> Key | None:
        """The type and id of a literal reference on this server, version stripped, else None."""
        match = _relative(text)
        if match is None and "://" in text:
            match = _relative(self._below(text) or "")
        if match is None or match[1] not in RESOURCE_TYPES:
            return None
        return match[1], match[2]

    def patient_named(self, reference: object, contained: Mapping[str, str]) -> str | Naming:
        """The id of the patient a Reference names; NOBODY, or UNTOLD where it cannot be told.

        `contained` maps the local ids around it to their types.
        """
        if not isinstance(reference, dict):
            return Naming.UNTOLD
        literal = reference.get("reference")
        if literal is None:
            return _naming_without_literal(reference)
        if not isinstance(literal, str):
            return Naming.UNTOLD
        found = self._literal(literal, contained)
        declared = _declared_type(reference)
        # A `type` that contradicts the literal may be what another reader believes.
        if isinstance(found, str) and declared not in (None, "Patient"):
            return Naming.UNTOLD
        if found is Naming.NOBODY and declared == "Patient":
            return Naming.UNTOLD
        return found

    def _literal(self, literal: str, contained: Mapping[str, str]) -> str | Naming:
        if literal.startswith("#"):
            local = contained.get(literal[1:], "Patient")
            return Naming.UNTOLD if local == "Patient" else Naming.NOBODY
        key = self.resolve(literal)
        if key is not None and key[0] == "Patient":
            return key[1]
        named = key[0] if key else found_type(literal)
        return Naming.UNTOLD if named is None or named == "Patient" else Naming.NOBODY

    def _below(self, text: str) -> str | None:
        url = _normalised(text)
        for base in self.urls:
            if url and url.startswith(base + "/"):
                return url[len(base) + 1 :]
        return None


@lru_cache(maxsize=4096)
def bases_of(*urls: str) -> Bases:
    """Bases from absolute http or https URLs. Raises ValueError for anything else."""
    normalised = tuple(_normalised(url) for url in urls)
    if None in normalised:
        raise ValueError("a FHIR base is an absolute http or https URL")
    return Bases(tuple(url for url in normalised if url))


def found_type(literal: str) -> str | None:
    """The resource type a literal reference shows, on whatever server; None if it shows none."""
    match = _relative(literal) or _any_server(literal)
    return match[1] if match and match[1] in RESOURCE_TYPES else None


def _declared_type(reference: dict[str, Any]) -> str | None:
    declared = reference.get("type")
    if declared is None:
        return None
    return declared.removeprefix(_TYPE_URL) if isinstance(declared, str) else "Patient"


def _naming_without_literal(reference: dict[str, Any]) -> Naming:
    """Identifier-only references never own; without a type they may mean anyone."""
    declared = _declared_type(reference)
    if declared is not None:
        return Naming.UNTOLD if declared == "Patient" else Naming.NOBODY
    return Naming.UNTOLD if "identifier" in reference else Naming.NOBODY
