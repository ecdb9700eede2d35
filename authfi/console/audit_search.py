"""What the audit page is asked for, and the events that answer it (A10, A14; design D7)."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any
from uuid import UUID

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import Q, TextChoices
from django.utils.translation import gettext_lazy as _

from audit.events import Code, Outcome
from audit.models import AuditEvent, actor_index, patient_index
from authfi.accounts.models import User
from authfi.accounts.people import find_by_email
from smart.policy.references import is_id

PAGE_SIZE = 50
#: Names are sealed one by one: beyond this many people only the e-mail address finds somebody.
MAX_NAMES = 5_000
MAX_SEQ = 2**63 - 1


class Group(TextChoices):
    """Kinds of events, in the words of who searches for them."""

    SIGN_IN = "sign-in", _("Sign-in")
    LAUNCH = "launch", _("Launch")
    CONSENT = "consent", _("Consent")
    TOKEN = "token", _("Tokens and scopes")
    FHIR = "fhir", _("Medical records")
    ADMIN = "admin", _("Administration")
    AUDIT = "audit", _("Audit trail")


#: What the codes of a group begin with.
PREFIXES = {
    Group.SIGN_IN: ("auth.",),
    Group.LAUNCH: ("launch.",),
    Group.CONSENT: ("consent.",),
    Group.TOKEN: ("token.", "scope."),
    Group.FHIR: ("fhir.",),
    Group.ADMIN: ("admin.", "policy."),
    Group.AUDIT: ("audit.",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What is looked for; what is empty is not asked. `before` is the last number seen."""

    people: tuple[UUID, ...] = ()
    patient: str = ""
    client: str = ""
    group: str = ""
    outcome: str = ""
    since: date | None = None
    until: date | None = None
    readings: bool = False
    before: int | None = None

    def told(self) -> dict[str, Any]:
        """The search for the trail: people by their ids, never by what was typed (A10)."""
        members = {name: getattr(self, name) for name in self.__slots__}
        return {name: value for name, value in members.items() if value}


@dataclass(frozen=True, slots=True)
class Page:
    """Events, newest first; `older` is what to ask `before` for the next page, if there is one."""

    events: list[AuditEvent]
    older: int | None


class SearchForm(forms.Form):
    """The search as the page sends it."""

    person = forms.CharField(
        label=_("Person"),
        help_text=_("E-mail address or name"),
        required=False,
        max_length=254,
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )
    patient = forms.CharField(
        label=_("Patient"),
        help_text=_("The record's id, such as 456"),
        required=False,
        max_length=72,
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )
    outcome = forms.ChoiceField(
        label=_("Result"),
        required=False,
        choices=[
            ("", _("Any")),
            (str(Outcome.SUCCESS), _("Allowed or done")),
            (str(Outcome.DENIED), _("Refused")),
            (str(Outcome.FAILURE), _("Failed")),
        ],
    )
    group = forms.ChoiceField(
        label=_("Kind"), required=False, choices=[("", _("Any")), *Group.choices]
    )
    client = forms.CharField(
        label=_("App"),
        required=False,
        max_length=255,
        widget=forms.TextInput(
            attrs={"list": "apps", "autocomplete": "off", "spellcheck": "false"}
        ),
    )
    since = forms.DateField(
        label=_("From day"), required=False, widget=forms.DateInput(attrs={"type": "date"})
    )
    until = forms.DateField(
        label=_("To day"), required=False, widget=forms.DateInput(attrs={"type": "date"})
    )
    readings = forms.BooleanField(label=_("Show who read this trail, too"), required=False)
    before = forms.IntegerField(required=False, min_value=1, max_value=MAX_SEQ)

    def clean_person(self) -> tuple[UUID, ...]:
        """The ids of whom it may be: an account's id, an e-mail address, or a part of a name."""
        text = self.cleaned_data["person"].strip()
        return _people(text) if text else ()

    def clean_patient(self) -> str:
        """The bare id."""
        patient: str = self.cleaned_data["patient"].removeprefix("Patient/")
        if patient and not is_id(patient):
            raise ValidationError(_("A record's id has letters, digits, dots and hyphens only."))
        return patient

    def clean(self) -> None:
        """Days in their order."""
        since, until = self.cleaned_data.get("since"), self.cleaned_data.get("until")
        if since and until and since > until:
            self.add_error("until", _("This day is before the first one."))

    def search(self) -> Search:
        """The search, once the form is valid."""
        return Search(
            people=self.cleaned_data["person"],
            **{name: value for name, value in self.cleaned_data.items() if name != "person"},
        )


def find(search: Search) -> Page:
    """One page of the bound tenant's trail: one statement, whatever the trail's length."""
    events = AuditEvent.objects.order_by("-seq")
    for condition in _conditions(search):
        events = events.filter(condition)
    found = list(events[: PAGE_SIZE + 1])
    shown = found[:PAGE_SIZE]
    return Page(events=shown, older=shown[-1].seq if len(found) > PAGE_SIZE else None)


def _conditions(search: Search) -> Iterator[Q]:
    if search.before:
        yield Q(seq__lt=search.before)
    if search.people:
        yield Q(actor_index__in=[actor_index(str(person)) for person in search.people])
    if search.patient:
        yield Q(patient_index=patient_index(search.patient))
    if search.client:
        yield Q(client_id=search.client)
    if search.outcome:
        yield Q(outcome=search.outcome)
    if search.since:
        yield Q(at__gte=datetime.combine(search.since, time.min, UTC))
    if search.until:
        yield Q(at__lte=datetime.combine(search.until, time.max, UTC))
    yield _kind(search)


def _kind(search: Search) -> Q:
    """Every look at the trail is an event of its own; they are shown where they are asked for."""
    if search.group:
        wanted = Q()
        for prefix in PREFIXES[Group(search.group)]:
            wanted |= Q(code__startswith=prefix)
        return wanted
    return Q() if search.readings else ~Q(code=Code.AUDIT_READ)


def _people(text: str) -> tuple[UUID, ...]:
    try:
        return (UUID(text),)
    except ValueError:
        pass
    found = _by_email(text) if "@" in text else _by_name(text.casefold())
    if not found:
        raise ValidationError(_("Nobody here has this e-mail address or name."))
    return found


def _by_email(text: str) -> tuple[UUID, ...]:
    user = find_by_email(text)
    return (user.pk,) if user else ()


def _by_name(wanted: str) -> tuple[UUID, ...]:
    people = list(User.objects.only("name")[: MAX_NAMES + 1])
    if len(people) > MAX_NAMES:
        raise ValidationError(_("There are too many people to search by name: use the address."))
    return tuple(user.pk for user in people if wanted in user.name.casefold())
