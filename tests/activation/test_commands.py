"""`activate_healthcare`, `api_token` and `launch`, as a person types them."""

import io
import secrets
from urllib.parse import parse_qs, urlsplit

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from audit.events import Actor, Code
from audit.models import AuditEvent
from authfi.accounts import people
from authfi.lib import tenancy
from smart import launch, tokens
from smart.models import Application, HealthcareModule
from smart.server.register import register_application
from tenants import directory
from tenants.http import fhir_base, management_audience
from tenants.models import Tenant
from tests.fhir_server import Answer

SECRET = "a-bearer-nobody-may-read-4711"


def run(*arguments):
    out = io.StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue().splitlines()


def refusal(*arguments):
    """The one line of a command that ends with exit status 1."""
    out = io.StringIO()
    with pytest.raises(CommandError) as error:
        call_command(*arguments, stdout=out)
    assert error.value.returncode == 1
    assert "\n" not in str(error.value)
    return str(error.value), out.getvalue().splitlines()


@pytest.mark.spec("EHR-38")
def test_activate_prints_the_checks_and_where_apps_find_it(mercy, fhir):
    lines = run("activate_healthcare", mercy.slug, "--preset", "custom", "--fhir-base", fhir.base)
    assert [line.split(":")[0].split() for line in lines[:3]] == [
        ["ok", "address"],
        ["ok", "capability", "statement"],
        ["ok", "read"],
    ]
    assert f"FHIR base  {fhir_base(mercy)}" in lines
    assert f"discovery  {fhir_base(mercy)}/.well-known/smart-configuration" in lines


def test_activate_takes_the_credential_from_a_file(mercy, fhir, tmp_path):
    file = tmp_path / "credential"
    file.write_text(f"{SECRET}\n")
    arguments = ["--preset", "hapi", "--fhir-base", fhir.base, "--auth-value-file", str(file)]
    lines = run("activate_healthcare", mercy.slug, *arguments, "--auth-mode", "static_bearer")
    assert fhir.asked[0].headers["authorization"] == f"Bearer {SECRET}"
    assert SECRET not in "\n".join(lines)
    file.write_text("authfi:pass:word")
    run("activate_healthcare", mercy.slug, *arguments, "--auth-mode", "basic")
    assert fhir.asked[-1].headers["authorization"] == "Basic YXV0aGZpOnBhc3M6d29yZA=="


def test_activate_says_which_check_failed_and_changes_nothing(mercy, fhir):
    fhir.routes["metadata"] = Answer(b"<html>")
    said, printed = refusal(
        "activate_healthcare", mercy.slug, "--preset", "custom", "--fhir-base", fhir.base
    )
    assert said.startswith("Nothing was changed. capability statement: ")
    assert [line.split()[0] for line in printed] == ["ok", "failed"]
    with tenancy.bind(mercy):
        assert not HealthcareModule.objects.exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--preset", "epic", "--fhir-base", "https://x.example"], "not available yet"),
        (["--preset", "custom"], "fhir_base: "),
        (["--preset", "custom", "--auth-mode", "basic"], "--auth-value-file"),
        (["--preset", "custom", "--auth-value-file", "/x"], "--auth-value-file"),
        (
            ["--preset", "custom", "--auth-mode", "basic", "--auth-value-file", "/nowhere/x"],
            "cannot be read",
        ),
        (
            ["--preset", "custom", "--fhir-base", "https://x.example", "--scope", "openid"],
            "scopes: ",
        ),
        (["--preset", "custom", "--fhir-base", "https://x.example", "--scope", ""], "scopes: "),
    ],
)
def test_activate_names_a_mistake(mercy, arguments, said):
    assert said in refusal("activate_healthcare", mercy.slug, *arguments)[0]


@pytest.mark.parametrize(
    "arguments",
    [
        ["activate_healthcare", "{}", "--preset", "sandbox"],
        ["api_token", "{}", "--scope", "authfi/users"],
        ["launch", "{}", "--app", "a", "--user", "u@example.org", "--patient", "1"],
    ],
)
def test_a_tenant_that_is_not_there_or_suspended(mercy, arguments):
    def filled(slug):
        return [argument.format(slug) for argument in arguments]

    assert refusal(*filled("no-such"))[0] == "There is no tenant no-such."
    Tenant.objects.filter(pk=mercy.id).update(state=Tenant.State.SUSPENDED)
    directory.forget(mercy.slug)
    assert "suspended" in refusal(*filled(mercy.slug))[0]


@pytest.mark.parametrize("command", ["activate_healthcare", "api_token", "launch"])
def test_help_is_there(command, capsys):
    with pytest.raises(SystemExit) as ended:
        call_command(command, "--help")
    assert ended.value.code == 0
    assert "usage:" in capsys.readouterr().out


@pytest.mark.spec("O10")
def test_an_api_token_opens_the_api_of_its_tenant(mercy, lakeside):
    (raw,) = run("api_token", mercy.slug, "--scope", "authfi/tenants authfi/launch")
    token = tokens.authenticate(raw, tenant=mercy, audience=management_audience())
    assert [scope.text for scope in token.scopes] == ["authfi/tenants", "authfi/launch"]
    assert 590 < (token.expires_at - timezone.now()).total_seconds() <= 600

    def status(tenant):
        url = f"/api/v1/tenants/{tenant.slug}/healthcare"
        response = Client().get(url, headers={"Authorization": f"Bearer {raw}"})
        return response.status_code, response.json()["detail"]

    assert status(mercy)[1].startswith("Healthcare is off")
    assert status(lakeside) == (404, "There is no such tenant.")
    with tenancy.bind(mercy):
        event = AuditEvent.objects.get(code=Code.TOKEN_ISSUE)
        assert event.details["jti"] == token.jti
        assert event.details["scopes"] == ["authfi/tenants", "authfi/launch"]
        assert raw not in str(event.details)


def test_suspending_the_app_ends_its_tokens_and_stops_new_ones(mercy):
    (raw,) = run("api_token", mercy.slug, "--scope", "authfi/users")
    run("api_token", mercy.slug, "--scope", "authfi/users")
    with tenancy.bind(mercy):
        assert Application.objects.count() == 1
        Application.objects.update(state=Application.State.SUSPENDED)
    with pytest.raises(tokens.InvalidTokenError):
        tokens.authenticate(raw, tenant=mercy, audience=management_audience())
    assert "suspended" in refusal("api_token", mercy.slug, "--scope", "authfi/users")[0]


@pytest.mark.parametrize(
    "scope", ["", "authfi/everything", "openid", "authfi/users openid", "patient/*.rs", "a  b"]
)
def test_no_token_for_other_scopes(mercy, scope):
    refusal("api_token", mercy.slug, "--scope", scope)
    with tenancy.bind(mercy):
        assert not AuditEvent.objects.filter(code=Code.TOKEN_ISSUE).exists()


@pytest.fixture
def hospital(mercy, fhir):
    """Mercy with a FHIR server, an app that starts in two places, and a doctor."""
    run("activate_healthcare", mercy.slug, "--preset", "custom", "--fhir-base", fhir.base)
    with tenancy.bind(mercy):
        register_application(
            client_id="growth-chart",
            name="Growth Chart",
            client_type=Application.CLIENT_PUBLIC,
            redirect_uris=["https://growth.example.org/"],
            launch_uris=["https://growth.example.org/a", "https://growth.example.org/b?x=1"],
            scopes="launch openid",
            grant_types=["authorization_code"],
            actor=Actor.system("tests"),
        )
    return mercy


@pytest.fixture
def email(hospital):
    address = f"ada-{secrets.token_hex(4)}@example.org"
    with tenancy.bind(hospital):
        people.create_person(email=address, name="Ada", roles=["doctor"])
    return address


def arguments_for(hospital, email, **changed):
    wanted = {"app": "growth-chart", "user": email, "patient": "456", **changed}
    options = [(f"--{name.replace('_', '-')}", value) for name, value in wanted.items()]
    return ["launch", hospital.slug, *(text for option in options for text in option)]


@pytest.mark.spec("EHRL-01")
def test_launch_prints_the_url_and_nothing_else(hospital, email):
    (url,) = run(*arguments_for(hospital, email, encounter="e1"))
    query = parse_qs(urlsplit(url).query)
    assert url.startswith("https://growth.example.org/a?")
    assert query["iss"] == [fhir_base(hospital)]
    with tenancy.bind(hospital):
        application = Application.objects.get(client_id="growth-chart")
        opened = launch.resolve(query["launch"][0], application)
        assert (opened.patient, opened.encounter) == ("456", "e1")


def test_launch_picks_a_launch_uri(hospital, email):
    uri = "https://growth.example.org/b?x=1"
    (url,) = run(*arguments_for(hospital, email, launch_uri=uri))
    assert url.startswith(f"{uri}&iss=")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"app": "nobody"}, "There is no app nobody."),
        ({"user": "nobody@example.org"}, "There is no person nobody@example.org."),
        ({"patient": "Patient/456"}, "patient is not a FHIR id"),
        ({"encounter": "a b"}, "encounter is not a FHIR id"),
        ({"launch_uri": "https://evil.example/"}, "no such launch URI"),
    ],
)
def test_launch_names_a_mistake(hospital, email, changed, said):
    assert said in refusal(*arguments_for(hospital, email, **changed))[0]
