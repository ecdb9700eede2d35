"""The small memory of a process."""

import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from authfi.lib import ttl


@pytest.fixture
def clock(monkeypatch):
    """Monotonic time, set by hand."""
    now = [100.0]
    monkeypatch.setattr("authfi.lib.ttl.time", SimpleNamespace(monotonic=lambda: now[0]))
    return now


def test_a_value_is_remembered_for_so_long(clock):
    known = ttl.Ttl[str, int](3)
    assert known.get("a") is None
    assert known.put("a", 1, clock[0]) == 1
    clock[0] += 2.9
    assert known.get("a") == (100.0, 1)
    clock[0] += 0.1
    assert known.get("a") is None


def test_that_there_is_none_is_remembered_too(clock):
    known = ttl.Ttl[str, None](3)
    known.put("a", None, clock[0])
    assert known.get("a") == (100.0, None)


def test_a_value_is_as_old_as_the_moment_it_is_true_of(clock):
    known = ttl.Ttl[str, int](3)
    known.put("a", 1, at=98)
    clock[0] += 1
    assert known.get("a") is None


def test_what_is_older_does_not_replace_what_is_newer(clock):
    known = ttl.Ttl[str, int](3)
    known.put("a", 2, at=99)
    assert known.put("a", 1, at=98) == 1
    assert known.get("a") == (99, 2)


def test_the_same_again_does_not_send_a_second_one_to_look_it_up(clock):
    known = ttl.Ttl[str, int](4)
    known.put("a", 1, at=100)
    clock[0] = 103.0
    assert known.get_unless_due("a") is None
    known.put("a", 1, at=100)
    assert known.get_unless_due("a") == (100, 1)


def test_what_is_forgotten_is_gone(clock):
    known = ttl.Ttl[str, int](3)
    known.put("a", 1, clock[0])
    known.put("b", 2, clock[0])
    known.forget("a")
    known.forget("never")
    assert (known.get("a"), known.get("b")) == (None, (100.0, 2))
    known.clear()
    assert known.get("b") is None


def test_the_oldest_make_room(clock):
    known = ttl.Ttl[str, int](3, most=2)
    for key in "aba":
        known.put(key, ord(key), clock[0])
    known.put("c", 3, clock[0])
    assert [key for key in "abc" if known.get(key)] == ["a", "c"]


def test_many_threads_keep_it_bounded():
    known = ttl.Ttl[int, int](60, most=50)
    with ThreadPoolExecutor(8) as pool:
        assert list(
            pool.map(lambda n: known.put(n % 90, n, time.monotonic()), range(4000))
        ) == list(range(4000))
    assert sum(known.get(n) is not None for n in range(90)) == 50


def test_one_caller_looks_up_anew_what_is_due_while_others_go_on(clock):
    known = ttl.Ttl[str, int](4)
    known.put("a", 1, clock[0])
    clock[0] += 2.9
    assert known.get_unless_due("a") == (100.0, 1)
    clock[0] += 0.1
    assert known.get_unless_due("a") is None
    assert [known.get_unless_due("a") for _ in range(3)] == [(100.0, 1)] * 3
    assert known.is_due(ttl.Remembered(100.0, 1))
    known.put("a", 2, clock[0])
    assert known.get_unless_due("a") == (103.0, 2)
    clock[0] += 3
    assert [known.get_unless_due("a") for _ in range(2)] == [None, (103.0, 2)]


@pytest.mark.parametrize("end", ["time", "forget", "clear"])
def test_what_nobody_looked_up_anew_ends_all_the_same(clock, end):
    known = ttl.Ttl[str, int](4)
    known.put("a", 1, clock[0])
    clock[0] += 3
    assert [known.get_unless_due("a") for _ in range(2)] == [None, (100.0, 1)]
    if end == "time":
        clock[0] += 1
    else:
        known.forget("a") if end == "forget" else known.clear()
    assert known.get_unless_due("a") is None


def test_a_look_up_begun_before_its_key_was_forgotten_does_not_put_the_old_value_back(clock):
    known = ttl.Ttl[str, int](4)
    known.put("a", 1, clock[0])
    clock[0] += 3
    assert known.get_unless_due("a") is None, "this caller looks it up"
    asked_at = clock[0]
    clock[0] += 0.1
    known.forget("a")
    clock[0] += 0.1
    assert known.put("a", 1, asked_at) == 1, "who asked is told what was true then"
    assert known.get("a") is None
    known.put("b", 1, asked_at)
    assert known.get("b"), "another key is not concerned"
    known.put("a", 2, clock[0])
    assert known.get("a") == (clock[0], 2)


def test_nor_one_begun_before_everything_was_forgotten(clock):
    known = ttl.Ttl[str, int](4)
    asked_at = clock[0]
    clock[0] += 0.1
    known.clear()
    known.put("a", 1, asked_at)
    assert known.get("a") is None
    known.put("a", 2, clock[0])
    assert known.get("a") == (clock[0], 2)


def test_what_is_forgotten_stays_bounded_and_is_not_put_back_either(clock):
    known = ttl.Ttl[int, int](4, most=10)
    asked_at = clock[0]
    for number in range(100):
        clock[0] += 0.001
        known.forget(number)
    assert len(known._forgotten) == 10
    known.put(0, 1, asked_at)
    assert known.get(0) is None
    known.put(0, 2, clock[0])
    assert known.get(0)


def test_who_saw_a_value_that_is_forgotten_leaves_nothing_behind(clock, monkeypatch):
    known = ttl.Ttl[str, int](4)
    known.put("a", 1, clock[0])
    clock[0] += 3.5
    is_due = known.is_due

    def forgotten_meanwhile(hit):
        known.forget("a")
        return is_due(hit)

    monkeypatch.setattr(known, "is_due", forgotten_meanwhile)
    assert known.get_unless_due("a") is None
    assert known._renewing == {}
