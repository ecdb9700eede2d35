"""A web process is killed at each step of refresh and code exchange; the clients ask another one.

Nothing is lost (every client goes on, or is told to begin anew), nothing is issued twice, and no
token exists that the trail does not name (V9, O4, O13).
"""

import base64
import hashlib
import json
from collections import Counter
from datetime import timedelta
from urllib.parse import urlencode

import pytest
from django.utils import timezone

from authfi.lib import tenancy
from smart.models import Application, AuthorizationCode, Grant, RefreshToken
from smart.models.handles import handle_digest, new_handle
from smart.server import token_store
from tests.cast import Person
from tests.flows.killing import CLIENTS, Request, at_once, events, told_once, trail_is_whole
from tests.server.conftest import REDIRECT, an_app, claims_of, connect
from tests.web_process import Web, web_process

VERIFIER = "v" * 43
CHALLENGE = (
    base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode().rstrip("=")
)
SCOPE = "patient/*.rs offline_access"


@pytest.fixture(scope="module")
def other(database):
    """Another web process of the same installation, which the clients turn to."""
    with web_process() as web:
        yield web


class Shop:
    """An app of a tenant with grants of one person, and its token endpoint."""

    def __init__(self, app: Application, person: Person) -> None:
        self.app, self.person, self.tenant = app, person, person.tenant

    def grant(self) -> Grant:
        """Something a person allowed, as the consent page leaves it."""
        audience = f"http://localhost:8000/t/{self.tenant.slug}/fhir"
        now = timezone.now()
        with tenancy.bind(self.tenant):
            return Grant.objects.create(
                application=self.app,
                user=self.person.user,
                scopes=SCOPE,
                patient="789",
                context={"audience": audience, "patient": "789"},
                lasts=Grant.Lasts.OFFLINE,
                auth_time=now,
                expires_at=now + timedelta(hours=1),
            )

    def family(self) -> tuple[Grant, str]:
        """A grant and its first refresh token."""
        with tenancy.bind(self.tenant):
            grant = self.grant()
            return grant, token_store.first(grant)

    def code(self) -> tuple[Grant, str]:
        """A grant and its code."""
        code = new_handle()
        with tenancy.bind(self.tenant):
            grant = self.grant()
            AuthorizationCode.objects.create(
                code=handle_digest("code", code),
                grant=grant,
                redirect_uri=REDIRECT,
                scope=SCOPE,
                code_challenge=CHALLENGE,
                code_challenge_method="S256",
                expires=timezone.now() + timedelta(minutes=10),
            )
        return grant, code

    def refresh(self, web: Web, raws: list[str]) -> "list[dict[str, str] | None]":
        """Refresh all of them at once."""
        return self._post(web, [{"grant_type": "refresh_token", "refresh_token": r} for r in raws])

    def exchange(self, web: Web, codes: list[str]) -> "list[dict[str, str] | None]":
        """Exchange all of them at once."""
        fixed = {"grant_type": "authorization_code", "redirect_uri": REDIRECT}
        return self._post(web, [{**fixed, "code_verifier": VERIFIER, "code": c} for c in codes])

    def _post(self, web: Web, forms: list[dict[str, str]]) -> "list[dict[str, str] | None]":
        path = f"/t/{self.tenant.slug}/oauth/token"
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        client = {"client_id": self.app.client_id}
        sent = [Request("POST", path, kind, urlencode(form | client).encode()) for form in forms]
        return [answer and json.loads(answer[1]) for answer in at_once(web, sent)]

    def used(self, raws: list[str]) -> list[bool]:
        """Which of these refresh tokens were used."""
        with tenancy.bind(self.tenant):
            rows = [RefreshToken.objects.get(token=handle_digest("refresh_token", r)) for r in raws]
        return [row.used_at is not None for row in rows]

    def spent(self, codes: list[str]) -> list[bool]:
        """Which of these codes were used."""
        with tenancy.bind(self.tenant):
            rows = [AuthorizationCode.objects.get(code=handle_digest("code", c)) for c in codes]
        return [row.used_at is not None for row in rows]

    def tokens(self, grant: Grant) -> tuple[int, int]:
        """How many refresh tokens a grant has, and how many can still be used."""
        with tenancy.bind(self.tenant):
            rows = RefreshToken.objects.filter(grant=grant)
            live = rows.filter(used_at__isnull=True, grant__ended_at__isnull=True)
            return rows.count(), live.count()

    def count(self, code: str) -> "Counter[str]":
        """How many events of a code each grant has."""
        return Counter(details["object"] for details in events(self.tenant, code))


@pytest.fixture
def shop(mercy, pat):
    """Mercy's growth chart, which Pat keeps connected."""
    connect(mercy)
    app = an_app(mercy, grant_types=["authorization_code", "refresh_token"])
    return Shop(app, pat)


def refresh_tokens(answers):
    """The new ones; every client has got one."""
    assert all("refresh_token" in (answer or {}) for answer in answers), answers
    return [answer["refresh_token"] for answer in answers]


def named_in_the_trail(shop, *rounds):
    """Each access token that a client holds is named by one event, and no event twice."""
    told = told_once(shop.tenant, "jti", "token.issue", "token.refresh")
    held = [claims_of(one["access_token"])["jti"] for answers in rounds for one in answers]
    assert len(set(held)) == len(held)
    assert set(held) <= told
    trail_is_whole(shop.tenant)


REFRESH = {
    "before the row is read": ("smart.server.token_store:find:before", False),
    "successor made, not stored": ("smart.server.token_store:rotate:after", False),
    "about to be stored with its event": ("audit.chain:append_with:before", False),
    "committed, not answered": ("smart.server.token:_exchange:after", True),
}


@pytest.mark.spec("V9", "O13", "REFR-07", "REFR-10", "A1")
@pytest.mark.parametrize("step", list(REFRESH))
def test_a_killed_refresh_leaves_one_live_token_a_family(shop, other, step):
    at, is_committed = REFRESH[step]
    grants, raws = zip(*(shop.family() for _ in range(CLIENTS)), strict=True)
    with web_process(f"{at}:{CLIENTS + 1}") as web:
        before = shop.refresh(web, raws)
        raws = refresh_tokens(before)
        assert shop.refresh(web, raws) == [None] * CLIENTS
        web.wait_until_dead()
    used = shop.used(raws)
    assert any(used) == is_committed
    again = shop.refresh(other, raws)
    successors = refresh_tokens(again)
    after = shop.refresh(other, successors)
    refresh_tokens(after)
    assert [shop.tokens(grant) for grant in grants] == [(4, 1)] * CLIENTS
    assert shop.used(successors) == [True] * CLIENTS
    counted = shop.count("token.refresh")
    assert [counted[f"Grant/{grant.pk}"] for grant in grants] == [3 + was for was in used]
    assert not events(shop.tenant, "token.reuse", "token.revoke")
    named_in_the_trail(shop, before, again, after)


EXCHANGE = {
    "before the row is read": ("smart.server.validator:SmartValidator.validate_code:before", 0),
    "token made, not stored": (
        "smart.server.validator:SmartValidator.save_bearer_token:after",
        0,
    ),
    "about to be stored with its event": ("audit.chain:append_with:before", 0),
    "committed, not answered": ("smart.server.token:_exchange:after", 1),
}


@pytest.mark.spec("V9", "O4", "TOKN-08", "A1")
@pytest.mark.parametrize("step", list(EXCHANGE))
def test_a_killed_exchange_spends_a_code_once_or_not_at_all(shop, other, step):
    at, is_committed = EXCHANGE[step]
    warm = [shop.code()[1] for _ in range(CLIENTS)]
    grants, codes = zip(*(shop.code() for _ in range(CLIENTS)), strict=True)
    with web_process(f"{at}:{CLIENTS + 1}") as web:
        before = shop.exchange(web, warm)
        refresh_tokens(before)
        assert shop.exchange(web, codes) == [None] * CLIENTS
        web.wait_until_dead()
    spent = shop.spent(codes)
    assert any(spent) == bool(is_committed)
    again = shop.exchange(other, codes)
    for was_spent, answer, grant in zip(spent, again, grants, strict=True):
        if was_spent:  # nobody knows who holds its tokens: its grant ends, the person begins anew
            assert answer["error"] == "invalid_grant"
            assert shop.tokens(grant) == (1, 0)
        else:
            assert shop.tokens(grant) == (1, 1)
    served = [answer for answer in again if "access_token" in answer]
    assert len(served) == spent.count(False)
    issued = shop.count("token.issue")
    assert [issued[f"Grant/{grant.pk}"] for grant in grants] == [1] * CLIENTS
    ended = shop.count("token.revoke")
    assert [ended[f"Grant/{grant.pk}"] for grant in grants] == spent
    after = shop.refresh(other, refresh_tokens(served)) if served else []
    refresh_tokens(after)
    named_in_the_trail(shop, before, served, after)
