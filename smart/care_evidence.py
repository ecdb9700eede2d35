"""What a FHIR server knows of who treats whom: few requests for many patients (design D16)."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from smart import activation, upstream, upstream_search
from smart.policy.care_ties import CURRENT, tie_of
from smart.policy.clinician_access import Evidence, Tie
from smart.policy.references import Key, bases_of
from smart.upstream import Upstream, UpstreamError

#: Patients named in one request, so that its URL stays short.
BATCH: Final = 40
#: Pages of one answer that are looked through before it counts as unknown.
_PAGES: Final = 5
_PANEL_PAGES: Final = 25
_PAGE_SIZE: Final = "200"


@dataclass(frozen=True, slots=True)
class Source:
    """A search that shows ties: by one of the parameters `who`, and by patient."""

    resource_type: str
    ties: frozenset[Tie]
    who: tuple[str, ...]
    patients: str


SOURCES: Final = (
    Source("CareTeam", frozenset({Tie.CARE_TEAM}), ("participant",), "patient"),
    Source("Patient", frozenset({Tie.GENERAL_PRACTITIONER}), ("general-practitioner",), "_id"),
    Source(
        "Encounter",
        frozenset({Tie.CURRENT_ENCOUNTER, Tie.ENCOUNTER}),
        ("participant", "practitioner"),
        "patient",
    ),
)


@dataclass(frozen=True, slots=True)
class Server:
    """A FHIR server and, by resource type, the search parameters it lists."""

    upstream: Upstream
    search_params: Mapping[str, frozenset[str]]

    @classmethod
    def of(cls, server: Upstream, capabilities: Mapping[str, Any]) -> "Server":
        """By the capabilities that the healthcare module keeps."""
        listed = {
            kind: frozenset(said.get("search_params", ())) for kind, said in capabilities.items()
        }
        return cls(server, listed)

    def searches(self, resource_type: str, name: str) -> bool:
        """Does the server list the parameter? `_id` it need not list (FHIR R4 3.1.1.3.1)."""
        return name == "_id" or name in self.search_params.get(resource_type, ())

    def practitioner_parameter(self, source: Source, who: Key) -> str | None:
        """The parameter that names the practitioner; `practitioner` finds no roles."""
        for name in source.who:
            is_apt = name != "practitioner" or who[0] == "Practitioner"
            if is_apt and self.searches(source.resource_type, name):
                return name
        return None


def connected() -> Server:
    """The bound tenant's server. Raises NotActiveError, UpstreamError."""
    server, module = upstream.resolve(), activation.module()
    return Server.of(server, module.capabilities if module else {})


async def gather(
    server: Server, who: Key, patients: Collection[str], ties: Collection[Tie], now: datetime
) -> dict[str, Evidence]:
    """The evidence for each patient, looking only for these ties.

    What cannot be asked, or was not answered, is told in the evidence: it never raises for it.
    """
    sources = [source for source in SOURCES if source.ties & set(ties)]
    ordered = sorted(patients)
    batches = [ordered[start : start + BATCH] for start in range(0, len(ordered), BATCH)]
    answers = await asyncio.gather(
        *(
            _ask(server, source, who, batch, frozenset(ties), now)
            for source in sources
            for batch in batches
        )
    )
    return {patient: _merged(patient, answers) for patient in ordered}


@dataclass(frozen=True, slots=True)
class _Answer:
    """What one search showed of its patients; `unknown` where it did not show all."""

    patients: frozenset[str]
    ties: frozenset[tuple[str, Tie]]
    unknown: str = ""


def _merged(patient: str, answers: Sequence[_Answer]) -> Evidence:
    about = [answer for answer in answers if patient in answer.patients]
    return Evidence(
        frozenset(tie for answer in about for one, tie in answer.ties if one == patient),
        tuple(answer.unknown for answer in about if answer.unknown),
    )


async def panel(
    server: Server, who: Key, ties: Collection[Tie], now: datetime
) -> tuple[frozenset[str], tuple[str, ...]]:
    """All patients that one of these ties leads to, and why there may be more of them."""
    sources = [source for source in SOURCES if source.ties & set(ties)]
    answers = await asyncio.gather(
        *(_ask(server, source, who, None, frozenset(ties), now) for source in sources)
    )
    patients = frozenset(patient for answer in answers for patient, _ in answer.ties)
    return patients, tuple(answer.unknown for answer in answers if answer.unknown)


async def _ask(
    server: Server,
    source: Source,
    who: Key,
    patients: Sequence[str] | None,
    wanted: frozenset[Tie],
    now: datetime,
) -> _Answer:
    """What a source shows of these patients, or of whomever it names where none are given."""
    asked = frozenset(patients or ())
    query = _query(server, source, who, patients, wanted)
    if query is None:
        lacking = f"the FHIR server does not search {source.resource_type} by its practitioners"
        return _Answer(asked, frozenset(), lacking)
    bases, found, unknown = bases_of(server.upstream.base_url), set[tuple[str, Tie]](), ""
    most = _PANEL_PAGES if patients is None else _PAGES
    try:
        pages = upstream_search.pages(server.upstream, source.resource_type, query, most=most)
        async for page in pages:
            shown = (tie_of(resource, who, bases, now) for resource in page.resources)
            found |= {one for one in shown if one and one[1] in wanted}
            unknown = "" if page.following is None else _too_many(source)
            if asked and asked <= {patient for patient, _ in found}:
                break
    except UpstreamError as error:
        unknown = f"{source.resource_type}: {str(error).rstrip('.')}"
    return _Answer(asked, frozenset(found), unknown)


def _query(
    server: Server,
    source: Source,
    who: Key,
    patients: Sequence[str] | None,
    wanted: frozenset[Tie],
) -> list[tuple[str, str]] | None:
    """The search, or None where the server lacks a parameter it needs."""
    name = server.practitioner_parameter(source, who)
    if name is None or not server.searches(source.resource_type, source.patients):
        return None
    return [
        (name, f"{who[0]}/{who[1]}"),
        *([] if patients is None else [(source.patients, ",".join(patients))]),
        *_narrowed(server, source, wanted),
        ("_count", _PAGE_SIZE),
    ]


def _too_many(source: Source) -> str:
    return f"the FHIR server has too many {source.resource_type} resources to look through"


def _narrowed(server: Server, source: Source, wanted: frozenset[Tie]) -> list[tuple[str, str]]:
    """Only what can show a tie, where the server can tell it apart."""
    if not server.searches(source.resource_type, "status"):
        return []
    if source.resource_type == "CareTeam":
        return [("status", "active")]
    if source.resource_type == "Encounter" and Tie.ENCOUNTER not in wanted:
        return [("status", ",".join(sorted(CURRENT)))]
    return []
