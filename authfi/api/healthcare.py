"""`/api/v1/tenants/{tenant}/healthcare`: the one call that switches SMART on FHIR on (contract)."""

from dataclasses import asdict
from typing import Any

from django.http import HttpResponse
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from audit.events import Code
from authfi.api.base import StrictSerializer, TenantView, Text
from authfi.api.problems import InputProblem, problem
from smart import activation
from smart.activation import Activation, ActivationInputError, ActivationRefusedError


class HealthcareBody(StrictSerializer):
    """The body of PUT."""

    preset = Text()
    fhir_base = Text(required=False, allow_null=True, max_length=2000)
    auth = serializers.DictField(child=Text(), required=False, allow_null=True)
    scopes = serializers.ListField(child=Text(), required=False, allow_null=True, max_length=200)


class HealthcareView(TenantView):
    """The healthcare module of one tenant."""

    scope = "authfi/tenants"
    audit_code = Code.ADMIN_HEALTHCARE
    is_configuration = True

    def get(self, request: Request, tenant: str) -> Response:
        """What is switched on. Raises NotFound where nothing is."""
        with self.acting(request):
            found = activation.current()
        if found is None:
            raise NotFound("Healthcare is off for this tenant: PUT switches it on.")
        return Response(_document(found))

    def put(self, request: Request, tenant: str) -> Response | HttpResponse:
        """Check the FHIR server and connect it: 201 at first, 200 when it replaces a connection.

        422 with the `checks` where the server does not pass them.
        """
        wanted = self.body(request, HealthcareBody)
        try:
            with self.acting(request) as actor:
                done = activation.activate(
                    preset=wanted["preset"],
                    fhir_base=wanted.get("fhir_base"),
                    auth=wanted.get("auth"),
                    scopes=wanted.get("scopes"),
                    actor=actor,
                )
        except ActivationInputError as error:
            raise InputProblem(error.member, error.problem) from error
        except ActivationRefusedError as error:
            return problem(422, str(error), checks=[asdict(check) for check in error.checks])
        return Response(_document(done), status=201 if done.version == 1 else 200)


def _document(done: Activation) -> dict[str, Any]:
    return {
        "preset": done.preset,
        "issuer": done.issuer,
        "fhir_base": done.fhir_base,
        "smart_configuration": done.smart_configuration,
        "upstream": {"software": done.software, "fhir_version": done.fhir_version},
        "scopes": list(done.scopes) or None,
        "version": done.version,
        "setup": list(done.setup),
        "checks": [asdict(check) for check in done.checks],
    }
