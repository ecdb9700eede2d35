"""What a request costs once everything is in memory, and many requests at once (D6, D15)."""

import asyncio
import threading
from collections import Counter

import pytest
from django.db.backends.utils import CursorWrapper

from authfi.lib import database, tenancy
from authfi.lib.ttl import Ttl
from smart import activation, tokens
from tests import fhir_server
from tests.fhir_server import Answer
from tests.gateway.conftest import ADMIN


@pytest.fixture
def token(hospital, monkeypatch):
    """A token in memory; the second for which that counts does not pass."""
    monkeypatch.setattr(tokens, "_verified", Ttl(1.0e9))
    made = hospital.token()
    assert hospital.ask("/Patient/789", made).status == 200
    assert hospital.ask("/Observation?_count=1", made).status == 200
    return made


@pytest.fixture
def statements(monkeypatch):
    """Every statement of every thread, through Django's cursors, by thread name."""
    seen = []
    execute = CursorWrapper.execute

    def counted(self, sql, params=None):
        seen.append((threading.current_thread().name, str(sql).split()[0].upper()))
        return execute(self, sql, params)

    monkeypatch.setattr(CursorWrapper, "execute", counted)
    return seen


@pytest.mark.spec("D6", "D15")
@pytest.mark.parametrize("path", ["/Patient/789", "/Observation?_count=1", "/Patient/790"])
def test_a_remembered_request_costs_no_statement_but_its_event(
    hospital, token, statements, monkeypatch, path
):
    hops = []
    run = database.run

    async def counted(*given):
        hops.append(given)
        return await run(*given)

    monkeypatch.setattr(database, "run", counted)
    reply = hospital.ask(path, token)
    assert reply.status in (200, 403)
    assert hops == []
    assert {thread for thread, _ in statements} <= {"audit-writer"}
    assert hospital.event(reply)


@pytest.mark.spec("D6", "D15")
def test_a_first_request_is_counted_as_more(hospital, token, statements):
    """The counter of the test above really sees the database."""
    assert hospital.ask("/Patient/789", hospital.token()).status == 200
    assert any(thread.startswith("database") for thread, _ in statements)


@pytest.mark.spec("D6")
def test_twenty_at_once_are_each_answered_and_told(hospital, token):
    other = hospital.token(patient="456")
    paths = ["/Patient/789", "/Patient/790", "/Observation?_count=2", "/Patient/..", "/Condition"]

    async def ask_all():
        asked = [hospital.asking(paths[n % 5], token) for n in range(20)]
        asked += [hospital.asking("/Patient/456", other) for _ in range(5)]
        return await asyncio.gather(*asked)

    replies = hospital.run(ask_all())
    assert Counter(reply.status for reply in replies) == {200: 17, 403: 4, 400: 4}
    assert {reply.json["id"] for reply in replies[20:]} == {"456"}
    assert {reply.json["id"] for reply in replies[0:20:5]} == {"789"}
    assert len({reply.headers["x-request-id"] for reply in replies}) == 25
    told = [1 + (n < 20 and n % 5 == 1) for n in range(25)]  # Patient/790: under both patients
    assert [len(hospital.events(reply)) for reply in replies] == told


@pytest.mark.spec("V7")
def test_a_slow_upstream_holds_up_nobody_else(clinic, upstream):
    """Nor another request of the same tenant."""
    go_on = threading.Event()

    def slow(_):
        assert go_on.wait(20)
        return Answer({"resourceType": "Observation"}, 404)

    upstream.routes["Observation/slow"] = slow
    token = clinic.token(patient="456")

    async def ask_both():
        waiting = [asyncio.create_task(clinic.asking("/Observation/slow", token)) for _ in range(5)]
        quick = await clinic.asking("/Patient/456", token)
        assert not any(one.done() for one in waiting)
        go_on.set()
        return quick, await asyncio.gather(*waiting)

    quick, slow_ones = clinic.run(ask_both())
    assert quick.status == 200
    assert {reply.status for reply in slow_ones} == {404}


def test_another_upstream_is_taken_up_at_once(clinic, upstream):
    """What `activate` changes counts for the next request of this process."""
    token = clinic.token(patient="456")
    assert clinic.ask("/Patient/456", token).status == 200
    with fhir_server.serve() as second:
        with tenancy.bind(clinic.tenant):
            activation.activate(preset="custom", fhir_base=second.base, actor=ADMIN)
        second.asked.clear()
        upstream.asked.clear()
        assert clinic.ask("/Patient/456", token).status == 200
        assert [one.path for one in second.asked] == ["Patient/456"]
    assert upstream.asked == []
