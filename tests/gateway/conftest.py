"""A hospital with a FHIR server behind it, tokens for its patients, and the way in."""

import asyncio
import secrets
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cache
from typing import Any, TypeVar

import pytest
from django.utils import timezone

from audit.events import Actor
from audit.models import AuditEvent
from authfi.accounts.models import User
from authfi.accounts.people import create_person
from authfi.lib import outbound, tenancy
from authfi.lib.tenancy import TenantRef
from smart import activation, tokens
from smart.models import Application, Grant
from smart.server.register import register_application
from tenants import policies
from tenants.http import fhir_base
from tests import fhir_server
from tests.conftest import fresh_tenant
from tests.gateway import asgi, raw_upstream, two_records
from tests.gateway.asgi import Reply
from tests.gateway.ward import Ward
from tests.sandbox.conftest import Sandbox, running

T = TypeVar("T")

ADMIN = Actor.system("tests")
CLIENT = "growth-chart"
ORIGIN = "https://app.example"
ALL = "openid fhirUser launch/patient patient/*.rs"
BEARER = "upstream-bearer-of-the-tests"
NOT_PROPER = "The FHIR server behind this one did not answer properly."
#: What the servers of the fault tests put into answers that must not be passed on.
SECRETS = [b"Traceback", b"secret", b"db.internal", b"evil.example", b"HAPI-0450", b"Jane"]


@dataclass(frozen=True)
class Seen:
    """An event of the trail, opened."""

    code: str
    outcome: str
    client_id: str
    patient_index: str
    details: dict[str, Any]

    @property
    def rule(self) -> str:
        return str(self.details["rule"])


@dataclass
class Base:
    """A tenant's FHIR base as apps see it: an app, a person, tokens, the way in, the trail."""

    tenant: TenantRef
    app: Application
    user: User
    runner: asyncio.Runner
    address: bytes
    hidden: list[bytes]

    def token(
        self, scope: str = ALL, *, patient: str | None = "789", seconds: int = 900, **changed: Any
    ) -> str:
        """An access token with a live grant of its own."""
        return self.grant(scope, patient=patient, seconds=seconds, **changed)[0]

    def grant(
        self, scope: str = ALL, *, patient: str | None = "789", seconds: int = 900, **changed: Any
    ) -> tuple[str, Grant]:
        """A token and the grant it hangs on."""
        with tenancy.bind(self.tenant):
            grant = Grant(
                application=self.app,
                user=self.user,
                scopes=scope,
                patient=patient,
                context={},
                expires_at=timezone.now() + timedelta(hours=1),
            )
            grant.save(force_insert=True)
            claims = {
                "client_id": self.app.client_id,
                "subject": str(self.user.pk),
                "scope": scope,
                "audience": fhir_base(self.tenant),
                "seconds": seconds,
                "grant_id": grant.pk,
                "patient": patient,
                "fhir_user": "Patient/789",
                "acr": "aal2",
            }
            return tokens.issue(**{**claims, **changed})[0], grant

    def ask(
        self,
        path: str | bytes,
        token: str | None = None,
        *,
        method: str = "GET",
        headers: dict[str, str] | list[tuple[bytes, bytes]] | None = None,
        body: bytes = b"",
    ) -> Reply:
        """One request below the FHIR base; a path with its query, sent as it is."""
        return self.run(self.asking(path, token, method=method, headers=headers, body=body))

    async def asking(
        self,
        path: str | bytes,
        token: str | None = None,
        *,
        method: str = "GET",
        headers: dict[str, str] | list[tuple[bytes, bytes]] | None = None,
        body: bytes = b"",
    ) -> Reply:
        """`ask`, for several at once."""
        raw = path.encode() if isinstance(path, str) else path
        raw_path, _, query = raw.partition(b"?")
        sent = list(headers) if isinstance(headers, list) else _encoded(headers or {})
        if token is not None:
            sent.append((b"authorization", b"Bearer " + token.encode()))
        base = f"/t/{self.tenant.slug}/fhir".encode()
        reply = await asgi.call(method, base + raw_path, query, sent, body)
        self.check_nothing_leaked(reply)
        return reply

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """On the test's own loop."""
        return self.runner.run(work)

    def check_nothing_leaked(self, reply: Reply) -> None:
        """No byte of the upstream's address or credential, nor of the other patient's record."""
        found = [one for one in self.hidden if one in reply.everything]
        assert not found, (found, reply.body[:500])

    def failed(
        self, reply: Reply, status: int = 502, text: str = NOT_PROPER, issue: str = "transient"
    ) -> str:
        """Check the refusal of an upstream's fault, and its event; the reason told there."""
        assert reply.outcome(status, issue) == text
        seen = self.event(reply)
        assert (seen.outcome, seen.rule, seen.details["patient"]) == ("failure", "upstream", "456")
        return str(seen.details["reason"])

    def events(self, reply: Reply) -> list[Seen]:
        """What the trail holds of that request."""
        with tenancy.bind(self.tenant):
            found = AuditEvent.objects.filter(request_id=reply.headers["x-request-id"])
            return [
                Seen(one.code, one.outcome, one.client_id, one.patient_index, dict(one.details))
                for one in found.order_by("seq")
            ]

    def event(self, reply: Reply) -> Seen:
        """The one event of that request; it may stand under other patients the request names."""
        own, *others = self.events(reply)
        for one in others:
            assert (one.code, one.outcome) == (own.code, own.outcome)
            assert one.details == {**own.details, "patient": one.details["patient"]}
        patients = [one.details["patient"] for one in (own, *others)]
        assert len(set(patients)) == len(patients)
        return own


def _encoded(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode(), value.encode()) for name, value in headers.items()]


def a_base(tenant: TenantRef, runner: asyncio.Runner, upstream: str, bearer: str) -> Base:
    """Switch healthcare on and register the app; no `upstream` is the tenant's own sandbox."""
    with tenancy.bind(tenant):
        if upstream:
            auth = {"mode": "static_bearer", "token": bearer}
            activation.activate(preset="custom", fhir_base=upstream, auth=auth, actor=ADMIN)
        else:
            activation.activate(preset="sandbox", actor=ADMIN)
        app, _ = register_application(
            client_id=CLIENT,
            name="Growth Chart",
            client_type="public",
            redirect_uris=["https://app.example/cb"],
            scopes="openid fhirUser launch/patient patient/*.cruds",
            grant_types=["authorization_code"],
            allowed_origins=[ORIGIN],
        )
        user = create_person(
            email=f"pat-{secrets.token_hex(4)}@mercy.example",
            name="Pat Lindqvist",
            roles=["patient"],
            fhir_user="Patient/789",
        )
    address = upstream.split("/")[2].encode() if upstream else b"127.0.0.1"
    return Base(tenant, app, user, runner, address, [address, bearer.encode()])


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    """The test's loop, and no connection left open on it."""
    with asyncio.Runner() as made:
        yield made
        made.run(outbound.close())


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """The general hospital's FHIR server, with synthetic records of two dozen patients."""
    database = tmp_path_factory.mktemp("sandbox") / "hospital.sqlite3"
    with running(database, "--seed", "general-hospital") as server:
        yield server


@pytest.fixture(scope="session")
def hospital_base(database: None, signing_keys: None, sandbox: Sandbox) -> Base:
    """The hospital of the session; `hospital` lends it a loop."""
    tenant = fresh_tenant("mercy")
    base = a_base(tenant, asyncio.Runner(), sandbox.base, sandbox.bearer)
    base.hidden += others(sandbox)
    return base


@pytest.fixture
def hospital(hospital_base: Base, runner: asyncio.Runner) -> Base:
    """Mercy, with John Doe (Patient/789), Jane Doe (Patient/790) and others."""
    hospital_base.runner = runner
    return hospital_base


def others(sandbox: Sandbox) -> list[bytes]:
    """What only Jane Doe's record holds: her given name, number, address, mail and all its ids."""
    found = {b"Jane", b"12346", b"81 Maple Street", b"jane.doe@email.com", b"Patient/790"}
    for name in ("Observation", "Condition", "Encounter", "MedicationRequest"):
        reply = sandbox.search(name, ("patient", "790"), ("_count", "1000"))
        found |= {one.partition("/")[2].encode() for one in reply.ids()}
    assert len(found) > 100
    return sorted(found)


@pytest.fixture
def upstream() -> Iterator[fhir_server.FhirServer]:
    """A FHIR server that answers what the test says."""
    with fhir_server.serve() as server:
        yield server


@pytest.fixture
def clinic(lakeside: TenantRef, runner: asyncio.Runner, upstream: fhir_server.FhirServer) -> Base:
    """Lakeside, in front of the scripted server."""
    return a_base(lakeside, runner, upstream.base, BEARER)


@pytest.fixture
def john(hospital):
    """A token for everything of Patient/789."""
    return hospital.token()


@pytest.fixture
def writer(hospital):
    """A token with every letter of Patient/789's scopes."""
    return hospital.token("patient/*.cruds")


@pytest.fixture
def raw():
    with raw_upstream.serve() as server:
        yield server


@pytest.fixture
def odd(lakeside, runner, raw):
    """Lakeside, in front of a server that answers any bytes."""
    base = a_base(lakeside, runner, raw.base, BEARER)
    base.hidden += SECRETS
    return base


@pytest.fixture(scope="session")
def written_base(
    database: None, signing_keys: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Base, Sandbox]]:
    """A hospital with a FHIR server of its own, which tests may change."""
    path = tmp_path_factory.mktemp("ward") / "ward.sqlite3"
    with running(path, "--seed", "general-hospital") as server:
        base = a_base(fresh_tenant("mercy"), asyncio.Runner(), server.base, server.bearer)
        base.hidden += others(server)
        yield base, server


@pytest.fixture
def ward(written_base: tuple[Base, Sandbox], runner: asyncio.Runner) -> Ward:
    """That hospital, on the test's own loop."""
    base, server = written_base
    base.runner = runner
    return Ward(base, server)


@pytest.fixture(scope="session")
def records_sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A FHIR server with the records of `two_records`."""
    with running(tmp_path_factory.mktemp("records") / "records.sqlite3") as server:
        two_records.fill(server)
        yield server


@pytest.fixture(scope="session")
def records_base(database: None, signing_keys: None, records_sandbox: Sandbox) -> Base:
    """Their hospital; there doctors open every record, and nurses those of their teams."""
    tenant = fresh_tenant("mercy")
    base = a_base(tenant, asyncio.Runner(), records_sandbox.base, records_sandbox.bearer)
    base.hidden += two_records.HIDDEN
    with tenancy.bind(tenant):
        changes = {"default": "care-team", "by_role": {"doctor": "all"}}
        policies.change(kind="clinician-access", changes=changes, actor=ADMIN)
    return base


@pytest.fixture
def hands(records_base: Base, runner: asyncio.Runner) -> Base:
    """The hospital of `two_records`, asked by the app of Ann."""
    records_base.runner = runner
    return records_base


def colleague(base: Base, role: str, fhir_user: str) -> Base:
    """The same base, asked by somebody else who signed in; nothing of a record is hidden then."""
    hidden = [one for one in base.hidden if one not in two_records.HIDDEN]
    return replace(base, user=_somebody(base.tenant, role, fhir_user), hidden=hidden)


@cache
def _somebody(tenant: TenantRef, role: str, fhir_user: str) -> User:
    """A person of the tenant, one for each role and FHIR resource."""
    with tenancy.bind(tenant):
        return create_person(
            email=f"{role}-{secrets.token_hex(4)}@mercy.example",
            name="Nora Nord",
            roles=[role],
            fhir_user=fhir_user,
        )
