"""What the pickers list: patients the person may open, and visits of one patient (STND-02 to -05).

Names are health information, so a page holds few of them, and only of patients whom the rule of
design D16 lets this person open.
"""

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final
from uuid import UUID

from authfi.crypto import keyring
from authfi.lib.tenancy import TenantRef
from smart import access, record_lines, upstream_search
from smart.access import Person
from smart.care_evidence import Server
from smart.policy.clinician_access import Verdict
from smart.policy.references import bases_of, is_id
from smart.record_lines import PatientLine, VisitLine

PAGE_SIZE: Final = 20
MAX_WORDS: Final = 5
#: Patients of a panel that one request to the server names, and requests made for one page.
_BATCH: Final = 50
_BATCHES: Final = 20
_VOID: Final = frozenset({"cancelled", "entered-in-error"})

Params = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Criteria:
    """What was typed; empty members are not searched for. `born` is a date as FHIR writes it."""

    name: str = ""
    born: str = ""
    mrn: str = ""

    def params(self) -> Params:
        """As FHIR search parameters: every word of a name must match (FHIR R4 3.1.1.4)."""
        found = [("name", _escaped(word)) for word in self.name.split()[:MAX_WORDS]]
        if self.born:
            found.append(("birthdate", self.born))
        if self.mrn:
            found.append(("identifier", _escaped(self.mrn)))
        return found


#: The search parameter that each field of the form needs.
PARAMETER_OF: Final = {"name": "name", "born": "birthdate", "mrn": "identifier"}


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a page begins: at a page of the FHIR server's, or within the person's panel.

    It brings what was typed along, so that no name stands in a URL (O20).
    """

    criteria: Criteria = Criteria()
    page: int = 1
    path: str = ""
    query: str = ""
    start: int = 0
    skip: int = 0


FIRST: Final = Cursor()


class BadCursorError(ValueError):
    """The cursor was not made here, or for another request."""


@dataclass(frozen=True, slots=True)
class Found:
    """A page of patients, each with the verdict that lets it be shown.

    `unknown` says why there may be more patients than can be found.
    """

    lines: list[PatientLine]
    verdicts: Mapping[str, Verdict]
    following: Cursor | None
    unknown: tuple[str, ...] = ()


def seal(cursor: Cursor, request_id: UUID) -> str:
    """A cursor for a URL: whoever holds it can neither read nor change it."""
    sealed = keyring.seal(json.dumps(asdict(cursor)).encode(), "picker", "cursor", request_id)
    return base64.urlsafe_b64encode(sealed).decode().rstrip("=")


def unseal(text: str, request_id: UUID) -> Cursor:
    """The cursor of a URL; none is the first page. Raises BadCursorError."""
    if not text:
        return FIRST
    try:
        sealed = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        said = json.loads(keyring.open_sealed(sealed, "picker", "cursor", request_id))
        return Cursor(**{**said, "criteria": Criteria(**said["criteria"])})
    except ValueError as error:
        raise BadCursorError("the cursor is not one of this request") from error


async def patients(tenant: TenantRef, person: Person, server: Server, cursor: Cursor) -> Found:
    """A page of the patients who match and whom the person may open.

    Where the rule opens every record the whole server is searched, else the person's own panel, so
    that few requests do. Raises UpstreamError.
    """
    if await access.is_unbounded(tenant, person):
        resources, following = await _everywhere(server, cursor)
        unknown: tuple[str, ...] = ()
    else:
        panel = await access.panel(tenant, person)
        resources, following = await _in_panel(server, panel.patients, cursor)
        unknown = panel.unknown
    lines = [line for line in map(record_lines.patient_line, resources) if is_id(line.id)]
    verdicts = await access.openable(tenant, person, [line.id for line in lines])
    shown = [line for line in lines if verdicts[line.id].allowed]
    if following is not None:
        following = replace(following, page=cursor.page + 1, criteria=cursor.criteria)
    return Found(shown, verdicts, following, unknown)


async def _everywhere(server: Server, cursor: Cursor) -> tuple[list[dict[str, Any]], Cursor | None]:
    if cursor.query or cursor.path:
        following = cursor.path, cursor.query
        page = await upstream_search.further(server.upstream, "Patient", following)
    else:
        params = [*cursor.criteria.params(), *_sorted(server, "Patient", "family", "family")]
        page = await upstream_search.page(
            server.upstream, "Patient", [*params, ("_count", str(PAGE_SIZE))]
        )
    return page.resources, _cursor(page)


def _cursor(page: upstream_search.Page) -> Cursor | None:
    if page.following is None:
        return None
    path, query = page.following
    return Cursor(path=path, query=query)


async def _in_panel(
    server: Server, panel: tuple[str, ...], cursor: Cursor
) -> tuple[list[dict[str, Any]], Cursor | None]:
    """The matches among these patients, from where the cursor stands; batch after batch."""
    found: list[dict[str, Any]] = []
    start, skip = cursor.start, cursor.skip
    for _ in range(_BATCHES):
        if start >= len(panel):
            return found, None
        matches = await _of_batch(server, panel[start : start + _BATCH], cursor.criteria)
        fresh = matches[skip:]
        wanted = PAGE_SIZE - len(found)
        found += fresh[:wanted]
        if len(fresh) > wanted:
            return found, Cursor(start=start, skip=skip + wanted)
        start, skip = start + _BATCH, 0
        if len(found) == PAGE_SIZE:
            break
    return found, Cursor(start=start) if start < len(panel) else None


async def _of_batch(
    server: Server, batch: tuple[str, ...], criteria: Criteria
) -> list[dict[str, Any]]:
    """Those of a few patients who match, by name; each once, whatever the server adds."""
    params = [("_id", ",".join(batch)), *criteria.params(), ("_count", str(_BATCH))]
    page = await upstream_search.page(server.upstream, "Patient", params)
    by_id = {one.get("id"): one for one in page.resources if one.get("id") in batch}
    return sorted(by_id.values(), key=lambda one: _by_name(record_lines.patient_line(one)))


def _by_name(line: PatientLine) -> tuple[str, str]:
    return line.name.rpartition(" ")[2].casefold(), line.name.casefold()


async def visits(
    server: Server, patient: str, cursor: Cursor
) -> tuple[list[VisitLine], Cursor | None]:
    """A page of a patient's encounters, the newest first. Raises UpstreamError.

    None where the server does not search them by patient.
    """
    if not server.searches("Encounter", "patient"):
        return [], None
    if cursor.query or cursor.path:
        following = cursor.path, cursor.query
        page = await upstream_search.further(server.upstream, "Encounter", following)
    else:
        params = [("patient", patient), *_sorted(server, "Encounter", "date", "-date")]
        page = await upstream_search.page(
            server.upstream, "Encounter", [*params, ("_count", str(PAGE_SIZE))]
        )
    own = [one for one in page.resources if is_visit_of(one, patient, server)]
    following_cursor = _cursor(page)
    if following_cursor is not None:
        following_cursor = replace(following_cursor, page=cursor.page + 1)
    return record_lines.visit_lines(own), following_cursor


def is_visit_of(encounter: Mapping[str, Any], patient: str, server: Server) -> bool:
    """Is this an encounter of the patient, and one that took or takes place (STND-04)?"""
    subject = encounter.get("subject")
    literal = subject.get("reference") if isinstance(subject, Mapping) else None
    if not isinstance(literal, str) or not is_id(encounter.get("id")):
        return False
    found = bases_of(server.upstream.base_url).resolve(literal)
    return found == ("Patient", patient) and encounter.get("status") not in _VOID


def _sorted(server: Server, resource_type: str, parameter: str, order: str) -> Params:
    return [("_sort", order)] if server.searches(resource_type, parameter) else []


def _escaped(text: str) -> str:
    """A value with the signs that FHIR searches read in their own way escaped (R4 3.1.1.4.0.1)."""
    return re.sub(r"([\\,$|])", r"\\\1", text)
