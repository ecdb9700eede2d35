"""Where a request comes from, and which host it may name (A2, K8, K9)."""

import subprocess
import sys
from ipaddress import ip_network

import pytest
from django.test import Client

from tenants.middleware import client_ip

PROXIES = [ip_network("10.0.0.0/8")]


@pytest.mark.spec("A2")
@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("192.0.2.1", "", "192.0.2.1"),
        ("192.0.2.1", "198.51.100.7", "192.0.2.1"),
        ("10.0.0.1", "198.51.100.7", "198.51.100.7"),
        ("10.0.0.1", "203.0.113.9, 198.51.100.7", "198.51.100.7"),
        ("10.0.0.1", "198.51.100.7, 10.2.3.4", "198.51.100.7"),
        ("10.0.0.1", "not an address", "10.0.0.1"),
        ("10.0.0.1", "", "10.0.0.1"),
    ],
)
def test_only_trusted_proxies_are_believed(settings, peer, forwarded, expected):
    settings.TRUSTED_PROXIES = PROXIES
    assert client_ip(peer, forwarded) == expected


@pytest.mark.spec("K8")
def test_a_proxy_that_is_trusted_may_say_the_request_came_by_tls(settings):
    settings.SECURE_SSL_REDIRECT = True
    settings.TRUSTED_PROXIES = PROXIES
    secure = {"x-forwarded-proto": "https"}
    assert Client(REMOTE_ADDR="10.0.0.1").get("/nowhere", headers=secure).status_code == 404
    answer = Client(REMOTE_ADDR="192.0.2.1").get("/nowhere", headers=secure)
    assert answer.status_code == 301
    assert answer["Location"].startswith("https://")


@pytest.mark.spec("K9")
def test_a_foreign_host_gets_no_page_but_probes_answer(client):
    assert client.get("/", headers={"host": "evil.example"}).status_code == 400
    assert client.get("/healthz", headers={"host": "203.0.113.5"}).status_code == 200
    assert client.get("/readyz", headers={"host": "203.0.113.5"}).json() == {"status": "ready"}


GOOD = {
    "AUTHFI_MODE": "production",
    "DATABASE_URL": "postgres://app:x@database.invalid/authfi",
    "REDIS_URL": "rediss://redis.invalid/0",
    "ORIGIN": "https://id.example.org",
    "KEK_URL": "file:///run/secrets/kek",
    "AUDIT_KEY_FILE": "/run/secrets/audit",
    "SECRET_KEY": "s" * 64,
    "PASSWORD_PEPPER": "p" * 64,
}


@pytest.mark.spec("K10")
@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, ""),
        ({"ALLOWED_HOSTS": "*"}, "ALLOWED_HOSTS"),
        ({"TRUSTED_PROXIES": "everyone"}, "TRUSTED_PROXIES"),
        *(({name: None}, name) for name in GOOD if name != "AUTHFI_MODE"),
        ({"AUTHFI_MODE": None}, "AUTHFI_MODE"),
        ({"AUTHFI_MODE": "staging"}, "AUTHFI_MODE"),
    ],
)
def test_production_does_not_start_on_half_a_configuration(tmp_path, changed, said):
    env = {**GOOD, "DATA_DIR": str(tmp_path), "PATH": "/usr/bin:/bin", **changed}
    env = {name: value for name, value in env.items() if value is not None}
    command = [sys.executable, "-c", "from authfi import settings; settings.DEBUG"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode == 0) == (said == ""), done.stderr
    assert said in done.stderr
