"""What was asked and what was allowed: authorization requests and grants (design D3)."""

from typing import ClassVar

from django.db import models

from authfi.crypto.fields import BlindIndexField, SealedJSONField, SealedTextField
from authfi.lib.models import TenantModel


class AuthorizationRequest(TenantModel):
    """A checked authorization request, kept here while its person signs in and decides.

    It goes on only in the browser session that brought it; one that came by a foreign POST is
    claimed by the session that opens it first (AUTZ-02). `patient` and `encounter` are bare ids,
    chosen by the person where the launch brought none (STND-02, STND-04).
    """

    plain_columns: ClassVar[dict[str, str]] = {}

    session_id = models.UUIDField(null=True)
    application = models.ForeignKey("smart.Application", on_delete=models.CASCADE)
    launch_context = models.ForeignKey("smart.LaunchContext", on_delete=models.CASCADE, null=True)
    consent_request = models.ForeignKey(
        "consent.ConsentRequest", on_delete=models.SET_NULL, null=True
    )
    parameters = SealedJSONField()
    patient = SealedTextField(null=True)
    encounter = SealedTextField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)


class Grant(TenantModel):
    """What one person, or nobody, allowed one app: the row that codes and tokens hang on (D3).

    `patient` is a bare id. `session_id` is the sign-in it was given in, and ends with. `context` is
    what the launch had open, frozen (CTXT-12), with `audience`, `fhir_user`, `amr`, and whether an
    EHR launched it. `lasts` says whether it has refresh tokens; nothing of it lives after
    `expires_at`, which each refresh moves, though never past `refresh_ends_at`.
    """

    class Lasts(models.TextChoices):
        TOKEN = "", "one access token"
        ONLINE = "online", "while the person is signed in"
        OFFLINE = "offline", "without the person"

    plain_columns: ClassVar[dict[str, str]] = {
        "scopes": "scopes granted",
        "acr": "names an assurance level",
        "lasts": "names how long it lasts",
        "ended_reason": "names a reason",
    }

    application = models.ForeignKey("smart.Application", on_delete=models.CASCADE)
    user = models.ForeignKey("accounts.User", on_delete=models.CASCADE, null=True)
    consent = models.ForeignKey("consent.Consent", on_delete=models.PROTECT, null=True)
    launch_context = models.ForeignKey("smart.LaunchContext", on_delete=models.SET_NULL, null=True)
    scopes = models.TextField()
    patient = SealedTextField(null=True)
    patient_index = BlindIndexField(source="patient", exact=True, null=True)
    context = SealedJSONField()
    session_id = models.UUIDField(null=True)
    acr = models.CharField(max_length=64, blank=True)
    auth_time = models.DateTimeField(null=True)
    lasts = models.CharField(max_length=8, choices=Lasts, blank=True, default=Lasts.TOKEN)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    refresh_ends_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    ended_reason = models.CharField(max_length=64, blank=True)
