"""Failed sign-ins of one network, whoever's accounts they try (V1, D18).

Only failures count: a hospital behind one address changes shift without being slowed down. A
browser that somebody signed in with before is counted by itself, so that strangers in the same
network cannot keep it out.
"""

from collections.abc import Callable
from functools import wraps

from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _

from authfi.accounts import devices
from authfi.lib import requestinfo
from tenants import limits, pages

View = Callable[[HttpRequest], HttpResponse]


def limited(view: View) -> View:
    """Answer 429 to forms from a network that has failed too often in this minute."""

    @wraps(view)
    def wrapper(request: HttpRequest) -> HttpResponse:
        if request.method != "POST":
            return view(request)
        counted_as = _counted_as(request)
        seconds = limits.waiting(limits.SIGN_IN_FAILURES, counted_as)
        if not seconds or limits.is_trusted(requestinfo.current().ip):
            return view(request)
        limits.tell_once(limits.SIGN_IN_FAILURES, counted_as)
        return _too_many(request, seconds)

    return wrapper


def count_failure(request: HttpRequest) -> None:
    """One more failure of the known device, or of the network, that the request comes from."""
    if not limits.is_trusted(requestinfo.current().ip):
        limits.take(limits.SIGN_IN_FAILURES, _counted_as(request))


def _counted_as(request: HttpRequest) -> str:
    device = devices.of_anybody(devices.value_of(request))
    return f"device {device.pk}" if device else limits.network_of(requestinfo.current().ip)


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
