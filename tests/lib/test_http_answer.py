"""`authfi.lib.http_answer`: where an answer ends, and what is not taken for one (RFC 9112)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authfi.lib.egress import Kind
from authfi.lib.http_answer import MAX_HEAD_BYTES, MAX_HEADERS, Answer

CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"


def fed(*data, method="GET"):
    answer = Answer(method)
    for part in data:
        answer.feed(part)
    return answer


def bytewise(data):
    return [data[at : at + 1] for at in range(len(data))]


# What ends as it should: status, body, whether another request may follow.
PROPER = {
    "length": (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", 200, b"hi", True),
    "no body": (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, b"", True),
    "no reason": (b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nhi", 200, b"hi", True),
    "chunked": (
        b"HTTP/1.1 200 OK\r\n" + CHUNKED + b"1\r\nh\r\n1\r\ni\r\n0\r\n\r\n",
        200,
        b"hi",
        True,
    ),
    "chunk extension": (
        b"HTTP/1.1 200 OK\r\n" + CHUNKED + b"2;a=b\r\nhi\r\n0\r\n\r\n",
        200,
        b"hi",
        True,
    ),
    "trailer": (
        b"HTTP/1.1 200 OK\r\n" + CHUNKED + b"2\r\nhi\r\n0\r\nX: y\r\n\r\n",
        200,
        b"hi",
        True,
    ),
    "close": (
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi",
        200,
        b"hi",
        False,
    ),
    "1.0": (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", 200, b"hi", False),
    "204": (b"HTTP/1.1 204 No\r\n\r\n", 204, b"", True),
    "304": (b"HTTP/1.1 304 No\r\nContent-Length: 9\r\n\r\n", 304, b"", True),
    "100": (
        b"HTTP/1.1 100 Go\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
        200,
        b"hi",
        True,
    ),
    "103": (
        b"HTTP/1.1 103 E\r\nLink: </a>\r\n\r\nHTTP/1.1 201 OK\r\nContent-Length: 2\r\n\r\nhi",
        201,
        b"hi",
        True,
    ),
}


@pytest.mark.spec("O19", "G36")
@pytest.mark.parametrize("kind", PROPER)
@pytest.mark.parametrize("split", [lambda data: [data], bytewise])
def test_an_answer_ends_where_it_says(kind, split):
    data, status, body, is_kept = PROPER[kind]
    answer = fed(*split(data))
    assert (answer.status, answer.take(), answer.error) == (status, body, None)
    assert (answer.is_complete, answer.keeps_connection) == (True, is_kept)


def test_header_names_are_small_and_repeated_values_a_list():
    lines = b"ETag: \t a \t\r\nX-None:\r\nLink: a\r\nLINK: b\r\nContent-Length: 0\r\n\r\n"
    answer = fed(b"HTTP/1.1 200 OK\r\n" + lines)
    assert answer.headers == {"etag": "a", "x-none": "", "link": "a, b", "content-length": "0"}


def test_fields_of_an_interim_answer_and_trailers_are_not_the_answers():
    assert "link" not in fed(PROPER["103"][0]).headers
    assert "x" not in fed(PROPER["trailer"][0]).headers


def test_a_body_without_a_length_ends_with_the_connection():
    answer = fed(b"HTTP/1.1 200 OK\r\n\r\nhi", b" you")
    assert not answer.is_over
    answer.end()
    assert (answer.take(), answer.is_complete, answer.keeps_connection) == (b"hi you", True, False)


@pytest.mark.parametrize("length", [0, 2000])
def test_an_answer_to_head_has_no_body_and_its_connection_is_given_up(length):
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n".encode()
    answer = fed(head, b"HTTP/1.1 200 OK\r\n", method="HEAD")
    assert (answer.is_complete, answer.keeps_connection, answer.take()) == (True, False, b"")


# What could be read in two ways, or in none.
IMPROPER = {
    "length and chunks": b"Content-Length: 2\r\n" + CHUNKED + b"2\r\nhi\r\n0\r\n\r\n",
    "chunks and length": CHUNKED[:-2] + b"Content-Length: 2\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    "two lengths": b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nhi!",
    "one length twice": b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nhi",
    "lengths in a list": b"Content-Length: 2, 2\r\n\r\nhi",
    "length with a sign": b"Content-Length: +2\r\n\r\nhi",
    "negative length": b"Content-Length: -2\r\n\r\nhi",
    "hexadecimal length": b"Content-Length: 0x2\r\n\r\nhi",
    "length with a blank": b"Content-Length: 1 2\r\n\r\nhi",
    "empty length": b"Content-Length: \r\n\r\nhi",
    "huge length": b"Content-Length: 99999999999999999999\r\n\r\nhi",
    "another coding": b"Transfer-Encoding: gzip, chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    "chunked not last": b"Transfer-Encoding: chunked, gzip\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    "nearly chunked": b"Transfer-Encoding: xchunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    "chunked twice": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "empty coding": b"Transfer-Encoding: \r\n\r\nhi",
    "identity": b"Transfer-Encoding: identity\r\n\r\nhi",
    "blank before colon": b"Content-Length : 2\r\n\r\nhi",
    "folded line": b"Content-Length: 2\r\nX: a\r\n b\r\n\r\nhi",
    "bare line feed": b"Content-Length: 2\nX: a\r\n\r\nhi",
    "bare return": b"X: a\rContent-Length: 2\r\n\r\nhi",
    "control character": b"X: a\0b\r\nContent-Length: 2\r\n\r\nhi",
    "no colon": b"nothing\r\nContent-Length: 2\r\n\r\nhi",
    "no chunk size": CHUNKED + b"\r\nhi\r\n0\r\n\r\n",
    "bad chunk size": CHUNKED + b"zz\r\nhi\r\n0\r\n\r\n",
    "signed chunk size": CHUNKED + b"+2\r\nhi\r\n0\r\n\r\n",
    "huge chunk size": CHUNKED + b"10000000000000002\r\nhi\r\n0\r\n\r\n",
    "chunk longer than said": CHUNKED + b"1\r\nhi\r\n0\r\n\r\n",
    "chunk line feeds": CHUNKED + b"2\nhi\n0\n\n",
    "length as trailer": CHUNKED + b"2\r\nhi\r\n0\r\nContent-Length: 5\r\n\r\n",
}
BAD_STARTS = {
    "not HTTP": b"220 mail.example ESMTP\r\n\r\n",
    "HTTP/2": b"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nhi",
    "HTTP/0.9": b"HTTP/0.9 200 OK\r\nContent-Length: 2\r\n\r\nhi",
    "chunked HTTP/1.0": b"HTTP/1.0 200 OK\r\n" + CHUNKED + b"2\r\nhi\r\n0\r\n\r\n",
    "short status": b"HTTP/1.1 99 OK\r\nContent-Length: 2\r\n\r\nhi",
    "long status": b"HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\nhi",
    "bare line feed": b"HTTP/1.1 200 OK\nContent-Length: 2\r\n\r\nhi",
    "another protocol": b"HTTP/1.1 101 S\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nhi",
    "101 without upgrade": b"HTTP/1.1 101 S\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
}


@pytest.mark.spec("O19", "G36", "G40")
@pytest.mark.parametrize("kind", [*IMPROPER, *BAD_STARTS])
@pytest.mark.parametrize("split", [lambda data: [data], bytewise])
def test_what_could_be_read_in_two_ways_is_no_answer(kind, split):
    data = BAD_STARTS.get(kind) or b"HTTP/1.1 200 OK\r\n" + IMPROPER[kind]
    answer = fed(*split(data))
    assert answer.error is not None
    assert answer.error.kind is Kind.BAD_ANSWER
    assert (answer.is_complete, answer.keeps_connection) == (False, False)


EXCESS = {
    "another answer": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nother",
    "rubbish": b"xx",
    "part of an answer": b"HTTP/1.1 2",
}


@pytest.mark.spec("O19", "G36")
@pytest.mark.parametrize("kind", ["length", "chunked", "204", "304", "close", "100"])
@pytest.mark.parametrize("excess", EXCESS)
def test_what_comes_behind_an_answer_is_not_read_and_ends_the_connection(kind, excess):
    data, status, body, _ = PROPER[kind]
    answer = fed(data + EXCESS[excess])
    assert (answer.status, answer.take(), answer.is_complete) == (status, body, True)
    assert not answer.keeps_connection


@pytest.mark.spec("V3", "G36")
@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * MAX_HEAD_BYTES + b"\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 " + b"a" * (MAX_HEAD_BYTES + 1),
        b"HTTP/1.1 200 OK\r\n" + b"X: a\r\n" * (MAX_HEADERS + 1) + b"\r\n",
        b"HTTP/1.1 100 Go\r\n\r\n" * 5000,
        b"HTTP/1.1 200 OK\r\n" + CHUNKED + b"2;" + b"a" * (MAX_HEAD_BYTES + 1),
        b"HTTP/1.1 200 OK\r\n" + CHUNKED + b"0\r\nX: " + b"a" * (MAX_HEAD_BYTES + 1),
    ],
)
def test_what_is_not_body_is_limited(data):
    for parts in ([data], [data[at : at + 1000] for at in range(0, len(data), 1000)]):
        error = fed(*parts).error
        assert error is not None
        assert error.kind is Kind.BAD_ANSWER


def test_a_long_body_is_not_counted_as_head():
    body = b"a" * (4 * MAX_HEAD_BYTES)
    answer = fed(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
    assert answer.take() == body


@pytest.mark.parametrize("kind", ["length", "chunked", "100", "304"])
def test_an_answer_cut_off_anywhere_is_no_answer(kind):
    data = PROPER[kind][0]
    for at in range(len(data)):
        answer = fed(*([data[:at]] if at else []))
        answer.end()
        assert answer.error is not None
        assert answer.is_unanswered == (at == 0)
        assert (answer.is_complete, answer.keeps_connection) == (False, False)


@given(st.sampled_from([one[0] for one in PROPER.values()]), st.data())
def test_however_it_is_cut_and_spoilt_nothing_breaks(data, draw):
    """A changed answer may be another proper one; what may not be is one without an end."""
    at = draw.draw(st.integers(0, len(data) - 1))
    spoilt = data[:at] + draw.draw(st.binary(max_size=4)) + data[at + 1 :]
    whole, split = fed(spoilt), fed(*bytewise(spoilt))
    for answer in (whole, split):
        answer.end()
    assert whole.is_complete == split.is_complete
    assert whole.is_complete != (whole.error is not None)
    if whole.is_complete:
        assert (whole.status, whole.headers) == (split.status, split.headers)
        assert whole.take() == split.take()
