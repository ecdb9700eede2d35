"""Who is asked for what before going on (N13, N15, H7), and the app behind the form (K9)."""

import secrets
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.http import HttpResponse
from django.test import RequestFactory
from django.urls import set_script_prefix, set_urlconf
from django.utils import timezone

from authfi.accounts import people, sessions, signin, stepup
from authfi.accounts.decorators import console_view, signed_in
from authfi.accounts.models import Role
from authfi.lib import tenancy
from tenants.models import Tenant
from tests.cast import a_person, give_code, sign_in


@pytest.fixture
def ask(client):
    """A request as a view gets it, from the browser `client`."""
    requests = RequestFactory()

    def make(tenant, path="oauth/authorize?client_id=x"):
        set_script_prefix(f"/t/{tenant.slug}/")
        set_urlconf(settings.TENANT_URLCONF)
        request: Any = requests.get(f"/t/{tenant.slug}/{path}")
        cookie = client.cookies.get(f"authfi_{tenant.slug}")
        request.session = sessions.SessionStore(cookie.value if cookie else None)
        request.user = request.session.person() or AnonymousUser()
        request.tenant = Tenant.objects.get(slug=tenant.slug)
        return request

    return make


@pytest.fixture(autouse=True)
def _inside(mercy):
    with tenancy.bind(mercy):
        yield
    set_script_prefix("/")
    set_urlconf(None)


def required(request, **wanted) -> Any:
    return stepup.require(request, **wanted)


def test_a_stranger_is_sent_to_sign_in_and_back(ask, mercy):
    response = required(ask(mercy))
    assert response.status_code == 302
    assert response["Location"] == (
        f"/t/{mercy.slug}/login?next=%2Ft%2F{mercy.slug}%2Foauth%2Fauthorize%3Fclient_id%3Dx"
    )
    assert "no-store" in response["Cache-Control"]
    assert signin.assurance(ask(mercy)) == signin.Assurance()


@pytest.mark.spec("N13")
def test_a_session_knows_how_strong_it_is_and_since_when(client, ask, dr_ada, pat):
    before = timezone.now()
    sign_in(client, dr_ada)
    held = signin.assurance(ask(dr_ada.tenant))
    assert (held.aal, held.amr) == (2, ("otp", "pwd", "mfa"))
    assert held.auth_time is not None
    assert before <= held.auth_time <= timezone.now()
    assert held.session_id
    assert held.session_digest
    sign_in(client, pat)
    held = signin.assurance(ask(pat.tenant))
    assert (held.aal, held.amr) == (1, ("pwd",))


@pytest.mark.spec("N13")
def test_a_good_enough_sign_in_is_asked_nothing(client, ask, dr_ada):
    sign_in(client, dr_ada)
    since = timezone.now() - timedelta(seconds=30)
    assert required(ask(dr_ada.tenant)) is None
    assert required(ask(dr_ada.tenant), aal=2, max_age_seconds=60, since=since) is None


@pytest.mark.spec("N13")
def test_an_old_sign_in_is_asked_again(client, ask, dr_ada):
    sign_in(client, dr_ada)
    with time_machine.travel(timezone.now() + timedelta(seconds=301)):
        asked_at = timezone.now()
        stale = required(ask(dr_ada.tenant), max_age_seconds=300)
        assert stale["Location"].startswith(f"/t/{dr_ada.tenant.slug}/login?next=")
        assert required(ask(dr_ada.tenant), max_age_seconds=302) is None
        assert "/login" in required(ask(dr_ada.tenant), since=asked_at)["Location"]
        session_id = signin.assurance(ask(dr_ada.tenant)).session_id
        sign_in(client, dr_ada)
        assert required(ask(dr_ada.tenant), max_age_seconds=300, since=asked_at) is None
        assert signin.assurance(ask(dr_ada.tenant)).session_id == session_id


@pytest.mark.spec("N13", "N14")
def test_a_password_session_is_made_stronger_by_a_code_only(client, ask, pat, trail):
    sign_in(client, pat)
    seed = secrets.token_hex(20)
    session_id = signin.assurance(ask(pat.tenant)).session_id
    people.enrol_totp(pat.user, seed, keep_session=session_id)
    former = client.cookies[f"authfi_{pat.tenant.slug}"].value
    asked = required(ask(pat.tenant), aal=2)
    assert asked["Location"].startswith(f"/t/{pat.tenant.slug}/mfa?next=")
    strong = type(pat)(**{**pat.__dict__, "seed": seed})
    assert give_code(client, strong, "000000").status_code == 200
    assert signin.assurance(ask(pat.tenant)).aal == 1
    with time_machine.travel(timezone.now() + timedelta(seconds=30)):
        assert give_code(client, strong).status_code == 302
        held = signin.assurance(ask(pat.tenant))
    assert (held.aal, held.session_id) == (2, session_id)
    assert client.cookies[f"authfi_{pat.tenant.slug}"].value != former
    assert [code for code, _, _ in trail(pat.tenant)][-2:] == ["auth.mfa.fail", "auth.mfa.ok"]


def test_whoever_has_no_second_factor_is_told_so(client, ask, pat):
    sign_in(client, pat)
    asked = required(ask(pat.tenant), aal=2)
    page = client.get(asked["Location"])
    assert page.status_code == 403
    assert "administrator" in page.content.decode()


@pytest.mark.spec("K9")
def test_the_waiting_app_may_be_reached_from_the_forms_of_the_sign_in(client, dr_ada):
    slug = dr_ada.tenant.slug
    client.get(f"/t/{slug}/login")
    store = sessions.SessionStore(client.cookies[f"authfi_{slug}"].value)
    store["form_action"] = "https://app.example:8443"
    store.save()
    for page in (client.get(f"/t/{slug}/login"), client.post(f"/t/{slug}/login", {})):
        directives = page["Content-Security-Policy"].split("; ")
        assert "form-action 'self' https://app.example:8443" in directives
    sign_in_page = client.post(
        f"/t/{slug}/login", {"email": dr_ada.email, "password": dr_ada.password}
    )
    page = client.get(sign_in_page["Location"])
    assert "https://app.example:8443" in page["Content-Security-Policy"]
    give_code(client, dr_ada)
    assert "app.example" not in client.get(f"/t/{slug}/login")["Content-Security-Policy"]


@pytest.mark.spec("K9")
@pytest.mark.parametrize(
    "origin",
    ["https://app.example", "http://localhost:8000", "http://[::1]:80", "com.example.app:"],
)
def test_an_origin_is_kept_for_the_forms(ask, mercy, origin):
    request = ask(mercy)
    required(request, form_action=origin)
    assert request.session["form_action"] == origin


@pytest.mark.spec("K9")
@pytest.mark.parametrize(
    "origin",
    ["https://a.example; script-src *", "* 'unsafe-inline'", "https://a b", "*", "https://a/x"],
)
def test_what_is_no_origin_never_reaches_the_policy(ask, mercy, origin):
    with pytest.raises(ValueError, match="not an origin"):
        required(ask(mercy), form_action=origin)


@console_view(role=Role.ADMIN)
def admin_page(request):
    return HttpResponse("console")


@console_view(role=Role.PRIVACY_OFFICER)
def trail_page(request):
    return HttpResponse("trail")


@signed_in
def any_page(request, number):
    return HttpResponse(f"page {number}")


@pytest.mark.parametrize(
    ("roles", "status"),
    [(["admin"], 200), (["admin", "doctor"], 200), (["doctor"], 403), (["nurse"], 403),
     (["privacy-officer"], 403), (["patient"], 403)],
)  # fmt: skip
def test_the_console_is_for_its_role(client, ask, mercy, roles, status):
    assert admin_page(ask(mercy)).status_code == 302
    sign_in(client, a_person(mercy, *roles))
    assert admin_page(ask(mercy)).status_code == status


@pytest.mark.parametrize(
    ("role", "status"), [("privacy-officer", 200), ("admin", 200), ("nurse", 403)]
)
def test_an_admin_stands_above_other_console_roles(client, ask, mercy, role, status):
    sign_in(client, a_person(mercy, role))
    assert trail_page(ask(mercy)).status_code == status


@pytest.mark.spec("H7")
def test_the_console_wants_two_factors(client, ask, pat):
    sign_in(client, pat)
    pat.user.role_assignments.create(role="admin")
    assert "/mfa" in admin_page(ask(pat.tenant))["Location"]


def test_a_page_for_signed_in_people(client, ask, dr_ada):
    assert any_page(ask(dr_ada.tenant), 7).status_code == 302
    sign_in(client, dr_ada)
    page: Any = any_page(ask(dr_ada.tenant), 7)
    assert page.content == b"page 7"
