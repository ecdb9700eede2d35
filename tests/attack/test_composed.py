"""Composed reads and searches, judged by the oracle; and what foreign ids tell of each other.

`ATTACK_EXAMPLES=5000` tries as many new ones.
"""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.attack import oracle
from tests.attack.bearers import BEARERS
from tests.attack.composing import attack, headers, targets
from tests.attack.records import CANARIES, FOREIGN, FOREIGN_IDS, MENTIONED
from tests.attack.test_corpus import names

TOKENS = st.sampled_from([*["ann", "all", "nurse"] * 4, *sorted(BEARERS)])
FORM = (b"content-type", b"application/x-www-form-urlencoded")
METHODS = st.sampled_from(["GET"] * 9 + ["HEAD", "POST"])


@attack
@given(token=TOKENS, method=METHODS, target=targets, sent=headers)
@example(token="ann", method="GET", target=("/Observation", ""), sent=())
@example(token="doctor", method="GET", target=("/Observation", "_count=2"), sent=())
@example(token="nurse", method="GET", target=("/Patient", "name=Bob"), sent=())
def tried(hospital, token, method, target, sent):
    """As `oracle.judge` says; and an id of others is answered as one that never was."""
    path, query = target
    if method == "POST":
        path, sent, body, tail = f"{path}/_search", (*sent, FORM), query.encode(), ""
    else:
        body, tail = b"", f"?{query}" if query else ""
    _, reply = hospital.send(token, method, path + tail, sent, body)
    if oracle.sees(BEARERS[token], FOREIGN):
        return
    twin_path, twin_body = _twin(path + tail), _twin(body.decode()).encode()
    if (twin_path, twin_body) != (path + tail, body):
        _, absent = hospital.send(token, method, twin_path, sent, twin_body)
        assert (reply.status, _as_twin(reply.body)) == (absent.status, absent.body)
        assert [(name, _as_twin(value)) for name, value in names(reply)] == names(absent)


@pytest.mark.spec("G1", "G2", "G3", "G4", "G8", "G13", "G42", "G47", "RSVR-06", "SCOP-14", "A3")
def test_no_request_brings_what_is_not_the_bearers(hospital):
    tried(hospital)
    # Enough was let through, and refused, for the above to mean something.
    assert all(hospital.statuses[one] >= 20 for one in (200, 400, 403, 404)), hospital.statuses


def _twin(text):
    """The same request for ids that nobody has, of the same length."""
    for number in TWINNED:
        text = text.replace(number, number.replace("b7f3", "c8e4"))
    return text


def _as_twin(raw):
    return _twin(raw.decode("latin-1")).encode("latin-1")


#: Longer ones first: some begin with another.
TWINNED = sorted(set(FOREIGN_IDS) - MENTIONED, key=len, reverse=True)


def test_the_oracle_would_object(hospital):
    """It finds a leak in what a doctor may see, once the bearer is said to be Ann."""
    request, reply = hospital.send("doctor", "GET", "/Observation?patient=b7f3bob")
    answer = oracle.Answer(reply.status, reply.raw_headers, reply.body, hospital.events(reply))
    as_ann = oracle.Request(request.method, request.target, BEARERS["ann"])
    with pytest.raises(AssertionError, match="of a record of Bob's"):
        oracle.judge(hospital.world, as_ann, answer)
    found = next(one for one, _ in oracle.resources(answer))
    assert CANARIES[0] in reply.body.lower()
    for name, letters in (
        ("ann", "s"),
        ("labs", "s"),
        ("nurse", "s"),
        ("doctor reads visits", "s"),
    ):
        assert not oracle.covered(BEARERS[name], found, FOREIGN, letters)
    assert oracle.covered(BEARERS["doctor"], found, FOREIGN, "rs")
    assert not oracle.covered(BEARERS["doctor reads labs"], {**found, "category": []}, FOREIGN, "s")


def test_the_oracle_reads_scopes_by_itself():
    limits = [("category", "x|y"), ("status", "final")]
    found = list(
        oracle.grants("openid patient/A.rs user/*.write patient/B.r?category=x|y&status=final")
    )
    assert found == [
        ("patient", "A", "rs", []),
        ("user", "*", "cud", []),
        ("patient", "B", "r", limits),
    ]
