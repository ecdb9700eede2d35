"""Both doors of the trail: with the open transaction, or with the group writer (design D7)."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
import time_machine
from django.db import transaction as django_transaction

from audit import chain, record, verify, writer
from audit.events import Actor, Code, Event, Outcome
from audit.models import AuditEvent, actor_index, find_event, patient_index
from authfi.accounts.models import User
from authfi.crypto import keyring
from authfi.lib import requestinfo, tenancy
from authfi.lib.transaction import BareTransactionError, transaction
from tests.audit.conftest import DR_ADA, a_read, objects, trail


def a_person():
    return User.objects.create(email="ada@mercy.example", name="Ada", password="!")


@pytest.mark.spec("A1", "A2")
def test_an_event_is_stored_with_all_it_says(bound):
    info = requestinfo.RequestInfo(request_id="req-1", ip="192.0.2.7", user_agent="Browser/1")
    with requestinfo.serving(info):
        record.record(
            a_read(
                reason="treatment",
                details={
                    "scopes": frozenset({"openid", "patient/Observation.rs"}),
                    "jti": "token-1",
                    "purpose_of_use": "TREAT",
                },
            )
        )
    event = AuditEvent.objects.get(seq=2)
    assert (event.code, event.outcome) == ("fhir.read.allow", "success")
    assert (event.client_id, event.request_id) == ("growth-chart", "req-1")
    assert event.at.microsecond % 1000 == 0
    assert event.details == {
        "actor": {"type": "person", "id": DR_ADA.id, "roles": ["doctor"], "aal": 2},
        "patient": "pat-of-mercy",
        "object": "Observation/1",
        "reason": "treatment",
        "rule": "scope_covers",
        "ip": "192.0.2.7",
        "user_agent": "Browser/1",
        "scopes": ["openid", "patient/Observation.rs"],
        "jti": "token-1",
        "purpose_of_use": "TREAT",
    }


@pytest.mark.spec("A2")
def test_events_are_found_by_the_pseudonyms_of_actor_and_patient(bound):
    record.record(a_read(1), a_read(2, patient="somebody-else"), a_read(3, patient=""))
    of_pat = AuditEvent.objects.filter(patient_index=patient_index("Patient/pat-of-mercy"))
    assert [event.details["object"] for event in of_pat] == ["Observation/1"]
    assert AuditEvent.objects.filter(actor_index=actor_index(DR_ADA.id)).count() == 3


@pytest.mark.spec("A2", "T4")
def test_an_event_is_found_by_its_id_in_its_own_tenant_only(mercy, lakeside):
    record.record_for(mercy, a_read(1), a_read(2))
    event = trail(mercy)[-1]
    assert event.pk.version == 7
    with tenancy.bind(mercy):
        found = find_event(event.pk)
        assert found is not None
        assert found.details["object"] == "Observation/2"
        assert find_event(UUID(int=event.pk.int ^ 1)) is None
        assert find_event(UUID(int=event.pk.int ^ 1 << 100)) is None
        assert find_event(UUID(int=2**128 - 1)) is None
    with tenancy.bind(lakeside):
        assert find_event(event.pk) is None


@pytest.mark.spec("A2", "A8")
@pytest.mark.parametrize("milliseconds", [0, 1, 999])
def test_an_event_is_found_and_verified_whatever_its_part_of_a_second(mercy, milliseconds):
    second = datetime.now(UTC).replace(microsecond=0)
    with time_machine.travel(second + timedelta(milliseconds=milliseconds), tick=False):
        record.record_for(mercy, a_read(1))
    event = trail(mercy)[-1]
    assert event.at == second + timedelta(milliseconds=milliseconds)
    with tenancy.bind(mercy):
        found = find_event(event.pk)
        assert found is not None
        assert found.seq == event.seq
    assert verify.verify(mercy).broken is None


@pytest.mark.spec("A10", "H5")
def test_no_column_names_a_person(mercy, raw_columns):
    words = ["Jane Doe", "jane@example.org", "pat-of-mercy", "192.0.2.7", "name=Doe", DR_ADA.id]
    with tenancy.bind(mercy), requestinfo.serving(requestinfo.RequestInfo(ip="192.0.2.7")):
        record.record(
            a_read(reason="Jane Doe asked", details={"query": "name=Doe", "to": "jane@example.org"})
        )
    stored = raw_columns(mercy)
    assert "growth-chart" in stored
    assert [word for word in words if word in stored] == []
    with tenancy.bind(mercy):
        assert "Jane Doe" in str(trail(mercy)[-1].details)


@pytest.mark.spec("A10", "K5")
def test_one_patient_has_other_pseudonyms_in_another_tenant(mercy, lakeside):
    for tenant in (mercy, lakeside):
        record.record_for(tenant, a_read())
    ours, theirs = trail(mercy)[-1], trail(lakeside)[-1]
    assert ours.patient_index != theirs.patient_index
    assert ours.actor_index != theirs.actor_index


@pytest.mark.spec("A1", "V8")
def test_inside_a_transaction_the_event_is_kept_with_the_change(bound):
    with transaction():
        a_person()
        record.record(a_read())
        assert AuditEvent.objects.count() == 1, "written by the last statement, not before"
    assert objects(bound) == ["Observation/1"]
    assert verify.verify(bound).broken is None


@pytest.mark.spec("A1", "V8")
def test_a_rolled_back_change_leaves_no_event(bound):
    with pytest.raises(RuntimeError), transaction():
        a_person()
        record.record(a_read())
        raise RuntimeError
    assert objects(bound) == []
    assert not User.objects.exists()


@pytest.mark.spec("A1", "V8")
def test_a_rolled_back_savepoint_takes_its_event_along(bound):
    with transaction():
        record.record(a_read(1))
        with pytest.raises(RuntimeError), transaction():
            record.record(a_read(2))
            raise RuntimeError
        record.record(a_read(3))
    assert objects(bound) == ["Observation/1", "Observation/3"]


@pytest.mark.spec("V8")
def test_an_event_that_cannot_be_stored_takes_the_change_back(bound, monkeypatch):
    def refuse(connection, rows):
        append(connection, [row._replace(outcome="unheard") for row in rows])

    append = chain.append
    monkeypatch.setattr(chain, "append", refuse)
    with pytest.raises(record.AuditUnavailableError), transaction():
        a_person()
        record.record(a_read())
    assert not User.objects.exists()
    assert objects(bound) == []


@pytest.mark.spec("V8")
def test_recording_in_a_bare_transaction_is_refused(bound):
    with pytest.raises(BareTransactionError), django_transaction.atomic():
        record.record(a_read())
    assert objects(bound) == []


@pytest.mark.spec("A3")
def test_the_events_of_one_call_are_stored_in_one_commit(bound, monkeypatch):
    commits = []
    append = chain.append_and_commit

    def counted(connection, rows):
        commits.append(len(rows))
        append(connection, rows)

    monkeypatch.setattr(chain, "append_and_commit", counted)
    record.record(*(a_read(n, patient=f"patient-{n}") for n in range(3)))
    assert commits == [3]
    assert len({event.patient_index for event in trail(bound)[1:]}) == 3


@pytest.mark.spec("A3", "V8")
def test_of_the_events_of_one_call_none_is_stored_when_one_cannot_be(bound):
    rows = record._prepare((a_read(1), a_read(2)))
    with pytest.raises(writer.AuditUnavailableError):
        writer.write([rows[0], rows[1]._replace(outcome="unheard")])
    assert objects(bound) == []


def test_without_a_tenant_nothing_is_recorded():
    with pytest.raises(tenancy.TenantNotBoundError):
        record.record(a_read())


@pytest.mark.spec("V8")
def test_a_task_records_without_a_thread_of_its_own(bound):
    async def serve():
        await asyncio.gather(*(record.arecord(a_read(n)) for n in range(20)))

    asyncio.run(serve())
    assert sorted(objects(bound)) == sorted(f"Observation/{n}" for n in range(20))
    assert verify.verify(bound).broken is None


def test_a_task_can_record_before_the_keys_of_the_tenant_are_in_memory(bound):
    keyring.forget(bound.id)
    asyncio.run(record.arecord(a_read()))
    assert objects(bound) == ["Observation/1"]


@pytest.mark.spec("V8")
def test_a_cancelled_task_does_not_take_its_event_back(bound):
    async def serve():
        task = asyncio.create_task(record.arecord(a_read()))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await record.arecord(a_read(2))

    asyncio.run(serve())
    assert objects(bound) == ["Observation/1", "Observation/2"]


@pytest.mark.spec("V8")
def test_text_that_is_not_unicode_does_not_prevent_its_event(bound):
    record.record(
        a_read(client_id="app\0\ud800", reason="\udcff", details={"query": "\0\ud800"}),
    )
    event = AuditEvent.objects.get(seq=2)
    assert event.client_id == "app\ufffd?"
    assert event.details["reason"] == "?"
    assert event.details["query"] == "\0?"
    assert verify.verify(bound).broken is None


def test_text_longer_than_its_column_is_cut(bound):
    record.record(a_read(client_id="a" * 5000))
    assert AuditEvent.objects.get(seq=2).client_id == "a" * 255


def test_details_cannot_replace_what_the_event_says():
    with pytest.raises(ValueError, match="actor"):
        Event(
            code=Code.LOGIN_OK,
            outcome=Outcome.SUCCESS,
            actor=Actor.anonymous(),
            details={"actor": "somebody else"},
        )


@pytest.mark.spec("T4")
def test_another_tenants_events_are_invisible(mercy, lakeside):
    record.record_for(mercy, a_read(7))
    with tenancy.bind(lakeside):
        assert list(AuditEvent.objects.values_list("seq", flat=True)) == [1]
    with pytest.raises(tenancy.TenantNotBoundError):
        AuditEvent.objects.count()


def test_no_event_is_no_work_and_no_error(bound):
    record.record()
    asyncio.run(record.arecord())
    with transaction():
        record.record()
    assert objects(bound) == []
