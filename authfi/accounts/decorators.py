"""Who may open a page."""

from collections.abc import Callable
from functools import wraps

from django.http import HttpRequest, HttpResponse, HttpResponseBase

from authfi.accounts import signin, stepup
from authfi.accounts.models import Role
from authfi.accounts.people import roles_of
from tenants import pages

View = Callable[..., HttpResponseBase]

# Who may open a page that asks for a role; operators exist in the platform's tenant only.
_MAY_OPEN = {
    Role.ADMIN: frozenset({Role.ADMIN, Role.OPERATOR}),
    Role.PRIVACY_OFFICER: frozenset({Role.PRIVACY_OFFICER, Role.ADMIN, Role.OPERATOR}),
}


def signed_in(view: View) -> View:
    """Signed-in people only; others sign in first."""

    @wraps(view)
    def wrapper(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
        return stepup.require(request) or view(request, *args, **kwargs)

    return wrapper


def console_view(
    *, role: str = Role.ADMIN, aal: int = 2, max_age_seconds: int | None = None
) -> Callable[[View], View]:
    """People with that role, or one that stands above it (`admin`, the operators); else 403."""
    allowed = _MAY_OPEN[Role(role)]

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
