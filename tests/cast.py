"""The people of the tests, and how they sign in."""

import secrets
import time
from dataclasses import dataclass
from typing import Any

from django.test import Client
from django.utils import timezone

from audit.events import Actor
from authfi.accounts import people
from authfi.accounts.mfa import totp
from authfi.accounts.models import User
from authfi.lib import tenancy
from tenants import policies

PASSWORD = "blue kettles sing at noon"
ADMIN = Actor.system("tests")
#: So long a code may be on its way on a busy machine.
SENDING_SECONDS = 8


@dataclass(frozen=True)
class Person:
    """Somebody with a password and, where `seed` is set, an authenticator app."""

    user: User
    tenant: tenancy.TenantRef
    email: str
    password: str
    seed: str | None

    def code(self) -> str:
        """A code that was not used yet; there are three within 30 seconds.

        The code of the step before is good for the rest of this one, so it is given only while
        that is long enough to send it; a third one may have to wait for the next step instead.
        """
        with tenancy.bind(self.tenant):
            last = totp.TOTPDevice.objects.get(user=self.user).last_step
        now = timezone.now()
        step, left = totp.step_at(now), totp.STEP_SECONDS - now.timestamp() % totp.STEP_SECONDS
        mine = max(last + 1, step - 1 if left > SENDING_SECONDS else step)
        if mine == step + 2 and left <= SENDING_SECONDS:
            time.sleep(left)
        return totp._code(bytes.fromhex(self.seed or ""), mine)


def a_person(
    tenant: tenancy.TenantRef, *roles: str, email: str = "", mfa: bool = True, **facts: Any
) -> Person:
    """A person of a tenant, with an authenticator app unless told otherwise."""
    email = email or f"{roles[0]}-{secrets.token_hex(4)}@example.org"
    facts.setdefault("name", f"{roles[0].title()} Quimby")
    with tenancy.bind(tenant):
        user = people.create_person(email=email, roles=roles, password=PASSWORD, **facts)
        seed = secrets.token_hex(20) if mfa else None
        if seed:
            people.enrol_totp(user, seed)
    return Person(user=user, tenant=tenant, email=email, password=PASSWORD, seed=seed)


def let_patients_sign_in_with_a_password(tenant: tenancy.TenantRef) -> None:
    """The tenant's policy as the demo has it (H7)."""
    with tenancy.bind(tenant):
        policies.change(kind="sign-in", changes={"patient_mfa": False}, actor=ADMIN)


def give_password(client: Client, person: Person, next_url: str = "", **changed: str) -> Any:
    """The first step, as a browser sends it."""
    form = {"email": person.email, "password": person.password, "next": next_url, **changed}
    return client.post(f"/t/{person.tenant.slug}/login", form)


def give_code(client: Client, person: Person, code: str = "", next_url: str = "") -> Any:
    """The second step."""
    form = {"code": code or person.code(), "next": next_url}
    return client.post(f"/t/{person.tenant.slug}/mfa", form)


def sign_in(client: Client, person: Person, next_url: str = "") -> Any:
    """All steps the person has; returns the redirect to what follows."""
    response = give_password(client, person, next_url)
    if person.seed:
        response = give_code(client, person, next_url=next_url)
    assert response.status_code == 302, response.content
    return response
