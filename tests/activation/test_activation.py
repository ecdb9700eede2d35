"""`smart.activation`: what is checked, what is stored, what is refused."""

import json
import threading

import pytest

from audit.events import Actor, Code
from audit.models import AuditEvent
from authfi.lib import tenancy
from smart import activation, presets, upstream
from smart.models import HealthcareModule
from tests.fhir_server import STATEMENT, Answer

ADMIN = Actor.client("admin-api")
SECRET = "a-bearer-nobody-may-read-4711"


def activate(fhir, **changed):
    return activation.activate(
        **{"preset": "custom", "fhir_base": fhir.base, "actor": ADMIN, **changed}
    )


def events_of(tenant):
    with tenancy.bind(tenant):
        rows = AuditEvent.objects.filter(code=Code.ADMIN_HEALTHCARE).order_by("seq")
        return [(row.outcome, row.details) for row in rows]


@pytest.mark.spec("EHR-36", "EHR-38")
@pytest.mark.parametrize("preset", ["hapi", "custom"])
def test_preset_and_base_alone_connect(bound, fhir, preset):
    done = activate(fhir, preset=preset)
    assert done.fhir_base == f"{done.issuer}/fhir"
    assert done.issuer.endswith(f"/t/{bound.slug}")
    assert done.smart_configuration == f"{done.fhir_base}/.well-known/smart-configuration"
    assert (done.software, done.fhir_version, done.version) == ("Fake FHIR 7", "4.0.1", 1)
    assert [(check.name, check.ok) for check in done.checks] == [
        ("address", True),
        ("capability statement", True),
        ("read", True),
    ]
    assert done.setup
    module = HealthcareModule.objects.get()
    assert module.capabilities == {
        "Patient": {"interactions": ["read", "search-type"], "search_params": ["name"]}
    }
    assert activation.is_active(bound)


def test_the_check_asks_for_a_count_and_no_record(bound, fhir):
    activate(fhir)
    assert [asked.path for asked in fhir.asked] == ["metadata", "Patient"]
    assert fhir.asked[1].query == {"_summary": ["count"]}


def test_again_replaces_the_connection_and_counts_versions(bound, fhir):
    activate(fhir, scopes=["patient/Observation.rs"])
    done = activate(fhir, preset="hapi")
    assert (done.version, done.preset, done.scopes) == (2, "hapi", ())
    assert HealthcareModule.objects.count() == 1
    (_, first), (_, second) = events_of(bound)
    assert first["before"] is None
    assert first["after"]["scopes"] == "patient/Observation.rs"
    assert second["before"] == first["after"]
    assert second["after"]["preset"] == "hapi"


def test_two_first_activations_at_once_make_one_module(mercy, fhir):
    errors = []

    def work():
        from django.db import connections

        try:
            with tenancy.bind(mercy):
                activate(fhir)
        except Exception as error:  # noqa: BLE001 (whatever it is, the test tells)
            errors.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    with tenancy.bind(mercy):
        assert HealthcareModule.objects.get().version == 4


@pytest.mark.spec("T8")
def test_the_credential_is_sent_sealed_and_never_told(bound, fhir):
    activate(fhir, auth={"mode": "static_bearer", "token": SECRET})
    assert {asked.headers["authorization"] for asked in fhir.asked} == {f"Bearer {SECRET}"}
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT connection FROM smart_healthcaremodule")
        assert all(SECRET.encode() not in bytes(row[0]) for row in cursor.fetchall())
    assert SECRET not in json.dumps([details for _, details in events_of(bound)])
    assert events_of(bound)[0][1]["after"]["auth_mode"] == "static_bearer"
    assert SECRET not in repr(upstream.resolve())


@pytest.mark.spec("T8")
def test_one_tenant_never_has_the_upstream_of_another(mercy, lakeside, fhir):
    with tenancy.bind(mercy):
        activate(fhir)
        assert upstream.resolve().base_url == fhir.base
    with tenancy.bind(lakeside):
        assert not activation.is_active(lakeside)
        with pytest.raises(upstream.NotActiveError):
            upstream.resolve()


def statement(**changed):
    return Answer({**STATEMENT, **changed})


@pytest.mark.spec("EHR-38")
@pytest.mark.parametrize(
    ("path", "answer", "name", "said"),
    [
        ("metadata", Answer(b"<html>Welcome</html>"), "capability statement", "not a JSON object"),
        ("metadata", Answer(b"[]"), "capability statement", "not a JSON object"),
        ("metadata", Answer({"resourceType": "Bundle"}), "capability statement", "/metadata"),
        ("metadata", statement(fhirVersion="5.0.0"), "capability statement", "FHIR 5.0.0, not R4"),
        ("metadata", statement(fhirVersion="3.0.2"), "capability statement", "FHIR 3.0.2, not R4"),
        ("metadata", statement(fhirVersion=4), "capability statement", "FHIR none, not R4"),
        ("metadata", statement(rest="none"), "capability statement", "reading Patient"),
        (
            "metadata",
            Answer(b"", 302, {"Location": "http://169.254.169.254/"}),
            "capability statement",
            "status 302",
        ),
        ("metadata", Answer(b"", 401), "capability statement", "refuses AuthFI's credential"),
        ("metadata", Answer(b"x" * 11_000_000), "capability statement", "larger than allowed"),
        (
            "metadata",
            Answer(b"\x1f\x8b", headers={"Content-Encoding": "gzip"}),
            "capability statement",
            "encoded",
        ),
        ("Patient", Answer(b"", 403), "read", "refuses AuthFI's credential"),
        ("Patient", Answer({"resourceType": "Patient"}), "read", "Bundle"),
        ("Patient", Answer(b"", 500), "read", "status 500"),
    ],
)
def test_a_server_that_does_not_fit_is_refused_and_nothing_stored(
    bound, fhir, path, answer, name, said
):
    fhir.routes[path] = answer
    with pytest.raises(activation.ActivationRefusedError) as refused:
        activate(fhir)
    failed = refused.value.checks[-1]
    assert (failed.name, failed.ok) == (name, False)
    assert said in failed.detail
    assert failed.remedy
    assert not HealthcareModule.objects.exists()
    assert [outcome for outcome, _ in events_of(bound)] == ["failure"]
    assert said in events_of(bound)[0][1]["reason"]


@pytest.mark.spec("O19")
@pytest.mark.parametrize(
    ("fhir_base", "said"),
    [
        ("http://fhir.example.org/fhir", "https://"),
        ("ftp://fhir.example.org/fhir", "not a plain absolute"),
        ("fhir.example.org", "not a plain absolute"),
        ("https://user:word@fhir.example.org/", "not a plain absolute"),
        ("https://169.254.169.254/fhir", "not public"),
        ("https://10.1.2.3/fhir", "not public"),
        ("https://[::ffff:192.168.1.1]/fhir", "not public"),
        ("https://fhir.example.org/fhir?x=1", "query"),
    ],
)
def test_an_address_outside_the_rules_is_never_asked(bound, fhir_base, said):
    with pytest.raises(activation.ActivationRefusedError) as refused:
        activation.activate(preset="custom", fhir_base=fhir_base, actor=ADMIN)
    assert [check.name for check in refused.value.checks] == ["address"]
    assert said in refused.value.checks[0].detail


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
def test_authfi_itself_is_no_upstream(bound, settings, host):
    settings.ORIGIN = "http://localhost:8765"
    with pytest.raises(activation.ActivationRefusedError, match="AuthFI itself"):
        activation.activate(preset="custom", fhir_base=f"http://{host}:8765/t/x/fhir", actor=ADMIN)


@pytest.mark.spec("O19")
def test_this_machine_is_no_upstream_in_production(bound, fhir, settings):
    settings.PRODUCTION = True
    with pytest.raises(activation.ActivationRefusedError, match="this machine"):
        activate(fhir)
    assert fhir.asked == []


@pytest.mark.spec("EHR-36")
@pytest.mark.parametrize("preset", sorted(presets.NOT_YET_AVAILABLE))
def test_named_presets_that_are_not_there_yet_say_so(bound, preset):
    with pytest.raises(activation.ActivationInputError) as refused:
        activation.activate(preset=preset, fhir_base="https://ehr.example.org/r4", actor=ADMIN)
    assert refused.value.member == "preset"
    assert "not available yet: use one of custom, hapi, sandbox" in refused.value.problem


@pytest.mark.parametrize(
    ("changed", "member"),
    [
        ({"preset": "lotus"}, "preset"),
        ({"preset": "../preset_data/hapi"}, "preset"),
        ({"fhir_base": None}, "fhir_base"),
        ({"preset": "sandbox"}, "fhir_base"),
        ({"auth": {"mode": "oauth"}}, "auth"),
        ({"auth": {}}, "auth"),
        ({"auth": {"mode": "basic", "username": "u"}}, "auth"),
        ({"auth": {"mode": "none", "token": "t"}}, "auth"),
        ({"auth": {"mode": "basic", "username": "a:b", "password": "p"}}, "auth"),
        ({"auth": {"mode": "basic", "username": "a", "password": ""}}, "auth"),
        ({"auth": {"mode": "static_bearer", "token": "a\r\nX-Evil: 1"}}, "auth"),
        ({"auth": {"mode": "static_bearer", "token": "a b"}}, "auth"),
        ({"scopes": []}, "scopes"),
        ({"scopes": ["patient/Observation.sr"]}, "scopes"),
        ({"scopes": ["authfi/tenants"]}, "scopes"),
        ({"scopes": ["openid"]}, "scopes"),
    ],
)
def test_wrong_input_is_named_before_anything_is_asked(bound, fhir, changed, member):
    with pytest.raises(activation.ActivationInputError) as refused:
        activate(fhir, **changed)
    assert refused.value.member == member
    assert fhir.asked == []


@pytest.mark.spec("EHR-37")
def test_every_preset_has_exactly_the_keys_the_code_reads():
    from pathlib import Path

    files = sorted(Path(presets.__file__).with_name("preset_data").glob("*.json"))
    keys = {"label", "needs_fhir_base", "auth_modes", "setup"}
    assert {path.stem: set(json.loads(path.read_text())) for path in files} == {
        "custom": keys,
        "hapi": keys,
        "sandbox": keys,
    }
    for name in presets.available():
        assert set(presets.get(name).auth_modes) <= set(activation.AUTH_MEMBERS)


def test_current_tells_without_asking_the_server(bound, fhir):
    assert activation.current() is None
    activation.forget(bound.id)
    activate(fhir)
    fhir.asked.clear()
    found = activation.current()
    assert found is not None
    assert (found.preset, found.version, found.checks) == ("custom", 1, ())
    assert fhir.asked == []
