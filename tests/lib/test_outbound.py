"""`authfi.lib.outbound` and `egress`: what AuthFI may connect to, and how."""

import asyncio
import datetime
import ipaddress
import socket
import ssl
import threading
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from authfi.lib import egress, http_pool, outbound
from authfi.lib.egress import Kind, OutboundError, Rules
from tests import fhir_server
from tests.fhir_server import Answer
from tests.lib import scripted_server
from tests.lib.scripted_server import ok

HERE = Rules(loopback=True, any_port=True)


def refused(url, rules=egress.PUBLIC):
    with pytest.raises(OutboundError) as error:
        outbound.fetch(url, rules=rules)
    return error.value


@pytest.fixture
def names(monkeypatch):
    """What names resolve to; every look-up is written down."""
    known: dict[str, list[str]] = {}
    asked: list[str] = []

    def resolve(host, port, *_):
        asked.append(host)
        return [
            (socket.AF_INET6 if ":" in one else socket.AF_INET, 0, 0, "", (one, port))
            for one in known.get(host, [])
        ]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    known["asked"] = asked
    return known


@pytest.mark.spec("O19")
@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/",
        "ftp://example.org/",
        "file:///etc/passwd",
        "//example.org/",
        "https://",
        "https://exa mple.org/",
        "https://example.org\\@evil.example/",
        "https://user:word@example.org/",
        "https://example.org/#part",
        "https://example.org:8443/",
        "https://example.org:0/",
        "https://localhost/",
        "https://LOCALHOST/",
        "https://localhost./",
        "https://127.0.0.1/",
        "https://127.9.9.9/",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://127.1/",
        "https://0.0.0.0/",
        "https://10.0.0.1/",
        "https://172.16.0.1/",
        "https://192.168.0.1/",
        "https://169.254.169.254/",
        "https://100.64.0.1/",
        "https://[fd00::1]/",
        "https://[fe80::1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://[64:ff9b::a00:1]/",
        "https://[2002:a00:1::]/",
        "https://[::a00:1]/",
        "https://[::808:808]/",
        "https://[fec0::1]/",
        "https://[feff::1]/",
        "https://192.88.99.1/",
        "https://224.0.1.1/",
        "https://" + "a" * 17_000 + ".example/",
    ],
)
def test_refused_without_a_connection(url, monkeypatch):
    async def never(*args, **kwargs):
        pytest.fail("connected")

    monkeypatch.setattr(asyncio.BaseEventLoop, "create_connection", never)
    monkeypatch.setattr(asyncio.BaseEventLoop, "sock_connect", never)
    assert refused(url).kind is Kind.REFUSED


@pytest.mark.spec("O19")
@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["10.0.0.7"],
        ["93.184.216.34", "10.0.0.7"],
        ["::ffff:169.254.169.254"],
        ["::1"],
    ],
)
def test_a_name_with_any_private_address_is_refused(names, addresses):
    names["evil.example"] = addresses
    error = refused("https://evil.example/")
    assert error.kind is Kind.REFUSED
    assert names["asked"] == ["evil.example"]
    assert all(address not in str(error) for address in addresses)
    assert "evil.example" not in str(error)


@pytest.mark.spec("O19")
def test_a_name_is_refused_also_where_this_machine_is_allowed(names):
    names["rebound.example"] = ["127.0.0.1"]
    assert refused("https://rebound.example/", HERE).kind is Kind.REFUSED


@pytest.mark.spec("O19")
def test_networks_of_the_operator_are_allowed(names, settings):
    """10.0.0.7 is asked then, which no test does: the address check alone is proved here."""
    with pytest.raises(OutboundError):
        egress.check_address(ipaddress.ip_address("10.0.0.7"))
    settings.EGRESS_NETWORKS = [ipaddress.ip_network("10.0.0.0/24")]
    egress.check_address(ipaddress.ip_address("10.0.0.7"))
    egress.check_address(ipaddress.ip_address("::ffff:10.0.0.7"))
    with pytest.raises(OutboundError):
        egress.check_address(ipaddress.ip_address("10.0.1.7"))


def test_the_url_is_sent_as_it_is():
    with fhir_server.serve() as server:
        server.routes["a%2Fb"] = Answer({"ok": True})
        answer = outbound.fetch(f"{server.base}/a%2Fb?code=x%7Cy|z", rules=HERE)
        assert (answer.status, answer.body) == (200, b'{"ok": true}')
        assert server.asked[0].headers["user-agent"] == "AuthFI"
        assert server.asked[0].headers["accept-encoding"] == "identity"


@pytest.mark.spec("O19")
def test_redirects_are_answers_and_cookies_are_forgotten():
    with fhir_server.serve() as server, fhir_server.serve() as other:
        headers = {"Location": f"{other.base}/metadata", "Set-Cookie": "a=b; Path=/"}
        server.routes["away"] = Answer(b"", 302, headers)
        for _ in range(2):
            assert outbound.fetch(f"{server.base}/away", rules=HERE).status == 302
        assert other.asked == []
        assert "cookie" not in server.asked[1].headers


@pytest.mark.spec("O19")
def test_a_proxy_of_the_environment_is_not_used(monkeypatch):
    with fhir_server.serve() as server, fhir_server.serve() as proxy:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        outbound.fetch(f"{server.base}/metadata", rules=HERE)
        assert (len(server.asked), len(proxy.asked)) == (1, 0)


@pytest.mark.spec("O19")
@pytest.mark.parametrize("headers", [{}, {"Content-Length": "100"}])
def test_a_large_answer_is_cut_off(headers):
    with fhir_server.serve() as server:
        server.routes["big"] = Answer(b"x" * 100, headers=headers)
        limits = outbound.Limits(max_bytes=99)
        with pytest.raises(OutboundError) as error:
            outbound.fetch(f"{server.base}/big", rules=HERE, limits=limits)
        assert error.value.kind is Kind.TOO_LARGE
        exactly = outbound.Limits(max_bytes=100)
        assert len(outbound.fetch(f"{server.base}/big", rules=HERE, limits=exactly).body) == 100


@pytest.mark.spec("O19")
def test_a_slow_answer_ends_in_time():
    release = threading.Event()

    def slow(_):
        release.wait(20)
        return Answer({})

    with fhir_server.serve() as server:
        server.routes["slow"] = slow
        limits = outbound.Limits(total_seconds=0.1, read_seconds=0.1)
        with pytest.raises(OutboundError) as error:
            outbound.fetch(f"{server.base}/slow", rules=HERE, limits=limits)
        release.set()
    assert error.value.kind is Kind.TIMEOUT


def test_nobody_there():
    with socket.socket() as kept:
        kept.bind(("127.0.0.1", 0))
        port = kept.getsockname()[1]
        error = refused(f"http://127.0.0.1:{port}/", HERE)
    assert error.kind is Kind.UNREACHABLE
    assert str(port) not in str(error)


def test_not_http():
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def talk():
            connection, _ = listening.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"220 mail.example ESMTP\r\n")

        threading.Thread(target=talk, daemon=True).start()
        error = refused(f"http://127.0.0.1:{listening.getsockname()[1]}/", HERE)
    assert error.kind is Kind.BAD_ANSWER


@pytest.fixture(scope="module")
def certificate(tmp_path_factory) -> Path:
    """A self-signed certificate for localhost and its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    path: Path = tmp_path_factory.mktemp("tls") / "server.pem"
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return path


@pytest.fixture
def trusted(certificate, monkeypatch):
    """The certificate among the roots, as `SSL_CERT_FILE` puts it."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    http_pool.tls_context.cache_clear()
    asyncio.run(outbound.close())
    yield certificate
    http_pool.tls_context.cache_clear()
    asyncio.run(outbound.close())


def server_context(certificate, version=None, ciphers=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    if version:
        context.minimum_version = context.maximum_version = version
    if ciphers:
        context.set_ciphers(ciphers)
    return context


@pytest.mark.spec("K8")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_from_1_2_with_a_trusted_certificate(trusted, version):
    with fhir_server.serve(server_context(trusted, version)) as server:
        assert outbound.fetch(f"{server.base}/metadata", rules=HERE).status == 200


@pytest.mark.spec("K8", "O19")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_connections_with_tls_are_kept_and_ended_as_others(certificate, monkeypatch, version):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    http_pool.tls_context.cache_clear()
    excess = ok(b"second") + ok(b"another patient's")
    said = (ok(b"first"), excess, ok(b"third"))
    async with scripted_server.serve(*said, tls=server_context(certificate, version)) as server:
        answers = [await outbound.ask("GET", server.url, rules=HERE) for _ in range(3)]
        await outbound.close()
    assert [one.body for one in answers] == [b"first", b"second", b"third"]
    assert server.numbers == [1, 1, 2]
    http_pool.tls_context.cache_clear()


@pytest.mark.spec("K8")
@pytest.mark.parametrize(
    ("version", "ciphers"),
    [
        (ssl.TLSVersion.TLSv1_2, "ECDHE-ECDSA-AES256-SHA384"),
        (ssl.TLSVersion.TLSv1_1, "ALL:@SECLEVEL=0"),
    ],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_weaker_tls_is_refused(trusted, version, ciphers):
    with fhir_server.serve(server_context(trusted, version, ciphers)) as server:
        assert refused(f"{server.base}/metadata", HERE).kind is Kind.REFUSED
        assert server.asked == []


@pytest.mark.spec("K8")
def test_an_unknown_certificate_and_a_wrong_name_are_refused(certificate):
    with fhir_server.serve(server_context(certificate)) as server:
        assert refused(f"{server.base}/metadata", HERE).kind is Kind.REFUSED


@pytest.mark.spec("K8")
def test_a_certificate_for_another_name_is_refused(trusted):
    with fhir_server.serve(server_context(trusted)) as server:
        url = f"https://127.0.0.1:{server.port}/fhir/metadata"
        assert refused(url, HERE).kind is Kind.REFUSED


async def test_async_calls_share_one_pool_and_close_ends_it():
    with fhir_server.serve() as server:
        for _ in range(3):
            answer = await outbound.ask("GET", f"{server.base}/metadata", rules=HERE)
            assert answer.status == 200
        pool = outbound._pools[asyncio.get_running_loop()]
        await outbound.close()
        assert not pool._open
        again = await outbound.ask("GET", f"{server.base}/metadata", rules=HERE)
        assert again.status == 200
        await outbound.close()


async def test_a_stream_is_read_in_pieces_within_its_budget():
    with fhir_server.serve() as server:
        server.routes["big"] = Answer(b"x" * 700_000)
        limits = outbound.Limits(max_bytes=1_000_000)
        url = f"{server.base}/big"
        async with await outbound.send("GET", url, rules=HERE, limits=limits) as stream:
            pieces = [len(chunk) async for chunk in stream.chunks()]
        assert sum(pieces) == 700_000
        assert len(pieces) > 1
        async with await outbound.send("GET", url, rules=HERE, limits=limits) as stream:
            with pytest.raises(OutboundError) as error:
                await stream.read(699_999)
        assert error.value.kind is Kind.TOO_LARGE
        await outbound.close()
