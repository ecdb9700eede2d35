"""`create_tenant`, `create_operator`, `logout_user` (contract)."""

import secrets

import pytest
from django.test import Client
from django.utils import timezone

from audit.models import AuditEvent
from authfi.accounts import invitations, people
from authfi.accounts.models import Invitation, Role, User
from authfi.crypto import keyring
from authfi.lib import tenancy
from tenants import directory
from tenants.models import Tenant
from tests.cast import PASSWORD
from tests.ops.conftest import refusal, run


@pytest.fixture
def slug():
    return f"oak-{secrets.token_hex(4)}"


def path_of(link):
    return link.removeprefix("http://localhost:8000")


@pytest.mark.spec("A1", "D2")
def test_a_tenant_with_its_own_keys_and_an_admin_who_is_invited(slug):
    lines = run(
        "create_tenant", slug, "--name", "Oak Clinic", "--region", "eu", "--plan", "large",
        "--admin", "ada@oak.example", "--admin-name", "Ada Oak", "--operator", "Olga",
    ).splitlines()  # fmt: skip
    assert lines[0] == f"issuer      http://localhost:8000/t/{slug}"
    link = lines[1].removeprefix("invitation  ")
    assert Client().get(path_of(link)).status_code == 302
    tenant = directory.find(slug)
    assert tenant
    assert (tenant.name, tenant.region, tenant.plan) == ("Oak Clinic", "eu", "large")
    with tenancy.bind(tenant.ref):
        assert keyring.blind_index("x", "y")
        [admin] = User.objects.all()
        assert people.roles_of(admin) == {Role.ADMIN}
        told = {(row.code, row.details["actor"]["id"]) for row in AuditEvent.objects.all()}
    by = "create_tenant by Olga"
    assert {("admin.tenant", by), ("admin.user", by)} <= told


def test_a_tenant_without_an_admin(slug):
    printed = run("create_tenant", slug, "--name", "Oak")
    assert printed.splitlines() == [f"issuer      http://localhost:8000/t/{slug}"]


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (["Oak_1"], "slug: Use a-z, 0-9 and hyphens."),
        (["platform"], "slug: This one is reserved"),
        (["x" * 64], "slug: "),
        ([None, "--name", ""], "name: "),
        ([None, "--region", "r" * 33], "region: "),
        ([None, "--admin", "not an address"], "email: Not an e-mail address."),
        ([None, "--admin", "a@b.example", "--admin-name", "a\nb"], "name: "),
        ([None, "--admin-name", "Ada"], "--admin-name goes with --admin."),
    ],
)
def test_create_tenant_names_a_mistake_and_makes_nothing(slug, changed, told):
    first, *rest = changed
    assert told in refusal("create_tenant", first or slug, "--name", "Oak", *rest)
    assert not Tenant.objects.filter(slug=slug).exists()


def test_a_slug_is_given_once(mercy):
    assert "slug: " in refusal("create_tenant", mercy.slug, "--name", "Mercy")


@pytest.fixture
def platform(monkeypatch):
    """A reserved tenant of this test's own, which is not made yet."""
    slug = f"platform-{secrets.token_hex(4)}"
    monkeypatch.setattr(tenancy, "PLATFORM_SLUG", slug)
    return slug


def set_up(link, email):
    """The person has used the link."""
    tenant = directory.find(path_of(link).split("/")[2])
    assert tenant
    with tenancy.bind(tenant.ref):
        found = invitations.find(link.rpartition("/")[2])
        assert found
        assert found.user.email == email
        people.change_password(user=found.user, password=PASSWORD, actor=_NOBODY)


_NOBODY = people._SYSTEM


@pytest.mark.spec("D2", "A1")
def test_the_first_operator(platform):
    link = run("create_operator", "olga@authfi.example", "--name", "Olga").strip()
    assert link.startswith(f"http://localhost:8000/t/{platform}/invitation/")
    tenant = directory.find(platform)
    assert tenant
    with tenancy.bind(tenant.ref):
        [user] = User.objects.all()
        assert people.roles_of(user) == {Role.OPERATOR}
        assert AuditEvent.objects.filter(code="admin.user").count() == 2
    assert Client().get(path_of(link)).status_code == 302


def test_a_lost_link_is_made_anew_until_it_was_used(platform):
    first = run("create_operator", "olga@authfi.example").strip()
    second = run("create_operator", "olga@authfi.example").strip()
    assert Client().get(path_of(first)).status_code == 410
    assert Client().get(path_of(second)).status_code == 302
    set_up(second, "olga@authfi.example")
    assert "already" in refusal("create_operator", "olga@authfi.example")
    said = refusal("create_operator", "olga@authfi.example", "--additional")
    assert said.startswith("Nobody was invited. ")


def test_a_second_operator_is_asked_for_by_name(platform):
    set_up(run("create_operator", "olga@authfi.example").strip(), "olga@authfi.example")
    assert "--additional" in refusal("create_operator", "otto@authfi.example")
    link = run("create_operator", "otto@authfi.example", "--additional").strip()
    assert Client().get(path_of(link)).status_code == 302


def test_create_operator_names_a_mistake(platform):
    assert "email: Not an e-mail address." in refusal("create_operator", "olga")
    assert directory.find(platform) is None


def test_in_processes_of_their_own(typed, slug):
    done = typed("create_tenant", slug, "--name", "Oak", "--admin", "ada@oak.example")
    assert (done.returncode, done.stderr) == (0, "")
    for arguments in (
        ["create_tenant", slug, "--name", "Oak"],
        ["create_tenant", slug],
        ["create_operator", "nobody"],
        ["logout_user", "nobody@oak.example", "--tenant", slug],
        ["logout_user", "nobody@oak.example"],
    ):
        refused = typed(*arguments)
        assert refused.returncode != 0
        assert "Traceback" not in refused.stderr
        assert not refused.stdout
    for command in ("create_tenant", "create_operator", "logout_user"):
        assert "usage:" in typed(command, "--help").stdout
    tenant = directory.find(slug)
    assert tenant
    with tenancy.bind(tenant.ref):
        invitation = Invitation.objects.get()
    assert (invitation.expires_at - timezone.now()).total_seconds() > 71 * 3600
