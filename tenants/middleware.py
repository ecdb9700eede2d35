"""What every request goes through first: where it comes from, and whose tenant it is (D2, T2)."""

import re
import secrets
from collections.abc import Callable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.urls import set_script_prefix

from authfi.lib import requestinfo, tenancy
from tenants import directory, pages
from tenants.models import Tenant

GetResponse = Callable[[HttpRequest], HttpResponseBase]

# Load balancers ask these by address.
PROBES = frozenset({"/healthz", "/readyz"})
_TENANT_PATH = re.compile(r"^/t/([a-z0-9-]{1,63})(/.*)?$")


def request_middleware(get_response: GetResponse) -> GetResponse:
    """Give the request an id, note where it comes from, and keep the demo on one name."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        info = requestinfo.RequestInfo(
            request_id=secrets.token_hex(8),
            ip=client_ip(
                request.META.get("REMOTE_ADDR", ""), request.headers.get("X-Forwarded-For", "")
            ),
            user_agent=request.headers.get("User-Agent", "")[:200],
        )
        if not is_trusted_proxy(request.META.get("REMOTE_ADDR", "")):
            request.META.pop("HTTP_X_FORWARDED_PROTO", None)  # not a proxy's word
        with requestinfo.serving(info):
            if request.path_info not in PROBES:
                request.get_host()  # a foreign Host header gets no page
            response = _canonical_host(request) or get_response(request)
        response["X-Request-Id"] = info.request_id
        return response

    return middleware


def tenant_middleware(get_response: GetResponse) -> GetResponse:
    """Find and bind the tenant of `/t/{tenant}/...`; everything below it has URLs of its own."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        match = _TENANT_PATH.match(request.path_info)
        request.tenant = None  # type: ignore[attr-defined]
        if not match:
            return get_response(request)
        tenant = directory.find(match[1])
        if tenant is None:
            return pages.not_found(request)
        if tenant.state != Tenant.State.ACTIVE:
            return pages.suspended(request)
        request.tenant = tenant  # type: ignore[attr-defined]
        request.urlconf = settings.TENANT_URLCONF
        request.path_info = match[2] or "/"
        set_script_prefix(f"/t/{tenant.slug}/")
        with tenancy.bind(tenant.ref):
            return get_response(request)

    return middleware


def client_ip(peer: str, forwarded_for: str) -> str:
    """The address the request comes from: the last hop that is not a trusted proxy (A2)."""
    hops = [peer, *reversed([hop.strip() for hop in forwarded_for.split(",") if hop.strip()])]
    for hop in hops:
        if not is_trusted_proxy(hop):
            return hop if _is_address(hop) else peer
    return hops[-1]


def is_trusted_proxy(hop: str) -> bool:
    """Whether an address is one of the proxies that the settings believe."""
    proxies = settings.TRUSTED_PROXIES
    return bool(proxies) and _is_in(hop, tuple(proxies))


@lru_cache(maxsize=1024)
def _is_in(hop: str, networks: tuple[IPv4Network | IPv6Network, ...]) -> bool:
    address = _address(hop)
    return address is not None and any(address in one for one in networks)


def _is_address(text: str) -> bool:
    return _address(text) is not None


@lru_cache(maxsize=1024)
def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


def _canonical_host(request: HttpRequest) -> HttpResponse | None:
    """In demo mode pages asked for by address lead to localhost, where cookies live (D1)."""
    if not settings.DEMO or request.method != "GET":
        return None
    if request.get_host().rsplit(":", 1)[0] in ("127.0.0.1", "[::1]"):
        return HttpResponseRedirect(settings.ORIGIN + request.get_full_path())
    return None
