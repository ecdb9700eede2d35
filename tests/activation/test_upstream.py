"""`smart.upstream`: the right server, asked the right way, also after the sandbox was restarted."""

import os
import secrets
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.conf import settings

from audit.events import Actor
from authfi.lib import outbound, requestinfo, tenancy
from authfi.lib.egress import Kind
from smart import activation, upstream
from smart.upstream import UpstreamError
from tests.fhir_server import JANE, Answer

ADMIN = Actor.system("tests")
ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 30


@pytest.fixture
def connected(bound, fhir):
    """Mercy with the server of the tests."""
    auth = {"mode": "basic", "username": "authfi", "password": "pass word"}
    activation.activate(preset="hapi", fhir_base=fhir.base, auth=auth, actor=ADMIN)
    fhir.asked.clear()
    return bound


async def ask(tenant, method="GET", path="Patient/456", query="", headers=None, body=None):
    found = await upstream.aresolve(tenant)
    async with await upstream.request(found, method, path, query, headers, body) as stream:
        return stream.status, await stream.read()


def test_read_search_and_name(connected, fhir):
    assert upstream.read("Patient", "456") == JANE
    assert upstream.search("Patient", {"name": "do|e", "_count": "5"}) == [JANE]
    assert fhir.asked[-1].query == {"name": ["do|e"], "_count": ["5"]}
    assert upstream.patient_name("456") == "Jane Mary Doe"
    assert fhir.asked[0].headers["authorization"] == "Basic YXV0aGZpOnBhc3Mgd29yZA=="


@pytest.mark.spec("EHR-31")
def test_requests_are_authfis_own(connected, fhir):
    with requestinfo.serving(requestinfo.RequestInfo(request_id="r-17")):
        upstream.read("Patient", "456")
    sent = fhir.asked[0].headers
    assert sent["accept"] == "application/fhir+json"
    assert sent["user-agent"] == "AuthFI"
    assert sent["x-request-id"] == "r-17"


@pytest.mark.parametrize("status", [404, 410])
def test_what_is_not_there_is_none(connected, fhir, status):
    fhir.routes["Patient/456"] = Answer({"resourceType": "OperationOutcome"}, status)
    assert upstream.read("Patient", "456") is None
    assert upstream.patient_name("456") is None


@pytest.mark.parametrize(
    "bad", ["..", ".", "", "../metadata", "456/_history", "456?x=1", "a" * 65, "%2e%2e"]
)
def test_an_id_that_is_none_is_never_asked_for(connected, fhir, bad):
    assert upstream.read("Patient", bad) is None
    assert fhir.asked == []


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (Answer(b"<html>"), Kind.BAD_ANSWER),
        (Answer({**JANE, "id": "457"}), Kind.BAD_ANSWER),
        (Answer({"resourceType": "Bundle"}), Kind.BAD_ANSWER),
        (Answer(b"", 302, {"Location": "https://elsewhere.example"}), Kind.BAD_ANSWER),
        (Answer(b"", 500), Kind.BAD_ANSWER),
        (Answer(b"", 401), Kind.REFUSED),
        (Answer(b"", 403), Kind.REFUSED),
        (Answer(b"x" * (3 * 1024 * 1024)), Kind.TOO_LARGE),
    ],
)
def test_trouble_has_a_kind_and_no_address(connected, fhir, answer, kind):
    fhir.routes["Patient/456"] = answer
    with pytest.raises(UpstreamError) as error:
        upstream.read("Patient", "456")
    assert error.value.kind is kind
    assert str(fhir.port) not in str(error.value)
    assert "localhost" not in str(error.value)
    assert upstream.patient_name("456") is None


@pytest.mark.parametrize(
    "bundle", [{"resourceType": "Patient"}, {"resourceType": "Bundle", "entry": 1}]
)
def test_a_search_without_a_bundle_fails(connected, fhir, bundle):
    fhir.routes["Patient"] = Answer(bundle)
    with pytest.raises(UpstreamError):
        upstream.search("Patient", {})


def test_a_search_gives_that_type_only(connected, fhir):
    outcome = {"resource": {"resourceType": "OperationOutcome"}, "search": {"mode": "outcome"}}
    entries = [{"resource": JANE}, outcome, {"fullUrl": "x"}, 7]
    fhir.routes["Patient"] = Answer({"resourceType": "Bundle", "entry": entries})
    assert upstream.search("Patient", {}) == [JANE]
    fhir.routes["Patient"] = Answer({"resourceType": "Bundle", "total": 0})
    assert upstream.search("Patient", {}) == []


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        ([{"family": "Doe", "given": ["J", "M"]}], "J M Doe"),
        ([{"use": "usual", "text": "Janie"}, {"use": "official", "text": "Jane Doe"}], "Jane Doe"),
        ([{"use": "old", "family": "Roe"}, {"family": "Doe"}], "Doe"),
        ([{"use": "official"}, {"use": "nickname", "given": ["Jay"]}], "Jay"),
        ([{"use": ["x"], "family": 7, "given": "Jane"}], None),
        ([7, None], None),
        ("Jane", None),
        (None, None),
    ],
)
def test_which_name_is_shown(names, shown):
    assert upstream.human_name(names) == shown


@pytest.mark.spec("EHR-31", "EHR-32")
async def test_of_the_callers_headers_only_those_of_fhir_are_sent(connected, fhir):
    given = {
        "Authorization": "Bearer app's",
        "cookie": "a=b",
        "X-Authorization-Scope": "x",
        "X-Consent-Purpose": "x",
        "Epic-Client-ID": "x",
        "X-Forwarded-For": "1.2.3.4",
        "If-Match": 'W/"1"',
        "Prefer": "return=minimal",
        "Content-Type": "application/fhir+json",
    }
    fhir.routes["Patient/456"] = Answer(b"", 200)
    await ask(connected, "PUT", headers=given, body=b'{"a":1}')
    sent = fhir.asked[0]
    assert (sent.method, sent.body) == ("PUT", b'{"a":1}')
    assert sent.headers["authorization"].startswith("Basic ")
    assert sent.headers["if-match"] == 'W/"1"'
    assert sent.headers["prefer"] == "return=minimal"
    assert sent.headers["content-type"] == "application/fhir+json"
    assert not set(sent.headers) & {
        *("cookie", "x-authorization-scope", "x-consent-purpose"),
        *("epic-client-id", "x-forwarded-for"),
    }
    await outbound.close()


async def test_the_connection_is_resolved_without_the_database_once_known(connected, monkeypatch):
    first = await upstream.aresolve(connected)

    async def never(*args, **kwargs):
        pytest.fail("asked the database")

    monkeypatch.setattr("authfi.lib.database.run", never)
    assert await upstream.aresolve(connected) is first


def test_a_new_connection_is_used_at_once(connected, fhir):
    assert upstream.resolve().base_url == fhir.base
    other = fhir.base.replace("localhost", "127.0.0.1")
    activation.activate(preset="custom", fhir_base=other + "/", actor=ADMIN)
    assert upstream.resolve() == upstream.Upstream(
        base_url=other, headers={}, rules=upstream.resolve().rules
    )


async def test_without_a_module_there_is_no_upstream(mercy):
    with pytest.raises(upstream.NotActiveError):
        await upstream.aresolve(mercy)


@contextmanager
def sandbox(tenant, folder):
    """The real sandbox process of a tenant, as `serve` runs it."""
    credentials = Path(settings.DATA_DIR) / f"sandbox-{tenant.slug}.json"
    command = [sys.executable, "-m", "smart.sandbox.server", "--port", "0"]
    command += ["--db", str(folder / "records.sqlite3"), "--credentials", str(credentials)]
    process = subprocess.Popen([*command, "--seed", "lakeside-clinic"], cwd=ROOT)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not credentials.exists():
            assert process.poll() is None, "the sandbox ended at once"
            assert time.monotonic() < deadline, "the sandbox did not start"
            time.sleep(0.02)
        yield
    finally:
        process.terminate()
        process.wait(timeout=10)


@pytest.mark.spec("EHR-36", "T8")
def test_the_sandbox_connects_by_its_name_alone_and_survives_a_restart(bound, lakeside, tmp_path):
    with sandbox(bound, tmp_path):
        done = activation.activate(preset="sandbox", actor=ADMIN)
        assert [check.ok for check in done.checks] == [True, True, True]
        assert done.software.startswith("AuthFI sandbox")
        patients = upstream.search("Patient", {"_count": "3"})
        assert len(patients) == 3
        first = upstream.resolve()
        with tenancy.bind(lakeside), pytest.raises(activation.ActivationRefusedError):
            activation.activate(preset="sandbox", actor=ADMIN)
    with pytest.raises(UpstreamError) as error:
        upstream.read("Patient", patients[0]["id"])
    assert error.value.kind is Kind.UNREACHABLE
    with sandbox(bound, tmp_path):
        again = upstream.read("Patient", patients[0]["id"])
        assert again
        assert again["id"] == patients[0]["id"]
        now = upstream.resolve()
        assert (now.base_url, now.headers) != (first.base_url, first.headers)


def write_credentials(tenant, port, bearer):
    path = Path(settings.DATA_DIR) / f"sandbox-{tenant.slug}.json"
    path.write_text(f'{{"port": {port}, "bearer": "{bearer}", "pid": {os.getpid()}}}')


@pytest.fixture
def restartable(bound, fhir):
    """A stand-in for the sandbox whose bearer changes."""
    bearer = {"now": secrets.token_hex(8)}

    def guard(answer):
        def route(asked):
            if asked.headers.get("authorization") == f"Bearer {bearer['now']}":
                return answer
            return Answer({"resourceType": "OperationOutcome"}, 401)

        return route

    fhir.routes = {path: guard(answer) for path, answer in fhir.routes.items()}
    write_credentials(bound, fhir.port, bearer["now"])
    activation.activate(preset="sandbox", actor=ADMIN)
    fhir.asked.clear()

    def restart():
        bearer["now"] = secrets.token_hex(8)
        write_credentials(bound, fhir.port, bearer["now"])

    return restart


async def test_a_restarted_sandbox_is_noticed_before_it_is_asked(bound, restartable, fhir):
    before = await upstream.aresolve(bound)
    assert await upstream.aresolve(bound) is before
    restartable()
    assert (await ask(bound))[0] == 200
    assert len(fhir.asked) == 1
    await outbound.close()


async def test_a_sandbox_that_ended_is_not_asked(bound, restartable, fhir):
    await upstream.aresolve(bound)
    (Path(settings.DATA_DIR) / f"sandbox-{bound.slug}.json").unlink()
    with pytest.raises(UpstreamError) as error:
        await upstream.aresolve(bound)
    assert error.value.kind is Kind.UNREACHABLE
    assert fhir.asked == []


def test_sync_reads_follow_a_restart_too(bound, restartable):
    upstream.resolve()
    restartable()
    assert upstream.patient_name("456") == "Jane Mary Doe"


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"port": "x", "bearer": "b"}', '{"port": 1}'])
def test_a_damaged_credentials_file_means_not_running(bound, content):
    (Path(settings.DATA_DIR) / f"sandbox-{bound.slug}.json").write_text(content)
    with pytest.raises(activation.ActivationRefusedError, match="not running"):
        activation.activate(preset="sandbox", actor=ADMIN)


async def test_a_slow_server_ends_in_time(connected, fhir):
    release = threading.Event()

    def slow(_):
        release.wait(20)
        return Answer({})

    fhir.routes["Patient/456"] = slow
    found = await upstream.aresolve(connected)
    limits = outbound.Limits(total_seconds=0.1, read_seconds=0.1)
    with pytest.raises(UpstreamError) as error:
        await upstream.request(found, "GET", "Patient/456", limits=limits)
    release.set()
    assert error.value.kind is Kind.TIMEOUT
    await outbound.close()
