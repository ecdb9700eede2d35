"""What a person chose in a picker, kept with the request it belongs to (STND-02, STND-04, STND-05).

A form can name any patient and any visit, so both are judged again, whoever drew the page.
"""

from typing import Final

from audit import events, record
from authfi.accounts.models import User
from authfi.lib.transaction import transaction
from smart import access, care_evidence, upstream
from smart.models import AuthorizationRequest
from smart.policy.references import is_id
from smart.server.picker_search import is_visit_of

#: Kept as the encounter of who chose none, so that they are not asked again.
NO_ENCOUNTER: Final = ""


class ChoiceRefusedError(Exception):
    """The person may not choose this; it is recorded."""


class AnsweredError(Exception):
    """The request was answered meanwhile: nothing can be chosen for it any more."""


def choose_patient(
    *, kept: AuthorizationRequest, user: User, patient: str, actor: events.Actor
) -> None:
    """Put a patient into the request's context; a visit chosen before falls away.

    Raises ChoiceRefusedError, AnsweredError, upstream.UpstreamError.
    """
    if not is_id(patient):
        _refuse(kept, actor, "", "form", "The form names no patient.")
    verdict = access.openable_sync(access.person_of_user(user), [patient])[patient]
    if not verdict.allowed:
        _refuse(kept, actor, patient, verdict.rule, verdict.reason)
    if upstream.read("Patient", patient) is None:
        _refuse(kept, actor, patient, "response.gate", "There is no such patient.")
    _keep(kept, actor, patient, None, f"Patient/{patient}", verdict.rule)


def choose_encounter(
    *, kept: AuthorizationRequest, patient: str, encounter: str, actor: events.Actor
) -> None:
    """Put a visit of this patient into the request's context, or none where it is empty.

    Raises as `choose_patient`.
    """
    if not encounter:
        _keep(kept, actor, patient, NO_ENCOUNTER, "", "encounter.subject")
        return
    found = upstream.read("Encounter", encounter)
    if found is None or not is_visit_of(found, patient, care_evidence.connected()):
        reason = "The form names no visit of this patient."
        _refuse(kept, actor, patient, "encounter.subject", reason)
    _keep(kept, actor, patient, encounter, f"Encounter/{encounter}", "encounter.subject")


def _keep(
    kept: AuthorizationRequest,
    actor: events.Actor,
    patient: str,
    encounter: str | None,
    chosen: str,
    rule: str,
) -> None:
    """A question about another record must not be answered for this one, so it falls away."""
    with transaction():
        row = AuthorizationRequest.objects.select_for_update(of=("self",)).get(pk=kept.pk)
        if row.finished_at is not None:
            raise AnsweredError
        row.patient, row.encounter, row.consent_request = patient, encounter, None
        row.save(update_fields=["patient", "encounter", "consent_request"])
        record.record(
            events.Event(
                code=events.Code.LAUNCH_CHOOSE,
                outcome=events.Outcome.SUCCESS,
                actor=actor,
                client_id=kept.application.client_id,
                patient=patient,
                object=chosen,
                rule=rule,
                reason="chosen in the picker",
                details={"request": str(kept.pk)},
            )
        )


def _refuse(
    kept: AuthorizationRequest, actor: events.Actor, patient: str, rule: str, reason: str
) -> None:
    record.record(
        events.Event(
            code=events.Code.LAUNCH_DENY,
            outcome=events.Outcome.DENIED,
            actor=actor,
            client_id=kept.application.client_id,
            patient=patient,
            rule=rule,
            reason=reason,
            details={"request": str(kept.pk)},
        )
    )
    raise ChoiceRefusedError(reason)
