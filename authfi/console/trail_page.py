"""What pages that show the audit trail share: who may open them, and that it is recorded (A14)."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from typing import Any

from django.db import DatabaseError
from django.http import HttpResponse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from audit import events, record
from authfi.accounts import signin
from authfi.accounts.decorators import View, console_view
from authfi.accounts.models import Role
from tenants import pages
from tenants.http import TenantRequest

logger = logging.getLogger(__name__)

TrailView = Callable[..., HttpResponse]


class TrailDamagedError(RuntimeError):
    """Stored events cannot be read: somebody put into the database what was never written."""


@contextmanager
def reading_events() -> Iterator[None]:
    """Around a query of the trail. Raises TrailDamagedError where what is stored is no event."""
    try:
        yield
    except (DatabaseError, TypeError, ValueError) as error:
        raise TrailDamagedError from error


def trail_page(view: TrailView) -> View:
    """A page for admins and privacy officers that shows nothing where it cannot be recorded."""

    @require_safe
    @never_cache
    @console_view(role=Role.PRIVACY_OFFICER, aal=2)
    @wraps(view)
    def wrapper(request: TenantRequest, *args: object, **kwargs: object) -> HttpResponse:
        try:
            return view(request, *args, **kwargs)
        except record.AuditUnavailableError:
            return pages.error_page(
                request,
                status=503,
                title=_("The audit trail is not available"),
                text=_("Reading it is recorded, and that is not possible at the moment."),
                next_step=_("Try again in a moment."),
            )
        except TrailDamagedError:
            logger.exception("the audit trail cannot be read")
            return pages.error_page(
                request,
                status=503,
                title=_("The audit trail cannot be read"),
                text=_("Stored records were changed or damaged, so they are not shown."),
                next_step=_("Have an operator run audit_verify: it names the first of them."),
            )

    return wrapper


def record_reading(
    request: TenantRequest,
    *,
    patient: str = "",
    object: str = "",  # noqa: A002 (the trail's own word)
    details: Mapping[str, Any],
) -> None:
    """Record that the person read the trail; `patient` is set where they asked for that patient.

    Raises AuditUnavailableError: then show nothing.
    """
    user = signin.person(request)
    record.record(
        events.Event(
            code=events.Code.AUDIT_READ,
            outcome=events.Outcome.SUCCESS,
            actor=(
                signin.actor(user, aal=signin.assurance(request).aal)
                if user
                else events.Actor.anonymous()
            ),
            patient=patient,
            object=object,
            details=details,
        )
    )
