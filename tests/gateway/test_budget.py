"""What the process holds of upstream answers is bounded; who waits is served in order."""

import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smart.gateway import budget, write_upstream
from smart.gateway.budget import Budget, Lease, OverloadedError
from tests.gateway.ward import JSON, PULSE


async def test_what_is_taken_is_given_back_at_the_end():
    whole = Budget(100)
    with Lease(whole) as one:
        await one.take(60)
        one.grow_to(80)
        one.grow_to(70)
        assert (whole.free, one.held) == (20, 80)
    assert whole.free == 100


async def test_an_error_gives_back_too():
    whole = Budget(100)
    with pytest.raises(ValueError), Lease(whole) as one:
        await one.take(60)
        raise ValueError
    assert whole.free == 100


async def test_who_comes_first_is_served_first():
    whole, served = Budget(100), []

    async def ask(name, size):
        with Lease(whole) as one:
            await one.take(size)
            served.append(name)
            await asyncio.sleep(0)

    with Lease(whole) as first:
        await first.take(100)
        waiting = [asyncio.create_task(ask(*who)) for who in (("large", 90), ("small", 10))]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert served == []
    await asyncio.gather(*waiting)
    assert served == ["large", "small"]
    assert whole.free == 100


async def test_who_waits_too_long_is_told(monkeypatch):
    monkeypatch.setattr(budget, "WAIT_SECONDS", 0.01)
    whole = Budget(100)
    with Lease(whole) as first, Lease(whole) as second:
        await first.take(60)
        with pytest.raises(OverloadedError):
            await second.take(60)
    assert whole.free == 100


async def test_growing_never_waits():
    whole = Budget(100)
    with Lease(whole) as one, Lease(whole) as other:
        await one.take(50)
        await other.take(50)
        with pytest.raises(OverloadedError):
            one.grow_to(51)
    assert whole.free == 100


@pytest.mark.parametrize("is_served", [True, False])
async def test_who_is_cancelled_leaves_nothing_taken(is_served):
    """Even in the moment it is served; and it does not stand in the way of those behind."""
    whole = Budget(100)
    lease = Lease(whole)
    await lease.take(100)
    first = asyncio.create_task(Lease(whole).take(100))
    behind = Lease(whole)
    second = asyncio.create_task(behind.take(30))
    await asyncio.sleep(0)
    if is_served:
        lease.__exit__(None, None, None)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    if not is_served:
        lease.__exit__(None, None, None)
    await second
    assert whole.free == 70


async def test_each_loop_has_a_budget_of_its_own():
    ours = budget.lease()
    await ours.take(budget.TOTAL_BYTES)

    def elsewhere():
        async def take():
            with budget.lease() as theirs:
                await theirs.take(budget.TOTAL_BYTES)
                return theirs.held

        return asyncio.run(take())

    assert await asyncio.to_thread(elsewhere) == budget.TOTAL_BYTES
    ours.__exit__(None, None, None)


@given(
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60), st.booleans()), max_size=30),
)
def test_whatever_happens_all_is_free_in_the_end_and_never_less_than_nothing(wishes):
    async def run():
        whole = Budget(100)

        async def ask(size, more, gives_up):
            with Lease(whole) as one:
                await whole_take(one, size, gives_up)
                assert whole.free >= 0
                await asyncio.sleep(0)
                one.grow_to(more)
                assert whole.free >= 0

        async def whole_take(one, size, gives_up):
            async with asyncio.timeout(0 if gives_up else 5):
                await one.take(size)

        tasks = [asyncio.create_task(ask(*wish)) for wish in wishes]
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            assert outcome is None or isinstance(outcome, OverloadedError | TimeoutError), outcome
        assert whole.free == 100

    asyncio.run(run())


@pytest.mark.spec("V3", "V8")
def test_a_write_stays_counted_when_its_client_goes(ward, monkeypatch):
    """The change is still made, so what it is made of is still in memory."""
    send, token = write_upstream.send, ward.token()

    async def leave_meanwhile():
        sending, go_on, done = asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def slowly(*args):
            sending.set()
            await go_on.wait()
            try:
                return await send(*args)
            finally:
                done.set()

        monkeypatch.setattr(write_upstream, "send", slowly)
        body = json.dumps(PULSE).encode()
        writing = ward.base.asking("/Observation", token, method="POST", headers=JSON, body=body)
        asking = asyncio.create_task(writing)
        await sending.wait()
        whole = budget.lease()._budget
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert whole.free <= budget.TOTAL_BYTES - len(body)
        go_on.set()
        await done.wait()
        async with asyncio.timeout(10):
            while whole.free < budget.TOTAL_BYTES:
                await asyncio.sleep(0.01)

    ward.base.run(leave_meanwhile())
    ward.nothing_open()
