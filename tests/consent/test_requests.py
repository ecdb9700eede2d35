"""Opening a question: what is settled before it is shown."""

from dataclasses import replace

import pytest
from django.utils import timezone

from authfi.lib import tenancy
from consent import requests
from consent.models import ConsentRequest, ConsentText
from tests.consent.conftest import AWAY, VIEW_LABS, WHO, sign_in


def test_request_keeps_what_was_asked(pat, ask):
    asked = ConsentRequest.objects.get(pk=ask(pat).pk)
    assert asked.user == pat.user
    assert asked.patient == "456"
    assert asked.scopes == f"{VIEW_LABS.scope} openid"
    assert asked.session_digest == pat.session_digest
    assert asked.decided_at is None
    assert 0 < (asked.expires_at - timezone.now()).total_seconds() <= requests.ANSWER_SECONDS
    assert asked.shown["facts"]["host"] == "growth.example"
    assert asked.shown["facts"]["time"] == "15 minutes"


@pytest.mark.spec("C4")
def test_a_version_of_the_words_is_stored_once(pat, ask):
    first, second = ask(pat), ask(pat)
    assert first.text_id == second.text_id
    assert ask(pat, items=[VIEW_LABS]).text_id != first.text_id
    assert ask(pat, reader="clinician").text_id != first.text_id
    assert ConsentText.objects.count() == 3


@pytest.mark.spec("C4")
def test_stored_words_hold_the_page_and_name_nobody(pat, ask):
    text = ask(pat).text
    assert text.language == "en"
    assert text.text["words"]["heading"] == "Let {app} use your medical records?"
    assert text.text["words"]["allow"] == "Allow"
    assert [item["short"] for item in text.text["items"]] == [VIEW_LABS.short, WHO.short]
    assert "Pat Doe" not in str(text.text)


def test_lasting_access_has_no_end_of_its_own(pat, ask):
    asked = ask(pat, items=[VIEW_LABS, AWAY])
    assert asked.shown["facts"]["time"] == ""
    assert asked.text.text["words"]["duration"] == (
        "The app can use this until you stop it. "
        "If you do not let it stay connected, it ends after {once}."
    )
    assert asked.shown["facts"]["once"] == "15 minutes"


def test_a_longest_time_is_told(pat, ask):
    asked = ask(pat, items=[VIEW_LABS, AWAY], lasts_seconds=90 * 86_400)
    assert asked.shown["facts"]["time"] == "90 days"
    assert "for {time} at most" in asked.text.text["words"]["duration"]


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("https://growth.example:8443", "growth.example:8443"),
        ("http://localhost:3000", "localhost:3000"),
        ("com.example.growth:", "com.example.growth"),
    ],
)
def test_origin_is_told_as_a_host(pat, ask, origin, host):
    assert ask(pat, redirect_origin=origin).shown["facts"]["host"] == host


@pytest.mark.parametrize(
    "origin",
    ["", "growth.example", "https://a.example; script-src *", "https://a.example/x", "https://a b"],
)
def test_unsafe_origin_is_refused(pat, ask, origin):
    with pytest.raises(ValueError, match="origin"):
        ask(pat, redirect_origin=origin)


@pytest.mark.parametrize(
    "path", ["https://evil.example/", "//evil.example", "/\\evil.example", "oauth", ""]
)
def test_return_path_stays_here(pat, ask, path):
    with pytest.raises(ValueError, match="return_path"):
        ask(pat, return_path=path)


def test_nothing_asked_is_refused(pat, ask):
    with pytest.raises(ValueError, match="nothing"):
        ask(pat, items=[])


def test_item_of_an_unknown_kind_is_refused():
    with pytest.raises(ValueError):
        replace(VIEW_LABS, kind="eat")


def test_a_question_is_put_to_the_one_signed_in(pat, dr_ada, ask):
    with pytest.raises(ValueError, match="signed in"):
        ask(pat, user=dr_ada.user)


@pytest.mark.spec("O7")
def test_only_the_person_in_the_same_session_finds_it(pat, dr_ada, ask, mercy):
    asked = ask(pat)
    again = sign_in(mercy, pat.user)

    def found(who, session_digest):
        return requests.find(asked.pk, user=who.user, session_digest=session_digest)

    assert found(pat, pat.session_digest) == asked
    assert found(dr_ada, dr_ada.session_digest) is None
    assert found(dr_ada, pat.session_digest) is None
    assert found(pat, again.session_digest) is None
    assert found(pat, "") is None


def test_another_tenant_finds_nothing(pat, ask, lakeside):
    asked = ask(pat)
    with tenancy.bind(lakeside):
        assert not ConsentRequest.objects.filter(pk=asked.pk).exists()
        assert requests.find(asked.pk, user=pat.user, session_digest=pat.session_digest) is None


@pytest.mark.spec("C4")
def test_digest_covers_all_that_is_shown(pat, ask):
    asked = ask(pat)
    original = requests.digest(asked)
    asked.scopes += " patient/*.rs"
    assert requests.digest(asked) != original
    asked = ConsentRequest.objects.get(pk=asked.pk)
    assert requests.digest(asked) == original
    asked.shown = {**asked.shown, "redirect_origin": "https://evil.example"}
    assert requests.digest(asked) != original
    assert requests.digest(ask(pat)) != original
