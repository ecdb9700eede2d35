"""What the consent page says to a patient and to a clinician (C1, C11, STAT-14, design D17).

Words are sentences with `{placeholders}`: they name no person, so each version of them is stored
once and cited by every decision made on it. Patients' sentences use grade-6 words.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from django.utils.html import conditional_escape, format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext


class Reader(StrEnum):
    """For whom the page is."""

    PATIENT = "patient"
    CLINICIAN = "clinician"


class Kind(StrEnum):
    """What an item asks for, in the order of the page: reading apart from changing."""

    VIEW = "view"
    CHANGE = "change"
    CONTEXT = "context"
    KNOW = "know"
    OFFLINE = "offline"


class Why(StrEnum):
    """Why the app does not get what it asked for, whatever the person says (D5).

    Not registered for it, not allowed by the hospital, or not to this person's role, not offered at
    all, or nothing there to share.
    """

    APP = "app"
    HOSPITAL = "hospital"
    ROLE = "role"
    UNKNOWN = "unknown"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Shape:
    """What the words depend on besides the reader.

    `lasts`: "offline" until it is stopped, "online" until the person signs out, else a set time.
    `has_end`: a longest time is known. `has_all_records`: records beyond the patient's are asked
    for, namely all that the person may open.
    """

    kinds: frozenset[Kind]
    has_patient: bool
    lasts: str
    has_end: bool
    has_all_records: bool = False

    @property
    def has_data(self) -> bool:
        """True where records are asked for, not only who the person is."""
        return bool(self.kinds & {Kind.VIEW, Kind.CHANGE})


_MINUTE: Final = 60
_HOUR: Final = 60 * _MINUTE
_DAY: Final = 24 * _HOUR


def words(reader: Reader, shape: Shape) -> dict[str, str]:
    """Every sentence of the page by its name, in the active language."""
    own = _patient_words(shape) if reader is Reader.PATIENT else _clinician_words(shape)
    return {**_shared_words(shape), **own}


def fill(text: Mapping[str, str], facts: Mapping[str, str]) -> dict[str, SafeString]:
    """The words with the facts in their places, as HTML; each fact keeps its own direction."""
    marked = {name: format_html("<bdi>{}</bdi>", value) for name, value in facts.items()}
    return {
        name: format_html(conditional_escape(sentence), **marked) for name, sentence in text.items()
    }


def length_of_time(seconds: int) -> str:
    """A length of time in words, in the largest unit that tells it exactly, at least minutes."""
    if seconds >= _DAY and seconds % _DAY == 0:
        count = seconds // _DAY
        return ngettext("{count} day", "{count} days", count).format(count=count)
    if seconds >= _HOUR and seconds % _HOUR == 0:
        count = seconds // _HOUR
        return ngettext("{count} hour", "{count} hours", count).format(count=count)
    count = max(1, -(-seconds // _MINUTE))
    return ngettext("{count} minute", "{count} minutes", count).format(count=count)


def lasting(scopes: Iterable[str]) -> str:
    """How long these scopes make access last: "offline", "online" or "once"."""
    asked = set(scopes)
    if "offline_access" in asked:
        return "offline"
    return "online" if "online_access" in asked else "once"


def reaches_all_records(scopes: Iterable[str]) -> bool:
    """Is one of these scopes about every record that the person may open (`user/`)?"""
    return any(scope.startswith("user/") for scope in scopes)


def _shared_words(shape: Shape) -> dict[str, str]:
    return {
        "wants": _("{app} wants to:"),
        "app_label": _("App"),
        "publisher_label": _("Made by"),
        "publisher": _("Not verified by {hospital}"),
        "host_label": _("Data goes to"),
        "person_label": _("You are"),
        "duration_heading": _("How long"),
        "stop_heading": _("How to stop it"),
        "meaning_heading": _("What sharing means"),
        "sensitive": _("Very private"),
        "sensitive_note": _("These are not ticked. Tick only what you want to share."),
        "choose": _("Choose one by one"),
        "whole": _("Back to one choice"),
        "one_by_one": _("Only the kinds ticked here will be shared, no new kinds."),
        "needs": _("Only together with:"),
        "always": _("Always shared"),
        "withheld_heading": _("What the app will not get"),
        "withheld_app": _("{app} is not signed up here to:"),
        "withheld_hospital": _("{hospital} does not allow {app} to:"),
        "withheld_role": _("Your role at {hospital} does not let {app}:"),
        "withheld_unknown": _("{hospital} has no way for an app to:"),
        "withheld_nothing": _("There is nothing here to share for:"),
        "apps": _("See and stop your apps"),
        "allow": _("Allow"),
        "deny": _("Deny"),
    }


def _patient_words(shape: Shape) -> dict[str, str]:
    text = {
        "title": _("Share your records?"),
        "heading": _("Let {app} use your medical records?"),
        "lead": _("You choose. If you say no, your care at {hospital} stays the same."),
        "choice": _("Take the tick off what you do not want to share."),
        "remember": _("Do not ask me again for a year"),
        "remember_hint": _(
            "If the app asks again for what you allow now, or for less, it gets it. "
            "You can stop it at any time."
        ),
        "record_label": _("Record of"),
        "view": _("Look at your records"),
        "change": _("Change your records"),
        "context": _("See what you have open"),
        "know": _("Know about you"),
        "offline": _("Stay connected"),
        "duration": _patient_duration(shape),
        "meaning": _(
            "The app gets a copy of what you share, and it can keep that copy. "
            "Once this app has your data, the health privacy law (HIPAA) may not protect it. "
            "Consumer rules (from the FTC) may. "
            "Read what the app says about how it will use your data."
        ),
        "stop": _(
            "You can stop this at any time, on your page at {hospital}. "
            "The app may keep the data it has by then."
        ),
        "deadline": _("This page waits {wait} for your choice."),
    }
    if Kind.CHANGE in shape.kinds:
        text["change_note"] = _(
            "What the app adds or changes may become part of your record. "
            "The people who care for you can see it."
        )
    if not shape.has_data:
        text["title"] = _("Tell this app who you are?")
        text["heading"] = _("Let {app} know who you are?")
        text["meaning"] = _(
            "The app gets these facts about you, and it can keep them. It gets no medical records."
        )
    return text


def _patient_duration(shape: Shape) -> str:
    if shape.lasts == "once":
        return _("This ends after {time}. Then the app must ask you again.")
    if shape.lasts == "online":
        longest = _("This ends when you sign out.")
    elif shape.has_end:
        longest = _("The app can use this until you stop it, or for {time} at most.")
    else:
        longest = _("The app can use this until you stop it.")
    return f"{longest} {_('If you do not let it stay connected, it ends after {once}.')}"


def _clinician_words(shape: Shape) -> dict[str, str]:
    text = {
        "title": _("Allow access?"),
        "heading": _clinician_heading(shape),
        "lead": _("It can never do more than you can, and all it does is recorded in your name."),
        "choice": _("Untick what the app should not have."),
        "remember": _("Do not ask me again for a year"),
        "remember_hint": _(
            "For this app, the same patient and no more than you allow now, until you end it."
        ),
        "record_label": _("Patient"),
        "view": _("Read"),
        "change": _("Write"),
        "context": _("What you have open"),
        "know": _("Your identity"),
        "offline": _("Lasting access"),
        "duration": _clinician_duration(shape),
        "meaning": _(
            "The app receives this data and works with it outside {hospital}. "
            "HIPAA may not protect data once this app has it; FTC rules may. "
            "Allow it only for patients in your care."
        ),
        "stop": _(
            "You can end this access at any time, on your page at {hospital}. "
            "Data the app already holds stays with it."
        ),
        "deadline": _("This page waits {wait} for your decision."),
    }
    if Kind.CHANGE in shape.kinds:
        text["change_note"] = _(
            "What the app writes becomes part of the record, under your name, "
            "and is visible to all who treat the patient."
        )
    if shape.has_all_records:
        text["lead"] = _(
            "It asks for your own access at {hospital}: to the records that you may open, not to "
            "one patient's alone. It can never do more than you can, and all it does is recorded "
            "in your name."
        )
    if not shape.has_patient:
        text["remember_hint"] = _("For this app and no more than you allow now, until you end it.")
    if not shape.has_data:
        text["meaning"] = _("The app receives these facts about you, and no patient data.")
    return text


def _clinician_heading(shape: Shape) -> str:
    if not shape.has_data:
        return _("{app} wants to know who you are")
    if shape.has_all_records and shape.has_patient:
        return _(
            "{app} wants to act for you on the record of {patient} and all others you may open"
        )
    if shape.has_all_records:
        return _("{app} wants to act for you on all records that you may open")
    if shape.has_patient:
        return _("{app} wants to act for you on the record of {patient}")
    return _("{app} wants to act for you")


def _clinician_duration(shape: Shape) -> str:
    if shape.lasts == "once":
        return _("{time}; then the app must ask again.")
    if shape.lasts == "online":
        longest = _("Until you sign out.")
    elif shape.has_end:
        longest = _("Until you or an administrator end it, at most {time}.")
    else:
        longest = _("Until you or an administrator end it.")
    return f"{longest} {_('Without lasting access: {once}.')}"
