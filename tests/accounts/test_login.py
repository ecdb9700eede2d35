"""The sign-in pages (V2, N8, N13, O7, O9, H7, K9, A1)."""

import re
from datetime import timedelta

import pytest
import time_machine
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from audit import record
from authfi.accounts import people
from authfi.lib import tenancy
from tenants import policies
from tests.cast import (
    ADMIN,
    PASSWORD,
    a_person,
    give_code,
    give_password,
    let_patients_sign_in_with_a_password,
    sign_in,
)


def page_of(response):
    """The page without what differs in every answer."""
    return re.sub(r'(csrfmiddlewaretoken" value=)"[^"]*"', r"\1", response.content.decode())


def test_a_doctor_signs_in_with_password_and_code(client, dr_ada, is_signed_in, trail):
    slug = dr_ada.tenant.slug
    first = give_password(client, dr_ada, f"/t/{slug}/password")
    assert (first.status_code, first["Location"]) == (
        302,
        f"/t/{slug}/mfa?next=%2Ft%2F{slug}%2Fpassword",
    )
    assert not is_signed_in(client, dr_ada.tenant), "half a sign-in is worth nothing"
    second = give_code(client, dr_ada, next_url=f"/t/{slug}/password")
    assert (second.status_code, second["Location"]) == (302, f"/t/{slug}/password")
    assert is_signed_in(client, dr_ada.tenant)
    codes = [(code, outcome) for code, outcome, _ in trail(dr_ada.tenant)]
    assert codes[-2:] == [("auth.mfa.ok", "success"), ("auth.login.ok", "success")]


@pytest.mark.spec("A1", "A2")
def test_the_trail_names_the_person_by_id_alone(client, dr_ada, trail):
    sign_in(client, dr_ada)
    code, _, details = trail(dr_ada.tenant)[-1]
    assert code == "auth.login.ok"
    assert details["actor"] == {
        "type": "person", "id": str(dr_ada.user.pk), "roles": ["doctor"], "aal": 2,
    }  # fmt: skip
    assert details["amr"] == ["otp", "pwd", "mfa"]
    assert "Quimby" not in str(details)
    assert dr_ada.email not in str(details)


@pytest.mark.spec("H7")
@pytest.mark.parametrize("role", ["doctor", "nurse", "admin", "privacy-officer"])
def test_workforce_and_admins_need_a_code_whatever_the_policy(client, mercy, role, is_signed_in):
    let_patients_sign_in_with_a_password(mercy)
    person = a_person(mercy, role, "patient", mfa=False)
    response = give_password(client, person)
    assert response.status_code == 403
    assert "second step" in response.content.decode()
    assert not is_signed_in(client, mercy)


@pytest.mark.spec("H7")
def test_patients_need_a_code_unless_the_policy_says_otherwise(client, mercy, is_signed_in, trail):
    person = a_person(mercy, "patient", mfa=False)
    assert give_password(client, person).status_code == 403
    assert not is_signed_in(client, mercy)
    assert trail(mercy)[-1][0] == "auth.login.fail"
    let_patients_sign_in_with_a_password(mercy)
    assert give_password(client, person).status_code == 302
    assert is_signed_in(client, mercy)


@pytest.mark.spec("H7", "N13")
def test_a_session_begun_with_a_password_does_not_outlive_the_policy(client, pat, is_signed_in):
    sign_in(client, pat)
    assert is_signed_in(client, pat.tenant)
    with tenancy.bind(pat.tenant):
        policies.change(kind="sign-in", changes={"patient_mfa": True}, actor=ADMIN)
    response = client.get(f"/t/{pat.tenant.slug}/")
    assert response.status_code == 302
    assert response["Location"].startswith(f"/t/{pat.tenant.slug}/mfa")


def test_somebody_without_a_role_is_no_patient(client, pat):
    with tenancy.bind(pat.tenant):
        pat.user.role_assignments.all().delete()
    assert give_password(client, pat).status_code == 403


@pytest.mark.spec("V2")
def test_unknown_inactive_and_wrong_are_answered_alike(mercy, trail):
    known, inactive = a_person(mercy, "doctor"), a_person(mercy, "doctor")
    with tenancy.bind(mercy):
        people.deactivate(inactive.user, actor=ADMIN)
    tried = [(known.email, "wrong wrong wrong"), ("nobody@mercy.example", "wrong wrong wrong"),
             (inactive.email, inactive.password)]  # fmt: skip
    answers, counts = [], []
    for email, password in tried:
        client = Client()
        client.get(f"/t/{mercy.slug}/login")
        with CaptureQueriesContext(connection) as queries:
            answers.append(give_password(client, known, email=email, password=password))
        counts.append(len(queries))
    assert {answer.status_code for answer in answers} == {200}
    assert len({page_of(a).replace(e, "E") for a, (e, _) in zip(answers, tried, strict=True)}) == 1
    assert len({tuple(sorted(set(answer.headers) - {"X-Request-Id"})) for answer in answers}) == 1
    assert "wrong" in page_of(answers[0])
    assert len(set(counts)) == 1
    assert counts[0] <= 5
    failures = [details for code, _, details in trail(mercy) if code == "auth.login.fail"]
    assert [details["actor"]["type"] for details in failures] == [
        "person",
        "anonymous",
        "anonymous",
    ]
    assert "nobody@mercy" not in str(failures)
    assert inactive.email not in str(failures)


def test_signing_in_costs_a_fixed_number_of_queries(pat):
    counts = []
    give_password(Client(), pat)
    for _ in range(3):
        client = Client()
        client.get(f"/t/{pat.tenant.slug}/login")
        with tenancy.bind(pat.tenant):
            policies.sign_in()
        with CaptureQueriesContext(connection) as queries:
            give_password(client, pat)
        own = [q["sql"] for q in queries if "audit_" not in q["sql"]]
        counts.append(len(own))
    assert len(set(counts)) == 1, counts
    assert counts[0] <= 15


def test_what_was_typed_stays_except_the_password(client, mercy):
    response = client.post(
        f"/t/{mercy.slug}/login", {"email": 'ada"<b>@x.example', "password": "hunter2 hunter2"}
    )
    page = response.content.decode()
    assert 'value="ada&quot;&lt;b&gt;@x.example"' in page
    assert "hunter2" not in page
    assert 'role="alert"' in page


def test_missing_fields_are_named_beside_the_field(client, mercy):
    page = client.post(f"/t/{mercy.slug}/login", {"email": ""}).content.decode()
    assert 'aria-invalid="true"' in page
    assert 'aria-describedby="id_email_error"' in page
    assert 'id="id_email_error"' in page
    assert "Enter your password." in page


@pytest.mark.parametrize("junk", ["\0", "x" * 300, "\ud800".encode("utf-8", "surrogatepass")])
def test_junk_is_refused_and_breaks_nothing(client, mercy, junk):
    response = client.post(f"/t/{mercy.slug}/login", {"email": junk, "password": junk})
    assert response.status_code == 200
    response = client.post(
        f"/t/{mercy.slug}/login", b"email=%ff%fe&password=%ff", "application/x-www-form-urlencoded"
    )
    assert response.status_code == 200


@pytest.mark.parametrize("page", ["login", "mfa", "logout", "password"])
def test_other_methods_are_refused(client, mercy, page):
    assert client.put(f"/t/{mercy.slug}/{page}").status_code == 405


@pytest.mark.spec("K9", "O20")
@pytest.mark.parametrize("page", ["login", "logout"])
def test_the_pages_are_not_kept_and_not_framed(client, mercy, page):
    response = client.get(f"/t/{mercy.slug}/{page}")
    assert "no-store" in response["Cache-Control"]
    policy = response["Content-Security-Policy"]
    for directive in ("frame-ancestors 'none'", "form-action 'self'", "object-src 'none'",
                      "base-uri 'none'"):  # fmt: skip
        assert directive in policy
    assert response["X-Content-Type-Options"] == "nosniff"
    assert "<script" not in response.content.decode()


@pytest.mark.spec("O7")
def test_a_form_works_only_with_the_token_of_its_own_session(pat):
    def token_of(client):
        page = client.get(f"/t/{pat.tenant.slug}/login").content.decode()
        return re.findall(r'csrfmiddlewaretoken" value="([^"]+)"', page)[0]

    mine, theirs = Client(enforce_csrf_checks=True), Client(enforce_csrf_checks=True)
    own, foreign = token_of(mine), token_of(theirs)
    form = {"email": pat.email, "password": pat.password}
    path = f"/t/{pat.tenant.slug}/login"
    assert mine.post(path, form).status_code == 403
    assert mine.post(path, {**form, "csrfmiddlewaretoken": foreign}).status_code == 403
    good = {**form, "csrfmiddlewaretoken": own}
    assert mine.post(path, good, headers={"Origin": "https://evil.example"}).status_code == 403
    assert mine.post(path, good, headers={"Origin": "null"}).status_code == 403
    assert mine.post(path, good, headers={"Origin": "http://testserver"}).status_code == 302
    assert mine.post(path, good).status_code == 403, "the token changes with the sign-in"


def test_the_form_is_sent_with_an_origin(client, mercy):
    """With `no-referrer` browsers send `Origin: null`, which the test above shows refused."""
    assert client.get(f"/t/{mercy.slug}/login")["Referrer-Policy"] == "same-origin"


@pytest.mark.spec("O9")
@pytest.mark.parametrize(
    "next_url",
    [
        "//evil.example", "/\\evil.example", "\\\\evil.example", "https://evil.example/",
        "javascript:alert(1)", "data:text/html,x", "/", "/console", "/t/other/", "t/{slug}/",
        "/t/{slug}", "/t/{slug}x/", "/t/{slug}/../other/", "/t/{slug}/%2e%2e/other/",
        "/t/{slug}/.%2E/other/", "/t/{slug}/x\\..\\..\\other", "/t/{slug}/%5c..%5c", " /t/{slug}/",
        "/t/{slug}/\nSet-Cookie: a=b", "/t/{slug}/\tx", "///t/{slug}/", "http:///t/{slug}/",
        "/t/{slug}/é", "/t/{slug}/" + "x" * 5000, "https://testserver@evil.example/t/{slug}/",
    ],
)  # fmt: skip
def test_a_sign_in_leads_nowhere_but_into_its_tenant(client, pat, next_url):
    slug = pat.tenant.slug
    response = sign_in(client, pat, next_url.replace("{slug}", slug))
    assert response["Location"] == f"/t/{slug}/"


@pytest.mark.spec("O9")
def test_a_bad_next_is_not_even_kept_in_the_page(client, mercy):
    page = client.get(f"/t/{mercy.slug}/login", {"next": "//evil.example"}).content.decode()
    assert "evil" not in page


@pytest.mark.spec("O9")
@pytest.mark.parametrize("path", ["oauth/authorize?a=b&c=%2F%2Fevil.example#x", "console/", ""])
def test_a_path_of_the_tenant_is_gone_on_with(client, pat, path):
    next_url = f"/t/{pat.tenant.slug}/{path}"
    assert sign_in(client, pat, next_url)["Location"] == next_url


@pytest.mark.spec("N8")
def test_a_code_used_once_does_not_open_a_second_session(dr_ada, is_signed_in, trail):
    first, second = Client(), Client()
    code = dr_ada.code()
    for browser in (first, second):
        give_password(browser, dr_ada)
    assert give_code(first, dr_ada, code).status_code == 302
    refused = give_code(second, dr_ada, code)
    assert refused.status_code == 200
    assert "used before" in refused.content.decode()
    assert not is_signed_in(second, dr_ada.tenant)
    code, outcome, details = trail(dr_ada.tenant)[-1]
    assert (code, outcome) == ("auth.mfa.fail", "failure")
    assert details["actor"]["id"] == str(dr_ada.user.pk)


def test_the_second_step_needs_the_first(client, dr_ada, is_signed_in):
    response = give_code(client, dr_ada)
    assert (response.status_code, response["Location"]) == (302, f"/t/{dr_ada.tenant.slug}/login")
    assert not is_signed_in(client, dr_ada.tenant)


def test_the_second_step_must_follow_soon(client, dr_ada, is_signed_in):
    give_password(client, dr_ada)
    with time_machine.travel(timezone.now() + timedelta(seconds=601)):
        assert give_code(client, dr_ada).headers["Location"].endswith("/login")
        assert not is_signed_in(client, dr_ada.tenant)


@pytest.mark.parametrize("change", ["password", "deactivated"])
def test_the_second_step_is_void_when_the_account_changed(client, dr_ada, change, is_signed_in):
    give_password(client, dr_ada)
    code = dr_ada.code()
    with tenancy.bind(dr_ada.tenant):
        if change == "password":
            people.change_password(user=dr_ada.user, password="another long one!", actor=ADMIN)
        else:
            people.deactivate(dr_ada.user, actor=ADMIN)
    assert give_code(client, dr_ada, code)["Location"].endswith("/login")
    assert not is_signed_in(client, dr_ada.tenant)


def test_half_a_sign_in_is_one_tenants(client, dr_ada, lakeside):
    give_password(client, dr_ada)
    client.cookies[f"authfi_{lakeside.slug}"] = client.cookies[f"authfi_{dr_ada.tenant.slug}"].value
    assert client.get(f"/t/{lakeside.slug}/mfa")["Location"] == f"/t/{lakeside.slug}/login"


def test_signing_out_needs_a_post_and_is_recorded(client, pat, is_signed_in, trail):
    sign_in(client, pat)
    path = f"/t/{pat.tenant.slug}/logout"
    assert "<form" in client.get(path).content.decode()
    assert is_signed_in(client, pat.tenant)
    assert "signed out" in client.post(path).content.decode()
    assert not is_signed_in(client, pat.tenant)
    assert [code for code, _, _ in trail(pat.tenant)][-1] == "auth.logout"
    before = len(trail(pat.tenant))
    assert client.post(path).status_code == 200
    assert len(trail(pat.tenant)) == before


@pytest.mark.spec("V8")
def test_without_a_trail_nobody_signs_in(client, pat, monkeypatch, is_signed_in):
    def refuse(*_):
        raise record.AuditUnavailableError("down")

    monkeypatch.setattr(record, "record", refuse)
    assert give_password(client, pat).status_code == 503
    assert not is_signed_in(client, pat.tenant)
    assert give_password(client, pat, password="wrong wrong wrong").status_code == 503


@pytest.mark.spec("N14")
def test_changing_the_password_ends_all_other_sessions(pat, is_signed_in):
    here, elsewhere = Client(), Client()
    sign_in(here, pat)
    sign_in(elsewhere, pat)
    former = here.cookies[f"authfi_{pat.tenant.slug}"].value
    new = "seven green umbrellas"
    form = {"present": PASSWORD, "password": new, "again": new}
    assert "is changed" in here.post(f"/t/{pat.tenant.slug}/password", form).content.decode()
    assert is_signed_in(here, pat.tenant)
    assert not is_signed_in(elsewhere, pat.tenant)
    assert here.cookies[f"authfi_{pat.tenant.slug}"].value != former
    assert give_password(Client(), pat).status_code == 200
    assert give_password(Client(), pat, password=new).status_code == 302


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"present": "something else here"}, "not your present password"),
        ({"again": "seven green umbrella"}, "differ"),
        ({"password": "short", "again": "short"}, "at least 15"),
        ({"password": "theshakespeareproject", "again": "theshakespeareproject"}, "data breach"),
        ({"password": "w" * 300, "again": "w" * 300}, "at most 256"),
    ],
)
def test_a_password_is_changed_by_the_rules_only(client, pat, changed, said):
    sign_in(client, pat)
    new = "seven green umbrellas"
    form = {"present": PASSWORD, "password": new, "again": new, **changed}
    page = client.post(f"/t/{pat.tenant.slug}/password", form).content.decode()
    assert said in page
    assert give_password(Client(), pat).status_code == 302, "the former one still works"
