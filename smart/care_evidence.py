"""What a FHIR server knows of who treats whom: few requests for many patients (design D16)."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from smart import upstream_search
from smart.policy.care_ties import CURRENT, tie_of
from smart.policy.clinician_access import Evidence, Tie
from smart.policy.references import Key, bases_of
from smart.upstream import Upstream, UpstreamError

#: Patients named in one request, so that its URL stays short.
BATCH: Final = 40
#: Pages of one answer that are looked through before it counts as unknown.
_PAGES: Final = 5
_PAGE_SIZE: Final = "200"


@dataclass(frozen=True, slots=True)
class Source:
    """A search that shows a tie. One of `who` must be on the server's list, and all of `others`."""

    resource_type: str
    ties: frozenset[Tie]
    who: tuple[str, ...]
    patients: str
    others: tuple[str, ...] = ()


SOURCES: Final = (
    Source("CareTeam", frozenset({Tie.CARE_TEAM}), ("participant",), "patient", ("patient",)),
    Source("Patient", frozenset({Tie.GENERAL_PRACTITIONER}), ("general-practitioner",), "_id"),
    Source(
        "Encounter",
        frozenset({Tie.CURRENT_ENCOUNTER, Tie.ENCOUNTER}),
        ("participant", "practitioner"),
        "patient",
        ("patient",),
    ),
)


@dataclass(frozen=True, slots=True)
class Server:
    """A FHIR server and, by resource type, the search parameters it lists."""

    upstream: Upstream
    search_params: Mapping[str, frozenset[str]]

    @classmethod
    def of(cls, upstream: Upstream, capabilities: Mapping[str, Any]) -> "Server":
        """By the capabilities that the healthcare module keeps."""
        listed = {
            kind: frozenset(said.get("search_params", ())) for kind, said in capabilities.items()
        }
        return cls(upstream, listed)

    def parameter_for(self, source: Source, who: Key) -> str | None:
        """The parameter that names the practitioner, or None where the server lacks what it needs.

        `practitioner` finds Practitioners only.
        """
        listed = self.search_params.get(source.resource_type, frozenset())
        if not listed.issuperset(source.others):
            return None
        usable = [
            name
            for name in source.who
            if name in listed and (name != "practitioner" or who[0] == "Practitioner")
        ]
        return usable[0] if usable else None


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


async def _ask(
    server: Server,
    source: Source,
    who: Key,
    patients: Sequence[str],
    wanted: frozenset[Tie],
    now: datetime,
) -> _Answer:
    asked, found = frozenset(patients), set[tuple[str, Tie]]()
    name = server.parameter_for(source, who)
    if name is None:
        lacking = f"the FHIR server does not search {source.resource_type} by its practitioners"
        return _Answer(asked, frozenset(), lacking)
    params = [
        (name, f"{who[0]}/{who[1]}"),
        (source.patients, ",".join(patients)),
        *_narrowed(server, source, wanted),
        ("_count", _PAGE_SIZE),
    ]
    bases = bases_of(server.upstream.base_url)
    unknown = ""
    try:
        pages = upstream_search.pages(server.upstream, source.resource_type, params, most=_PAGES)
        async for page in pages:
            shown = (tie_of(resource, who, bases, now) for resource in page.resources)
            found |= {one for one in shown if one and one[0] in asked and one[1] in wanted}
            if asked <= {patient for patient, _ in found}:
                break
            unknown = "" if page.following is None else _too_many(source)
    except UpstreamError as error:
        unknown = f"{source.resource_type}: {str(error).rstrip('.')}"
    return _Answer(asked, frozenset(found), unknown)


def _too_many(source: Source) -> str:
    return f"the FHIR server has too many {source.resource_type} resources to look through"


def _narrowed(server: Server, source: Source, wanted: frozenset[Tie]) -> Sequence[tuple[str, str]]:
    """Only what can show a tie, where the server can tell it apart."""
    if "status" not in server.search_params.get(source.resource_type, ()):
        return ()
    if source.resource_type == "CareTeam":
        return (("status", "active"),)
    if source.resource_type == "Encounter" and Tie.ENCOUNTER not in wanted:
        return (("status", ",".join(sorted(CURRENT))),)
    return ()
