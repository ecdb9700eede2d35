"""Deciding and withdrawing: once, by the one who was asked, on what was shown, with its event."""

import threading
from datetime import timedelta

import pytest
from django.db import connections
from django.utils import timezone

from audit import events, record
from authfi.accounts import signin
from authfi.lib import tenancy
from consent import requests, services
from consent.choices import Selection
from consent.models import Consent, ConsentRequest
from consent.signals import consent_withdrawn
from tests.consent.conftest import AWAY, VIEW_LABS, WHO, events_of, sign_in


def everything(asked):
    return Selection(ticked=frozenset(asked.scopes.split()))


def answer(who, asked, decision="allow", **changes):
    arguments = {
        "consent_request": asked,
        "decision": decision,
        "selection": everything(asked),
        "shown_digest": requests.digest(asked),
        "user": who.user,
        "session_digest": who.session_digest,
        "aal": 1,
        **changes,
    }
    return services.decide(**arguments)


def test_allowing_grants_what_was_shown(pat, ask):
    asked = ask(pat)
    consent = Consent.objects.get(pk=answer(pat, asked).pk)
    assert (consent.decision, consent.state) == ("allow", "active")
    assert consent.scopes == asked.scopes
    assert consent.patient == "456"
    assert consent.text == asked.text
    assert consent.request == asked
    assert consent.decided_at is not None


@pytest.mark.spec("A1", "A2")
def test_allowing_is_audited(pat, ask):
    asked = ask(pat)
    consent = answer(pat, asked)
    (event,) = events_of("consent.grant")
    assert event.client_id == "growth-chart"
    assert event.outcome == "success"
    assert event.details["patient"] == "456"
    assert event.details["actor"] == {
        "type": "person",
        "id": str(pat.user.pk),
        "roles": ["patient"],
        "aal": 1,
    }
    assert event.details["consent"] == str(consent.pk)
    assert event.details["scopes"] == [VIEW_LABS.scope, WHO.scope]
    assert event.details["text"] == asked.text.digest


def test_denying_grants_nothing_and_is_audited(pat, ask):
    consent = answer(pat, ask(pat), "deny")
    assert (consent.decision, consent.state, consent.scopes) == ("deny", "inactive", "")
    (event,) = events_of("consent.deny")
    assert event.details["scopes"] == []
    assert event.details["requested"] == [VIEW_LABS.scope, WHO.scope]
    assert events_of("consent.grant") == []


def test_decision_is_found_by_the_one_who_made_it(pat, dr_ada, ask, mercy):
    asked = ask(pat)

    def found(who):
        return services.decision_of(asked.pk, user=who.user, session_digest=who.session_digest)

    assert found(pat) is None
    consent = answer(pat, asked)
    assert found(pat) == consent
    assert found(dr_ada) is None
    assert found(sign_in(mercy, pat.user)) is None


@pytest.mark.spec("C4")
def test_an_answer_to_something_else_is_refused(pat, ask):
    asked, other = ask(pat), ask(pat, items=[VIEW_LABS, AWAY])
    for shown in (requests.digest(other), "", "0" * 64):
        with pytest.raises(services.NotShownError):
            answer(pat, asked, shown_digest=shown)
    assert not Consent.objects.exists()


@pytest.mark.spec("C4")
def test_scopes_added_after_the_page_was_shown_are_refused(pat, ask):
    asked = ask(pat)
    shown = requests.digest(asked)
    ConsentRequest.objects.filter(pk=asked.pk).update(scopes=f"{asked.scopes} patient/*.cruds")
    with pytest.raises(services.NotShownError):
        answer(pat, asked, shown_digest=shown)
    assert not Consent.objects.exists()


@pytest.mark.spec("C4")
def test_a_caller_cannot_widen_the_question(pat, ask):
    asked = ask(pat)
    shown = requests.digest(asked)
    asked.scopes += " patient/*.cruds"
    consent = answer(pat, asked, shown_digest=shown)
    assert consent.scopes == f"{VIEW_LABS.scope} {WHO.scope}"


@pytest.mark.spec("O7")
def test_another_person_or_session_cannot_answer(pat, dr_ada, ask, mercy):
    asked = ask(pat)
    for who in (dr_ada, sign_in(mercy, pat.user)):
        with pytest.raises(services.NotAskedError):
            answer(who, asked)
    assert not Consent.objects.exists()
    assert events_of("consent.grant") == []


def test_too_late_an_answer_is_refused(pat, ask):
    asked = ask(pat)
    late = timezone.now() - timedelta(seconds=1)
    ConsentRequest.objects.filter(pk=asked.pk).update(expires_at=late)
    with pytest.raises(services.ExpiredError):
        answer(pat, asked)
    assert not Consent.objects.exists()


def test_the_first_answer_counts(pat, ask):
    asked = ask(pat)
    first = answer(pat, asked, "deny")
    with pytest.raises(services.AlreadyDecidedError) as refused:
        answer(pat, asked, "allow")
    assert refused.value.consent == first
    assert list(Consent.objects.all()) == [first]
    assert events_of("consent.grant") == []


def test_unknown_decision_is_refused(pat, ask):
    with pytest.raises(ValueError, match="maybe"):
        answer(pat, ask(pat), "maybe")


def test_of_answers_at_once_one_wins(pat, ask, mercy):
    asked = ask(pat)
    digest, session_digest = requests.digest(asked), pat.session_digest
    start = threading.Barrier(4)
    outcomes: list[str] = []

    def answer_at_once(decision):
        try:
            with tenancy.bind(mercy):
                start.wait()
                services.decide(
                    consent_request=asked,
                    decision=decision,
                    selection=everything(asked),
                    shown_digest=digest,
                    user=pat.user,
                    session_digest=session_digest,
                    aal=1,
                )
                outcomes.append(decision)
        except services.AlreadyDecidedError:
            outcomes.append("late")
        finally:
            connections.close_all()

    threads = [
        threading.Thread(target=answer_at_once, args=(decision,))
        for decision in ("allow", "deny", "allow", "deny")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    consent = Consent.objects.get()
    assert sorted(outcomes) == sorted([str(consent.decision), "late", "late", "late"])
    assert len(events_of("consent.grant") + events_of("consent.deny")) == 1


def test_answer_and_event_are_kept_or_lost_together(pat, ask, monkeypatch):
    asked = ask(pat)

    def fail(*_):
        raise RuntimeError("no audit")

    monkeypatch.setattr(record, "record", fail)
    with pytest.raises(RuntimeError, match="no audit"):
        answer(pat, asked)
    assert not Consent.objects.exists()
    assert ConsentRequest.objects.get(pk=asked.pk).decided_at is None


@pytest.mark.spec("C7")
def test_withdrawing_ends_the_consent_and_tells(pat, ask):
    consent = answer(pat, ask(pat))
    heard = []

    def listen(**told):
        heard.append((told["consent"].pk, told["consent"].state, told["actor"]))

    consent_withdrawn.connect(listen)
    actor = signin.actor(pat.user, aal=1)
    try:
        withdrawn = services.withdraw(consent=consent, actor=actor)
        services.withdraw(consent=consent, actor=actor)
    finally:
        consent_withdrawn.disconnect(listen)
    assert withdrawn.state == Consent.State.INACTIVE
    assert withdrawn.withdrawn_at is not None
    assert heard == [(consent.pk, "inactive", actor)]
    (event,) = events_of("consent.revoke")
    assert event.details["consent"] == str(consent.pk)
    assert event.client_id == "growth-chart"


@pytest.mark.spec("C7")
def test_what_cannot_be_ended_is_not_withdrawn(pat, ask):
    consent = answer(pat, ask(pat))

    def fail(**_):
        raise RuntimeError("grants stay")

    consent_withdrawn.connect(fail)
    try:
        with pytest.raises(RuntimeError, match="grants stay"):
            services.withdraw(consent=consent, actor=events.Actor.system("test"))
    finally:
        consent_withdrawn.disconnect(fail)
    assert Consent.objects.get().state == Consent.State.ACTIVE
    assert events_of("consent.revoke") == []


def test_withdrawing_a_refusal_changes_nothing(pat, ask):
    consent = answer(pat, ask(pat), "deny")
    services.withdraw(consent=consent, actor=events.Actor.system("test"))
    assert Consent.objects.get().withdrawn_at is None
    assert events_of("consent.revoke") == []
