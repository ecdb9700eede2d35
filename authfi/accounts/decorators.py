"""Who may open a page."""

from collections.abc import Callable
from functools import wraps

from django.http import HttpRequest, HttpResponse, HttpResponseBase

from authfi.accounts import signin, stepup
from authfi.accounts.models import Role
from authfi.accounts.people import roles_of
from tenants import pages

View = Callable[..., HttpResponseBase]


def signed_in(view: View) -> View:
    """Signed-in people only; others sign in first."""

    @wraps(view)
    def wrapper(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
        return stepup.require(request) or view(request, *args, **kwargs)

    return wrapper


def console_view(
    *, role: str = Role.ADMIN, aal: int = 2, max_age_seconds: int | None = None
) -> Callable[[View], View]:
    """People with that role (or operators, in the platform's own console); 403 for others."""
    allowed = {Role(role), Role.OPERATOR}

    def decorate(view: View) -> View:
        @wraps(view)
        def wrapper(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
            asked: HttpResponse | None = stepup.require(
                request, aal=aal, max_age_seconds=max_age_seconds
            )
            if asked:
                return asked
            user = signin.person(request)
            if user is None or not roles_of(user) & allowed:
                return pages.forbidden(request)
            return view(request, *args, **kwargs)

        return wrapper

    return decorate
