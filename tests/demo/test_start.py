"""The start page: ways in, accounts, fresh codes."""

import pytest
from django.utils import timezone
from django.utils.html import escape

from authfi.accounts.mfa import totp
from smart.demo import cast, start


def test_it_shows_the_three_ways_in(client):
    text = client.get("/").content.decode()
    for url in (
        "/t/general-hospital/demo/ehr/",
        "/demo/lab-results/",
        "/t/general-hospital/console",
    ):
        assert url in text
    assert cast.PASSPHRASE in text
    assert "relaxes that rule" in text


def test_it_says_what_each_app_is_and_leads_to_those_with_pages(client):
    text = client.get("/").content.decode()
    for app in cast.GENERAL_HOSPITAL.apps:
        assert escape(app.about) in text
    assert f'href="{cast.ORDER_ENTRY_PATH}"' in text


def test_order_entrys_page_says_what_a_client_needs_but_no_secret(client):
    text = client.get(cast.ORDER_ENTRY_PATH).content.decode()
    for shown in ("order-entry", "/t/general-hospital/fhir", cast.ORDER_ENTRY.scopes):
        assert shown in text
    assert str(cast.ORDER_ENTRY.secret("general-hospital")) not in text


@pytest.mark.parametrize("url", ["/", "/demo/codes"])
def test_nothing_of_it_is_stored_by_a_browser(client, url):
    assert "no-store" in client.get(url)["Cache-Control"]


def test_every_account_of_staff_has_its_present_code(client):
    now = timezone.now()
    answer = client.get("/demo/codes").json()
    doctor = cast.GENERAL_HOSPITAL.people[0]
    accepted = {totp.code_at(doctor.totp_seed or "", moment) for moment in (now, timezone.now())}
    assert answer["codes"]["general-hospital/dr.smith@hospital.com"] in accepted
    assert "general-hospital/john.doe@email.com" not in answer["codes"]
    assert "platform/operator@authfi.example" in answer["codes"]
    assert 1 <= answer["seconds"] <= 30


def test_the_page_holds_the_code_without_javascript(client, monkeypatch):
    monkeypatch.setattr(start, "code_at", lambda seed, moment: "271828")
    assert client.get("/").content.decode().count("271828") >= 2


def test_a_secret_belongs_to_one_installation_one_tenant_and_one_app(settings):
    first = cast.EHR.secret("general-hospital")
    assert first != cast.EHR.secret("lakeside-clinic")
    assert first != cast.ADMIN_API.secret("general-hospital")
    settings.SECRET_KEY = "another installation"
    assert first != cast.EHR.secret("general-hospital")
