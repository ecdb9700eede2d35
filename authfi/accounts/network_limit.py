"""Failed sign-ins of one network, whoever's accounts they try (V1, D18).

Only failures count: a hospital behind one address changes shift without being slowed down. The
person who signed in with a browser before is counted by it there, so that strangers in the same
network cannot keep them out. Tried at anybody else's account the same browser is one of its
network's: else one account of one's own would be worth as many tries as it has sign-ins.
"""

from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _

from authfi.accounts import devices
from authfi.accounts.models import User
from authfi.lib import requestinfo
from tenants import limits, pages


def counted_as(request: HttpRequest, user: User | None) -> str:
    """What an attempt at somebody's account, or at nobody's, is counted by.

    Who it is does not change the cost, nor what a browser learns that is not theirs (V2).
    """
    device = devices.find(user.pk if user else devices.NOBODY, devices.value_of(request))
    return f"device {device.pk}" if device else limits.network_of(requestinfo.current().ip)


def refusal(request: HttpRequest, counted: str) -> HttpResponse | None:
    """A 429 where what `counted_as` gave has failed too often in this minute."""
    seconds = limits.waiting(limits.SIGN_IN_FAILURES, counted)
    if not seconds or limits.is_trusted(requestinfo.current().ip):
        return None
    limits.tell_once(limits.SIGN_IN_FAILURES, counted)
    return _too_many(request, seconds)


def count_failure(counted: str) -> None:
    """One more failure of what `counted_as` gave."""
    if not limits.is_trusted(requestinfo.current().ip):
        limits.take(limits.SIGN_IN_FAILURES, counted)


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
