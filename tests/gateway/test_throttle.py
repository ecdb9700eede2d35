"""Limits of the gateway: OperationOutcome `throttled`, and no trail without bound (V1)."""

import secrets
import time

import pytest
import time_machine

from audit.models import AuditEvent
from authfi.lib import tenancy
from smart.gateway import throttle
from smart.tokens import AccessToken
from tenants import limits


@pytest.fixture(autouse=True)
def one_minute():
    """However long a test takes, all of it happens in one minute."""
    limits.forget()
    minute = int(time.time()) // 60 * 60
    with time_machine.travel(minute + 10, tick=False):
        yield
    limits.forget()


def stored(tenant, **filters):
    with tenancy.bind(tenant):
        return AuditEvent.objects.filter(**filters).count()


@pytest.mark.spec("V1", "ERRS-06")
def test_an_app_that_asks_too_often_has_to_wait(clinic, settings):
    settings.LIMITS = {**settings.LIMITS, limits.GATEWAY: 3}
    token = clinic.token()
    replies = [clinic.ask("/Patient/789", token) for _ in range(6)]
    assert [reply.status for reply in replies[3:]] == [429] * 3
    assert 429 not in [reply.status for reply in replies[:3]]
    replies[-1].outcome(429, "throttled")
    assert 1 <= int(replies[-1].headers["retry-after"]) <= 60
    assert stored(clinic.tenant, code="audit.anomaly") == 1


@pytest.mark.spec("V1", "A1")
@pytest.mark.parametrize("path", ["/Patient/789", "/Patient/789?access_token=x"])
def test_strangers_do_not_make_the_trail_grow_without_bound(clinic, settings, path):
    settings.LIMITS = {**settings.LIMITS, limits.REFUSALS: 10}
    before = stored(clinic.tenant)
    statuses = [clinic.ask(path, secrets.token_hex(8)).status for _ in range(30)]
    assert 429 not in statuses[:10]
    assert statuses[10:] == [429] * 20
    assert stored(clinic.tenant) == before + 11


@pytest.mark.spec("V1")
def test_who_has_a_good_token_is_not_slowed_down_by_neighbours(clinic, settings):
    settings.LIMITS = {**settings.LIMITS, limits.REFUSALS: 2}
    for _ in range(4):
        last = clinic.ask("/Patient/789", "no token")
    assert last.status == 429
    assert clinic.ask("/Patient/789", clinic.token()).status != 429


@pytest.mark.spec("V1", "RSVR-02")
def test_one_apps_old_tokens_do_not_hide_from_another_that_its_own_has_expired(clinic, settings):
    settings.LIMITS = {**settings.LIMITS, limits.REFUSALS: 3}
    old = clinic.token(seconds=0)
    assert [clinic.ask("/Patient/789", old).status for _ in range(5)] == [401] * 3 + [429] * 2
    others = clinic.token(seconds=0, client_id="another-app")
    assert clinic.ask("/Patient/789", others).status == 401
    assert [clinic.ask("/Patient/789", "none").status for _ in range(4)] == [401] * 3 + [429]
    forged = old[:-8] + "AAAAAAAA"
    assert clinic.ask("/Patient/789", forged).status == 429, "only what this server signed"


def test_a_request_within_a_lease_does_not_leave_the_loop(clinic):
    token = AccessToken.__new__(AccessToken)
    object.__setattr__(token, "client_id", "app")

    async def many():
        with tenancy.bind(clinic.tenant):
            await throttle.request(token)
            began = time.perf_counter()
            for _ in range(100):
                with pytest.raises(StopIteration) as done:
                    throttle.request(token).send(None)
                assert done.value.value == 0
            return (time.perf_counter() - began) / 100

    assert clinic.run(many()) < 1e-3
