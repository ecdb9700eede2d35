"""What a token opens in the management API: its own tenant, by scope (contract, T6)."""

from typing import TYPE_CHECKING, cast

from rest_framework.exceptions import NotAuthenticated, NotFound, PermissionDenied
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from audit import events, record
from authfi.lib.tenancy import TenantRef
from smart.tokens import AccessToken
from tenants import directory

if TYPE_CHECKING:  # REST framework loads this module while it loads its views
    from rest_framework.views import APIView

    from authfi.api.base import TenantView

#: With it a client of the tenant `platform` configures other tenants.
OPERATOR_SCOPE = "authfi/tenants"


class InsufficientScope(PermissionDenied):
    """The token lacks the scope that the call needs (RFC 6750 3.1)."""

    def __init__(self, scope: str) -> None:
        super().__init__(f"The token needs the scope {scope}.")
        self.scope = scope


class HasManagementScope(BasePermission):
    """The view's scope on the token's own tenant; another tenant is answered as an absent one."""

    def has_permission(self, request: Request, view: "APIView") -> bool:
        """Raises NotAuthenticated (401), InsufficientScope (403), NotFound (404)."""
        token = request.auth
        if not isinstance(token, AccessToken):
            raise NotAuthenticated
        page = cast("TenantView", view)
        target = _target(token, page)
        if target is None:
            record_denial(token, page, request, "another tenant, or none of that name")
            raise no_such_tenant()
        page.target = target
        if page.scope not in scope_texts(token):
            record_denial(token, page, request, f"the token lacks {page.scope}")
            raise InsufficientScope(page.scope)
        return True


def no_such_tenant() -> NotFound:
    """One answer for tenants that are not there and for those of others."""
    return NotFound("There is no such tenant.")


def scope_texts(token: AccessToken) -> frozenset[str]:
    """The token's scopes as they are spelled."""
    return frozenset(scope.text for scope in token.scopes)


def _target(token: AccessToken, view: "TenantView") -> TenantRef | None:
    """The tenant to act on, if this token may know of it."""
    slug = view.kwargs["tenant"]
    if slug == token.tenant.slug:
        return token.tenant
    may_administer = (
        token.tenant.is_platform and view.is_configuration and OPERATOR_SCOPE in scope_texts(token)
    )
    found = directory.find(slug) if may_administer else None
    return found.ref if found else None


def record_denial(token: AccessToken, view: "TenantView", request: Request, reason: str) -> None:
    """Record in the token's own tenant that a call was refused (A1)."""
    record.record_for(
        token.tenant,
        events.Event(
            code=view.audit_code,
            outcome=events.Outcome.DENIED,
            actor=events.Actor.client(token.client_id),
            client_id=token.client_id,
            object=f"{request.method} {request.path}"[:200],
            reason=reason,
            details={"jti": token.jti, "scopes": sorted(scope_texts(token))},
        ),
    )
