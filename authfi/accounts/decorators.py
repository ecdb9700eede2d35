"""Who may open a page."""

from collections.abc import Callable
from functools import wraps

from django.http import HttpRequest, HttpResponse, HttpResponseBase

from audit import events, record
from authfi.accounts import signin, stepup
from authfi.accounts.models import Role, User
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
    """People with that role, or one that stands above it (`admin`, the operators); else 403.

    Each refusal is recorded (A1).
    """
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
                _record_denied(request, user)
                return pages.forbidden(request)
            return view(request, *args, **kwargs)

        return wrapper

    return decorate


def _record_denied(request: HttpRequest, user: User | None) -> None:
    aal = signin.assurance(request).aal
    record.record(
        events.Event(
            code=events.Code.ADMIN_DENY,
            outcome=events.Outcome.DENIED,
            actor=signin.actor(user, aal=aal) if user else events.Actor.anonymous(),
            object=f"{request.method} {request.path}"[:200],
            reason="the person has no role that opens this page",
        )
    )
