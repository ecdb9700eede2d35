"""Failed sign-ins of one network, whoever's accounts they try (V1, D18).

Only failures count: a hospital behind one address changes shift without being slowed down.
"""

from collections.abc import Callable
from functools import wraps

from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _

from authfi.lib import requestinfo
from tenants import limits, pages

View = Callable[[HttpRequest], HttpResponse]


def limited(view: View) -> View:
    """Answer 429 to forms from a network that has failed too often in this minute."""

    @wraps(view)
    def wrapper(request: HttpRequest) -> HttpResponse:
        if request.method != "POST":
            return view(request)
        network = limits.network_of(requestinfo.current().ip)
        seconds = limits.waiting(limits.SIGN_IN_FAILURES, network)
        if not seconds or limits.is_trusted(requestinfo.current().ip):
            return view(request)
        limits.tell_once(limits.SIGN_IN_FAILURES, network)
        return _too_many(request, seconds)

    return wrapper


def count_failure() -> None:
    """One more failure of the network that the request comes from."""
    address = requestinfo.current().ip
    if not limits.is_trusted(address):
        limits.take(limits.SIGN_IN_FAILURES, limits.network_of(address))


def _too_many(request: HttpRequest, seconds: int) -> HttpResponse:
    response = pages.error_page(
        request,
        status=429,
        title=_("Too many failed sign-ins"),
        text=_("Somebody in your network has tried too many wrong passwords or codes."),
        next_step=_("Wait a minute, go back and try again."),
    )
    response["Retry-After"] = str(seconds)
    return response
