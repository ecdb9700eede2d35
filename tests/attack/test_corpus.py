"""Every request of `data/*.toml` through the front door: exact status, nothing leaked, recorded."""

import json

import pytest

from tests.attack.corpus import cases
from tests.gateway import raw_upstream


def _parameters():
    return [pytest.param(case, id=case.id, marks=pytest.mark.spec(*case.rules)) for case in cases()]


@pytest.fixture
def before(hospital):
    """The records that are not Ann's, as they stand before anything is tried."""
    if not hasattr(hospital, "before"):
        hospital.before = hospital.versions()
    return hospital.before


@pytest.mark.parametrize("case", _parameters())
def test_the_request_is_answered_as_it_must_be(hospital, odd, raw, before, case):
    front = hospital
    if case.reply is not None:
        front, raw.answer = odd, _reply(case.reply, raw.base)
    _, reply = front.send_case(case)
    assert reply.status == case.status, reply.body[:400]
    shown = reply.everything.decode("utf-8", "replace")
    assert [word for word in case.never if word in shown] == []
    assert [word for word in case.has if word not in shown] == []
    if case.finds is not None:
        assert sorted(reply.ids()) == list(case.finds)
    if case.codes is not None:
        assert [one.code for one in front.events(reply)] == list(case.codes)
    if case.absent:
        _, absent = front.send(case.token, case.method, case.absent, case.headers, case.body)
        assert (reply.status, reply.body) == (absent.status, absent.body)
        assert names(reply) == names(absent)


def names(reply):
    """The headers of an answer, less what differs from request to request."""
    return [(key, value) for key, value in reply.raw_headers if key != b"x-request-id"]


def _reply(said, base):
    body = said.get("body", "")
    text = body if isinstance(body, str) else json.dumps(body)
    raw_body = text.replace("{upstream}", base).encode()
    headers = {
        name: value.replace("{upstream}", base) for name, value in said.get("headers", {}).items()
    }
    return raw_upstream.http(raw_body, said.get("status", 200), **headers)


def test_nothing_that_is_not_anns_was_changed(hospital, before):
    """Whatever was refused above was not done either."""
    assert hospital.versions() == before
    assert len(before) > 50


def test_the_corpus_is_large():
    assert len(cases()) >= 300
    assert len({rule for case in cases() for rule in case.rules}) >= 60
