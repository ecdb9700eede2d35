"""Changes and their events are kept or lost together (design D7)."""

import pytest
from django.db import transaction as django_transaction

from authfi.accounts.models import User
from authfi.lib import transaction as subject
from authfi.lib.transaction import transaction

pytestmark = pytest.mark.spec("A1", "V8")


@pytest.fixture
def flushed(monkeypatch):
    """What the flush was given, in place of the audit trail."""
    calls = []
    monkeypatch.setattr(subject, "_flush", [lambda items: calls.append(list(items))])
    return calls


def a_person(email="ada@mercy.example"):
    return User.objects.create(email=email, name="Ada", password="!")


def test_events_are_written_by_the_last_statement_of_the_outermost_block(bound, flushed):
    with transaction():
        assert subject.defer(["one"])
        with transaction():
            assert subject.defer(["two"])
        assert flushed == []
    assert flushed == [["one", "two"]]


def test_a_savepoint_rolled_back_takes_its_events_along(bound, flushed):
    with transaction():
        subject.defer(["kept"])
        with pytest.raises(RuntimeError), transaction():
            subject.defer(["lost"])
            raise RuntimeError
        subject.defer(["kept too"])
    assert flushed == [["kept", "kept too"]]


def test_a_rolled_back_block_writes_nothing(bound, flushed):
    with pytest.raises(RuntimeError), transaction():
        a_person()
        subject.defer(["lost"])
        raise RuntimeError
    assert flushed == []
    assert User.objects.count() == 0


def test_a_flush_that_fails_takes_the_change_back(bound, monkeypatch):
    def refuse(items):
        raise OSError("the trail is not to be had")

    monkeypatch.setattr(subject, "_flush", [refuse])
    with pytest.raises(OSError, match="trail"), transaction():
        a_person()
        subject.defer(["lost"])
    assert User.objects.count() == 0


def test_recording_in_a_bare_atomic_is_refused(bound, flushed):
    with django_transaction.atomic():
        with pytest.raises(subject.BareTransactionError):
            subject.defer(["never"])
        with pytest.raises(subject.BareTransactionError), transaction():
            pass


def test_outside_any_transaction_nothing_is_deferred(bound, flushed):
    assert subject.defer(["now"]) is False
