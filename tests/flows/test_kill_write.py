"""A web process is killed at each step of a write through the gateway (V8, V9).

Every change that reached the FHIR server was announced before, none was sent twice, and what is
left without an outcome is told by the sweep.
"""

import json
import threading
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from hashlib import sha256
from itertools import count

import pytest
from django.utils import timezone

from authfi.lib import tenancy
from smart.gateway import intents
from smart.models import WriteIntent
from tests import fhir_server
from tests.fhir_server import Answer, Asked, FhirServer
from tests.flows.killing import CLIENTS, Request, at_once, events, told_once, trail_is_whole
from tests.gateway.conftest import BEARER, Base, a_base
from tests.gateway.ward import JSON, PULSE, WRITE
from tests.web_process import Web, web_process

WRITTEN = ("fhir.create.allow", "fhir.update.allow")
INTERACTIONS = ("create", "read", "update")


class Hospital:
    """A FHIR server that takes writes, the gateway before it, and clients with tokens."""

    def __init__(self, base: Base, behind: FhirServer) -> None:
        self.base, self.behind, self.tenant = base, behind, base.tenant
        signed_in = timezone.now()
        self.tokens = [base.token(WRITE, auth_time=signed_in) for _ in range(CLIENTS)]
        self.values = count(1)
        self.arrived = count(1)
        self.killing: tuple[int, Web] | None = None
        self.lock = threading.Lock()
        behind.routes["Observation"] = self.take
        for number in range(CLIENTS):
            behind.routes[f"Observation/o{number}"] = self.take

    def take(self, asked: Asked) -> Answer:
        """Store what is written; be the moment of a kill, where one is due."""
        if asked.method == "GET":
            resource = {**PULSE, "id": asked.path.partition("/")[2], "meta": {"versionId": "1"}}
            return Answer(resource, headers={"ETag": 'W/"1"'})
        with self.lock:
            number = next(self.arrived)
            if self.killing and number == self.killing[0]:
                self.killing[1].kill_workers()
        written = json.loads(asked.body)
        stored = {**written, "id": written.get("id") or f"new-{number}"}
        stored["meta"] = {"versionId": "2"}
        status = 201 if asked.method == "POST" else 200
        return Answer(stored, status, {"ETag": 'W/"2"'})

    def write(self, web: Web) -> list[int | None]:
        """Each client writes something of its own, all at once: the even ones create."""
        path, sent = f"/t/{self.tenant.slug}/fhir/Observation", []
        for number, token in enumerate(self.tokens):
            value = {"value": next(self.values), "unit": "/min"}
            resource = {**PULSE, "valueQuantity": value}
            headers = {**JSON, "Authorization": f"Bearer {token}"}
            method, place = "POST", path
            if number % 2:
                resource["id"] = f"o{number}"
                method, place = "PUT", f"{path}/o{number}"
                headers["If-Match"] = 'W/"1"'
            sent.append(Request(method, place, headers, json.dumps(resource).encode()))
        return [answer and answer[0] for answer in at_once(web, sent)]

    @property
    def changes(self) -> "Counter[str]":
        """The digests of the bodies that were written to the FHIR server."""
        bodies = [asked.body for asked in self.behind.asked if asked.method in ("POST", "PUT")]
        return Counter(sha256(body).hexdigest() for body in bodies)

    def open(self) -> set[str]:
        """The intents that wait for their outcome."""
        with tenancy.bind(self.tenant):
            return {str(key) for key in WriteIntent.objects.values_list("pk", flat=True)}

    def sweep(self) -> int:
        """The sweep, when it is time to tell of what is open now."""
        with tenancy.bind(self.tenant):
            later = timedelta(seconds=intents.ORPHANED_SECONDS + 1)
            return intents.report_orphans(timezone.now() + later)


@pytest.fixture(scope="module")
def other(database: None) -> Iterator[Web]:
    """Another web process of the same installation."""
    with web_process() as web:
        yield web


@pytest.fixture
def hospital(mercy, runner):
    """Mercy before a FHIR server that can create and update observations."""
    with fhir_server.serve() as behind:
        interaction = [{"code": code} for code in INTERACTIONS]
        served = [{"type": kind, "interaction": interaction} for kind in ("Patient", "Observation")]
        rest = [{"mode": "server", "resource": served}]
        behind.routes["metadata"] = Answer({**fhir_server.STATEMENT, "rest": rest})
        yield Hospital(a_base(mercy, runner, behind.base, BEARER), behind)


WHILE_THE_SERVER_WORKS = ""
#: Where it dies; whether intents were stored by then, changes sent, outcomes stored.
STEPS = {
    "intent stored, not committed": (f"audit.chain:flush:after:{2 * CLIENTS + 1}", 0, 0, 0),
    "intent committed, nothing sent": (
        f"smart.gateway.write_upstream:send:before:{CLIENTS + 1}",
        *(1, 0, 0),
    ),
    "while the FHIR server works": (WHILE_THE_SERVER_WORKS, 1, 1, 0),
    "answer in, outcome not stored": (
        f"smart.gateway.intents:conclude:before:{CLIENTS + 1}",
        *(1, 1, 0),
    ),
    "outcome committed, not answered": (
        f"smart.gateway.intents:conclude:after:{CLIENTS + 1}",
        *(1, 1, 1),
    ),
}


@pytest.mark.spec("V8", "V9", "A1")
@pytest.mark.parametrize("step", list(STEPS))
def test_a_killed_write_is_announced_sent_once_and_told_of(hospital, other, step):
    at, *expected = STEPS[step]
    with web_process(at) as web:
        if at == WHILE_THE_SERVER_WORKS:
            hospital.killing = (CLIENTS + 1, web)
        assert hospital.write(web) == [201, 200] * (CLIENTS // 2)
        assert hospital.write(web) == [None] * CLIENTS
        web.wait_until_dead()
    announced = told_once(hospital.tenant, "intent", "fhir.intent")
    concluded = told_once(hospital.tenant, "intent", *WRITTEN)
    reached = [len(announced), sum(hospital.changes.values()), len(concluded)]
    assert [number > CLIENTS for number in reached] == expected
    assert concluded <= announced
    assert hospital.open() == announced - concluded
    digests = [details["after"] for details in events(hospital.tenant, "fhir.intent")]
    assert set(hospital.changes.values()) == {1}
    assert hospital.changes.keys() <= set(digests)
    assert len(set(digests)) == len(digests)

    assert hospital.sweep() == len(announced - concluded)
    assert told_once(hospital.tenant, "intent", "audit.anomaly") == announced - concluded
    assert (hospital.open(), hospital.sweep()) == (set(), 0)
    assert hospital.write(other) == [201, 200] * (CLIENTS // 2)
    assert hospital.open() == set()
    trail_is_whole(hospital.tenant)
