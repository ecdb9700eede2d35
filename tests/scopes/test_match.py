"""Cover and narrow by example; `test_match_properties` checks them point by point."""

import pytest

from smart.scopes.match import (
    LeftOut,
    Reason,
    consistent,
    covering,
    covers,
    intersect,
    is_within,
)
from smart.scopes.syntax import (
    ClinicalScope,
    Interaction,
    Level,
    format_scopes,
    parse_scopes,
)

OC = "http://terminology.hl7.org/CodeSystem/observation-category"
LAB_AND_SURVEY = (
    f"patient/Observation.rs?category={OC}|laboratory patient/Observation.rs?category={OC}|survey"
)


def narrowed(requested, ceiling):
    return intersect(parse_scopes(requested), parse_scopes(ceiling))


def granted(requested, ceiling):
    return format_scopes(narrowed(requested, ceiling).granted)


def clinical(scopes):
    return [scope for scope in scopes if isinstance(scope, ClinicalScope)]


def texts(scopes):
    return [scope.text for scope in scopes]


@pytest.mark.spec("SCOP-03", "SCOP-04", "SCOP-05", "SCOP-06", "SCOP-07", "SCOP-12", "G43")
@pytest.mark.parametrize(
    ("text", "resource_type", "letters"),
    [
        ("patient/Observation.c", "Observation", "c"),
        ("patient/Observation.r", "Observation", "r"),
        ("patient/Observation.u", "Observation", "u"),
        ("patient/Observation.d", "Observation", "d"),
        ("patient/Observation.s", "Observation", "s"),
        ("patient/Observation.read", "Observation", "rs"),
        ("patient/Observation.write", "Observation", "cud"),
        ("patient/Observation.r patient/Observation.s", "Observation", "rs"),
        ("patient/Observation.cruds", "Condition", ""),
        ("patient/*.rs", "Observation", "rs"),
        ("patient/*.rs", "SomeLaterType", "rs"),
        ("openid launch/patient email", "Observation", ""),
        ("", "Observation", ""),
    ],
)
def test_covers(text, resource_type, letters):
    scopes = parse_scopes(text)
    assert {one for one in "cruds" if covers(scopes, resource_type, Interaction(one))} == set(
        letters
    )


@pytest.mark.spec("SCOP-14", "SCOP-15")
def test_levels_are_kept_apart():
    scopes = parse_scopes("patient/Observation.r user/Observation.s")
    assert covers(scopes, "Observation", Interaction.READ, Level.PATIENT)
    assert not covers(scopes, "Observation", Interaction.READ, Level.USER)
    assert not covers(scopes, "Observation", Interaction.SEARCH, Level.PATIENT)
    assert not covers(scopes, "Observation", Interaction.READ, Level.SYSTEM)
    assert texts(covering(scopes, "Observation", Interaction.READ)) == ["patient/Observation.r"]


@pytest.mark.spec("GRNT-01", "GRNT-03", "GRNT-05", "GRAN-06", "GRAN-07", "GRAN-08", "SCOP-10")
@pytest.mark.parametrize(
    ("requested", "ceiling", "expected"),
    [
        ("patient/Observation.rs", "patient/Observation.rs", "patient/Observation.rs"),
        ("patient/*.rs", "patient/Observation.rs", "patient/Observation.rs"),
        ("patient/Observation.rs", "patient/*.rs", "patient/Observation.rs"),
        ("patient/Observation.rs", "patient/*.cruds", "patient/Observation.rs"),
        ("patient/Observation.cruds", "patient/*.rs", "patient/Observation.rs"),
        ("patient/Observation.rs", "patient/*.r patient/*.s", "patient/Observation.rs"),
        ("patient/*.rs", "patient/Observation.r patient/Observation.s", "patient/Observation.rs"),
        ("patient/Observation.read", "patient/*.rs", "patient/Observation.read"),
        ("patient/*.read", "patient/Observation.rs", "patient/Observation.read"),
        ("patient/*.*", "patient/Observation.rs", "patient/Observation.read"),
        ("patient/*.*", "patient/Observation.cuds", "patient/Observation.cuds"),
        ("patient/Observation.rs", "patient/Observation.read", "patient/Observation.rs"),
        ("patient/Observation.rs", "user/Observation.rs", ""),
        ("patient/Observation.rs", "system/*.cruds", ""),
        ("patient/Observation.rs", "patient/Condition.rs", ""),
        ("patient/Observation.rs", "patient/Observation.cud", ""),
        ("patient/Observation.rs", "", ""),
        (
            "patient/*.rs",
            "patient/Patient.rs patient/Observation.r",
            "patient/Patient.rs patient/Observation.r",
        ),
        (
            f"patient/Observation.rs?category={OC}|laboratory",
            "patient/Observation.rs",
            f"patient/Observation.rs?category={OC}|laboratory",
        ),
        (
            "patient/Observation.rs",
            LAB_AND_SURVEY,
            LAB_AND_SURVEY,
        ),
        (
            "patient/Observation.rs",
            f"patient/Observation.r patient/Observation.s?category={OC}|survey",
            f"patient/Observation.r patient/Observation.s?category={OC}|survey",
        ),
        (
            "patient/Observation.rs",
            "patient/Observation.r patient/Observation.rs?category=a",
            "patient/Observation.r patient/Observation.s?category=a",
        ),
        (
            "patient/Observation.rs?status=final",
            f"patient/Observation.rs?category={OC}|survey",
            f"patient/Observation.rs?status=final&category={OC}|survey",
        ),
        (
            f"patient/Observation.rs?category={OC}|laboratory",
            "patient/Observation.rs?category=laboratory",
            f"patient/Observation.rs?category={OC}|laboratory",
        ),
        (
            "patient/*.rs patient/Observation.rs",
            "patient/Patient.rs patient/Observation.rs",
            "patient/Patient.rs patient/Observation.rs",
        ),
        (
            "patient/*.rs patient/Observation.read",
            "patient/Patient.rs patient/Observation.rs",
            "patient/Patient.rs patient/Observation.read",
        ),
        (
            "openid fhirUser launch offline_access patient/Patient.rs",
            "openid launch patient/*.rs online_access",
            "openid launch patient/Patient.rs",
        ),
        ("launch/list?role=https://a.example.org/x", "launch/list", None),
        ("launch/list", "launch/list?role=https://a.example.org/x", ""),
        ("launch", "launch/patient", ""),
        ("authfi/users authfi/apps", "authfi/users patient/*.rs", "authfi/users"),
        ("email", "email", ""),
    ],
)
def test_intersections(requested, ceiling, expected):
    assert granted(requested, ceiling) == (requested if expected is None else expected)


@pytest.mark.spec("SCOP-11", "GRAN-09", "SCOP-25")
def test_what_is_left_out_says_why():
    outcome = narrowed(
        "patient/Transport.rs patient/Observation.rs?code:in=x system/*.rs patient/*.rs "
        "offline_access openid",
        "patient/Patient.rs openid patient/Observation.rs",
    )
    assert texts(outcome.granted) == ["patient/Patient.rs", "patient/Observation.rs", "openid"]
    assert [(one.scope.text, one.reason) for one in outcome.left_out] == [
        ("patient/Transport.rs", Reason.UNKNOWN),
        ("patient/Observation.rs?code:in=x", Reason.UNSUPPORTED),
        ("system/*.rs", Reason.NOT_ALLOWED),
        ("patient/*.rs", Reason.NARROWED),
        ("offline_access", Reason.NOT_ALLOWED),
    ]


@pytest.mark.spec("GRAN-09")
def test_an_unsupported_constraint_is_never_granted_without_itself():
    requested = parse_scopes("patient/Observation.rs?nonsense=1")
    outcome = intersect(requested, parse_scopes("patient/*.cruds"))
    assert outcome.granted == ()
    assert outcome.left_out == (LeftOut(requested[0], Reason.UNSUPPORTED),)
    assert granted("patient/Observation.rs", "patient/Observation.rs?nonsense=1") == ""


@pytest.mark.spec("SCOP-12")
def test_all_types_are_more_than_every_type_of_today():
    (everything,) = clinical(parse_scopes("patient/*.rs"))
    listed = clinical(parse_scopes("patient/Observation.rs patient/Patient.rs"))
    assert not is_within(everything, listed)
    assert all(is_within(one, [everything]) for one in listed)


@pytest.mark.spec("GRAN-09")
def test_nothing_is_within_a_scope_that_cannot_be_judged():
    narrow, wide = clinical(parse_scopes("user/Observation.r?category=a user/*.r?category=a"))
    assert not is_within(narrow, [wide])
    assert is_within(narrow, [narrow])


@pytest.mark.spec("GRNT-13")
@pytest.mark.parametrize(
    ("text", "has_patient", "kept"),
    [
        ("openid fhirUser", None, "openid fhirUser"),
        ("fhirUser", None, ""),
        ("launch/patient patient/*.rs", None, "launch/patient patient/*.rs"),
        ("launch patient/*.rs", None, "launch patient/*.rs"),
        ("patient/*.rs user/*.rs", None, "user/*.rs"),
        ("launch/encounter patient/*.rs", None, "launch/encounter"),
        ("patient/*.rs", True, "patient/*.rs"),
        ("launch patient/*.rs user/*.rs", False, "launch user/*.rs"),
        ("fhirUser patient/*.rs openid", False, "fhirUser openid"),
    ],
)
def test_scopes_that_need_each_other(text, has_patient, kept):
    assert format_scopes(consistent(parse_scopes(text), has_patient=has_patient)) == kept


@pytest.mark.spec("GRNT-03")
def test_a_hostile_request_is_narrowed_in_bounded_time():
    """Each wildcard meets each type of the ceiling; a long request must stay affordable."""
    requested = parse_scopes(" ".join(f"patient/*.r?_tag={at}" for at in range(500)))
    ceiling = parse_scopes("patient/Observation.r patient/Patient.r patient/Condition.r")
    outcome = intersect(requested, ceiling)
    assert len(outcome.granted) == 1500
    assert {one.reason for one in outcome.left_out} == {Reason.NARROWED}
