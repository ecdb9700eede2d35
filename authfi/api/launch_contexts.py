"""`/api/v1/tenants/{tenant}/launch-contexts`: an EHR registers a launch (contract, EHRL-01)."""

from typing import Any
from uuid import UUID

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from audit import events, record
from authfi.accounts import people
from authfi.accounts.models import User
from authfi.api.base import StrictSerializer, TenantView, Text
from authfi.api.problems import InputProblem
from smart import launch
from smart.launch import Launch, LaunchRefusedError
from smart.models import Application


class LaunchContextBody(StrictSerializer):
    """The body of POST; `smart.launch` judges the members after `encounter`."""

    client_id = Text(max_length=100)
    user = Text(max_length=320)
    patient = Text(required=False, allow_null=True, max_length=64)
    encounter = Text(required=False, allow_null=True, max_length=64)
    intent = serializers.JSONField(required=False)
    need_patient_banner = serializers.JSONField(required=False)
    smart_style_url = serializers.JSONField(required=False)
    fhirContext = serializers.JSONField(required=False)  # noqa: N815 (SMART's spelling)


class LaunchContextsView(TenantView):
    """Launches of one tenant's apps. No operator of the platform opens any: they name patients."""

    scope = "authfi/launch"
    audit_code = events.Code.LAUNCH_DENY

    def post(self, request: Request, tenant: str) -> Response:
        """Register a launch: its handle, and the URL to open in the person's browser."""
        wanted = self.body(request, LaunchContextBody)
        with self.acting(request) as actor:
            opened = _open(wanted, actor)
        members = {
            "launch": opened.handle,
            "launch_url": opened.launch_url,
            "expires_in": opened.expires_in,
        }
        return Response(members, status=201)


def _open(wanted: dict[str, Any], actor: events.Actor) -> Launch:
    """Raises InputProblem; a launch that is refused is recorded."""
    application = Application.objects.filter(client_id=wanted["client_id"]).first()
    user = _find_user(wanted["user"])
    try:
        if application is None:
            raise InputProblem("client_id", "there is no such app")
        if user is None:
            raise InputProblem("user", "there is no such person")
        return launch.open_launch(
            application=application,
            user=user,
            patient=wanted.get("patient"),
            encounter=wanted.get("encounter"),
            members={name: wanted[name] for name in launch.MEMBERS if name in wanted},
            actor=actor,
        )
    except LaunchRefusedError as error:
        _record_refusal(wanted, application, actor, error.reason)
        raise serializers.ValidationError(error.reason) from error
    except InputProblem as error:
        _record_refusal(wanted, application, actor, str(error.detail))
        raise


def _find_user(named: str) -> User | None:
    """By e-mail address or by id."""
    if "@" in named:
        return people.find_by_email(named)
    try:
        return User.objects.filter(pk=UUID(named)).first()
    except ValueError:
        return None


def _record_refusal(
    wanted: dict[str, Any], application: Application | None, actor: events.Actor, reason: str
) -> None:
    """The trail's `client_id` is stored in clear: what names no app goes with the details."""
    patient = wanted.get("patient")
    claimed = {} if application else {"claimed_client_id": wanted["client_id"]}
    record.record(
        events.Event(
            code=events.Code.LAUNCH_DENY,
            outcome=events.Outcome.DENIED,
            actor=actor,
            client_id=application.client_id if application else "",
            patient=f"Patient/{patient}" if patient else "",
            reason=reason,
            details={"on_behalf_of": wanted["user"], **claimed},
        )
    )
