"""What a person chose becomes what is granted; remembered decisions need no page (C2, C3, D5)."""

from datetime import timedelta

import pytest
from django.utils import timezone
from django.utils.html import strip_tags

from authfi.lib import tenancy
from consent import services
from consent.models import Consent
from smart.models import Application, Grant
from smart.server import authorize_consent
from tests.cast import ADMIN, sign_in
from tests.forms import boxes_of, fields_of
from tests.server.conftest import REDIRECT, Flow, an_app, answer_of, connect, trail

LABS = (
    "patient/Observation.rs?category="
    "http://terminology.hl7.org/CodeSystem/observation-category|laboratory"
)


def page_of(flow, going_on):
    """The consent page and its address."""
    address = flow.client.get(going_on)["Location"]
    assert "/consent/" in address
    return address, flow.client.get(address)


def granted(flow, code):
    """The `scope` member of the token response."""
    response = flow.exchange(code)
    assert response.status_code == 200, response.content
    return response.json()["scope"].split()


def choose(flow, going_on, *opened, **form):
    """Open lines one after the other, then allow with these boxes ticked."""
    address, page = page_of(flow, going_on)
    for scope in opened:
        page = flow.client.post(address, {**fields_of(page), "open": scope})
    answered = flow.client.post(address, {**fields_of(page), **form, "decision": "allow"})
    return flow.client.get(answered["Location"])


@pytest.mark.spec("C2", "GRNT-02", "GRNT-05", "GRNT-08")
def test_types_chosen_of_a_wildcard_are_granted_and_no_wildcard(pat_flow):
    chosen = ["fhirUser", "patient/Patient.rs", "patient/Condition.rs"]
    response = choose(pat_flow, pat_flow.begin(), "patient/*.rs", scope=chosen)
    scopes = granted(pat_flow, answer_of(response)["code"])
    assert set(scopes) == {"openid", "launch/patient", *chosen}
    reduced = [details for code, _, details in trail(pat_flow.tenant) if code == "scope.reduced"]
    assert reduced[0]["left_out"] == {"patient/*.rs": "person"}
    assert set(reduced[0]["scopes"]) == set(scopes)


@pytest.mark.spec("GRAN-06", "GRAN-07", "GRAN-08")
def test_categories_are_granted_in_place_of_the_type(mercy, pat_flow):
    going_on = pat_flow.begin()
    response = choose(pat_flow, going_on, "patient/*.rs", "patient/Observation.rs", scope=[LABS])
    assert set(granted(pat_flow, answer_of(response)["code"])) == {"openid", "launch/patient", LABS}


@pytest.mark.spec("C2", "GRNT-13")
def test_what_is_unticked_is_missing_and_the_rest_is_literal(pat_flow):
    response = choose(pat_flow, pat_flow.begin(), scope=["patient/*.rs"])
    assert granted(pat_flow, answer_of(response)["code"]) == [
        "launch/patient",
        "openid",
        "patient/*.rs",
    ]


@pytest.mark.spec("C4", "GRNT-03")
def test_values_added_to_the_form_give_nothing(pat_flow):
    going_on = pat_flow.begin(scope="launch/patient openid patient/Goal.rs")
    added = ["patient/Goal.rs", "patient/*.rs", "patient/Condition.rs", "fhirUser", "user/*.rs"]
    response = choose(pat_flow, going_on, scope=added)
    assert granted(pat_flow, answer_of(response)["code"]) == [
        "launch/patient",
        "openid",
        "patient/Goal.rs",
    ]


@pytest.mark.spec("GRNT-07")
def test_nothing_ticked_is_access_denied(pat_flow):
    answer = answer_of(choose(pat_flow, pat_flow.begin(), scope=[]))
    assert answer["error"] == "access_denied"
    with tenancy.bind(pat_flow.tenant):
        assert not Grant.objects.exists()


@pytest.mark.spec("C2", "REFR-17", "GRNT-11")
@pytest.mark.parametrize("ticked", [True, False])
def test_offline_access_can_be_switched_off(mercy, pat, ticked):
    connect(mercy)
    an_app(mercy, grant_types=["authorization_code", "refresh_token"])
    flow = Flow(mercy)
    sign_in(flow.client, pat)
    going_on = flow.begin(scope="launch/patient patient/Goal.rs offline_access")
    _, page = page_of(flow, going_on)
    assert boxes_of(page)["offline_access"]
    chosen = ["patient/Goal.rs", *(["offline_access"] if ticked else [])]
    response = choose(flow, going_on, scope=chosen)
    body = flow.exchange(answer_of(response)["code"]).json()
    assert ("refresh_token" in body) is ticked
    assert ("offline_access" in body["scope"].split()) is ticked


@pytest.mark.spec("D5", "GRNT-03")
def test_what_the_ceiling_left_out_is_told_with_its_reason(mercy, pat):
    connect(mercy, scopes="patient/Patient.rs patient/Observation.rs")
    an_app(mercy, scopes="openid launch/patient patient/Patient.rs patient/Goal.rs")
    flow = Flow(mercy)
    sign_in(flow.client, pat)
    asked = (
        "openid launch/patient patient/Patient.rs patient/Goal.rs patient/Flag.rs patient/Nix.rs"
    )
    _, page = page_of(flow, flow.begin(scope=asked))
    hospital = page.context["facts"]["hospital"]
    assert {strip_tags(why): shorts for why, shorts in page.context["withheld"]} == {
        "Growth Chart is not signed up here to:": ["View your health alerts"],
        f"{hospital} does not allow Growth Chart to:": ["View your health goals"],
        f"{hospital} has no way for an app to:": ["Use “patient/Nix.rs”"],
    }


@pytest.fixture
def trusted(mercy, pat):
    """Pat's browser, where a confidential app was allowed once, to be remembered."""
    connect(mercy)
    an_app(mercy, client_type="confidential")
    flow = Flow(mercy)
    sign_in(flow.client, pat)
    assert "code" in answer_of(flow.decide(flow.begin(), remember="on"))
    return flow


def consents(flow):
    with tenancy.bind(flow.tenant):
        return list(Consent.objects.order_by("decided_at"))


def is_asked(flow, **changed):
    """Does the next request lead to the page? If not, the app must have got a code."""
    response = flow.client.get(flow.begin(**changed))
    if "/consent/" in response["Location"]:
        return True
    assert response["Location"].startswith(REDIRECT)
    assert "code" in answer_of(response)
    return False


@pytest.mark.spec("C3", "A1")
def test_a_remembered_decision_needs_no_page_and_says_so_in_the_trail(trusted):
    assert not is_asked(trusted)
    [consent] = consents(trusted)
    with tenancy.bind(trusted.tenant):
        first, second = Grant.objects.order_by("created_at")
    assert first.consent_id == second.consent_id == consent.pk
    assert first.scopes == second.scopes
    [told] = [
        details
        for _, _, details in trail(trusted.tenant, "consent.grant")
        if details.get("reason") == "remembered"
    ]
    assert told["consent"] == str(consent.pk)
    assert told["scopes"] == second.scopes.split()


@pytest.mark.spec("C3")
def test_fewer_scopes_need_no_page(trusted):
    assert not is_asked(trusted, scope="launch/patient openid patient/Goal.rs")


@pytest.mark.spec("C3", "AUTZ-15")
def test_silence_is_answered_by_a_remembered_decision_only(trusted):
    assert not is_asked(trusted, prompt="none")
    scope = "launch/patient openid fhirUser patient/*.rs offline_access"
    with tenancy.bind(trusted.tenant):
        Application.objects.update(grant_types="authorization_code refresh_token")
    response = trusted.client.get(trusted.begin(prompt="none", scope=scope))
    assert answer_of(response)["error"] == "consent_required"


@pytest.mark.spec("C3")
def test_the_app_can_have_the_person_asked(trusted):
    assert is_asked(trusted, prompt="consent")


@pytest.mark.spec("C3")
@pytest.mark.parametrize(
    "changed",
    [
        {"name": "Growth Chart Pro"},
        {"about": {"policy_uri": "https://elsewhere.example/privacy"}},
        {"client_type": "public"},
    ],
)
def test_a_changed_app_asks_again(trusted, changed):
    with tenancy.bind(trusted.tenant):
        Application.objects.update(**changed)
    assert is_asked(trusted)


@pytest.mark.spec("C3")
def test_another_address_asks_again(trusted):
    elsewhere = "https://elsewhere.example/cb"
    with tenancy.bind(trusted.tenant):
        Application.objects.update(redirect_uris=f"{REDIRECT} {elsewhere}")
    assert is_asked(trusted, redirect_uri=elsewhere)


@pytest.mark.spec("C3")
@pytest.mark.parametrize(
    "changed",
    [
        {"remember": False},
        {"decided_at": timezone.now() - timedelta(days=366)},
        {"scopes": "launch/patient openid fhirUser patient/Goal.rs"},
    ],
)
def test_a_decision_that_is_old_or_narrower_or_not_to_be_kept_is_no_answer(trusted, changed):
    with tenancy.bind(trusted.tenant):
        Consent.objects.update(**changed)
    assert is_asked(trusted)


@pytest.mark.spec("C3")
def test_another_app_or_person_is_asked(trusted, mercy, dr_ada):
    an_app(mercy, client_id="other", client_type="confidential")
    assert is_asked(trusted, client_id="other")
    hers = Flow(mercy)
    sign_in(hers.client, dr_ada)
    assert is_asked(hers, scope="openid fhirUser")


@pytest.mark.spec("C3", "C7")
def test_withdrawal_ends_what_was_remembered_and_all_that_hung_on_it(trusted):
    assert not is_asked(trusted)
    with tenancy.bind(trusted.tenant):
        services.withdraw(consent=Consent.objects.get(), actor=ADMIN)
        assert not Grant.objects.filter(ended_at__isnull=True).exists()
    assert is_asked(trusted)


@pytest.mark.spec("AUTZ-14")
def test_a_remembered_answer_that_was_lost_is_given_once_more_to_its_own_request(trusted):
    first = trusted.begin(state="one")
    one = answer_of(trusted.client.get(first))
    other = Flow(trusted.tenant, client=trusted.client)
    two = answer_of(other.client.get(other.begin(state="two")))
    again = answer_of(trusted.client.get(first))
    assert again["state"] == "one"
    assert again["code"] not in (one["code"], two["code"])


@pytest.mark.spec("C7", "REVO-04")
def test_what_was_withdrawn_before_the_app_got_its_code_gives_none(pat_flow):
    going_on = pat_flow.begin()
    address, page = page_of(pat_flow, going_on)
    pat_flow.client.post(address, {**fields_of(page), "decision": "allow"})
    with tenancy.bind(pat_flow.tenant):
        services.withdraw(consent=Consent.objects.get(), actor=ADMIN)
    assert answer_of(pat_flow.client.get(going_on))["error"] == "access_denied"
    with tenancy.bind(pat_flow.tenant):
        assert not Grant.objects.exists()


@pytest.mark.spec("C3", "C7")
def test_a_remembered_decision_that_is_withdrawn_at_this_moment_gives_nothing(trusted, monkeypatch):
    find = authorize_consent.remembered_answer

    def withdrawn_at_once(*args):
        found = find(*args)
        services.withdraw(consent=Consent.objects.get(), actor=ADMIN)
        return found

    monkeypatch.setattr(authorize_consent, "remembered_answer", withdrawn_at_once)
    assert answer_of(trusted.client.get(trusted.begin()))["error"] == "access_denied"
    with tenancy.bind(trusted.tenant):
        assert not Grant.objects.filter(ended_at__isnull=True).exists()


@pytest.mark.spec("GRNT-11", "REFR-18")
@pytest.mark.parametrize(
    ("lasting", "patient_access", "told"),
    [
        (
            "offline_access",
            False,
            "until you stop it, or for 90 days at most.",
        ),
        ("offline_access", True, "The app can use this until you stop it. If"),
        ("online_access", False, "This ends when you sign out. If"),
    ],
)
def test_how_long_access_lasts_is_told(pat_flow, lasting, patient_access, told):
    with tenancy.bind(pat_flow.tenant):
        Application.objects.update(
            patient_access=patient_access,
            grant_types="authorization_code refresh_token",
            scopes=f"launch/patient openid patient/*.rs {lasting}",
        )
    scope = f"launch/patient openid patient/*.rs {lasting}"
    _, page = page_of(pat_flow, pat_flow.begin(scope=scope))
    assert told in strip_tags(page.content.decode())
