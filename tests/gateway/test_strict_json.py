"""Duplicate members are found, also where escapes hide them; clean text is read as it is."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smart.gateway.strict_json import loads

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(VALUES, st.booleans())
def test_clean_json_is_read(value, ascii_only):
    assert loads(json.dumps(value, ensure_ascii=ascii_only).encode()) == value


@pytest.mark.spec("G22")
@pytest.mark.parametrize(
    "text",
    [
        r'{"a":1,"a":1}',
        r'{"x":{"subject":{"reference":"Patient/B"},"subject":{"reference":"Patient/A"}}}',
        r'{"a":1,"\u0061":2}',
        r'{"a":"\u0022\u0022","a":2,"b":"\""}',
        r'{"x":[{"a":1,"b":{},"a":[]}]}',
        r'{"a":"\u0022","a":""}',
    ],
)
def test_duplicate_members_are_refused(text):
    with pytest.raises(ValueError, match="duplicate"):
        loads(text.encode())


@given(st.dictionaries(st.text(max_size=4), VALUES, min_size=1, max_size=4), st.data())
def test_any_repeated_member_is_refused(value, data):
    name = data.draw(st.sampled_from(sorted(value)))
    members = [f"{json.dumps(key)}:{json.dumps(one)}" for key, one in value.items()]
    members.append(f"{json.dumps(name, ensure_ascii=data.draw(st.booleans()))}:0")
    with pytest.raises(ValueError, match="duplicate"):
        loads(("{" + ",".join(members) + "}").encode())


@pytest.mark.parametrize(
    "text", [b"", b"{", b"nan", b'{"a":\xff}', b"[" * 2000, b"[" * 600 + b"]" * 600]
)
def test_no_json(text):
    with pytest.raises(ValueError):
        loads(text)
