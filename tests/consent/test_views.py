"""The page and its answer, as a browser sends and gets them."""

import re
from datetime import timedelta
from html import unescape
from uuid import uuid4

import pytest
from django.test import Client
from django.utils import timezone

from consent import requests
from consent.models import Consent, ConsentRequest
from tests.consent.conftest import AWAY, CHANGE_ALLERGIES, VIEW_LABS, WHO, events_of, sign_in


def url(tenant, asked):
    return f"/t/{tenant.slug}/consent/{asked.pk}"


def text_of(response):
    body = re.sub(r"<head>.*?</head>|</?bdi>", "", response.content.decode(), flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", body)).split())


def post(who, tenant, asked, **data):
    """All lines are ticked, unless told otherwise."""
    data.setdefault("shown", requests.digest(asked, data.get("opened", ())))
    data.setdefault("scope", asked.scopes.split())
    return who.client.post(url(tenant, asked), data)


@pytest.mark.spec("C1", "D17")
def test_patient_sees_what_is_asked(pat, ask, mercy):
    asked = ask(pat, items=[VIEW_LABS, CHANGE_ALLERGIES, WHO, AWAY])
    response = pat.client.get(url(mercy, asked))
    assert response.status_code == 200
    page = text_of(response)
    for words in (
        "Let Growth Chart use your medical records?",
        "Not verified by Mercy",
        "growth.example",
        "You are Pat Doe",
        "Record of Pat Doe",
        "Growth Chart wants to:",
        "View your laboratory results",
        "Very private These are not ticked.",
        "Tick only what you want to share. Add and change your allergies",
        "Know who you are Always shared",
        "Keep its access when you are away",
        "The app can use this until you stop it.",
        "may not protect it",
        "You can stop this at any time, on your page at Mercy.",
        "Deny Allow",
    ):
        assert words in page
    assert page.index("Look at your records") < page.index("Change your records")


@pytest.mark.spec("C1", "D17")
def test_clinician_sees_on_whose_record_the_app_acts(dr_ada, ask, mercy):
    asked = ask(dr_ada, reader="clinician", patient_name="Jane Doe")
    page = text_of(dr_ada.client.get(url(mercy, asked)))
    assert "Growth Chart wants to act for you on the record of Jane Doe" in page
    assert "your medical records" not in page


@pytest.mark.spec("C1")
def test_deny_is_as_prominent_as_allow(pat, ask, mercy):
    page = pat.client.get(url(mercy, ask(pat))).content.decode()
    buttons = re.findall(r'<button class="([^"]*)" name="decision" value="(\w+)"', page)
    assert [value for _, value in buttons] == ["deny", "allow"]
    assert len({style for style, _ in buttons}) == 1


@pytest.mark.spec("O8")
def test_page_is_not_kept_nor_framed_and_leads_to_the_app_only(pat, ask, mercy):
    response = pat.client.get(url(mercy, ask(pat)))
    assert "no-store" in response["Cache-Control"]
    assert response["X-Frame-Options"] == "DENY"
    policy = dict(part.split(" ", 1) for part in response["Content-Security-Policy"].split("; "))
    assert policy["form-action"] == "'self' https://growth.example"
    assert policy["frame-ancestors"] == "'none'"
    assert policy["default-src"] == "'none'"
    body = response.content.decode()
    assert "style=" not in body
    assert "<script" not in body


def test_names_cannot_write_html(pat, ask, mercy, growth_chart):
    growth_chart.name = "<script>alert(1)</script>"
    response = pat.client.get(url(mercy, ask(pat)))
    assert "<script" not in response.content.decode()
    assert "<script>alert(1)</script>" in unescape(response.content.decode())


@pytest.mark.parametrize("decision", ["allow", "deny"])
def test_answer_leads_back_to_who_asked(pat, ask, mercy, decision):
    asked = ask(pat)
    response = post(pat, mercy, asked, decision=decision)
    assert response.status_code == 303
    assert response["Location"] == f"/t/{mercy.slug}/oauth/authorize?request=7"
    assert Consent.objects.get().decision == decision


@pytest.mark.spec("C4")
def test_scopes_in_the_form_are_ignored(pat, ask, mercy):
    asked = ask(pat)
    added = [*asked.scopes.split(), "patient/*.cruds", "user/*.rs"]
    post(pat, mercy, asked, decision="allow", scope=added, scopes="user/*.cruds")
    assert Consent.objects.get().scopes == f"{VIEW_LABS.scope} {WHO.scope}"


@pytest.mark.spec("A1", "C4")
def test_answer_to_another_question_is_refused(pat, ask, mercy):
    asked, other = ask(pat), ask(pat, items=[VIEW_LABS])
    response = post(pat, mercy, asked, decision="allow", shown=requests.digest(other))
    assert response.status_code == 409
    assert "not what you were asked" in text_of(response)
    assert not Consent.objects.exists()
    [event] = events_of("consent.deny")
    assert (event.outcome, event.client_id) == ("denied", "growth-chart")
    assert event.details["reason"] == "the answer does not fit what is asked"
    assert event.details["object"] == f"ConsentRequest/{asked.pk}"
    assert event.details["patient"] == "456"
    assert event.details["actor"]["id"] == str(pat.user.pk)


@pytest.mark.parametrize("data", [{}, {"decision": "maybe"}, {"decision": "allow", "shown": ""}])
def test_no_answer_is_a_clear_refusal(pat, ask, mercy, data):
    response = post(pat, mercy, ask(pat), **data)
    assert response.status_code == 400
    assert not Consent.objects.exists()


@pytest.mark.spec("A1", "O7")
@pytest.mark.parametrize("method", ["get", "post"])
def test_strangers_find_nothing(pat, dr_ada, ask, mercy, lakeside, method):
    asked = ask(pat)
    data = {"decision": "allow", "shown": requests.digest(asked), "scope": asked.scopes.split()}
    browsers = [dr_ada.client, sign_in(mercy, pat.user).client, Client()]
    answers = [getattr(browser, method)(url(mercy, asked), data) for browser in browsers]
    answers.append(getattr(pat.client, method)(url(lakeside, asked), data))
    answers.append(getattr(pat.client, method)(f"/t/{mercy.slug}/consent/{uuid4()}", data))
    for answer in answers:
        assert answer.status_code == 404
        assert "There is nothing to decide here" in text_of(answer)
        assert "Growth Chart" not in text_of(answer)
    assert not Consent.objects.exists()
    refused = sorted(events_of("consent.deny"), key=lambda event: event.seq)
    who = [str(dr_ada.user.pk), str(pat.user.pk), "", str(pat.user.pk)]
    assert [event.details["actor"]["id"] for event in refused] == who
    for event in refused:
        assert (event.outcome, event.client_id) == ("denied", "")
        assert event.details["reason"] == "the question was not put to this session"


@pytest.mark.spec("O7")
def test_answer_needs_the_forms_secret(pat, ask, mercy):
    strict = sign_in(mercy, pat.user, check_csrf=True)
    asked = ask(strict)
    assert post(strict, mercy, asked, decision="allow").status_code == 403
    assert not Consent.objects.exists()
    page = strict.client.get(url(mercy, asked)).content.decode()
    secret = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)
    shown = re.search(r'name="shown" value="(\w+)"', page)
    assert secret
    assert shown
    response = post(
        strict, mercy, asked, decision="allow", shown=shown[1], csrfmiddlewaretoken=secret[1]
    )
    assert response.status_code == 303


@pytest.mark.parametrize("method", ["get", "post"])
def test_expired_question_says_so(pat, ask, mercy, method):
    asked = ask(pat)
    late = timezone.now() - timedelta(seconds=1)
    ConsentRequest.objects.filter(pk=asked.pk).update(expires_at=late)
    data = {"decision": "allow", "shown": requests.digest(asked)}
    response = getattr(pat.client, method)(url(mercy, asked), data)
    assert response.status_code == 410
    assert "no-store" in response["Cache-Control"]
    assert "expired" in text_of(response)
    assert not Consent.objects.exists()


def test_a_second_click_leads_on_and_another_answer_does_not(pat, ask, mercy):
    asked = ask(pat)
    first = post(pat, mercy, asked, decision="deny")
    again = post(pat, mercy, asked, decision="deny")
    assert (again.status_code, again["Location"]) == (303, first["Location"])
    changed = post(pat, mercy, asked, decision="allow")
    assert changed.status_code == 409
    assert pat.client.get(url(mercy, asked)).status_code == 409
    assert Consent.objects.get().decision == "deny"


def test_other_methods_are_refused(pat, ask, mercy):
    assert pat.client.put(url(mercy, ask(pat))).status_code == 405
