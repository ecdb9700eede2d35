"""The answer as the page sends it."""

from django import forms

from consent.models import Consent


class DecisionForm(forms.Form):
    """Allow or deny, and the digest of what was shown; anything else is ignored (C4)."""

    decision = forms.ChoiceField(choices=Consent.Decision.choices)
    shown = forms.CharField(max_length=64)
