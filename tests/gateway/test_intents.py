"""Writes that nobody told the end of: found within minutes, told once, in the patient's record."""

from datetime import timedelta
from uuid import uuid4

import pytest
from django.utils import timezone

from audit.models import AuditEvent, patient_index
from audit.writer import AuditUnavailableError
from authfi.celery import app as celery
from authfi.lib import tenancy
from smart import tasks
from smart.gateway import intents
from smart.models import WriteIntent
from tests.gateway.ward import PULSE


def an_orphan(patient="789", age=180, request_id=""):
    made = WriteIntent.objects.create(
        client_id="growth-chart",
        request_id=request_id or uuid4().hex[:16],
        about={"patient": patient, "object": "Observation/1", "interaction": "update"},
    )
    at = timezone.now() - timedelta(seconds=age)
    WriteIntent.objects.filter(pk=made.pk).update(created_at=at)
    return made


def anomalies():
    return list(AuditEvent.objects.filter(code="audit.anomaly").order_by("seq"))


@pytest.mark.spec("V9", "A1")
def test_orphans_are_told_once_and_young_ones_wait(bound):
    old, young = an_orphan(request_id="aaaa"), an_orphan(age=60)
    assert intents.report_orphans(timezone.now()) == 1
    assert intents.report_orphans(timezone.now()) == 0
    (told,) = anomalies()
    assert (told.outcome, told.request_id, told.client_id) == ("failure", "aaaa", "growth-chart")
    assert told.patient_index == patient_index("789")
    assert told.details["intent"] == str(old.pk)
    assert (told.details["object"], told.details["interaction"]) == ("Observation/1", "update")
    assert list(WriteIntent.objects.all()) == [young]


@pytest.mark.spec("V9")
def test_within_five_minutes_in_every_tenant(mercy, lakeside):
    every = celery.conf.beat_schedule["report-orphan-writes"]
    assert every["task"] == tasks.report_orphan_writes.name
    assert every["schedule"] + intents.ORPHANED_SECONDS < 300
    for tenant in (mercy, lakeside):
        with tenancy.bind(tenant):
            an_orphan()
    assert tasks.report_orphan_writes() >= 2
    for tenant in (mercy, lakeside):
        with tenancy.bind(tenant):
            assert len(anomalies()) == 1


@pytest.mark.spec("V8", "V9")
def test_a_report_that_cannot_be_written_is_made_later(bound, monkeypatch):
    an_orphan()

    def full(*_):
        raise AuditUnavailableError("full")

    with monkeypatch.context() as patch:
        patch.setattr(intents, "record", full)
        with pytest.raises(AuditUnavailableError):
            intents.report_orphans(timezone.now())
    assert anomalies() == []
    assert intents.report_orphans(timezone.now()) == 1


@pytest.mark.spec("V8")
def test_no_intent_no_write(ward, monkeypatch):
    def full(*_):
        raise AuditUnavailableError("full")

    before = ward.sandbox.search("Observation", ("patient", "789"), ("_count", "1")).json["total"]
    with monkeypatch.context() as patch:
        patch.setattr(intents, "_announce", full)
        reply = ward.create(ward.token(), PULSE)
    reply.outcome(503, "transient")
    assert reply.headers["retry-after"] == "5"
    after = ward.sandbox.search("Observation", ("patient", "789"), ("_count", "1")).json["total"]
    assert after == before
    ward.nothing_open()


@pytest.mark.spec("V8", "V9")
def test_an_outcome_that_cannot_be_told_is_unknown_and_an_orphan(ward, monkeypatch):
    def full(*_):
        raise AuditUnavailableError("full")

    with monkeypatch.context() as patch:
        patch.setattr(intents, "_conclude", full)
        reply = ward.create(ward.token(), PULSE)
    reply.outcome(504, "timeout")
    assert "retry-after" not in reply.headers, "the change was made: trying again makes two"
    (intent,) = ward.base.events(reply)
    assert (intent.code, intent.details["phase"]) == ("fhir.intent", "intent")
    with tenancy.bind(ward.base.tenant):
        (open_one,) = WriteIntent.objects.all()
        assert open_one.request_id == reply.headers["x-request-id"]
        later = timezone.now() + timedelta(seconds=intents.ORPHANED_SECONDS + 1)
        assert intents.report_orphans(later) == 1
    told = ward.base.events(reply)[-1]
    assert (told.code, told.details["intent"]) == ("audit.anomaly", intent.details["intent"])
    ward.nothing_open()
