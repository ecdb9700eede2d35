"""`serve`: the web process, the background worker and, in the demo, the sandbox servers (D1)."""

import fcntl
import http.client
import os
import socket
import ssl
import sys
import time
from argparse import ArgumentParser
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from authfi.lib import localfiles
from authfi.lib.supervisor import Child, Supervisor

START_SECONDS = 60.0


class Command(BaseCommand):
    """Serve AuthFI until stopped."""

    help = "Serve AuthFI: web, background worker and, with --demo, everything the demo needs."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Options."""
        parser.add_argument("--demo", action="store_true", help="prepare and serve the demo")
        parser.add_argument("--workers", type=int, default=1, help="web processes (default 1)")
        parser.add_argument("--certificate", help="TLS certificate chain (PEM); TLS 1.3 only")
        parser.add_argument("--key", help="its private key (PKCS#8 PEM)")

    def handle(self, *args: Any, **options: Any) -> None:
        """Start everything, say where it is, keep it running."""
        self._refuse_bad_options(options)
        self._refuse_second_server()
        # Children may stand in another folder than the caller, whose paths may be relative.
        env = os.environ | {"DATA_DIR": str(settings.DATA_DIR)}
        supervisor = Supervisor(env=env, folder=str(settings.BASE_DIR))
        supervisor.catch_signals()
        try:
            if options["demo"]:
                self._prepare_demo(supervisor)
            web = supervisor.add("web", web_command(options))
            supervisor.add("worker", worker_command())
            self._wait_for_web(supervisor, web, tls=bool(options["certificate"]))
            if options["demo"]:
                self._print_demo()
            supervisor.run()
        finally:
            supervisor.stop()

    def _refuse_bad_options(self, options: Mapping[str, Any]) -> None:
        if options["demo"] and not settings.DEMO:
            raise CommandError("--demo needs demo mode: unset AUTHFI_MODE.")
        if bool(options["certificate"]) != bool(options["key"]):
            raise CommandError("--certificate and --key come together.")
        if not options["certificate"] and not _is_loopback(settings.HOST):
            raise CommandError(
                f"HOST={settings.HOST} without --certificate: plain HTTP stays on loopback."
            )
        if options["workers"] != 1 and settings.DATABASES["default"]["ENGINE"].endswith("sqlite3"):
            raise CommandError(
                "The embedded mode runs one web process: --workers needs PostgreSQL."
            )

    def _refuse_second_server(self) -> None:
        """Two servers on one port or one data folder would take each other's requests and files."""
        settings.DATA_DIR.mkdir(parents=True, exist_ok=True)
        self._lock = (settings.DATA_DIR / "serve.lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise CommandError(
                f"Another server runs on DATA_DIR={settings.DATA_DIR}: stop it first."
            ) from error
        with socket.socket(socket.AF_INET6 if ":" in settings.HOST else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((settings.HOST, settings.PORT))
            except OSError as error:
                raise CommandError(
                    f"{settings.HOST}:{settings.PORT} cannot be used: {error.strerror}. "
                    "PORT=... chooses another port."
                ) from error

    def _prepare_demo(self, supervisor: Supervisor) -> None:
        from smart.demo import sandboxes, seed

        call_command("migrate", verbosity=0)
        localfiles.write_private(settings.PORT_FILE, str(settings.PORT).encode())
        for slug in sandboxes.SLUGS:
            supervisor.add(f"sandbox {slug}", sandboxes.command(slug))
        for slug in sandboxes.SLUGS:
            sandboxes.wait_until_ready(slug, START_SECONDS)
        seed.ensure()

    def _print_demo(self) -> None:
        from smart.demo import summary

        self.stdout.write(summary.table())
        self.stdout.flush()

    def _wait_for_web(self, supervisor: Supervisor, web: Child, *, tls: bool) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not supervisor.stopping and time.monotonic() < deadline:
            if web.has_ended():
                raise CommandError(
                    f"The web server did not start on {settings.HOST}:{settings.PORT}: "
                    "is the port in use? PORT=... chooses another."
                )
            if _answers(tls=tls):
                return
            time.sleep(0.05)
        if not supervisor.stopping:
            raise CommandError("The web server does not answer.")


def web_command(options: Mapping[str, Any]) -> list[str]:
    """The web server's command line; TLS 1.3 is the least it speaks (K8)."""
    command = [
        sys.executable,
        "-m",
        "granian",
        "--interface=asgi",
        f"--host={settings.HOST}",
        f"--port={settings.PORT}",
        f"--workers={options['workers']}",
        "--respawn-failed-workers",
        "--workers-kill-timeout=10",
        "--no-ws",
        "--no-access-log",
        "--log-level=warning",
    ]
    if options["certificate"]:
        command += [
            f"--ssl-certificate={options['certificate']}",
            f"--ssl-keyfile={options['key']}",
            "--ssl-protocol-min=tls1.3",
        ]
    return [*command, "authfi.asgi:application"]


def worker_command() -> list[str]:
    """The background worker with its clock."""
    return [
        # The warning is about the account, which is the operator's choice.
        *(sys.executable, "-W", "ignore:You're running the worker with superuser"),
        *("-m", "celery", "--quiet", "--app=authfi.celery", "worker", "--beat"),
        *("--concurrency=1", "--pool=solo", "--loglevel=error", "--without-gossip"),
        *("--without-mingle", "--without-heartbeat"),
    ]


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _answers(*, tls: bool) -> bool:
    """Whether the web process answers at all; its certificate is for clients to check."""
    if tls:
        context = ssl._create_unverified_context()  # noqa: S323 (our own port, nothing is sent)
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(
            settings.HOST, settings.PORT, timeout=2, context=context
        )
    else:
        connection = http.client.HTTPConnection(settings.HOST, settings.PORT, timeout=2)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status > 0
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
