"""ID tokens (IDTK-01 to IDTK-15; OpenID Connect Core 2, 12.2)."""

from collections.abc import Collection
from typing import Any

from django.utils import timezone

from authfi.crypto import signing
from authfi.lib import tenancy
from smart.models import Grant
from tenants.http import fhir_base, issuer

SECONDS = 600


def make(grant: Grant, scopes: Collection[str], nonce: str) -> str:
    """The ID token of a grant that holds `openid`, signed with RS256 (IDTK-02).

    `scopes` are those of the access token beside it; `nonce` is "" where there is none, as it is
    after a refresh (IDTK-14).
    """
    tenant = tenancy.current()
    now = int(timezone.now().timestamp())
    claims: dict[str, Any] = {
        "iss": issuer(tenant),
        "sub": str(grant.user_id),
        "aud": grant.application.client_id,
        "iat": now,
        "exp": now + SECONDS,
        "amr": grant.context.get("amr", []),
        **identity(grant, scopes),
    }
    if nonce:
        claims["nonce"] = nonce
    return signing.sign(signing.ID_TOKEN_ALG, claims)


def identity(grant: Grant, scopes: Collection[str]) -> dict[str, Any]:
    """How and when its person signed in, and who that is in FHIR where `fhirUser` was granted."""
    claims: dict[str, Any] = {"acr": grant.acr}
    if grant.auth_time:
        claims["auth_time"] = int(grant.auth_time.timestamp())
    fhir_user = grant.context.get("fhir_user")
    if fhir_user and "fhirUser" in scopes:
        claims["fhirUser"] = f"{fhir_base(tenancy.current())}/{fhir_user}"
    return claims
