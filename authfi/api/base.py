"""What all views of the management API share: the tenant they act on, and strict bodies."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, Final, cast

from rest_framework import exceptions, serializers
from rest_framework.request import Request
from rest_framework.views import APIView

from audit import events
from authfi.api.permissions import record_denial
from authfi.api.problems import sentence
from authfi.lib import tenancy
from authfi.lib.tenancy import TenantRef
from smart.tokens import AccessToken
from tenants.administer import administer

MAX_REASON: Final = 500


class TenantView(APIView):
    """A view below `/api/v1/tenants/{tenant}/`.

    `scope` opens it, `audit_code` is what a refusal is recorded as. `is_configuration` lets
    operators act on other tenants; views that show people or their records leave it False (T6).
    """

    scope: ClassVar[str]
    audit_code: ClassVar[events.Code]
    is_configuration: ClassVar[bool] = False
    target: TenantRef

    @property
    def default_response_headers(self) -> dict[str, str]:
        """Nothing of the API is kept by caches."""
        return {**super().default_response_headers, "Cache-Control": "no-store"}

    def body(self, request: Request, kind: type["StrictSerializer"]) -> dict[str, Any]:
        """The members of the request's body; one that is refused is recorded.

        Raises rest_framework's APIException.
        """
        try:
            read = kind(data=request.data)
            read.is_valid(raise_exception=True)
        except exceptions.APIException as error:
            reason = f"the body was refused: {sentence(error)}"[:MAX_REASON]
            record_denial(_token(request), self, request, reason)
            raise
        return cast("dict[str, Any]", read.validated_data)

    @contextmanager
    def acting(self, request: Request) -> Iterator[events.Actor]:
        """Bind the tenant to act on, and say who acts. Another tenant's trail tells it, too."""
        token = _token(request)
        if token.tenant == self.target:
            with tenancy.bind(self.target):
                yield events.Actor.client(token.client_id)
            return
        # A slash is in no client id, so that the name is no client's of the other tenant.
        actor = events.Actor.client(f"{token.tenant.slug}/{token.client_id}")
        purpose = f"{request.method} {request.path}"
        with tenancy.bind(token.tenant), administer(self.target, actor=actor, purpose=purpose):
            yield actor


def _token(request: Request) -> AccessToken:
    return cast("AccessToken", request.auth)


class Text(serializers.CharField):
    """A JSON string, kept as it is: numbers and booleans are not text."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(trim_whitespace=False, **kwargs)

    def to_internal_value(self, data: object) -> str:
        """Raises ValidationError."""
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class StrictSerializer(serializers.Serializer[Any]):
    """Refuses members it does not know, by name."""

    def to_internal_value(self, data: Any) -> Any:
        """Raises ValidationError."""
        if isinstance(data, dict) and (unknown := sorted(data.keys() - self.fields.keys())):
            raise serializers.ValidationError({name: ["Unknown member."] for name in unknown})
        return super().to_internal_value(data)
