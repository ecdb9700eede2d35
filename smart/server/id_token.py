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
        "acr": grant.acr,
        "amr": grant.context.get("amr", []),
    }
    if grant.auth_time:
        claims["auth_time"] = int(grant.auth_time.timestamp())
    if nonce:
        claims["nonce"] = nonce
    fhir_user = grant.context.get("fhir_user")
    if fhir_user and "fhirUser" in scopes:
        claims["fhirUser"] = f"{fhir_base(tenant)}/{fhir_user}"
    return signing.sign(signing.ID_TOKEN_ALG, claims)
