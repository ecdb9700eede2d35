"""The group writer: batches, failures, processes (design D7, V8)."""

import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from django.db import connection

from audit import chain, record, verify, writer
from authfi.lib import tenancy
from tests.audit.conftest import a_read, objects, trail


@pytest.fixture
def gate(monkeypatch):
    """Holds the writer inside its first append, so that a batch gathers behind it."""
    entered, opened, sizes = threading.Event(), threading.Event(), []
    append = chain.append_and_commit

    def held(own, rows):
        sizes.append(len(rows))
        entered.set()
        assert opened.wait(20)
        append(own, rows)

    monkeypatch.setattr(chain, "append_and_commit", held)
    return entered, opened, sizes


def in_threads(tenant, pool, batches):
    def one(rows):
        with tenancy.bind(tenant):
            writer.write(rows)

    return [pool.submit(one, rows) for rows in batches]


def until(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def gather_behind_the_first(bound, gate, batches, pool):
    """The first batch is being written while all the others wait."""
    entered, opened, _ = gate
    first = in_threads(bound, pool, batches[:1])
    assert entered.wait(20)
    others = in_threads(bound, pool, batches[1:])
    until(lambda: writer._this_process()._waiting_rows == sum(map(len, batches[1:])))
    opened.set()
    return first + others


@pytest.mark.spec("V8")
def test_those_who_wait_share_one_commit(bound, gate):
    batches = [record._prepare((a_read(n),)) for n in range(6)]
    with ThreadPoolExecutor(8) as pool:
        for future in gather_behind_the_first(bound, gate, batches, pool):
            future.result(20)
    assert gate[2] == [1, 5]
    assert sorted(objects(bound)) == [f"Observation/{n}" for n in range(6)]
    assert verify.verify(bound).broken is None


@pytest.fixture
def sizes(monkeypatch):
    """Rows of each commit."""
    seen, append = [], chain.append_and_commit

    def counted(own, rows):
        seen.append(len(rows))
        append(own, rows)

    monkeypatch.setattr(chain, "append_and_commit", counted)
    return seen


def again_and_again(tenant, callers, times):
    """Callers who start together and record one event after the other."""
    together = threading.Barrier(callers)

    def caller(name):
        together.wait(20)
        for turn in range(times):
            record.record_for(tenant, a_read(f"{name}-{turn}"))

    with ThreadPoolExecutor(callers) as pool:
        for future in [pool.submit(caller, name) for name in range(callers)]:
            future.result(20)


@pytest.mark.spec("V8")
def test_a_crowd_that_was_woken_comes_again_into_one_commit(mercy, sizes, monkeypatch):
    monkeypatch.setattr(writer, "COMPANY_SECONDS", 1)
    monkeypatch.setattr(writer, "CROWD", 2)
    again_and_again(mercy, 12, 20)
    assert sum(sizes) == 240
    assert sizes.count(12) > 10  # at both ends some are ahead


@pytest.mark.spec("V8")
def test_a_few_never_wait_for_company(mercy, sizes, monkeypatch):
    monkeypatch.setattr(writer, "COMPANY_SECONDS", 100)
    again_and_again(mercy, writer.CROWD - 1, 20)
    assert sum(sizes) == 20 * (writer.CROWD - 1)


@pytest.mark.spec("V8")
def test_a_row_that_cannot_be_stored_fails_its_own_caller_only(bound, gate):
    batches = [record._prepare((a_read(n),)) for n in range(4)]
    batches[2] = [batches[2][0]._replace(outcome="unheard")]
    with ThreadPoolExecutor(8) as pool:
        futures = gather_behind_the_first(bound, gate, batches, pool)
        failures = [future.exception(20) for future in futures]
    assert [type(failure) for failure in failures] == [
        type(None),
        type(None),
        writer.AuditUnavailableError,
        type(None),
    ]
    assert sorted(objects(bound)) == ["Observation/0", "Observation/1", "Observation/3"]
    assert verify.verify(bound).broken is None


@pytest.mark.spec("V8")
def test_too_many_waiting_events_are_refused(bound, gate, monkeypatch):
    monkeypatch.setattr(writer, "MAX_WAITING_ROWS", 2)
    batches = [record._prepare((a_read(n),)) for n in range(4)]
    entered, opened, _ = gate
    with ThreadPoolExecutor(4) as pool:
        waiting = in_threads(bound, pool, batches[:1])
        assert entered.wait(20)
        waiting += in_threads(bound, pool, batches[1:3])
        until(lambda: writer._this_process()._waiting_rows == 2)
        with pytest.raises(writer.AuditUnavailableError):
            writer.write(batches[3])
        opened.set()
        for future in waiting:
            future.result(20)
    assert sorted(objects(bound)) == ["Observation/0", "Observation/1", "Observation/2"]


@pytest.mark.spec("V5", "V8")
@pytest.mark.postgres
def test_a_lost_connection_fails_closed_and_is_opened_again(bound, monkeypatch):
    sizes, append = [], chain.append_and_commit

    def ended(own, rows):
        sizes.append(len(rows))
        if len(sizes) == 2:
            session = own.connection.info
            with psycopg.connect(session.dsn, password=session.password) as another:
                another.execute("SELECT pg_terminate_backend(%s, 5000)", [session.backend_pid])
        append(own, rows)

    monkeypatch.setattr(chain, "append_and_commit", ended)
    record.record(a_read(1))
    with pytest.raises(writer.AuditUnavailableError):
        record.record(a_read(2))
    record.record(a_read(3))
    assert sizes == [1, 1, 1]
    assert objects(bound) == ["Observation/1", "Observation/3"]
    assert verify.verify(bound).broken is None


@pytest.mark.spec("A5")
def test_two_processes_write_one_gapless_chain(mercy):
    command = [sys.executable, "-m", "tests.audit.appender", mercy.slug, "8", "25"]
    env = {**os.environ, "DJANGO_SETTINGS_MODULE": "authfi.settings"}
    running = [subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL) for _ in range(2)]
    with tenancy.bind(mercy):
        for number in range(50):
            record.record(a_read(number))
    assert [process.wait(60) for process in running] == [0, 0]
    assert [event.seq for event in trail(mercy)] == list(range(1, 852))
    found = verify.verify(mercy)
    assert (found.count, found.broken) == (851, None)


def test_a_forked_process_starts_a_writer_of_its_own(bound):
    record.record(a_read(1))
    child = os.fork()
    if child == 0:
        try:
            record.record(a_read(2))
            os._exit(0)
        finally:
            os._exit(1)
    until(lambda: os.waitpid(child, os.WNOHANG) == (child, 0))
    record.record(a_read(3))
    assert objects(bound) == ["Observation/1", "Observation/2", "Observation/3"]
    assert verify.verify(bound).broken is None


@pytest.mark.postgres
@pytest.mark.spec("A7")
def test_interleaved_rows_of_new_and_known_chains_are_chained_each_in_order(mercy, lakeside):
    record.record_for(lakeside, a_read(0))
    mixed = []
    for number in range(1, 7):
        tenant = (mercy, lakeside)[number % 2]
        with tenancy.bind(tenant):
            mixed += record._prepare((a_read(number),))
    writer.write(mixed)
    assert objects(mercy)[-3:] == [f"Observation/{n}" for n in (2, 4, 6)]
    assert objects(lakeside)[-4:] == [f"Observation/{n}" for n in (0, 1, 3, 5)]
    assert [verify.verify(tenant).broken for tenant in (mercy, lakeside)] == [None, None]


def session_as(monkeypatch, is_standby):
    """Appends of a writer whose session is a standby's where that is said; rows of each one."""
    seen, append = [], chain.append_and_commit

    def on_standby(own, rows):
        seen.append(len(rows))
        if is_standby(len(seen)):
            own.cursor().execute("SET default_transaction_read_only = on")
        append(own, rows)

    monkeypatch.setattr(chain, "append_and_commit", on_standby)
    return seen


@pytest.mark.postgres
@pytest.mark.spec("V8")
def test_after_a_failover_the_same_rows_are_written_in_a_new_session(bound, monkeypatch):
    sizes = session_as(monkeypatch, lambda call: call == 1)
    record.record(a_read(1))
    record.record(a_read(2))
    assert sizes == [1, 1, 1]
    assert objects(bound) == ["Observation/1", "Observation/2"]
    assert verify.verify(bound).broken is None


@pytest.mark.postgres
@pytest.mark.spec("V8")
def test_a_standby_fails_all_who_wait_after_a_second_try(bound, monkeypatch):
    sizes = session_as(monkeypatch, lambda call: call <= 2)
    rows = record._prepare((a_read(1), a_read(2)))
    with pytest.raises(writer.AuditUnavailableError):
        writer.write(rows)
    writer.write(rows)
    assert sizes == [2, 2, 2]
    assert objects(bound) == ["Observation/1", "Observation/2"]


@pytest.mark.postgres
@pytest.mark.spec("V8")
def test_a_standby_is_not_taken_for_a_bad_row(bound, gate, monkeypatch):
    _, _, sizes = gate
    calls = session_as(monkeypatch, lambda call: call in (2, 3))
    batches = [record._prepare((a_read(n),)) for n in range(4)]
    with ThreadPoolExecutor(8) as pool:
        futures = gather_behind_the_first(bound, gate, batches, pool)
        failures = [type(future.exception(20)) for future in futures]
    assert failures == [type(None), *[writer.AuditUnavailableError] * 3]
    assert calls == sizes == [1, 3, 3]


@pytest.mark.postgres
@pytest.mark.spec("V8")
def test_a_session_that_ended_while_idle_is_replaced(bound, monkeypatch):
    used, append = [], chain.append_and_commit

    def seen(own, rows):
        append(own, rows)
        used.append((own, own.connection.info.backend_pid))

    monkeypatch.setattr(chain, "append_and_commit", seen)
    record.record(a_read(1))
    own, pid = used[0]
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s)", [pid])
    until(lambda: chain.is_lost(own))
    record.record(a_read(2))
    assert objects(bound) == ["Observation/1", "Observation/2"]
    assert used[1][1] != pid
