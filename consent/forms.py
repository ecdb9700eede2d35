"""The answer as the page sends it."""

from collections.abc import Sequence
from typing import Final

from django import forms
from django.http import QueryDict

from consent import choices
from consent.choices import Item, Selection
from consent.models import Consent

#: Lines of a page, far more than any has.
_MOST: Final = 1000


class DecisionForm(forms.Form):
    """Allow or deny, and the digest of what was shown; anything else is ignored (C4)."""

    decision = forms.ChoiceField(choices=Consent.Decision.choices)
    shown = forms.CharField(max_length=64)
    remember = forms.BooleanField(required=False)


def selection(data: QueryDict) -> Selection:
    """What is opened and ticked on the page as it comes back."""
    return Selection(
        opened=frozenset(data.getlist("opened")[:_MOST]),
        ticked=frozenset(data.getlist("scope")[:_MOST]),
    )


def turned(items: Sequence[Item], data: QueryDict) -> Selection | None:
    """The page's state after an item was opened or closed; None if neither was asked for.

    `again` shows the page as it is: the button that Enter on a box presses.
    """
    opened = choices.find(items, data.get("open", ""))
    closed = choices.find(items, data.get("close", ""))
    if opened:
        return selection(data).open(opened)
    if closed:
        return selection(data).close(closed)
    return selection(data) if "again" in data else None
