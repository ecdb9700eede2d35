"""The front door that the attacks go through: a tenant, its people, tokens by name, the trail."""

import asyncio
import secrets
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Final
from unittest import mock

from django.utils import timezone

from authfi.accounts import people
from authfi.accounts.models import User
from authfi.lib import outbound, tenancy
from authfi.lib.tenancy import TenantRef
from authfi.lib.transaction import transaction
from smart import grants, tokens
from smart.models import Application
from smart.scopes.syntax import parse_scopes
from smart.server import id_token
from smart.server.register import register_application
from tenants import policies
from tenants.http import fhir_base
from tests.attack import oracle
from tests.attack.bearers import BEARERS, Bearer
from tests.attack.corpus import Case
from tests.attack.records import DELETED, RECORDS
from tests.cast import ADMIN
from tests.conftest import fresh_tenant
from tests.forged_tokens import FORGED
from tests.gateway import asgi
from tests.gateway.asgi import Reply
from tests.gateway.conftest import Base, a_base
from tests.sandbox.conftest import Sandbox, running
from tests.server.conftest import claims_of

_ROLES: Final = {
    "ann": ("patient", "Patient/ann"),
    "bob": ("patient", "Patient/b7f3bob"),
    "nurse": ("nurse", "Practitioner/nora"),
    "stranger": ("nurse", "Practitioner/odd"),
    "doctor": ("doctor", "Practitioner/dov"),
    "admin": ("admin", None),
}
_SCOPE: Final = "openid fhirUser launch/patient patient/*.cruds user/*.cruds"
Headers = tuple[tuple[bytes, bytes], ...]


@dataclass
class Front:
    """A FHIR base with everybody who may ask.

    `world` is what the oracle knows of it, `statuses` counts the answers.
    """

    base: Base
    world: oracle.World
    people: dict[str, User]
    apps: dict[str, Application]
    elsewhere: TenantRef
    sandbox: Sandbox | None = None
    statuses: Counter[int] = field(default_factory=Counter)
    _credentials: dict[str, str] = field(default_factory=dict)
    _cursors: dict[str, str] = field(default_factory=dict)

    def credential(self, name: str) -> str:
        """The token of that name, good or bad; made when it is first asked for."""
        if name not in self._credentials:
            kind, _, which = name.partition(": ")
            if name in BEARERS:
                made = self._good(BEARERS[name])
            elif kind == "forged":
                with tenancy.bind(self.base.tenant):
                    raw = self._good(BEARERS["ann"])
                    made = FORGED[which](claims_of(raw), raw)
            else:
                made = self._bad(which)
            self._credentials[name] = made
        return self._credentials[name]

    def bearer(self, name: str) -> Bearer | None:
        """What the oracle is told of a credential; None for those that open nothing."""
        return BEARERS.get(name)

    def send(
        self, name: str, method: str, target: str, headers: Headers = (), body: bytes = b""
    ) -> tuple[oracle.Request, Reply]:
        """One request with the credential of that name, judged by the oracle."""
        path, _, query = self._filled(target).encode("latin-1").partition(b"?")
        sent = list(headers)
        if name:
            sent.append((b"authorization", b"Bearer " + self.credential(name).encode()))
        whole = f"/t/{self.base.tenant.slug}/fhir".encode() + path
        reply = self.base.run(asgi.call(method, whole, query, sent, body))
        self.base.check_nothing_leaked(reply)
        is_good = not any(key == b"authorization" for key, _ in headers)
        bearer = self.bearer(name) if is_good else None
        request = oracle.Request(method, self._filled(target), bearer, headers, body)
        self._learn(request, reply)
        self.statuses[reply.status] += 1
        answer = oracle.Answer(reply.status, reply.raw_headers, reply.body, self.events(reply))
        oracle.judge(self.world, request, answer)
        return request, reply

    def send_case(self, case: Case) -> tuple[oracle.Request, Reply]:
        """`send` for a line of the corpus."""
        headers = tuple((key, self._filled_bytes(value)) for key, value in case.headers)
        return self.send(case.token, case.method, case.path, headers, case.body)

    def events(self, reply: Reply) -> list[oracle.Event]:
        """What that request left in the trail."""
        return [
            oracle.Event(one.code, one.outcome, str(one.details.get("patient", "")))
            for one in self.base.events(reply)
        ]

    def versions(self) -> dict[str, tuple[int, str]]:
        """Status and entity tag of each record that is not Ann's, asked of the server behind."""
        assert self.sandbox is not None
        found = {}
        for one in RECORDS:
            if one.owner != "ann" and one.key[1] not in ("moved-in", "gone-back"):
                path = "/".join(one.key)
                reply = self.sandbox.call("GET", f"/{path}")
                found[path] = reply.status, reply.headers.get("etag", "")
        return found

    def _learn(self, request: oracle.Request, reply: Reply) -> None:
        """A resource that was made or changed belongs to whom its subject says."""
        if request.method not in ("POST", "PUT") or reply.status not in (200, 201):
            return
        if "_search" in request.target or not reply.body:
            return
        stored = reply.json
        subject = stored.get("subject", {}).get("reference", "")
        if stored["resourceType"] != "OperationOutcome":
            self.world.made[stored["resourceType"], stored["id"]] = subject.rpartition("/")[2]

    def _good(self, bearer: Bearer) -> str:
        user = self.people[bearer.person]
        base = replace(self.base, user=user, app=self.apps[bearer.app])
        return base.token(
            bearer.scope,
            patient=bearer.patient,
            fhir_user=_ROLES[bearer.person][1],
            auth_time=timezone.now(),
        )

    def _bad(self, which: str) -> str:
        """Credentials that were good once or somewhere else (O10, G49, G51)."""
        scope = BEARERS["ann"].scope
        base = replace(self.base, user=self.people["ann"])
        if which == "refresh token":
            return secrets.token_urlsafe(32)
        if which in ("tenant", "tenant, our audience"):
            there = replace(base, tenant=self.elsewhere)
            with tenancy.bind(self.elsewhere):
                there.app, there.user = _an_app("growth-chart"), _a_person("namesake", "patient")
            audience = fhir_base(self.base.tenant if "," in which else self.elsewhere)
            return there.token(scope, patient="ann", audience=audience)
        if which == "management audience":
            return base.token(scope, patient="ann", audience="http://localhost:8000/api/v1")
        if which == "app suspended":
            with tenancy.bind(base.tenant):
                app = _an_app("suspended")
                app.state = Application.State.SUSPENDED
                app.save()
            return replace(base, app=app).token(scope, patient="ann")
        if which == "person disabled":
            with tenancy.bind(base.tenant):
                user = _a_person("disabled", "patient")
                user.is_active = False
                user.save()
            return replace(base, user=user).token(scope, patient="ann")
        raw, grant = base.grant(scope, patient="ann")
        with tenancy.bind(base.tenant), transaction():
            if which == "id token":
                return id_token.make(grant, [one.text for one in parse_scopes(scope)], "n")
            token = tokens.decode(raw, tenant=base.tenant, now=timezone.now())
            if which == "revoked":
                tokens.revoke(token, actor=ADMIN)
            elif which == "grant ended":
                grants.end_grants(reason="withdrawn", actor=ADMIN, id=grant.pk)
            elif which == "grant expired":
                grant.expires_at = timezone.now() - timedelta(seconds=1)
                grant.save()
            else:
                raise KeyError(which)
        return raw

    def _filled(self, text: str) -> str:
        """`{base}`, `{long}`, `{token:NAME}` and `{cursor:NAME}` filled in."""
        text = text.replace("{base}", fhir_base(self.base.tenant)).replace("{long}", "x" * 8200)
        for kind, make in (("token", self.credential), ("cursor", self._cursor)):
            while (start := text.find(f"{{{kind}:")) >= 0:
                end = text.index("}", start)
                name = text[start + len(kind) + 2 : end]
                text = text[:start] + make(name) + text[end + 1 :]
        return text

    def _filled_bytes(self, value: bytes) -> bytes:
        return self._filled(value.decode("latin-1")).encode("latin-1")

    def _cursor(self, name: str) -> str:
        """A cursor of Ann's first token, or of the bearer of that name, or a spoilt one."""
        if name not in self._cursors:
            if name == "expired":
                past = time.time() - 601
                with mock.patch("smart.gateway.queries.time.time", return_value=past):
                    made = self._next_page("ann")
            elif name in BEARERS:
                made = self._next_page(name)
            else:
                good = self._cursor("ann")
                spoilt = {
                    "cut": good[:-4],
                    "padded": good + "==",
                    "tampered": good[:40] + ("A" if good[40] != "A" else "B") + good[41:],
                    "upper": good.upper(),
                }
                made = spoilt[name]
            self._cursors[name] = made
        return self._cursors[name]

    def _next_page(self, name: str) -> str:
        reply = self.base.ask("/Observation?_count=1", self.credential(name))
        links = {one["relation"]: one["url"] for one in reply.json["link"]}
        return str(links["next"]).partition("_page=")[2]


@contextmanager
def a_front(upstream: str, bearer: str) -> Iterator[Front]:
    """A fresh tenant in front of that server, and another one beside it."""
    tenant, elsewhere = fresh_tenant("mercy"), fresh_tenant("lakeside")
    with asyncio.Runner() as runner:
        base = a_base(tenant, runner, upstream, bearer)
        a_base(elsewhere, runner, upstream, bearer)
        with tenancy.bind(tenant):
            staff = {name: _a_person(name, *_ROLES[name]) for name in _ROLES}
            apps = {"growth-chart": base.app, "rival": _an_app("rival")}
            changes = {"default": "care-team", "by_role": {"doctor": "all"}}
            policies.change(kind="clinician-access", changes=changes, actor=ADMIN)
        yield Front(base, oracle.World(base.address.decode()), staff, apps, elsewhere)
        runner.run(outbound.close())


@contextmanager
def a_hospital(folder: Path) -> Iterator[Front]:
    """The records in a FHIR server of their own, and the front door to them."""
    with running(folder / "records.sqlite3") as server:
        for one in RECORDS:
            kind, number = one.key
            reply = server.call("PUT", f"/{kind}/{number}", one.body)
            assert reply.status in (200, 201), (one.key, reply.content)
        for number in DELETED:
            assert server.call("DELETE", f"/Flag/{number}").status == 204
        with a_front(server.base, server.bearer) as front:
            front.sandbox = server
            yield front


def _a_person(name: str, role: str, fhir_user: str | None = None) -> User:
    return people.create_person(
        email=f"{name}-{secrets.token_hex(4)}@mercy.example",
        name=f"{name.title()} Quimby",
        roles=[role],
        fhir_user=fhir_user,
    )


def _an_app(name: str) -> Application:
    app, _ = register_application(
        client_id=f"{name}-{secrets.token_hex(4)}",
        name=name.title(),
        client_type="public",
        redirect_uris=["https://app.example/cb"],
        scopes=_SCOPE,
        grant_types=["authorization_code"],
    )
    return app
