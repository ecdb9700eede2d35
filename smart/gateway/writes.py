"""Create, update and delete (security-checklist G22 to G27, G42, G45, V8; design D7).

One way for all three: what the token lets be written, what role and sign-in let, what the server
behind can do, the body, the resource as it stands, the resource as it would be, what that refers
to. Only then the intent is stored, the change sent once, its outcome stored, and the app answered.
"""

import asyncio
from contextlib import ExitStack
from dataclasses import replace
from typing import Any, Final
from uuid import UUID, uuid4

from django.utils import timezone

from audit.events import Outcome
from audit.record import AuditUnavailableError, arecord
from authfi.lib.egress import Kind
from smart import access, role_rules, tokens, upstream
from smart.access import Person
from smart.gateway import (
    budget,
    intents,
    outcomes,
    write_answer,
    write_body,
    write_headers,
    write_references,
    write_trail,
    write_upstream,
)
from smart.gateway.budget import OverloadedError
from smart.gateway.outcomes import Answer, BadRequest, UpstreamFault
from smart.gateway.write_answer import Reader
from smart.gateway.write_attempt import Attempt, Ready, RefusedError
from smart.gateway.write_body import Written
from smart.gateway.write_upstream import BusyError, Current, Result
from smart.policy import acr, scope_rules, write_rules
from smart.policy.compartment import subjects_of
from smart.policy.facts import Deny
from smart.policy.request import FhirInteraction
from smart.policy.scope_rules import Refused, SignIn
from smart.policy.write_rules import LETTERS, WriteAccess
from smart.scopes.syntax import Level
from smart.tokens import InvalidTokenError
from smart.upstream import NotActiveError, Upstream, UpstreamError
from tenants import policies

_RETRY_AFTER_SECONDS: Final = 5
_NOT_THERE: Final = Deny(
    404,
    "write.before",
    "Absent, another patient's, or outside the granted scopes.",
    "not-found",
)


async def respond(attempt: Attempt) -> Answer:
    """The answer to a write with a good token. Raises AuditUnavailableError."""
    person = await _person(attempt)
    with ExitStack() as stack:
        try:
            ready = await _judged(attempt, person, stack)
        except RefusedError as error:
            await arecord(*write_trail.refusal(attempt, person, error))
            return error.answer
        # Whatever becomes of the connection: a change that is sent has its outcome told, and what
        # it holds in memory stays counted until then.
        work = _carried_out(attempt, ready, stack.pop_all())
        return await asyncio.shield(asyncio.create_task(work))


async def _person(attempt: Attempt) -> Person | None:
    if attempt.token.grant_id is None:
        return None
    return await access.person_of(attempt.tenant, UUID(attempt.token.subject))


async def _judged(attempt: Attempt, person: Person | None, stack: ExitStack) -> Ready:
    """All checks, in order. Raises RefusedError."""
    try:
        return await _checked(attempt, person, stack)
    except BadRequest as error:
        answer = outcomes.from_bad_request(error, attempt.realm)
        raise RefusedError(answer, "request.grammar", error.diagnostics) from error
    except InvalidTokenError as error:
        answer = outcomes.unauthorized(
            attempt.realm, was_token_sent=True, is_expired=error.is_expired
        )
        raise RefusedError(answer, "token.valid", error.reason) from error
    except BusyError as error:
        answer = outcomes.busy_upstream(error.status, error.seconds)
        raise _failed(answer, error) from error
    except OverloadedError as error:
        raise _failed(outcomes.unavailable(_RETRY_AFTER_SECONDS), error) from error
    except UpstreamError as error:
        is_slow = error.kind is Kind.TIMEOUT
        answer = outcomes.gateway_timeout() if is_slow else outcomes.bad_gateway()
        raise _failed(answer, error) from error
    except (NotActiveError, UpstreamFault) as error:
        raise _failed(outcomes.bad_gateway(), error) from error


def _failed(answer: Answer, error: Exception) -> RefusedError:
    return RefusedError(answer, "upstream", str(error), outcome=Outcome.FAILURE)


async def _checked(attempt: Attempt, person: Person | None, stack: ExitStack) -> Ready:
    request, token = attempt.request, attempt.token
    server = await upstream.aresolve(attempt.tenant)
    allowed = write_rules.decide_write(
        request, token.scopes, token.patient, attempt.realm.base, server.base_url
    )
    if isinstance(allowed, Deny):
        raise _denied(attempt, allowed)
    if refusal := write_headers.refusal(request, attempt.headers):
        raise _denied(attempt, refusal)
    allowed, rule = await _by_rules(attempt, allowed, person)
    _check_capability(attempt)
    write_headers.check(request, attempt.headers)
    written = await _body(attempt, stack)
    before = None
    if request.interaction is not FhirInteraction.CREATE:
        before = await write_upstream.current(server, request, stack.enter_context(budget.lease()))
    if written is not None:
        written = write_body.behind(written, before, server.base_url, attempt.realm.base)
    reader = await _judged_images(attempt, allowed, person, server, before, written)
    if written is not None:
        facts = reader.patient, reader.bases, written, before
        await write_references.check(attempt, person, server, *facts)
    if before is not None:
        _check_version(attempt, before)
    base = attempt.realm.base
    await tokens.aauthenticate(attempt.raw_token, tenant=attempt.tenant, audience=base)
    return Ready(reader, server, person, rule, before, written)


async def _by_rules(
    attempt: Attempt, allowed: WriteAccess, person: Person | None
) -> tuple[WriteAccess, str]:
    """What role and sign-in leave of the access, and the rule (RSVR-12). Raises RefusedError."""
    token, letter = attempt.token, LETTERS[attempt.request.interaction]
    rules = role_rules.rules_of(await policies.ascope_rules(attempt.tenant))
    age = (timezone.now() - token.auth_time).total_seconds() if token.auth_time else None
    roles = person.roles if person else frozenset()
    who = SignIn(roles, acr.aal_of(token.acr), age)
    resource_type = attempt.request.resource_type or ""
    levels = {Level.PATIENT: allowed.of_patient, Level.USER: allowed.of_user}
    verdicts = {
        level: scope_rules.evaluate(rules, level, resource_type, letter, who)
        for level, scopes in levels.items()
        if scopes
    }
    refused = [one for one in verdicts.values() if isinstance(one, Refused)]
    if len(refused) == len(verdicts):
        raise _by_rule(attempt, max(refused, key=lambda one: one.needs_sign_in))
    kept = {level for level, one in verdicts.items() if not isinstance(one, Refused)}
    passed = next(one.rule for level, one in verdicts.items() if level in kept)
    return replace(
        allowed,
        of_patient=allowed.of_patient if Level.PATIENT in kept else (),
        of_user=allowed.of_user if Level.USER in kept else (),
    ), passed


def _by_rule(attempt: Attempt, refused: Refused) -> RefusedError:
    if refused.needs_sign_in:
        answer = outcomes.insufficient_authentication(
            attempt.realm, refused.reason, refused.aal, refused.max_age_seconds
        )
    else:
        deny = Deny(403, refused.rule, refused.reason, "forbidden")
        answer = outcomes.from_deny(deny, attempt.realm)
    return RefusedError(answer, refused.rule, refused.reason)


def _check_capability(attempt: Attempt) -> None:
    """403 for what the server behind says it does not do. Raises RefusedError."""
    request = attempt.request
    served = attempt.module.capabilities.get(request.resource_type, {}).get("interactions", ())
    if str(request.interaction) not in served:
        reason = f"The FHIR server behind this one does not offer {request.describe()}."
        raise _denied(attempt, Deny(403, "interaction.upstream", reason, "not-supported"))


async def _body(attempt: Attempt, stack: ExitStack) -> Written | None:
    """The resource sent, None for a delete. Raises BadRequest, OverloadedError."""
    if attempt.request.interaction is FhirInteraction.DELETE:
        return None
    write_body.check_media_type(attempt.headers)
    raw = await attempt.read_body(stack.enter_context(budget.lease()))
    return write_body.parse(raw, attempt.request)


async def _judged_images(
    attempt: Attempt,
    allowed: WriteAccess,
    person: Person | None,
    server: Upstream,
    before: Current | None,
    written: Written | None,
) -> Reader:
    """The resource as it stands and as it would be (G25, G26, G42). Raises RefusedError."""
    bases = allowed.bases
    if attempt.request.interaction is not FhirInteraction.CREATE:
        resource = before.resource if before else None
        patient = write_rules.subject_of(resource, bases) if resource else None
        scopes = await _scopes(attempt, allowed, person, patient)
        if resource is None or not write_rules.is_writable_image(resource, scopes):
            raise _not_there(attempt, resource, allowed)
    else:
        patient = write_rules.subject_of(written.resource, bases) if written else None
        scopes = await _scopes(attempt, allowed, person, patient)
    if written is not None:
        standing, image = before.resource if before else None, written.resource
        after = write_rules.subject_of(image, bases)
        if deny := write_rules.refuse_image(image, after, scopes, bases, standing):
            raise _denied(attempt, deny, _named(image, allowed))
    return write_answer.reader_of(patient or "", scopes, bases, attempt.realm.base, server.base_url)


async def _scopes(
    attempt: Attempt, allowed: WriteAccess, person: Person | None, patient: str | None
) -> Any:
    """The scopes that reach a record of this patient (D16, G47)."""
    if patient is None:
        return ()
    is_open = False
    if allowed.of_user and person is not None:
        vouched = attempt.token.vouched
        found = await access.openable(attempt.tenant, person, [patient], vouched=vouched)
        is_open = found[patient].allowed
    return allowed.scopes(patient, is_open=is_open)


def _check_version(attempt: Attempt, before: Current) -> None:
    """412 for another version than the app wants to change; 409 without versions (G24, G26)."""
    if before.etag is None:
        reason = "the upstream tells no versions"
        answer = outcomes.without_versions()
        raise RefusedError(answer, "upstream", reason, outcome=Outcome.FAILURE)
    if not write_headers.is_wanted(attempt.headers, before.etag):
        reason = "The app named another version than the one that stands."
        raise RefusedError(outcomes.changed_meanwhile(), "version.match", reason)


def _denied(attempt: Attempt, deny: Deny, patients: frozenset[str] = frozenset()) -> RefusedError:
    answer = outcomes.from_deny(deny, attempt.realm)
    return RefusedError(answer, deny.rule, deny.reason, patients=patients)


def _not_there(
    attempt: Attempt, resource: dict[str, Any] | None, allowed: WriteAccess
) -> RefusedError:
    patients = _named(resource, allowed) if resource else frozenset()
    answer = outcomes.not_found()
    return RefusedError(answer, _NOT_THERE.rule, _NOT_THERE.reason, patients=patients)


def _named(resource: dict[str, Any], allowed: WriteAccess) -> frozenset[str]:
    """The patients a refused resource is about: their records tell of the attempt (A3)."""
    found = subjects_of(resource, allowed.bases)
    return found.owners | found.others


async def _carried_out(attempt: Attempt, ready: Ready, held: ExitStack) -> Answer:
    """`_sent`, with what is `held` for it given back at its end."""
    with held:
        return await _sent(attempt, ready)


async def _sent(attempt: Attempt, ready: Ready) -> Answer:
    """Intent, change, outcome, answer (V8). Raises AuditUnavailableError before the change only.

    Where its outcome cannot be told nobody shall try again blindly: the change may stand, and the
    sweep tells of it (V9).
    """
    intent, text = uuid4(), ready.written.text if ready.written else None
    await intents.announce(attempt.tenant, intent, write_trail.intent(attempt, ready, intent))
    etag = ready.before.etag if ready.before else None
    with budget.lease() as lease:
        reply = await write_upstream.send(ready.server, attempt.request, text, etag, lease)
        after = write_answer.stored(reply, attempt.request, ready.reader)
    if reply.result is Result.DONE and after.resource_id is None:
        reply = replace(reply, result=Result.UNKNOWN, reason="the upstream told no id")
    event = write_trail.outcome(attempt, ready, intent, reply, after)
    try:
        await intents.conclude(attempt.tenant, intent, event)
    except AuditUnavailableError:
        return outcomes.unknown_outcome()
    if reply.result is not Result.DONE:
        return write_answer.not_done(reply)
    wanted = write_answer.preferred(attempt.headers)
    return write_answer.done(attempt.request, after, wanted, attempt.realm.base)
