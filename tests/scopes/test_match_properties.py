"""Cover and narrow, checked point by point against a plain reading of the scopes."""

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smart.scopes.match import admits_any, covering, covers, intersect, is_within
from smart.scopes.syntax import ClinicalScope, Interaction, Level, parse_scopes
from tests.scopes.plain_reading import FHIR_SAMPLES, POINTS, SAMPLES, S, plain_points


def real_points(scopes):
    return {
        (level, letter, at)
        for level, letter, at in POINTS
        if admits_any(
            covering(scopes, SAMPLES[at]["type"], Interaction(letter), Level(level)),
            FHIR_SAMPLES[at],
        )
    }


def texts(scopes):
    return [scope.text for scope in scopes]


def clinical(scopes):
    return [scope for scope in scopes if isinstance(scope, ClinicalScope)]


QUERIES = {
    "*": ["", f"?_tag={S}|t", "?category=a"],
    "Patient": ["", "?_tag=t"],
    "Condition": ["", f"?category={S}|a", "?category=b", "?status=final"],
    "Observation": [
        "",
        "",
        f"?category={S}|a",
        f"?category={S}|b",
        "?category=a",
        "?category=|a",
        f"?category={S}|",
        f"?category={S}|a,{S}|b",
        "?category=a&status=final",
        "?status=final,amended",
        "?category=a&category=b",
        "?_tag=t",
        "?code:in=x",
    ],
}
SUFFIXES = ["r", "s", "rs", "c", "cu", "u", "rus", "cruds", "cud", "d"]


@st.composite
def scope_texts(draw):
    level = draw(st.sampled_from(["patient", "user"]))
    target = draw(st.sampled_from(["*", "Observation", "Observation", "Condition", "Patient"]))
    query = draw(st.sampled_from(QUERIES[target]))
    suffix = draw(st.sampled_from(SUFFIXES if query else [*SUFFIXES, "read", "write", "*"]))
    return f"{level}/{target}.{suffix}{query}"


SCOPES = st.lists(scope_texts(), max_size=5).map(lambda found: parse_scopes(" ".join(found)))


@pytest.mark.spec("SCOP-13", "GRAN-02", "GRNT-02")
@given(SCOPES)
def test_covering_and_admitting_follow_the_plain_reading(scopes):
    assert real_points(scopes) == plain_points(texts(scopes))


@pytest.mark.spec("GRNT-03")
@settings(max_examples=300)
@given(SCOPES, SCOPES)
def test_intersection_is_exactly_what_both_allow(requested, ceiling):
    found = intersect(requested, ceiling).granted
    both = plain_points(texts(requested)) & plain_points(texts(ceiling))
    assert plain_points(texts(found)) == both


@pytest.mark.spec("GRNT-03")
@given(SCOPES, SCOPES)
def test_grants_are_provably_within_both_sides(requested, ceiling):
    for scope in clinical(intersect(requested, ceiling).granted):
        assert is_within(scope, clinical(requested))
        assert is_within(scope, clinical(ceiling))


@pytest.mark.spec("REFR-06")
@given(SCOPES, SCOPES)
def test_intersection_is_idempotent(requested, ceiling):
    once = intersect(requested, ceiling).granted
    again = intersect(once, ceiling)
    assert again.granted == once
    assert again.left_out == ()


@given(SCOPES, SCOPES)
def test_intersection_is_commutative_in_meaning(requested, ceiling):
    one = intersect(requested, ceiling).granted
    other = intersect(ceiling, requested).granted
    assert plain_points(texts(one)) == plain_points(texts(other))


@pytest.mark.spec("GRAN-06")
@given(SCOPES)
def test_a_request_within_itself_keeps_its_text(requested):
    judgeable = [scope for scope in requested if plain_points([scope.text])]
    assert set(judgeable) <= set(intersect(requested, requested).granted)


@given(SCOPES, SCOPES)
def test_within_is_never_wrong(narrower, wider):
    for scope in clinical(narrower):
        if is_within(scope, clinical(wider)):
            assert plain_points([scope.text]) <= plain_points(texts(wider))


@pytest.mark.spec("SCOP-13")
@given(SCOPES, SCOPES)
def test_more_scopes_never_cover_less(scopes, more):
    assert real_points(scopes) <= real_points((*scopes, *more))
    for resource_type, letter in product(["Observation", "Patient"], Interaction):
        if covers(scopes, resource_type, letter):
            assert covers((*scopes, *more), resource_type, letter)
