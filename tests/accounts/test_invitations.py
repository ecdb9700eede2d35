"""Invitations: set up once, by whoever has the link (N1, N3, N8, N14, H7, A1)."""

import base64
import re
import secrets
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import time_machine
from django.core.exceptions import ValidationError
from django.db import connection
from django.test import Client
from django.utils import timezone
from playwright.sync_api import expect
from pytest_django.live_server_helper import LiveServer

from authfi.accounts import invitations, passwords, people
from authfi.accounts.invitations import Authenticator
from authfi.accounts.mfa import enrolment, totp
from authfi.accounts.models import Invitation
from authfi.lib import tenancy
from tests.browser import axe
from tests.cast import ADMIN, PASSWORD, Person, let_patients_sign_in_with_a_password, sign_in


@pytest.fixture
def newcomer(mercy):
    """An administrator of Mercy who has no password yet, and the path of the invitation."""
    return invited(mercy, "admin")


def invited(tenant, role):
    with tenancy.bind(tenant):
        email = f"nia-{secrets.token_hex(4)}@example.org"
        user = people.create_person(email=email, name="Nia Nakamura", roles=[role])
        link = invitations.invite(user=user, actor=ADMIN)
    return user, link.removeprefix("http://localhost:8000")


def choose(client, tenant, password=PASSWORD, again=None):
    form = {"password": password, "again": password if again is None else again}
    return client.post(f"/t/{tenant.slug}/invitation", form)


def secret_on(html):
    """The seed as hex, from the key that the page shows."""
    text = re.search(r'class="key">([A-Z2-7 ]+)<', html)
    assert text
    return base64.b32decode(text[1].replace(" ", "")).hex()


def shown(client, tenant):
    return client.get(f"/t/{tenant.slug}/invitation").content.decode()


def confirm(client, tenant, code):
    return client.post(f"/t/{tenant.slug}/invitation", {"code": code})


def enrol(client, tenant):
    """The second step; returns its answer and the seed."""
    seed = secret_on(shown(client, tenant))
    return confirm(client, tenant, totp.code_at(seed, timezone.now())), seed


@pytest.mark.spec("N1", "N8", "H7", "A1")
def test_password_then_authenticator_then_signed_in(client, mercy, newcomer, is_signed_in, trail):
    user, link = newcomer
    opened = client.get(link)
    assert (opened.status_code, opened["Location"]) == (302, f"/t/{mercy.slug}/invitation")
    assert opened["Referrer-Policy"] == "no-referrer"
    page = client.get(opened["Location"])
    assert "Nia Nakamura" in page.content.decode()
    assert "At least 15 characters" in page.content.decode()
    assert "no-store" in page["Cache-Control"]
    assert choose(client, mercy).status_code == 302
    assert not is_signed_in(client, mercy)
    done, seed = enrol(client, mercy)
    assert (done.status_code, done["Location"]) == (302, f"/t/{mercy.slug}/")
    assert is_signed_in(client, mercy)
    person = Person(user=user, tenant=mercy, email=user.email, password=PASSWORD, seed=seed)
    sign_in(Client(), person)
    told = [(code, details["reason"]) for code, _, details in trail(mercy, "auth.enrol")]
    assert told == [("auth.enrol", "password"), ("auth.enrol", "totp")]


@pytest.mark.spec("N8")
def test_the_code_that_confirmed_is_used_up(client, mercy, newcomer):
    user, link = newcomer
    client.get(link)
    choose(client, mercy)
    _, seed = enrol(client, mercy)
    with tenancy.bind(mercy):
        device = totp.TOTPDevice.objects.get(user=user)
        assert device.seed == seed
        assert not totp.verify(user, totp._code(bytes.fromhex(seed), device.last_step))


def test_nothing_changes_before_the_last_step(client, mercy, newcomer, trail):
    user, link = newcomer
    client.get(link)
    choose(client, mercy)
    wrong = confirm(client, mercy, "000000")
    assert "This is not the code" in wrong.content.decode()
    with tenancy.bind(mercy):
        user.refresh_from_db()
        assert not user.has_usable_password()
        assert not totp.is_enrolled(user)
    assert trail(mercy, "auth.enrol") == []


@pytest.mark.spec("N1", "N3")
@pytest.mark.parametrize(
    ("password", "again", "told"),
    [
        ("too short", None, "too short"),
        ("Nia Nakamura", None, "too short"),
        (PASSWORD, "other", "differ"),
        ("", "", "Choose a password."),
        ("x" * 257, None, "too long"),
        ("passwordpassword", None, "known from a data breach"),
    ],
)
def test_a_password_that_is_refused_says_why(client, mercy, newcomer, password, again, told):
    client.get(newcomer[1])
    page = choose(client, mercy, password, again)
    assert page.status_code == 200
    assert told in page.content.decode()
    assert newcomer[0].email in page.content.decode()


def test_another_password_can_be_chosen_before_the_end(client, mercy, newcomer):
    client.get(newcomer[1])
    choose(client, mercy)
    first = secret_on(shown(client, mercy))
    client.post(f"/t/{mercy.slug}/invitation", {"restart": "1"})
    assert "Choose a password" in client.get(f"/t/{mercy.slug}/invitation").content.decode()
    choose(client, mercy, "green kettles hum at dawn")
    assert secret_on(shown(client, mercy)) != first


@pytest.mark.spec("H7")
def test_a_patient_needs_no_second_step_where_the_policy_says_so(client, mercy, is_signed_in):
    let_patients_sign_in_with_a_password(mercy)
    _, link = invited(mercy, "patient")
    client.get(link)
    assert choose(client, mercy).status_code == 302
    assert is_signed_in(client, mercy)


def test_a_link_works_once(client, mercy, newcomer):
    client.get(newcomer[1])
    choose(client, mercy)
    enrol(client, mercy)
    page = Client().get(newcomer[1])
    assert page.status_code == 410
    assert "Sign in with the e-mail address" in page.content.decode()


def test_two_browsers_one_account(mercy, newcomer):
    first, second = Client(), Client()
    for browser in (first, second):
        browser.get(newcomer[1])
        choose(browser, mercy)
    seed = secret_on(shown(second, mercy))
    assert enrol(first, mercy)[0].status_code == 302
    late = confirm(second, mercy, totp.code_at(seed, timezone.now()))
    assert late.status_code == 410


def test_of_many_at_once_one_is_accepted(mercy, newcomer):
    user, link = newcomer

    def accept(number):
        try:
            with tenancy.bind(mercy):
                found = invitations.find(link.rpartition("/")[2])
                assert found
                seed = enrolment.new_seed()
                invitations.accept(
                    invitation=found,
                    password_hash=passwords.hash_password(f"{PASSWORD} {number}"),
                    authenticator=Authenticator(seed=seed, step=1),
                )
        except invitations.SpentError:
            return 0
        finally:
            connection.close()
        return 1

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(accept, range(8))) == 1
    with tenancy.bind(mercy):
        assert totp.TOTPDevice.objects.filter(user=user).count() == 1


def test_a_link_expires(client, mercy, newcomer):
    with time_machine.travel(timezone.now() + timedelta(hours=71, minutes=59)):
        assert client.get(newcomer[1]).status_code == 302
        assert client.get(f"/t/{mercy.slug}/invitation").status_code == 200
    with time_machine.travel(timezone.now() + timedelta(hours=72, seconds=1)):
        assert Client().get(newcomer[1]).status_code == 410


def test_expiry_counts_at_every_step(client, mercy, newcomer):
    client.get(newcomer[1])
    choose(client, mercy)
    seed = secret_on(shown(client, mercy))
    with tenancy.bind(mercy):
        Invitation.objects.update(expires_at=timezone.now())
    assert confirm(client, mercy, totp.code_at(seed, timezone.now())).status_code == 410


def test_only_the_newest_link_counts(client, mercy, newcomer):
    user, link = newcomer
    with tenancy.bind(mercy):
        newest = invitations.invite(user=user, actor=ADMIN).removeprefix("http://localhost:8000")
    assert client.get(link).status_code == 410
    assert client.get(newest).status_code == 302


def test_a_link_that_was_never_made(client, mercy, lakeside, newcomer):
    for path in (
        f"/t/{mercy.slug}/invitation/{'x' * 43}",
        f"/t/{mercy.slug}/invitation",
        newcomer[1].replace(mercy.slug, lakeside.slug),
    ):
        page = client.get(path)
        assert page.status_code == 404
        assert "ask your administrator" in page.content.decode().replace("\n", " ").lower()


def test_somebody_who_is_set_up_or_switched_off_is_not_invited(mercy, dr_ada, client):
    with tenancy.bind(mercy), pytest.raises(ValidationError):
        invitations.invite(user=dr_ada.user, actor=ADMIN)
    user, link = invited(mercy, "nurse")
    with tenancy.bind(mercy):
        people.deactivate(user)
        with pytest.raises(ValidationError):
            invitations.invite(user=user, actor=ADMIN)
    assert client.get(link).status_code == 410


def test_the_handle_is_kept_as_a_digest(mercy, newcomer):
    handle = newcomer[1].rpartition("/")[2]
    assert len(handle) == 43
    with tenancy.bind(mercy):
        row = Invitation.objects.get()
        assert handle not in str(vars(row))


def test_the_qr_code_says_what_the_key_says():
    uri = enrolment.provisioning_uri("00" * 20, organisation="Mercy & Co", account="nia@x.org")
    assert uri == (
        f"otpauth://totp/Mercy%20%26%20Co:nia@x.org?secret={'A' * 32}&issuer=Mercy%20%26%20Co"
        "&algorithm=SHA1&digits=6&period=30"
    )
    assert enrolment.secret_text("00" * 20) == " ".join(["AAAA"] * 8)
    svg = enrolment.qr_svg(uri)
    assert "style=" not in svg
    assert "nia" not in svg


@pytest.fixture(scope="module")
def server():
    """The pages and their static files."""
    server = LiveServer("localhost")
    yield server
    server.stop()


@pytest.mark.browser
def test_in_a_browser_on_a_phone(server, page, mercy, newcomer):
    page.set_viewport_size({"width": 320, "height": 640})
    page.goto(server.url + newcomer[1])
    expect(page.get_by_role("heading", level=1)).to_have_text("Choose a password")
    assert axe(page) == []
    page.get_by_label("New password", exact=True).fill(PASSWORD)
    page.get_by_label("New password, once more").fill(PASSWORD)
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_role("img", name="QR code")).to_be_visible()
    assert axe(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    assert "invitation/" not in page.url
    seed = secret_on(page.content())
    page.get_by_role("textbox", name="Code").fill(totp.code_at(seed, timezone.now()))
    page.get_by_role("button", name="Finish").click()
    expect(page).to_have_url(f"{server.url}/t/{mercy.slug}/")
