"""Reads and searches: facts, decision, server behind, gate, event, answer (design D6, D7, D16).

What a write is in `writes`, this is for everything that changes nothing.
"""

import time
from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID

from audit.events import Event
from audit.record import arecord
from authfi.lib.egress import Kind
from authfi.lib.tenancy import TenantRef
from smart import access, tokens, upstream
from smart.access import Person
from smart.gateway import answers, budget, cursors, fhir_request, outcomes, trail
from smart.gateway.budget import OverloadedError
from smart.gateway.cursors import NoSuchPageError, Onward, Sealer
from smart.gateway.exchange import AskReach, Exchange, Found
from smart.gateway.outcomes import Answer, Realm, UpstreamFault
from smart.models import HealthcareModule
from smart.policy import levels, owners, shape
from smart.policy.decision import decide
from smart.policy.facts import Deny, Facts, Permit, Reach, Served
from smart.policy.request import FhirInteraction, FhirRequest
from smart.scopes.syntax import Level
from smart.tokens import AccessToken, InvalidTokenError
from smart.upstream import NotActiveError, Upstream, UpstreamError

_PAGED: Final = frozenset({FhirInteraction.SEARCH_TYPE, FhirInteraction.HISTORY_INSTANCE})


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks where: the token as it was sent and as it was verified, the server it is for."""

    raw: str
    token: AccessToken
    tenant: TenantRef
    realm: Realm
    module: HealthcareModule


@dataclass(frozen=True, slots=True)
class _Question:
    """A request to decide on; `onward` and `self_url` where it is a further page of a search."""

    request: FhirRequest
    onward: Onward | None = None
    self_url: str = ""


async def respond(request: FhirRequest, caller: Caller) -> Answer:
    """The answer to a request with a good token that writes nothing."""
    if request.interaction is FhirInteraction.PAGE:
        return await _further_page(request, caller)
    return await _decided(_Question(owners.as_type_search(request)), caller)


async def _further_page(request: FhirRequest, caller: Caller) -> Answer:
    """The page a cursor leads to: its search is decided upon as if it were asked anew (G34)."""
    (cursor,) = (one.text for one in request.parameters)
    binding = cursors.binding_of(caller.token, caller.realm.base)
    key = await cursors.key_of(caller.tenant)
    try:
        page = cursors.open_page(cursor, key, binding, int(time.time()))
    except NoSuchPageError:
        bare = replace(request, parameters=())
        await _told(trail.not_found(bare, caller.token), bare, caller)
        return outcomes.not_found()
    search = fhir_request.parse("GET", page.search, page.query.encode(), [])
    self_url = f"{caller.realm.base}?{fhir_request.PAGE}={cursor}"
    return await _decided(_Question(search, page.onward, self_url), caller)


async def _decided(question: _Question, caller: Caller) -> Answer:
    request, token = question.request, caller.token
    try:
        server = await upstream.aresolve(caller.tenant)
    except (NotActiveError, UpstreamError) as error:
        await _told(trail.failed(request, token, str(error)), request, caller)
        return outcomes.bad_gateway()
    person = await _person(request, caller)
    decision = decide(
        Facts(
            request=request,
            scopes=token.scopes,
            patient=token.patient,
            fhir_user=token.fhir_user,
            base=caller.realm.base,
            upstream=server.base_url,
            served=Served.of(caller.module.capabilities.get(request.resource_type, {})),
            reach=await _reach(request, caller, person) if person else None,
        )
    )
    if isinstance(decision, Deny):
        await _told(trail.denied(request, token, decision), request, caller)
        is_hidden = decision.status == 404
        return outcomes.not_found() if is_hidden else outcomes.from_deny(decision, caller.realm)
    return await _permitted(question, caller, decision, server, person)


async def _person(request: FhirRequest, caller: Caller) -> Person | None:
    """Who stands behind the token, where `user/` scopes make that matter (G47)."""
    token = caller.token
    if token.grant_id is None or not levels.covers(token.scopes, request, Level.USER):
        return None
    try:
        return await access.person_of(caller.tenant, UUID(token.subject))
    except ValueError:
        return None


async def _reach(request: FhirRequest, caller: Caller, person: Person) -> Reach:
    """What the person may open of what the request names. Who is a patient opens their own."""
    own = access.own_patient(person)
    if own is None and await access.is_unbounded(caller.tenant, person):
        return Reach(is_unbounded=True)
    named = frozenset(owners.patients_named(request, caller.realm.base))
    opened = await _asker(caller, person)(named) if named else named
    return Reach(patients=opened, own=own)


def _asker(caller: Caller, person: Person) -> AskReach:
    async def ask(patients: frozenset[str]) -> frozenset[str]:
        verdicts = await access.openable(
            caller.tenant, person, patients, vouched=caller.token.vouched
        )
        return frozenset(one for one in patients if verdicts[one].allowed)

    return ask


async def _permitted(
    question: _Question, caller: Caller, permit: Permit, server: Upstream, person: Person | None
) -> Answer:
    """Ask upstream, judge what comes back, store the event, and only then answer (V8).

    The upstream may have been slow: the token is asked once more before its answer leaves (G51).
    """
    request, token, realm = question.request, caller.token, caller.realm
    try:
        with budget.lease() as lease:
            exchange = await _exchange(question, caller, permit, server, person, lease)
            found = await answers.answer(exchange)
        await tokens.aauthenticate(caller.raw, tenant=caller.tenant, audience=realm.base)
    except (UpstreamError, UpstreamFault, OverloadedError) as error:
        await _told(trail.failed(request, token, str(error)), request, caller)
        return _failure(error)
    except InvalidTokenError as error:
        await _told(trail.ended(request, token, error.reason), request, caller)
        return outcomes.unauthorized(realm, was_token_sent=True, is_expired=error.is_expired)
    await _told(_event(request, token, permit, found), request, caller, found.patients)
    return found.answer


async def _exchange(
    question: _Question,
    caller: Caller,
    permit: Permit,
    server: Upstream,
    person: Person | None,
    lease: budget.Lease,
) -> Exchange:
    if permit.access is None:
        raise UpstreamFault("there is nothing to judge an answer by")
    base, request = caller.realm.base, question.request
    sealer, self_url = None, question.self_url
    if request.interaction in _PAGED:
        self_url = self_url or _self_url(request, permit, base)
        path, query = fhir_request.to_upstream(request)
        sealer = Sealer(
            key=await cursors.key_of(caller.tenant),
            binding=cursors.binding_of(caller.token, base),
            public_base=base,
            upstream_base=server.base_url,
            search=path,
            query=query,
            now=int(time.time()),
        )
    return Exchange(
        permit=permit,
        access=permit.access,
        server=server,
        base=base,
        lease=lease,
        self_url=self_url,
        sealer=sealer,
        onward=question.onward,
        ask_reach=_asker(caller, person) if person else None,
    )


def _self_url(request: FhirRequest, permit: Permit, base: str) -> str:
    """The search that ran, with what the gateway itself did to its result."""
    own = tuple(one for one in request.parameters if one.name in shape.PARAMETERS)
    ran = replace(permit.request, parameters=(*permit.request.parameters, *own))
    return fhir_request.public_url(base, ran)


async def _told(
    event: Event,
    request: FhirRequest,
    caller: Caller,
    patients: frozenset[str] = frozenset(),
) -> None:
    """Store the event, under every patient it is about, in one commit (D7)."""
    await arecord(*trail.per_patient(event, request, caller.realm.base, patients))


def _failure(error: Exception) -> Answer:
    if isinstance(error, OverloadedError):
        return outcomes.unavailable()
    is_slow = isinstance(error, UpstreamError) and error.kind is Kind.TIMEOUT
    return outcomes.gateway_timeout() if is_slow else outcomes.bad_gateway()


def _event(request: FhirRequest, token: AccessToken, permit: Permit, found: Found) -> Event:
    if found.fault:
        return trail.failed(request, token, found.fault)
    if found.answer.status == 404:
        return trail.not_found(request, token)
    return trail.allowed(request, token, permit, returned=found.returned)
