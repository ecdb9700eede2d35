"""A FHIR request as a value: what policy decides on and what is sent upstream (FHIR R4 http)."""

from dataclasses import dataclass
from enum import StrEnum


class FhirInteraction(StrEnum):
    """What a request asks for. All of FHIR R4's interactions are known, so each can be named."""

    CAPABILITIES = "capabilities"
    READ = "read"
    VREAD = "vread"
    SEARCH_TYPE = "search-type"
    SEARCH_POST = "search by POST"
    SEARCH_SYSTEM = "search-system"
    COMPARTMENT_SEARCH = "compartment search"
    PAGE = "further page"
    HISTORY_INSTANCE = "history-instance"
    HISTORY_TYPE = "history-type"
    HISTORY_SYSTEM = "history-system"
    CREATE = "create"
    UPDATE = "update"
    CONDITIONAL_UPDATE = "conditional update"
    PATCH = "patch"
    CONDITIONAL_PATCH = "conditional patch"
    DELETE = "delete"
    CONDITIONAL_DELETE = "conditional delete"
    OPERATION = "operation"
    BATCH = "batch"


@dataclass(frozen=True, slots=True)
class SearchParameter:
    """One `name[:modifier][.chain]=value,value`.

    `values` are the alternatives of the comma list (OR), decoded once from the URL but with
    FHIR's own escapes (`\\,`) still in place. Repeated parameters stay separate (AND).
    """

    name: str
    values: tuple[str, ...]
    modifier: str | None = None
    chain: str | None = None

    @property
    def key(self) -> str:
        """The parameter's name as it stands left of the equals sign."""
        modifier = f":{self.modifier}" if self.modifier else ""
        return f"{self.name}{modifier}{self.chain or ''}"

    @property
    def text(self) -> str:
        """The whole value, alternatives joined by commas."""
        return ",".join(self.values)


@dataclass(frozen=True, slots=True)
class FhirRequest:
    """A parsed request. `target_type` is the type searched for in a compartment, or `*`."""

    interaction: FhirInteraction
    resource_type: str | None = None
    resource_id: str | None = None
    version_id: str | None = None
    operation: str | None = None
    target_type: str | None = None
    parameters: tuple[SearchParameter, ...] = ()
    is_head: bool = False

    def named(self, name: str) -> tuple[SearchParameter, ...]:
        """All parameters of that name, in the order they came."""
        return tuple(found for found in self.parameters if found.name == name)

    def describe(self) -> str:
        """Words for messages and the audit trail: `search-type of Observation`."""
        subject = self.operation or self.target_type or self.resource_type
        return f"{self.interaction} of {subject}" if subject else str(self.interaction)
