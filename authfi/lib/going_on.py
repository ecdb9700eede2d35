"""The way on after a form: 303 to the next page, and whose pages it may lead to (O7, AUTZ-24)."""

from collections.abc import Iterable
from typing import cast

from csp.decorators import csp_update
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect


class SeeOther(HttpResponseRedirect):
    """303: the next page is asked for by GET, whatever led here (RFC 9110 15.4.4)."""

    status_code = 303


def let_forms_lead_to(origins: Iterable[str], page: HttpResponse) -> HttpResponse:
    """The page, whose forms may be answered by redirects to these origins.

    Chromium holds the whole chain of redirects after a form against `form-action`.
    """
    widened = csp_update({"form-action": list(origins)})(lambda _: page)
    return cast("HttpResponse", widened(HttpRequest()))
