"""An app that is suspended while its request is open gets nothing any more (AUTZ-04, D3)."""

import pytest

from authfi.lib import tenancy
from consent.models import Consent
from smart.models import Application, AuthorizationCode, Grant
from tests.forms import fields_of
from tests.server.conftest import trail


def suspend(tenant):
    with tenancy.bind(tenant):
        Application.objects.update(state=Application.State.SUSPENDED)


def nothing_granted(tenant):
    with tenancy.bind(tenant):
        assert not Grant.objects.exists()
        assert not AuthorizationCode.objects.exists()


def not_proven(response):
    assert response.status_code == 400
    assert "Location" not in response
    assert b"not that of an active app" in response.content


@pytest.mark.spec("AUTZ-04", "D3", "ERRS-01")
def test_the_request_does_not_go_on(pat_flow, mercy):
    going_on = pat_flow.begin()
    suspend(mercy)
    not_proven(pat_flow.client.get(going_on))
    assert trail(mercy, "launch.deny")[-1][1] == "denied"
    nothing_granted(mercy)


@pytest.mark.spec("AUTZ-04", "D3", "C4")
@pytest.mark.parametrize("decision", ["allow", "deny"])
def test_the_answer_to_its_question_is_not_taken(pat_flow, mercy, decision):
    going_on = pat_flow.begin()
    page = pat_flow.client.get(going_on)["Location"]
    form = {**fields_of(pat_flow.client.get(page)), "decision": decision}
    suspend(mercy)
    response = pat_flow.client.post(page, form)
    assert response.status_code == 410
    assert b"not connected any more" in response.content
    with tenancy.bind(mercy):
        assert not Consent.objects.exists()
    [(_, outcome, details)] = trail(mercy, "consent.deny")
    assert (outcome, details["reason"]) == ("denied", "the app is not active")
    not_proven(pat_flow.client.get(going_on))
    nothing_granted(mercy)


@pytest.mark.spec("AUTZ-04", "D3")
def test_an_answer_given_before_leads_to_no_code(pat_flow, mercy):
    going_on = pat_flow.begin()
    page = pat_flow.client.get(going_on)["Location"]
    form = {**fields_of(pat_flow.client.get(page)), "decision": "allow"}
    assert pat_flow.client.post(page, form)["Location"] == going_on
    suspend(mercy)
    not_proven(pat_flow.client.get(going_on))
    nothing_granted(mercy)


@pytest.mark.spec("AUTZ-04", "D3")
def test_no_fresh_code_for_an_answer_sent_twice(pat_flow, mercy):
    going_on = pat_flow.begin()
    assert "code=" in pat_flow.decide(going_on)["Location"]
    suspend(mercy)
    not_proven(pat_flow.client.get(going_on))
