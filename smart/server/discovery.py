"""What apps learn of this server before they ask: only what works (sections 4 and 5; RFC 8414).

SMART App Launch 2.2.0 conformance page, OpenID Connect Discovery 1.0, RFC 8414, RFC 9728.
"""

from typing import Any, Final

from authfi.lib.tenancy import TenantRef, bind
from smart.models import HealthcareModule
from smart.policy import acr
from smart.scopes import match
from smart.scopes.syntax import Scope, parse_scopes
from smart.server import ceiling
from smart.server.engine import GRANT_TYPES
from tenants import policies
from tenants.http import fhir_base, issuer

CAPABILITIES: Final = (
    "launch-ehr",
    "launch-standalone",
    "authorize-post",
    "client-public",
    "client-confidential-symmetric",
    "sso-openid-connect",
    "context-banner",
    "context-style",
    "context-ehr-patient",
    "context-ehr-encounter",
    "context-standalone-patient",
    "context-standalone-encounter",
    "permission-offline",
    "permission-online",
    "permission-patient",
    "permission-user",
    "permission-v1",
    "permission-v2",
)

_SECRET: Final = "client_secret_basic"

#: Scopes told to apps, as far as the tenant offers them; management scopes stay out (SCOP-22).
_TOLD: Final = (*ceiling.ENFORCED, *parse_scopes("patient/*.read user/*.read"))


def smart_configuration(tenant: TenantRef) -> dict[str, Any] | None:
    """The document of the tenant's FHIR base (DISC-01 to DISC-28); None where it has none."""
    with bind(tenant):
        module = HealthcareModule.objects.first()
    if module is None:
        return None
    return {
        **_endpoints(tenant),
        "management_endpoint": f"{issuer(tenant)}/account",
        "grant_types_supported": ["authorization_code"],
        "response_types_supported": ["code"],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": [_SECRET],
        "scopes_supported": _texts(match.intersect(_TOLD, ceiling.offered(module)).granted),
        "capabilities": list(CAPABILITIES),
    }


def oauth_metadata(tenant: TenantRef) -> dict[str, Any]:
    """RFC 8414 metadata of the tenant's issuer; also for apps that act in their own name."""
    return {
        **_endpoints(tenant),
        "grant_types_supported": list(GRANT_TYPES),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["none", _SECRET],
        "revocation_endpoint_auth_methods_supported": ["none", _SECRET],
        "introspection_endpoint_auth_methods_supported": [_SECRET, "Bearer"],
        "authorization_response_iss_parameter_supported": True,
    }


def openid_configuration(tenant: TenantRef) -> dict[str, Any]:
    """OpenID Connect metadata of the tenant's issuer (OIDC-01 to OIDC-09)."""
    own = issuer(tenant)
    with bind(tenant):
        lowest = 2 if policies.sign_in().patient_mfa else 1
    return {
        **oauth_metadata(tenant),
        "userinfo_endpoint": f"{own}/oauth/userinfo",
        "end_session_endpoint": f"{own}/oauth/logout",
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "scopes_supported": ["openid", "fhirUser", "offline_access", "online_access"],
        "claims_supported": [
            *("iss", "sub", "aud", "exp", "iat"),
            *("auth_time", "acr", "amr", "nonce", "fhirUser"),
        ],
        "acr_values_supported": [name for name, aal in acr.LEVELS.items() if aal >= lowest],
        "prompt_values_supported": ["none", "login", "consent", "select_account"],
        "claims_parameter_supported": False,
        "request_parameter_supported": False,
        "request_uri_parameter_supported": False,
    }


def protected_resource(tenant: TenantRef) -> dict[str, Any] | None:
    """RFC 9728 metadata of the tenant's FHIR base: its server of tokens, and what these may open.

    None where there is no FHIR base.
    """
    smart = smart_configuration(tenant)
    return smart and {
        "resource": fhir_base(tenant),
        "authorization_servers": [issuer(tenant)],
        "bearer_methods_supported": ["header"],
        "scopes_supported": smart["scopes_supported"],
    }


def _endpoints(tenant: TenantRef) -> dict[str, Any]:
    own = issuer(tenant)
    return {
        "issuer": own,
        "jwks_uri": f"{own}/.well-known/jwks.json",
        "authorization_endpoint": f"{own}/oauth/authorize",
        "token_endpoint": f"{own}/oauth/token",
        "introspection_endpoint": f"{own}/oauth/introspect",
        "revocation_endpoint": f"{own}/oauth/revoke",
    }


def _texts(scopes: tuple[Scope, ...]) -> list[str]:
    return [scope.text for scope in scopes]
