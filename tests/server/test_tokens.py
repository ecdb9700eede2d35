"""Access tokens: what does not verify, and how soon an ended grant is noticed (D3, D4, O18)."""

import time
from collections import OrderedDict
from datetime import timedelta

import pytest
from django.utils import timezone
from joserfc.jwk import KeySet, RSAKey

from audit.events import Actor
from authfi.accounts import people, sessions
from authfi.crypto import signing
from authfi.lib import database, tenancy
from authfi.lib.transaction import transaction
from consent.models import Consent
from consent.services import withdraw
from smart import grants, tokens
from smart.models import Application, Grant
from tests.cast import ADMIN
from tests.forged_tokens import FORGED, own_key, signed
from tests.server.conftest import claims_of, trail


@pytest.fixture
def audience(mercy):
    return f"http://localhost:8000/t/{mercy.slug}/fhir"


@pytest.fixture
def raw(pat_flow):
    """Pat's access token."""
    return pat_flow.exchange(pat_flow.code()).json()["access_token"]


@pytest.mark.spec("O18", "O10", "TOKN-21")
@pytest.mark.parametrize("name", FORGED)
def test_a_forged_token_opens_nothing(raw, mercy, audience, name):
    with tenancy.bind(mercy):
        forged = FORGED[name](claims_of(raw), raw)
    assert forged != raw
    with pytest.raises(tokens.InvalidTokenError) as caught:
        tokens.verify(forged, tenant=mercy, audience=audience, now=timezone.now())
    assert caught.value.reason.isascii()
    with pytest.raises(tokens.InvalidTokenError):
        tokens.authenticate(forged, tenant=mercy, audience=audience)


@pytest.mark.spec("O18")
def test_the_forging_tools_make_good_tokens_too(raw, mercy, audience):
    with tenancy.bind(mercy):
        same = signed(claims_of(raw))
    assert tokens.authenticate(same, tenant=mercy, audience=audience).patient == "789"


@pytest.mark.spec("O10")
def test_an_id_token_is_no_access_token(pat_flow, mercy, audience):
    body = pat_flow.exchange(pat_flow.code()).json()
    with pytest.raises(tokens.InvalidTokenError):
        tokens.authenticate(body["id_token"], tenant=mercy, audience=audience)


@pytest.mark.spec("D4", "O18")
def test_an_rs256_access_token_of_ours_verifies(raw, mercy, audience):
    """RFC 9068 2.1: RS256 is always accepted, with its own key and the right kind."""
    with tenancy.bind(mercy):
        token = signing.sign("RS256", claims_of(raw), "at+jwt")
        assert isinstance(own_key("RS256"), RSAKey)
    assert tokens.authenticate(token, tenant=mercy, audience=audience)


@pytest.mark.spec("DISC-28", "O10", "D2")
def test_a_token_of_one_tenant_is_nothing_in_another(raw, lakeside, audience):
    for wanted in (audience, f"http://localhost:8000/t/{lakeside.slug}/fhir"):
        with pytest.raises(tokens.InvalidTokenError):
            tokens.authenticate(raw, tenant=lakeside, audience=wanted)


@pytest.mark.spec("D2", "O18")
def test_even_with_one_key_for_two_tenants(raw, lakeside, mercy, audience):
    """The issuer decides, too: keys are not all that keeps tenants apart."""
    with tenancy.bind(mercy):
        stolen = own_key()
    with tenancy.bind(lakeside):
        keys = signing.keys()
        forged_ring = signing.Keys(
            active={"ES256": stolen},
            public=KeySet([stolen]),
            jwks=keys.jwks,
            loaded_at=time.monotonic(),
        )
        signing._cache[lakeside.id] = forged_ring
    with pytest.raises(tokens.InvalidTokenError, match="issuer"):
        tokens.verify(raw, tenant=lakeside, audience=audience, now=timezone.now())
    signing.forget(lakeside.id)


@pytest.mark.spec("TOKN-21", "O10")
def test_a_token_expires_to_the_second(raw, mercy, audience):
    token = tokens.verify(raw, tenant=mercy, audience=audience, now=timezone.now())
    late = token.expires_at - timedelta(seconds=1)
    assert tokens.verify(raw, tenant=mercy, audience=audience, now=late)
    with pytest.raises(tokens.InvalidTokenError, match="expired") as caught:
        tokens.verify(raw, tenant=mercy, audience=audience, now=token.expires_at)
    assert caught.value.is_expired


@pytest.mark.spec("D4", "TOKN-22")
def test_long_scopes_stay_on_the_grant(pat_flow, mercy, audience):
    scope = " ".join(f"patient/Observation.rs?category=code-{n:05}" for n in range(60))
    body = pat_flow.exchange(pat_flow.code(scope=scope)).json()
    raw = body["access_token"]
    assert len(raw) < 2048
    assert "scope" not in claims_of(raw)
    assert tokens.verify(raw, tenant=mercy, audience=audience, now=timezone.now()).scopes == ()
    found = tokens.authenticate(raw, tenant=mercy, audience=audience)
    assert " ".join(scope.text for scope in found.scopes) == body["scope"] == scope


# The end of a grant

ENDS = {
    "grant ended": lambda grant: grants.end_grants(reason="test", actor=ADMIN, id=grant.pk),
    "grant expired": lambda grant: Grant.objects.update(expires_at=timezone.now()),
    "person deactivated": lambda grant: people.deactivate(user=grant.user, actor=ADMIN),
    "roles changed": lambda grant: people.change_roles(
        user=grant.user, roles=["patient", "nurse"], actor=ADMIN
    ),
    "signed out": lambda grant: sessions.end(grant.user),
    "consent withdrawn": lambda grant: withdraw(consent=grant.consent, actor=ADMIN),
    "app suspended": lambda grant: Application.objects.update(state="suspended"),
}


@pytest.mark.spec("D3", "O10", "REFR-19")
@pytest.mark.parametrize("end", ENDS)
def test_what_ends_a_grant_ends_its_tokens(raw, mercy, audience, end):
    assert tokens.authenticate(raw, tenant=mercy, audience=audience)
    with tenancy.bind(mercy):
        ENDS[end](Grant.objects.select_related("user", "consent").get())
    with pytest.raises(tokens.InvalidTokenError, match="ended"):
        tokens.authenticate(raw, tenant=mercy, audience=audience)


@pytest.mark.spec("D3")
def test_another_session_ending_ends_nothing(raw, mercy, audience, pat):
    with tenancy.bind(mercy):
        sessions.end(pat.user, keep=Grant.objects.get().session_id)
    assert tokens.authenticate(raw, tenant=mercy, audience=audience)


@pytest.mark.spec("D3", "A3")
def test_ending_is_audited_once_per_grant(pat_flow, mercy):
    for _ in range(2):
        pat_flow.code()
    with tenancy.bind(mercy):
        user = Grant.objects.all()[0].user
        assert grants.end_grants(reason="test", actor=ADMIN, user=user) == 2
        assert grants.end_grants(reason="again", actor=ADMIN, user=user) == 0
    ended = [details for _, _, details in trail(mercy, "token.revoke")]
    assert [details["reason"] for details in ended] == ["test", "test"]
    assert {details["patient"] for details in ended} == {"789"}


@pytest.mark.spec("D3")
def test_a_rolled_back_end_ends_nothing(raw, mercy, audience):
    with tenancy.bind(mercy), pytest.raises(ZeroDivisionError), transaction():
        grants.end_grants(reason="test", actor=ADMIN, id=Grant.objects.get().pk)
        _ = 1 / 0
    assert tokens.authenticate(raw, tenant=mercy, audience=audience)
    with tenancy.bind(mercy):
        assert not grants.ended_here(Grant.objects.get().pk)


@pytest.mark.spec("D3")
def test_an_own_name_token_dies_with_its_app(mercy):
    with tenancy.bind(mercy):
        Application(
            client_id="ehr",
            name="EHR",
            client_type="confidential",
            grant_types="client_credentials",
            scopes="authfi/launch",
        ).save()
        raw, _ = tokens.issue(
            client_id="ehr", subject="ehr", scope="authfi/launch", audience="a", seconds=60
        )
    assert tokens.authenticate(raw, tenant=mercy, audience="a").grant_id is None
    with tenancy.bind(mercy):
        Application.objects.update(state="suspended")
    with pytest.raises(tokens.InvalidTokenError, match="not active"):
        tokens.authenticate(raw, tenant=mercy, audience="a")


# The gateway's door


@pytest.fixture
def hops(monkeypatch):
    """How often the database's threads are asked."""
    counted = []
    real = database.run

    async def counting(*args, **kwargs):
        counted.append(1)
        return await real(*args, **kwargs)

    monkeypatch.setattr(database, "run", counting)
    return counted


@pytest.mark.spec("D3", "D6")
async def test_the_second_time_is_from_memory(raw, mercy, audience, hops):
    for _ in range(5):
        token = await tokens.aauthenticate(raw, tenant=mercy, audience=audience)
    assert token.patient == "789"
    assert len(hops) == 1


@pytest.mark.spec("D3")
async def test_an_end_in_this_process_is_noticed_at_once(raw, mercy, audience, hops):
    token = await tokens.aauthenticate(raw, tenant=mercy, audience=audience)

    def end():
        grants.end_grants(reason="test", actor=Actor.system("t"), id=token.grant_id)

    await database.run(mercy, end)
    hops.clear()
    with pytest.raises(tokens.InvalidTokenError, match="ended"):
        await tokens.aauthenticate(raw, tenant=mercy, audience=audience)
    assert not hops


@pytest.mark.spec("D3")
async def test_an_end_elsewhere_is_noticed_within_a_second(raw, mercy, audience, monkeypatch):
    await tokens.aauthenticate(raw, tenant=mercy, audience=audience)

    def end_behind_our_back():
        Grant.objects.all().update(ended_at=timezone.now())

    await database.run(mercy, end_behind_our_back)
    real = time.monotonic
    monkeypatch.setattr("smart.tokens.time.monotonic", lambda: real() + tokens.LIVE_SECONDS)
    with pytest.raises(tokens.InvalidTokenError, match="ended"):
        await tokens.aauthenticate(raw, tenant=mercy, audience=audience)


@pytest.mark.spec("TOKN-21", "D6")
async def test_memory_does_not_outlive_the_token(raw, mercy, audience, monkeypatch):
    token = await tokens.aauthenticate(raw, tenant=mercy, audience=audience)
    monkeypatch.setattr("smart.tokens.timezone.now", lambda: token.expires_at)
    with pytest.raises(tokens.InvalidTokenError, match="expired"):
        await tokens.aauthenticate(raw, tenant=mercy, audience=audience)


@pytest.mark.spec("D2", "D6")
async def test_memory_is_kept_by_tenant_and_audience(raw, mercy, lakeside, audience):
    await tokens.aauthenticate(raw, tenant=mercy, audience=audience)
    with pytest.raises(tokens.InvalidTokenError):
        await tokens.aauthenticate(raw, tenant=lakeside, audience=audience)
    with pytest.raises(tokens.InvalidTokenError):
        await tokens.aauthenticate(raw, tenant=mercy, audience="elsewhere")


@pytest.mark.spec("D6")
def test_memory_is_bounded(monkeypatch):
    monkeypatch.setattr(tokens, "REMEMBERED", 2)
    cache: OrderedDict[object, object] = OrderedDict()
    for key in "abca":
        tokens._remember(cache, key, None)
    assert list(cache) == ["c", "a"]


@pytest.mark.spec("D3", "C7")
def test_a_grant_names_its_consent(raw, mercy):
    with tenancy.bind(mercy):
        assert Grant.objects.get().consent == Consent.objects.get()
