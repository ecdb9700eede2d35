"""What the account page says, in words for the one who reads (D17)."""

from typing import Any

from django.utils.translation import gettext as _

from consent.models import Consent
from smart.account.app_access import Access, in_words, record_name
from smart.models import Grant
from smart.scopes.describe import Reader

MAX_SHOWN, FIRST_SHOWN = 12, 6


def page(reader: Reader) -> dict[str, str]:
    """Headings and sentences of the pages; for a patient in grade-6 words."""
    own = _patient() if reader is Reader.PATIENT else _clinician()
    return {**_shared(), **own}


def live(access: Access, reader: Reader) -> dict[str, Any]:
    """One app with access, for the page; a long list of what it may do is told in two parts."""
    may = in_words(access.scopes, reader)
    first = len(may) if len(may) <= MAX_SHOWN else FIRST_SHOWN
    return {
        "consent": access.consent.pk,
        "app": access.application.name,
        "record": access.record,
        "may": may[:first],
        "may_more": may[first:],
        "since": access.since,
        "last_used_at": access.last_used_at,
        "may_be_long_unused": access.may_be_long_unused,
        "lasts": _lasting(access),
        "is_offline": access.lasts == Grant.Lasts.OFFLINE,
        "until": access.until,
        "is_remembered": any(grant.consent and grant.consent.remember for grant in access.grants),
    }


def past(consent: Consent) -> dict[str, Any]:
    """One decision, for the page: what was said, and what became of it."""
    if consent.decision == Consent.Decision.DENY:
        outcome, tone = _("You said no"), "denied"
    elif consent.withdrawn_at:
        outcome, tone = _("Stopped"), "neutral"
    else:
        outcome, tone = _("Came to its end"), "neutral"
    return {
        "consent": consent.pk,
        "app": consent.application.name,
        "record": record_name(consent),
        "decided_at": consent.decided_at,
        "ended_at": consent.withdrawn_at,
        "outcome": outcome,
        "tone": tone,
    }


def _lasting(access: Access) -> str:
    if access.lasts == Grant.Lasts.OFFLINE:
        return _("Until you stop it, also when you are away")
    if access.lasts == Grant.Lasts.ONLINE:
        return _("Until you sign out")
    return _("For a short time")


def _shared() -> dict[str, str]:
    return {
        "title": _("Your apps"),
        "live": _("Can act for you now"),
        "remembered": _("Will not ask again"),
        "past": _("What you decided before"),
        "no_past": _("There are no other decisions of yours."),
        "may": _("It may"),
        "since": _("Since"),
        "last_used": _("Last used"),
        "never": _("Not yet"),
        "not_lately": _("Not lately"),
        "lasts": _("How long"),
        "until": _("At most until"),
        "is_remembered": _("It does not ask you again for this."),
        "app": _("App"),
        "decided": _("Decided"),
        "outcome": _("What became of it"),
        "stop": _("Stop access"),
        "change": _("Change what it may see"),
        "forget": _("Ask me again"),
        "keep": _("Keep it as it is"),
        "save": _("Save"),
        "back": _("Back to your apps"),
        "about": _("about the record of"),
        "sensitive": _("Very private"),
        "sensitive_note": _("Tick only what you want to share."),
        "choose": _("Choose one by one"),
        "whole": _("Back to one choice"),
        "one_by_one": _("Only the kinds ticked here will be shared, no new kinds."),
        "needs": _("Only together with:"),
        "always": _("Always shared"),
    }


def _patient() -> dict[str, str]:
    return {
        "lead": _("These apps can use your health records. You can stop each one at any time."),
        "record": _("Record of"),
        "empty": _("No app has access now"),
        "empty_hint": _(
            "When you let an app use your records, you will see it here. "
            "You will see what it may do and when it was last used. You can stop it here, too."
        ),
        "remembered_hint": _(
            "These apps have no access now. If one asks for the same again, it gets it at once. "
            "You told us not to ask you."
        ),
        "end_lead": _("The app can not see your records from now on."),
        "end_kept": _(
            "It may keep the data it has by now. Ask the people who make the app to delete that."
        ),
        "end_care": _("Your care stays the same. You can let the app in again at any time."),
        "forget_lead": _("The app must ask you the next time it wants to use your records."),
        "change_lead": _("Take the tick off what the app should not see from now on."),
        "change_hint": _("It takes a few seconds until the app sees less."),
        "done_changed": _("Saved. In a few seconds the app sees no more than you see here."),
        "done_ended": _("Done. The app must ask you before it can use your records again."),
        "view": _("Look at your records"),
        "change_kind": _("Change your records"),
        "context": _("See what you have open"),
        "know": _("Know about you"),
        "offline": _("Stay connected"),
    }


def _clinician() -> dict[str, str]:
    return {
        "lead": _("These apps act in your name. You can end each one at any time."),
        "record": _("Patient"),
        "empty": _("No app acts for you now"),
        "empty_hint": _(
            "Apps that you start from a record or allow to act for you are listed here, with what "
            "they may do and when they last did it, and can be ended here."
        ),
        "remembered_hint": _(
            "These apps have no access now, and get it without asking when they ask for the same "
            "again."
        ),
        "end_lead": _("The app can no longer act for you, and its connection ends at once."),
        "end_kept": _("Data that it already holds stays with it."),
        "end_care": _("You can allow it again at any time."),
        "forget_lead": _("The app must ask you the next time it wants to act for you."),
        "change_lead": _("Untick what the app should no longer do for you."),
        "change_hint": _("This takes effect within a few seconds."),
        "done_changed": _("Saved. Within a few seconds the app can do no more than is listed."),
        "done_ended": _("Done. The app must ask before it can act for you again."),
        "view": _("Read"),
        "change_kind": _("Write"),
        "context": _("What you have open"),
        "know": _("Your identity"),
        "offline": _("Lasting access"),
    }
