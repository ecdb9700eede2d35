"""People of a tenant, what they may do, how and where they sign in (D2, D8, D18, N8, N14)."""

from typing import ClassVar

from django.contrib.auth.models import AbstractBaseUser
from django.db import models

from authfi.accounts.mfa.totp import TOTPDevice
from authfi.crypto.fields import BlindIndexField, SealedJSONField, SealedTextField
from authfi.lib.models import TenantModel


class Role(models.TextChoices):
    """What a person is in the organisation; policies speak of these."""

    DOCTOR = "doctor"
    NURSE = "nurse"
    PATIENT = "patient"
    ADMIN = "admin"
    PRIVACY_OFFICER = "privacy-officer"
    OPERATOR = "operator"


CLINICAL_ROLES = frozenset({Role.DOCTOR, Role.NURSE})
CONSOLE_ROLES = frozenset({Role.ADMIN, Role.OPERATOR, Role.PRIVACY_OFFICER})


class User(AbstractBaseUser, TenantModel):
    """One person of one tenant. The same e-mail in two tenants is two people.

    Found by the blind index of the e-mail, which is unique by itself, since its key is the
    tenant's own.
    """

    plain_columns: ClassVar[dict[str, str]] = {"password": "an Argon2 hash"}

    last_login = None  # sessions and the audit trail tell

    email = SealedTextField()
    email_index = BlindIndexField(source="email", unique=True)
    name = SealedTextField()
    fhir_user = SealedTextField(null=True)
    fhir_user_index = BlindIndexField(source="fhir_user", exact=True, null=True)
    npi = SealedTextField(null=True)
    npi_index = BlindIndexField(source="npi", null=True)
    mrn = SealedTextField(null=True)
    mrn_index = BlindIndexField(source="mrn", null=True)
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)

    USERNAME_FIELD = "email_index"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    class Meta(TenantModel.Meta):
        constraints = [
            models.UniqueConstraint(
                fields=["tenant_id", "fhir_user_index"],
                condition=models.Q(fhir_user_index__isnull=False),
                name="user_fhir_user_once",
            )
        ]

    def __str__(self) -> str:
        return f"person {self.pk}"


class RoleAssignment(TenantModel):
    """A role given to a person."""

    plain_columns: ClassVar[dict[str, str]] = {"role": "names a role"}

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="role_assignments")
    role = models.CharField(max_length=32, choices=Role)

    class Meta(TenantModel.Meta):
        constraints = [
            models.UniqueConstraint(fields=["tenant_id", "user", "role"], name="role_given_once")
        ]


class Session(TenantModel):
    """A browser session (N12, N14). The cookie's value is kept as a digest only.

    `ends_at` is its absolute end; `expires_at` comes sooner where nothing happens in it.
    """

    plain_columns: ClassVar[dict[str, str]] = {"key_digest": "a keyed digest"}

    key_digest = models.CharField(max_length=64, unique=True)
    user = models.ForeignKey(
        User, on_delete=models.CASCADE, null=True, related_name="browser_sessions"
    )
    data = SealedJSONField()
    created_at = models.DateTimeField(auto_now_add=True)
    last_seen_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    expires_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return f"session {self.pk}"


class Invitation(TenantModel):
    """A link with which a new person sets a password and a second factor, once."""

    plain_columns: ClassVar[dict[str, str]] = {"handle_digest": "a keyed digest"}

    handle_digest = models.CharField(max_length=64, unique=True)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="invitations")
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)


class KnownDevice(TenantModel):
    """A browser from which a person has signed in completely (D18); see `devices`."""

    plain_columns: ClassVar[dict[str, str]] = {"key_digest": "a keyed digest"}

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="known_devices")
    key_digest = models.CharField(max_length=64)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(db_index=True)

    class Meta(TenantModel.Meta):
        constraints = [
            models.UniqueConstraint(
                fields=["tenant_id", "key_digest", "user"], name="device_known_once"
            )
        ]

    def __str__(self) -> str:
        return f"device {self.pk}"


class AuthenticatorFailures(TenantModel):
    """Consecutive failures of one authenticator of one person, at one known device or at all
    others together (N6, D18).
    """

    plain_columns: ClassVar[dict[str, str]] = {"authenticator": "names an authenticator"}

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="authenticator_failures")
    authenticator = models.CharField(max_length=16)
    failures = models.PositiveIntegerField(default=0)
    last_failed_at = models.DateTimeField(null=True)
    disabled_at = models.DateTimeField(null=True)
    device = models.ForeignKey(
        KnownDevice, on_delete=models.CASCADE, null=True, related_name="failures"
    )

    class Meta(TenantModel.Meta):
        constraints = [
            models.UniqueConstraint(
                fields=["tenant_id", "user", "authenticator"],
                condition=models.Q(device__isnull=True),
                name="authenticator_counted_once",
            ),
            models.UniqueConstraint(
                fields=["tenant_id", "device", "authenticator"],
                condition=models.Q(device__isnull=False),
                name="authenticator_counted_once_a_device",
            ),
        ]


__all__ = [
    "CLINICAL_ROLES",
    "CONSOLE_ROLES",
    "AuthenticatorFailures",
    "Invitation",
    "KnownDevice",
    "Role",
    "RoleAssignment",
    "Session",
    "TOTPDevice",
    "User",
]
