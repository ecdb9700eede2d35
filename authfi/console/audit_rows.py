"""Events of the trail as a person reads them: sealed details opened, names for ids (D7, D10)."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.utils.translation import gettext as _

from audit import chain
from audit.events import Outcome, describe
from audit.models import AuditEvent
from authfi.accounts.models import User
from authfi.crypto.envelope import SealBrokenError
from smart.models import Application

#: Kinds of events that a rule let through; of others one says that they were done.
_DECIDED = ("fhir.", "launch.", "token.")
_BROWSERS = (
    ("Edg/", "Edge"),
    ("OPR/", "Opera"),
    ("Firefox/", "Firefox"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
)
_SYSTEMS = (
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
)
_SHORT = 40


@dataclass(frozen=True, slots=True)
class Names:
    """What ids are called in the bound tenant: people by account id, apps by client_id."""

    people: Mapping[str, str]
    apps: Mapping[str, str]

    def person(self, account_id: str) -> str:
        """A person's name, or that there is no such account any more."""
        return self.people.get(account_id) or _("Former account %(id)s") % {"id": account_id[:8]}

    def app(self, client_id: str) -> str:
        """An app's name, or its client_id."""
        return self.apps.get(client_id) or client_id


@dataclass(frozen=True, slots=True)
class Row:
    """One event, in words. `details` is empty where the seal is broken (`is_opened`)."""

    event: AuditEvent
    details: Mapping[str, Any]
    is_opened: bool
    iso: str
    who: str
    who_note: str
    behalf: str
    what: str
    object: str
    why: str
    rule: str
    patient: str
    app: str
    ip: str
    agent: str
    tone: str
    result: str


def rows_of(events: Sequence[AuditEvent]) -> tuple[list[Row], Names]:
    """Events in words, and the names used: two statements, however many events."""
    opened = [(event, *_opened(event)) for event in events]
    names = Names(
        people=_people(_account_ids(details for _event, details, _is_opened in opened)),
        apps=dict(Application.objects.order_by("name").values_list("client_id", "name")),
    )
    return [_row(event, details, is_opened, names) for event, details, is_opened in opened], names


def short_agent(user_agent: str) -> str:
    """A browser and its system in two words; of other programs the first word."""
    browser = next((name for mark, name in _BROWSERS if mark in user_agent), "")
    if not browser or not user_agent.startswith("Mozilla/"):
        return user_agent.partition(" ")[0][:_SHORT]
    system = next((name for mark, name in _SYSTEMS if mark in user_agent), "")
    return f"{browser}, {system}" if system else browser


def _opened(event: AuditEvent) -> tuple[Mapping[str, Any], bool]:
    try:
        return event.details, True
    except SealBrokenError:
        # Somebody changed the row in the database: it is shown as what it is.
        return {}, False


def _account_ids(all_details: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    for details in all_details:
        if details.get("actor", {}).get("type") == "person":
            yield details["actor"]["id"]
        yield details.get("on_behalf_of", "")
        kind, _slash, account_id = details.get("object", "").partition("/")
        if kind == "User":
            yield account_id


def _people(account_ids: Iterable[str]) -> dict[str, str]:
    ids = {account_id for account_id in account_ids if _is_uuid(account_id)}
    return {str(user.pk): user.name for user in User.objects.filter(pk__in=ids).only("name")}


def _is_uuid(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False


def _row(event: AuditEvent, details: Mapping[str, Any], is_opened: bool, names: Names) -> Row:
    who, who_note = _actor(details.get("actor", {}), names)
    tone, result = _result(event)
    patient = details.get("patient", "").removeprefix("Patient/")
    behalf = details.get("on_behalf_of", "")
    return Row(
        event=event,
        details=details,
        is_opened=is_opened,
        iso=chain.rfc3339(event.at),
        who=who,
        who_note=who_note,
        behalf=names.person(behalf) if behalf else "",
        what=describe(event.code),
        object=_object(details.get("object", ""), names),
        why=_why(details),
        rule=details.get("rule", ""),
        patient=f"Patient/{patient}" if patient else "",
        app=names.app(event.client_id) if event.client_id else "",
        ip=details.get("ip", ""),
        agent=short_agent(details.get("user_agent", "")),
        tone=tone,
        result=result,
    )


def _actor(actor: Mapping[str, Any], names: Names) -> tuple[str, str]:
    """A name, and what kind of actor bears it."""
    match actor.get("type"):
        case "person":
            return names.person(actor["id"]), ", ".join(actor["roles"])
        case "client":
            return names.app(actor["id"]), _("app")
        case "system":
            return _("System"), actor["id"]
        case "anonymous":
            return _("Somebody unknown"), ""
    return _("Cannot be read"), ""


def _object(name: str, names: Names) -> str:
    kind, _slash, account_id = name.partition("/")
    return names.person(account_id) if kind == "User" else name


def _why(details: Mapping[str, Any]) -> str:
    """The reason, or what was left out of the scopes and why."""
    left_out = details.get("left_out")
    if details.get("reason") or not left_out:
        return str(details.get("reason", ""))
    listed = ", ".join(f"{scope} ({reason})" for scope, reason in left_out.items())
    return _("Left out: %(scopes)s") % {"scopes": listed}


def _result(event: AuditEvent) -> tuple[str, str]:
    """The badge: its tone and its word."""
    if event.outcome == Outcome.DENIED:
        return "denied", _("Refused")
    if event.outcome == Outcome.FAILURE:
        return "warning", _("Failed")
    if event.code.startswith(_DECIDED):
        return "ok", _("Allowed")
    return "neutral", _("Done")
