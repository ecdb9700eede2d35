"""The embedded FHIR server as a process: ASGI application, bearer check, start and stop.

`python -m smart.sandbox.server --db PATH --port N --credentials FILE [--seed NAME]`
"""

import argparse
import asyncio
import hmac
import ipaddress
import os
import secrets
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

import orjson
from granian.constants import Interfaces
from granian.log import LogLevels
from granian.server.embed import Server

from smart.sandbox.generate import SEEDS, generate
from smart.sandbox.interactions import Interactions, Request
from smart.sandbox.outcome import FHIR_JSON, FhirError, Response, invalid
from smart.sandbox.store import Store

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]

MAX_BODY_BYTES = 5 * 1024 * 1024
_THREADS = 4
_START_SECONDS = 10
_BASE_PATH = "/fhir"


def create_app(store: Store, bearer: str, pool: ThreadPoolExecutor) -> AsgiApp:
    """The ASGI application: `/fhir` for who knows the bearer, `/healthz` for everyone."""
    interactions = Interactions(store)
    expected = f"Bearer {bearer}".encode()

    async def answer(scope: Scope, receive: Receive) -> Response:
        if scope["path"] == "/healthz":
            return Response(200, b'{"status":"ok"}', {"Content-Type": "application/json"})
        try:
            _check_bearer(scope, expected)
            request = await _parse_request(scope, receive)
        except FhirError as error:
            return error.to_response()
        return await asyncio.get_running_loop().run_in_executor(pool, interactions.handle, request)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await _send_response(scope, send, await answer(scope, receive))

    return app


def _check_bearer(scope: Scope, expected: bytes) -> None:
    given = [value for name, value in scope["headers"] if name.lower() == b"authorization"]
    if len(given) != 1 or not hmac.compare_digest(given[0], expected):
        raise FhirError(401, "login", "The bearer token is wrong.", {"WWW-Authenticate": "Bearer"})


async def _parse_request(scope: Scope, receive: Receive) -> Request:
    """The request on the FHIR base. Raises FhirError 400, 404 or 413."""
    path: str = scope["path"]
    if path != _BASE_PATH and not path.startswith(f"{_BASE_PATH}/"):
        raise FhirError(404, "not-found", f"The FHIR base is {_BASE_PATH}.")
    try:
        headers = {name.decode().lower(): value.decode() for name, value in scope["headers"]}
        query = scope["query_string"].decode("ascii")
    except UnicodeDecodeError:
        raise invalid("Headers or query are not text.") from None
    parts = path.removeprefix(_BASE_PATH).removeprefix("/").removesuffix("/")
    host, port = scope["server"]
    return Request(
        method=scope["method"],
        path=tuple(parts.split("/")) if parts else (),
        query=query,
        headers=headers,
        body=await _read_body(receive),
        base=f"http://{_bracketed(host)}:{port}{_BASE_PATH}",
    )


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


async def _read_body(receive: Receive) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > MAX_BODY_BYTES:
            raise FhirError(413, "too-long", f"A body has {MAX_BODY_BYTES} bytes at most.")
        if not message.get("more_body", False):
            return bytes(body)


async def _send_response(scope: Scope, send: Send, response: Response) -> None:
    headers = {"Content-Length": str(len(response.body)), "Cache-Control": "no-store"}
    if response.body:
        headers["Content-Type"] = FHIR_JSON
    if response.status in {204, 304}:
        del headers["Content-Length"]
    headers |= response.headers
    encoded = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": response.status, "headers": encoded})
    body = b"" if scope["method"] == "HEAD" else response.body
    await send({"type": "http.response.body", "body": body})


def open_store(path: Path, seed: str | None) -> Store:
    """Open the database, filling an empty one with the named synthetic data.

    Raises ValueError when the file holds another seed's data.
    """
    store = Store(path)
    held = store.fact("seed")
    if seed is not None and store.is_empty():
        anchor = datetime.now(UTC).date().replace(day=1)
        store.load(generate(seed, anchor), {"seed": seed, "anchor": anchor.isoformat()})
    elif seed is not None and held != seed:
        store.close()
        raise ValueError(f"{path} holds {held or 'data without a seed'}, not {seed}.")
    return store


def reserve_port(host: str, port: int) -> socket.socket:
    """A socket bound to the port, 0 for a free one, that keeps it for this process.

    Raises OSError when something else listens there. It never listens itself: granian, which
    also sets SO_REUSEPORT, does.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))
        free = probe.getsockname()[1]
    kept = socket.socket(family)
    kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    kept.bind((host, free))
    return kept


def write_credentials(path: Path, content: dict[str, object]) -> None:
    """Put the file in place at once and readable by its owner only."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(orjson.dumps(content))
    draft.replace(path)


async def serve(store: Store, host: str, port: int, credentials: Path) -> None:
    """Serve until SIGTERM or SIGINT; the credentials appear as soon as requests are answered."""
    bearer = secrets.token_urlsafe(32)
    pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="sandbox")
    server = Server(
        create_app(store, bearer, pool),
        address=host,
        port=port,
        interface=Interfaces.ASGINL,
        websockets=False,
        log_level=LogLevels.error,
    )
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, server.stop)
    serving = asyncio.create_task(server.serve())
    try:
        await _wait_until_open(serving, host, port)
        write_credentials(credentials, {"port": port, "bearer": bearer, "pid": os.getpid()})
        await serving
    finally:
        _remove_credentials(credentials, bearer)
        pool.shutdown(cancel_futures=True)  # what was begun is stored before the store is closed


async def _wait_until_open(serving: "asyncio.Task[None]", host: str, port: int) -> None:
    async with asyncio.timeout(_START_SECONDS):
        while not serving.done():
            try:
                _, writer = await asyncio.open_connection(host, port)
            except ConnectionError:
                await asyncio.sleep(0.01)
            else:
                writer.close()
                return


def _remove_credentials(path: Path, bearer: str) -> None:
    """Take the file away unless a later start has already replaced it."""
    try:
        if orjson.loads(path.read_bytes())["bearer"] == bearer:
            path.unlink()
    except FileNotFoundError:
        return


def _loopback(text: str) -> str:
    host = "127.0.0.1" if text == "localhost" else text
    try:
        if ipaddress.ip_address(host).is_loopback:
            return host
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"{text} is not a loopback address")


def _port(text: str) -> int:
    if text.isdigit() and int(text) <= 65535:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text} is not a port")


def _parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m smart.sandbox.server", description=__doc__)
    parser.add_argument("--db", type=Path, required=True, help="SQLite file, made when absent")
    parser.add_argument("--port", type=_port, required=True, help="port, 0 for a free one")
    parser.add_argument("--host", type=_loopback, default="127.0.0.1", help="loopback address")
    parser.add_argument(
        "--credentials", type=Path, required=True, help="file that gets port, bearer and pid"
    )
    parser.add_argument("--seed", choices=SEEDS, help="data for an empty database")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Run the server; a user's mistake ends it with one line on standard error."""
    options = _parse_arguments(arguments)
    try:
        store = open_store(options.db, options.seed)
        with reserve_port(options.host, options.port) as kept:
            port = kept.getsockname()[1]
            asyncio.run(serve(store, options.host, port, options.credentials))
        store.close()
    except (OSError, ValueError) as error:
        sys.exit(f"sandbox: {error}")


def _leave() -> NoReturn:
    """End the process without taking the interpreter down; all of ours must be closed by now.

    Threads of granian's runtime still live and may ask for the interpreter. Before Python 3.14 one
    that asks while the interpreter finalizes is ended by unwinding its stack; through Rust that is
    a panic, and the process would end by SIGABRT although everything went well.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
    _leave()
