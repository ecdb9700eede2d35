"""Requests for consent, the words they were made in, and the decisions (C1, C3, C4)."""

from typing import ClassVar

from django.db import models

from authfi.crypto.fields import BlindIndexField, SealedJSONField, SealedTextField
from authfi.lib.models import TenantModel


class ConsentText(TenantModel):
    """One version of the words of the consent page, kept as long as a decision cites it."""

    plain_columns: ClassVar[dict[str, str]] = {
        "digest": "SHA-256 of the text",
        "language": "a language tag",
        "text": "the page's words; names no patient",
    }

    digest = models.CharField(max_length=64)
    language = models.CharField(max_length=16)
    text = models.JSONField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta(TenantModel.Meta):
        constraints = [
            models.UniqueConstraint(fields=["tenant_id", "digest"], name="consenttext_once")
        ]


class ConsentRequest(TenantModel):
    """A question put to one person in one session; the answer is bound to what was shown (C4).

    `patient` is the logical id of the Patient whose record is asked for, if it is one. `shown`
    holds the facts that fill the words of `text`; a decided request is kept as its evidence.
    """

    plain_columns: ClassVar[dict[str, str]] = {
        "scopes": "scopes asked for",
        "return_path": "where the answer leads",
        "session_digest": "a keyed digest",
    }

    application = models.ForeignKey("smart.Application", on_delete=models.CASCADE)
    user = models.ForeignKey("accounts.User", on_delete=models.CASCADE)
    patient = SealedTextField(null=True)
    shown = SealedJSONField()
    scopes = models.TextField()
    return_path = models.CharField(max_length=300)
    session_digest = models.CharField(max_length=64)
    text = models.ForeignKey(ConsentText, on_delete=models.PROTECT)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    decided_at = models.DateTimeField(null=True)


class Consent(TenantModel):
    """A decision: who allowed or denied which app what, about whose record, in which words.

    `request` is empty for a decision that was made without a page. `remember` lets the same app
    ask for the same again without a page (C3).
    """

    plain_columns: ClassVar[dict[str, str]] = {
        "decision": "names a decision",
        "state": "names a state",
        "scopes": "scopes allowed",
    }

    class Decision(models.TextChoices):
        ALLOW = "allow"
        DENY = "deny"

    class State(models.TextChoices):
        ACTIVE = "active"
        INACTIVE = "inactive"

    request = models.OneToOneField(
        ConsentRequest, on_delete=models.PROTECT, null=True, related_name="consent"
    )
    application = models.ForeignKey("smart.Application", on_delete=models.CASCADE)
    user = models.ForeignKey("accounts.User", on_delete=models.CASCADE)
    patient = SealedTextField(null=True)
    patient_index = BlindIndexField(source="patient", exact=True, null=True)
    decision = models.CharField(max_length=8, choices=Decision)
    state = models.CharField(max_length=8, choices=State)
    scopes = models.TextField(blank=True)
    remember = models.BooleanField(default=False)
    text = models.ForeignKey(ConsentText, on_delete=models.PROTECT)
    decided_at = models.DateTimeField()
    withdrawn_at = models.DateTimeField(null=True)
