"""What AuthFI is measured beside: stock django-oauth-toolkit, and nginx that only passes on."""

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from joserfc.jwk import RSAKey

from tests.bench import forms, processes
from tests.bench.load import Scenario
from tests.services import free_port


@dataclass(frozen=True)
class Toolkit:
    """The toolkit's server and what its scenarios need."""

    pid: int
    base: str
    said: dict[str, Any]


@contextmanager
def toolkit(record: bytes, count: int, workers: int) -> Iterator[Toolkit]:
    """The toolkit on the same PostgreSQL server, with as many codes and the same record."""
    environment = {
        "PEER_SECRET_KEY": secrets.token_urlsafe(48),
        "PEER_KEY": RSAKey.generate_key(2048).as_pem(private=True).decode(),
    }
    made = subprocess.run(
        [sys.executable, "-m", "tests.bench.peer_dot.prepare", str(count)],
        env=os.environ | environment,
        input=record,
        stdout=subprocess.PIPE,
        check=True,
    )
    port = free_port()
    command = processes.granian(
        "wsgi", port, "tests.bench.peer_dot.wsgi:application", workers, "--blocking-threads=4"
    )
    with processes.running(command, port, environment) as pid:
        yield Toolkit(pid, f"http://127.0.0.1:{port}", json.loads(made.stdout))


def toolkit_scenarios(peer: Toolkit) -> list[Scenario]:
    """The same requests, as far as it has them."""
    codes, tokens = iter(peer.said["codes"]), list[str]()
    secret, token, at = peer.said["secret"], peer.said["token"], peer.base
    ask = {
        "dot_code_exchange": forms.exchange(f"{at}/o/token/", secret, codes, tokens),
        "dot_refresh": forms.refresh(f"{at}/o/token/", secret, codes, tokens),
        "dot_introspection": forms.introspect(f"{at}/o/introspect/", secret, token),
        "dot_jwks": forms.get(f"{at}/o/.well-known/jwks.json"),
        "dot_discovery": forms.get(f"{at}/o/.well-known/openid-configuration"),
        "dot_resource": forms.get(f"{at}/fhir/Observation/1", token, 2000),
    }
    return [Scenario(name, "dot", one, 0.5) for name, one in ask.items()]


def proxy_scenarios(port: int, token: str) -> list[Scenario]:
    """The record through nginx alone."""
    at = f"http://127.0.0.1:{port}/fhir"
    return [
        Scenario("nginx_read", "nginx", forms.get(f"{at}/Observation/1", token, 2000)),
        Scenario("nginx_search", "nginx", forms.get(f"{at}/Observation", token, 40_000), 0.25),
    ]
