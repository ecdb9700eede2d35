"""The first people: a new tenant's admin, the platform's operators (contract; D2)."""

from dataclasses import dataclass

from django.core.exceptions import ValidationError

from audit import events
from authfi.accounts import invitations, people
from authfi.accounts.models import Role, User
from authfi.lib import tenancy
from authfi.lib.transaction import transaction
from tenants import directory
from tenants.services import create_tenant


class OperatorExistsError(Exception):
    """The platform has an operator who can sign in already."""


@dataclass(frozen=True, slots=True)
class Newcomer:
    """Somebody to invite."""

    email: str
    name: str


def found_tenant(
    *,
    slug: str,
    name: str,
    region: str,
    plan: str,
    admin: Newcomer | None,
    actor: events.Actor,
) -> tuple[tenancy.TenantRef, str | None]:
    """A tenant with its own keys, and its first admin's invitation link: all of it or nothing.

    Raises ValidationError.
    """
    if slug == tenancy.PLATFORM_SLUG:
        raise ValidationError({"slug": "This one is reserved: create_operator makes it."})
    with transaction():
        tenant = create_tenant(slug=slug, name=name, region=region, plan=plan, actor=actor)
        with tenancy.bind(tenant):
            link = _invited(admin, Role.ADMIN, actor) if admin else None
    return tenant, link


def invite_operator(*, operator: Newcomer, is_additional: bool, actor: events.Actor) -> str:
    """An operator's invitation link; makes the operators' reserved tenant where it is missing.

    For somebody invited before who has not set up their account it is a new link. Raises
    OperatorExistsError unless `is_additional`, ValidationError.
    """
    with transaction():
        found = directory.find(tenancy.PLATFORM_SLUG)
        platform = (
            found.ref
            if found
            else create_tenant(slug=tenancy.PLATFORM_SLUG, name="AuthFI platform", actor=actor)
        )
        with tenancy.bind(platform):
            if not is_additional and _has_operator():
                raise OperatorExistsError
            return _invited(operator, Role.OPERATOR, actor)


def _has_operator() -> bool:
    operators = User.objects.filter(is_active=True, role_assignments__role=Role.OPERATOR)
    return any(operator.has_usable_password() for operator in operators)


def _invited(newcomer: Newcomer, role: Role, actor: events.Actor) -> str:
    user = people.find_by_email(newcomer.email)
    if user is None:
        user = people.create_person(
            email=newcomer.email, name=newcomer.name, roles=[role], actor=actor
        )
    elif role not in people.roles_of(user):
        raise ValidationError({"email": "There is a person with this address already."})
    return invitations.invite(user=user, actor=actor)
