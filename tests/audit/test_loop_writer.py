"""The group writer of a loop: batches, failures, lost connections (design D7, V8)."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest
from django.db import connection

from audit import arrays, chain, loop_writer, record, verify, writer
from audit.arrays import of as array_of
from audit.writer import AuditUnavailableError
from authfi.asgi import application
from tests.audit.conftest import a_read, objects

WRITTEN, REFUSED = None, AuditUnavailableError


@pytest.fixture
def sizes(monkeypatch):
    """Rows of each batch that was sent."""
    seen = []

    def counted(rows):
        seen.append(len(rows))
        return array_of(rows)

    monkeypatch.setattr(arrays, "of", counted)
    return seen


def serve(work):
    """Run work on a loop that writes events itself."""

    async def served():
        loop_writer.start()
        try:
            return await work()
        finally:
            loop_writer.stop()

    return asyncio.run(served())


def mine():
    return loop_writer._writers[asyncio.get_running_loop()]


async def outcomes(waiting):
    """None or the type of each one's error."""
    found = await asyncio.gather(*waiting, return_exceptions=True)
    return [type(one) if isinstance(one, BaseException) else one for one in found]


async def until(condition):
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.001)


async def another_session():
    """A connection of somebody else; psycopg's own, since Django's are not for loops."""
    own = chain.own_connection()
    await asyncio.to_thread(own.connect)
    return own.connection


@asynccontextmanager
async def head_locked():
    """Somebody else appends to the bound tenant's chain and then gives it up: others wait."""
    session = await another_session()
    try:
        session.execute("BEGIN")
        rows = record._prepare((a_read("of another"),))
        psycopg.Cursor(session).execute(arrays.APPEND, array_of(rows))
        yield
    finally:
        session.close()


async def end_session():
    """The database ends the writer's session, as at its restart."""
    pid = mine()._connection.info.backend_pid
    session = await another_session()
    session.execute("SELECT pg_terminate_backend(%s)", [pid])
    session.close()


@pytest.mark.postgres
@pytest.mark.spec("V8")
def test_tasks_of_one_turn_share_one_commit(bound, sizes):
    async def work():
        await asyncio.gather(*(record.arecord(a_read(n)) for n in range(6)))

    serve(work)
    assert sizes == [6]
    assert sorted(objects(bound)) == [f"Observation/{n}" for n in range(6)]
    assert verify.verify(bound).broken is None


@pytest.mark.postgres
@pytest.mark.spec("V8")
def test_those_who_come_while_a_batch_commits_share_the_next(bound, sizes):
    async def work():
        async with head_locked():
            tasks = [asyncio.create_task(record.arecord(a_read(0)))]
            await until(lambda: sizes)
            tasks += [asyncio.create_task(record.arecord(a_read(n))) for n in range(1, 6)]
            await until(lambda: mine()._waiting_rows == 5)
            assert not any(task.done() for task in tasks)
        await asyncio.gather(*tasks)

    serve(work)
    assert sizes == [1, 5]
    assert verify.verify(bound).broken is None


@pytest.mark.postgres
@pytest.mark.spec("V8")
def test_a_crowd_that_was_woken_comes_again_into_one_commit(bound, sizes, monkeypatch):
    monkeypatch.setattr(writer, "COMPANY_SECONDS", 20)
    monkeypatch.setattr(writer, "CROWD", 2)

    async def caller(number):
        for turn in range(3):
            await record.arecord(a_read(f"{number}-{turn}"))
            await asyncio.sleep(0.001 * number)

    async def work():
        await asyncio.gather(*(caller(number) for number in range(4)))

    serve(work)
    assert sizes == [4, 4, 4]


@pytest.mark.postgres
@pytest.mark.spec("V8")
def test_an_event_larger_than_the_socket_takes_at_once_is_sent_in_parts(bound):
    large = "x" * 8_000_000

    async def work():
        await record.arecord(a_read(1, reason=large))
        await record.arecord(a_read(2))

    serve(work)
    assert objects(bound) == ["Observation/1", "Observation/2"]


@pytest.mark.postgres
@pytest.mark.spec("V8")
@pytest.mark.parametrize(
    "spoiled", [{"outcome": "unheard"}, {"request_id": "\ud800"}], ids=["refused", "not Unicode"]
)
def test_a_row_that_cannot_be_stored_fails_its_own_caller_only(bound, spoiled):
    async def work():
        batches = [record._prepare((a_read(n),)) for n in range(4)]
        batches[2] = [batches[2][0]._replace(**spoiled)]
        return await outcomes([loop_writer.awrite(rows) for rows in batches])

    assert serve(work) == [WRITTEN, WRITTEN, REFUSED, WRITTEN]
    assert objects(bound) == ["Observation/0", "Observation/1", "Observation/3"]
    assert verify.verify(bound).broken is None


@pytest.mark.postgres
@pytest.mark.spec("V8")
def test_too_many_waiting_events_are_refused(bound, monkeypatch):
    monkeypatch.setattr(writer, "MAX_WAITING_ROWS", 2)

    async def work():
        return await outcomes([record.arecord(a_read(n)) for n in range(3)])

    assert serve(work) == [WRITTEN, WRITTEN, REFUSED]


@pytest.mark.postgres
@pytest.mark.spec("V8")
def test_a_session_that_ended_while_idle_is_replaced(bound):
    async def work():
        await record.arecord(a_read(1))
        await end_session()
        await until(lambda: mine()._connection is None)
        await record.arecord(a_read(2))

    serve(work)
    assert objects(bound) == ["Observation/1", "Observation/2"]


@pytest.mark.postgres
@pytest.mark.spec("V8")
def test_a_session_that_ends_during_an_append_is_not_asked_twice(bound, sizes):
    async def work():
        await record.arecord(a_read(1))
        async with head_locked():
            tasks = [asyncio.create_task(record.arecord(a_read(n))) for n in (2, 3)]
            await until(lambda: len(sizes) == 2)
            await end_session()
            assert await outcomes(tasks) == [REFUSED, REFUSED]
        await record.arecord(a_read(4))

    serve(work)
    assert sizes == [1, 2, 1]
    assert objects(bound) == ["Observation/1", "Observation/4"]
    assert verify.verify(bound).broken is None


@pytest.mark.postgres
@pytest.mark.spec("V8")
def test_a_database_that_does_not_answer_is_given_up(bound, monkeypatch):
    async def work():
        await record.arecord(a_read(1))
        monkeypatch.setattr(loop_writer, "ANSWER_SECONDS", 0.05)
        async with head_locked():
            with pytest.raises(AuditUnavailableError):
                await record.arecord(a_read(2))
            assert mine()._connection is None

    serve(work)


@pytest.mark.postgres
@pytest.mark.spec("V8")
def test_no_connection_is_an_error_of_those_who_wait_only(bound, monkeypatch):
    async def work():
        with monkeypatch.context() as patch:
            patch.setattr(loop_writer, "_STATEMENT", b"SELECT nothing_of_that_name($1)")
            assert await outcomes([record.arecord(a_read(n)) for n in (1, 2)]) == [REFUSED, REFUSED]
        await record.arecord(a_read(3))

    serve(work)
    assert objects(bound) == ["Observation/3"]


@pytest.mark.postgres
@pytest.mark.spec("V8")
def test_a_cancelled_task_does_not_take_its_event_back(bound):
    async def work():
        task = asyncio.create_task(record.arecord(a_read()))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await record.arecord(a_read(2))

    serve(work)
    assert objects(bound) == ["Observation/1", "Observation/2"]


@pytest.mark.postgres
@pytest.mark.spec("V8")
def test_who_waits_when_the_server_stops_is_told(bound):
    async def work():
        await record.arecord(a_read(1))
        async with head_locked():
            tasks = [asyncio.create_task(record.arecord(a_read(n))) for n in (2, 3)]
            await asyncio.sleep(0)
            loop_writer.stop()
            return await outcomes(tasks)

    assert serve(work) == [REFUSED, REFUSED]


def own_sessions(monkeypatch, *statements):
    """Each of these statements begins one session of a writer; later ones are as ever."""
    make, first = chain.own_connection, list(statements)

    def made(**options):
        own = make(**options)
        own.connect()
        monkeypatch.setattr(own, "connect", lambda: None)
        if first:
            own.connection.execute(first.pop(0))
        return own

    monkeypatch.setattr(chain, "own_connection", made)


_AS_STANDBY = "SET default_transaction_read_only = on"


@pytest.mark.postgres
@pytest.mark.spec("V8")
def test_after_a_failover_the_same_rows_are_written_in_a_new_session(bound, sizes, monkeypatch):
    own_sessions(monkeypatch, _AS_STANDBY)

    async def work():
        return await outcomes([record.arecord(a_read(n)) for n in (1, 2)])

    assert serve(work) == [WRITTEN, WRITTEN]
    assert sizes == [2, 2]
    assert objects(bound) == ["Observation/1", "Observation/2"]
    assert verify.verify(bound).broken is None


@pytest.mark.postgres
@pytest.mark.spec("V8")
def test_a_standby_fails_all_who_wait_after_a_second_try(bound, sizes, monkeypatch):
    own_sessions(monkeypatch, _AS_STANDBY, _AS_STANDBY)

    async def work():
        first = await outcomes([record.arecord(a_read(n)) for n in (1, 2)])
        return first + await outcomes([record.arecord(a_read(3))])

    assert serve(work) == [REFUSED, REFUSED, WRITTEN]
    assert sizes == [2, 2, 1]
    assert objects(bound) == ["Observation/3"]


@pytest.mark.postgres
@pytest.mark.spec("V8")
def test_a_commit_that_fails_behind_its_statement_is_no_success(bound, monkeypatch):
    table = "CREATE TEMP TABLE twice (n integer UNIQUE DEFERRABLE INITIALLY DEFERRED)"
    own_sessions(monkeypatch, table)
    spoiled = b"WITH late AS (INSERT INTO twice VALUES (1), (1)) " + loop_writer._STATEMENT
    monkeypatch.setattr(loop_writer, "_STATEMENT", spoiled)

    async def work():
        return await outcomes([record.arecord(a_read(1))])

    assert serve(work) == [REFUSED]
    assert objects(bound) == []


class SlowConnecting:
    """The first connection of a writer is not made before `go_on`; later ones are as ever."""

    def __init__(self, monkeypatch):
        self.asked, self.go_on, self.made = threading.Event(), threading.Event(), []
        self._connected = loop_writer._connected
        monkeypatch.setattr(loop_writer, "_connected", self._slowly)

    def _slowly(self):
        if not self.asked.is_set():
            self.asked.set()
            assert self.go_on.wait(20)
        self.made.append(self._connected())
        return self.made[-1]


@pytest.mark.postgres
def test_a_connection_that_is_made_while_the_writer_closes_is_closed_too(bound, monkeypatch):
    slow = SlowConnecting(monkeypatch)

    async def work():
        task = asyncio.create_task(record.arecord(a_read(1)))
        await until(slow.asked.is_set)
        loop_writer.stop()
        slow.go_on.set()
        told = await outcomes([task])
        await until(lambda: slow.made and slow.made[0].closed)
        return told

    assert serve(work) == [REFUSED]


@pytest.mark.postgres
@pytest.mark.spec("V8")
def test_a_connection_that_is_not_made_in_time_is_given_up(bound, monkeypatch):
    slow = SlowConnecting(monkeypatch)

    async def work():
        with monkeypatch.context() as patch:
            patch.setattr(loop_writer, "ANSWER_SECONDS", 0.05)
            async with asyncio.timeout(10):
                told = await outcomes([record.arecord(a_read(n)) for n in (1, 2)])
        await record.arecord(a_read(3))
        slow.go_on.set()
        await until(lambda: len(slow.made) == 2 and slow.made[1].closed)
        await record.arecord(a_read(4))
        return told

    assert serve(work) == [REFUSED, REFUSED]
    assert objects(bound) == ["Observation/3", "Observation/4"]


@pytest.mark.postgres
@pytest.mark.spec("V8")
def test_a_connection_is_made_without_the_threads_of_the_loop(bound):
    go_on = threading.Event()

    async def work():
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(1))
        holding = loop.run_in_executor(None, go_on.wait, 20)
        try:
            async with asyncio.timeout(10):
                await record.arecord(a_read(1))
        finally:
            go_on.set()
        await holding

    serve(work)
    assert objects(bound) == ["Observation/1"]


def test_a_web_process_starts_and_ends_with_the_writer_its_database_can_have(bound):
    async def work():
        messages: asyncio.Queue[Any] = asyncio.Queue()
        sent: asyncio.Queue[Any] = asyncio.Queue()
        await messages.put({"type": "lifespan.startup"})
        life = asyncio.create_task(application({"type": "lifespan"}, messages.get, sent.put))
        await sent.get()
        has_own = asyncio.get_running_loop() in loop_writer._writers
        await record.arecord(a_read())
        await messages.put({"type": "lifespan.shutdown"})
        await life
        assert asyncio.get_running_loop() not in loop_writer._writers
        return has_own

    assert asyncio.run(work()) is (connection.vendor == "postgresql")
    assert objects(bound) == ["Observation/1"]
