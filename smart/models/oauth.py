"""The toolkit's models, swapped: every row in a tenant, no secret in clear (design D4, D14).

The toolkit's own `Grant` is the authorization code and is called so here; ours is
`smart.models.authorization.Grant`. Its access-token, ID-token and device tables must exist for its
settings, but stay empty: access tokens are signed statements, not rows.
"""

# The toolkit's fields are typed narrower than a swapped model may define them.
# mypy: disable-error-code="assignment"

from typing import Any, ClassVar
from uuid import uuid4

from django.db import models
from django.db.models.signals import post_delete, post_save
from django.dispatch import Signal
from oauth2_provider.models import (
    AbstractAccessToken,
    AbstractApplication,
    AbstractDeviceGrant,
    AbstractGrant,
    AbstractIDToken,
    AbstractRefreshToken,
)

from authfi.lib.models import BoundManager, TenantModel
from authfi.lib.tenancy import bound_id

#: Sent when this process changed, by whatever way, apps that were registered before.
applications_changed = Signal()


class ApplicationQuerySet(models.QuerySet["Application"]):
    """Tells of changes that no model signal tells of."""

    def update(self, **values: Any) -> int:
        """As ever."""
        changed = super().update(**values)
        applications_changed.send(Application)
        return changed


class Application(TenantModel, AbstractApplication):
    """A registered app: what it is, where it lives, what it may ask for (REGI-01 to REGI-12).

    `about` holds RFC 7591 members for people (`client_uri`, `policy_uri`, `contacts`, ...).
    `without_pkce` marks a confidential SMART 1 app (O2); `patient_access` one whose refresh tokens
    have no absolute end (REFR-18).
    """

    plain_columns: ClassVar[dict[str, str]] = {
        "client_id": "public",
        "secret_digest": "a keyed digest of a 256-bit secret",
        "name": "the app's public name",
        "redirect_uris": "registered URLs",
        "launch_uris": "registered URLs",
        "post_logout_redirect_uris": "registered URLs",
        "allowed_origins": "registered origins",
        "scopes": "scopes it may ask for",
        "grant_types": "names of grant types",
        "about": "links and contacts that the app published",
        "client_type": "names a type",
        "algorithm": "names an algorithm",
        "state": "names a state",
    }

    class State(models.TextChoices):
        ACTIVE = "active"
        SUSPENDED = "suspended"

    objects: ClassVar[BoundManager["Application"]] = BoundManager.from_queryset(
        ApplicationQuerySet
    )()

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    client_id = models.CharField(max_length=100)
    secret_digest = models.CharField(max_length=64, blank=True)
    launch_uris = models.TextField(blank=True)
    scopes = models.TextField(blank=True)
    grant_types = models.TextField()
    about = models.JSONField(default=dict)
    in_development = models.BooleanField(default=False)
    without_pkce = models.BooleanField(default=False)
    patient_access = models.BooleanField(default=False)
    access_token_seconds = models.PositiveIntegerField(default=900)
    state = models.CharField(max_length=16, choices=State, default=State.ACTIVE)

    user = None
    client_secret = None
    hash_client_secret = None
    authorization_grant_type = None
    skip_authorization = None
    registration_source = None
    cimd_expires_at = None

    class Meta(TenantModel.Meta):
        constraints = [
            models.UniqueConstraint(fields=["tenant_id", "client_id"], name="client_id_once")
        ]

    def __str__(self) -> str:
        return self.client_id

    def allows_grant_type(self, *grant_types: str) -> bool:
        """Whether any of the grant types is registered."""
        return bool(set(self.grant_types.split()) & set(grant_types))

    def is_usable(self, request: object) -> bool:
        """Whether the app may act at all now."""
        return self.state == self.State.ACTIVE

    @property
    def is_public(self) -> bool:
        """True for an app that cannot keep a secret."""
        return self.client_type == self.CLIENT_PUBLIC


def _tell(sender: type, *, created: bool = False, **_: Any) -> None:
    if not created:
        applications_changed.send(sender)


for _signal in (post_save, post_delete):
    _signal.connect(_tell, sender=Application)


class AuthorizationCode(TenantModel, AbstractGrant):
    """A code on its way from the authorize to the token endpoint: 60 seconds, used once (O4).

    Its grant names app and person.
    """

    plain_columns: ClassVar[dict[str, str]] = {
        "code": "a keyed digest",
        "redirect_uri": "a registered URL",
        "scope": "scopes granted",
        "code_challenge": "a digest",
        "code_challenge_method": "names a method",
        "nonce": "opaque, the app's",
    }

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    code = models.CharField(max_length=64)
    grant = models.ForeignKey("smart.Grant", on_delete=models.CASCADE, related_name="codes")
    used_at = models.DateTimeField(null=True)
    application = None
    user = None
    updated = None
    claims = None
    resource = None

    class Meta(TenantModel.Meta):
        constraints = [models.UniqueConstraint(fields=["code"], name="code_once")]


class RefreshToken(TenantModel, AbstractRefreshToken):
    """A refresh token as a digest; its family, app and person are its grant's (D3, D4, O13).

    `successor` is the token that replaced it, sealed under a key derived from this one, for a
    client whose answer was lost.
    """

    plain_columns: ClassVar[dict[str, str]] = {
        "token": "a keyed digest",
        "successor": "sealed under a key derived from the token itself",
    }

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    token = models.CharField(max_length=64)
    grant = models.ForeignKey(
        "smart.Grant", on_delete=models.CASCADE, related_name="refresh_tokens"
    )
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)
    successor = models.TextField(blank=True)
    application = None
    user = None
    updated = None
    token_checksum = None
    access_token = None
    token_family = None
    revoked = None
    resource = None

    class Meta(TenantModel.Meta):
        constraints = [models.UniqueConstraint(fields=["token"], name="refresh_token_once")]


class RevokedToken(TenantModel):
    """An access token that was revoked by itself, until it would have expired (D3, REVO-03)."""

    plain_columns: ClassVar[dict[str, str]] = {"jti": "a random id"}

    jti = models.CharField(max_length=64)
    expires_at = models.DateTimeField(db_index=True)

    class Meta(TenantModel.Meta):
        constraints = [
            models.UniqueConstraint(fields=["tenant_id", "jti"], name="revoked_token_once")
        ]


class AccessToken(AbstractAccessToken):
    """Required by the toolkit's settings; holds no rows (D4)."""

    plain_columns: ClassVar[dict[str, str]] = {
        "scope": "unused",
        "token": "unused",
        "token_checksum": "unused",
        "resource": "unused",
    }

    source_refresh_token = None
    tenant_id = models.UUIDField(default=bound_id, editable=False)
    objects: ClassVar[BoundManager["AccessToken"]] = BoundManager()

    class Meta(AbstractAccessToken.Meta):
        base_manager_name = default_manager_name = "objects"


class IDToken(AbstractIDToken):
    """Required by the toolkit's settings; holds no rows (D4)."""

    plain_columns: ClassVar[dict[str, str]] = {"scope": "unused"}

    tenant_id = models.UUIDField(default=bound_id, editable=False)
    objects: ClassVar[BoundManager["IDToken"]] = BoundManager()

    class Meta(AbstractIDToken.Meta):
        base_manager_name = default_manager_name = "objects"


class DeviceGrant(AbstractDeviceGrant):
    """Required by the toolkit's settings; holds no rows: there is no device flow."""

    plain_columns: ClassVar[dict[str, str]] = {
        "client_id": "unused",
        "device_code": "unused",
        "user_code": "unused",
        "scope": "unused",
        "status": "unused",
    }

    tenant_id = models.UUIDField(default=bound_id, editable=False)
    objects: ClassVar[BoundManager["DeviceGrant"]] = BoundManager()

    class Meta(AbstractDeviceGrant.Meta):
        base_manager_name = default_manager_name = "objects"
