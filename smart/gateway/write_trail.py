"""The events of writes: refused, announced, made or not (A2, A3, A10; design D7)."""

from dataclasses import replace
from typing import Final
from uuid import UUID

from audit.events import Event, Outcome
from smart.access import Person
from smart.gateway import trail, write_upstream
from smart.gateway.write_answer import Stored
from smart.gateway.write_attempt import Attempt, Ready, RefusedError
from smart.gateway.write_upstream import Reply, Result
from smart.policy.owners import patients_named

#: Other patients told of for one refused resource; its events name no more.
_MOST_PATIENTS: Final = 20


def refusal(attempt: Attempt, person: Person | None, error: RefusedError) -> tuple[Event, ...]:
    """A write that is not made, under every patient it is about (A3)."""
    own = attempt.token.patient or ""
    named = patients_named(attempt.request, attempt.realm.base)
    others = sorted({*error.patients, *named} - {own})[:_MOST_PATIENTS]
    about = ([own] if own or not others else []) + others
    return tuple(
        trail.write(
            attempt.request,
            attempt.token,
            error.outcome,
            roles=person.roles if person else (),
            patient=patient,
            rule=error.rule,
            reason=error.reason,
            details={"status": error.answer.status},
        )
        for patient in about
    )


def intent(attempt: Attempt, ready: Ready, number: UUID) -> Event:
    """A write that passed, before it is sent."""
    details = {"phase": "intent", "intent": str(number), **_digests(ready)}
    reason = "The write was permitted."
    return trail.intent(_event(attempt, ready, Outcome.SUCCESS, reason, details))


def outcome(attempt: Attempt, ready: Ready, number: UUID, reply: Reply, after: Stored) -> Event:
    """What came of a write that was sent."""
    is_done = reply.result is Result.DONE
    details = {
        "phase": "outcome",
        "intent": str(number),
        "result": str(reply.result),
        "status": reply.status,
        **_digests(ready),
    }
    if is_done:
        details |= {"version": after.version, "stored": write_upstream.digest(reply.body)}
    result = Outcome.SUCCESS if is_done else Outcome.FAILURE
    reason = reply.reason or "The FHIR server made the change."
    event = _event(attempt, ready, result, reason, details)
    made = f"{attempt.request.resource_type}/{after.resource_id}"
    return replace(event, object=made) if is_done else event


def _event(
    attempt: Attempt, ready: Ready, outcome: Outcome, reason: str, details: dict[str, object]
) -> Event:
    return trail.write(
        attempt.request,
        attempt.token,
        outcome,
        roles=ready.person.roles if ready.person else (),
        patient=ready.reader.patient,
        rule=ready.rule,
        reason=reason,
        details=details,
    )


def _digests(ready: Ready) -> dict[str, object]:
    """What stood and what is to stand, as digests (A2, A10)."""
    found: dict[str, object] = {}
    if ready.before is not None:
        found |= {"before": ready.before.digest, "before_version": ready.before.etag}
    if ready.written is not None:
        found["after"] = write_upstream.digest(ready.written.text)
    return found
