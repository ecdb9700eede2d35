"""Names of levels of authentication."""

import pytest

from smart.policy import acr


@pytest.mark.spec("N13")
def test_a_level_and_its_name():
    assert [acr.name_of(aal) for aal in (1, 2)] == ["aal1", "aal2"]
    assert [acr.aal_of(name) for name in acr.LEVELS] == [1, 2]


@pytest.mark.spec("N13")
@pytest.mark.parametrize("odd", ["", "aal3", "2", "AAL2", "loa2", "urn:mace:incommon:iap:2"])
def test_what_is_not_known_counts_as_the_lowest(odd):
    assert acr.aal_of(odd) == 1


@pytest.mark.spec("N13", "AUTZ-18")
@pytest.mark.parametrize(
    ("values", "aal"),
    [
        ("", 0),
        ("aal2", 2),
        ("aal1", 1),
        ("aal1 aal2", 1),
        ("aal2 aal1", 2),
        ("phr aal2", 2),
        ("phr phrh", 0),
    ],
)
def test_the_level_an_app_likes_best_of_those_known(values, aal):
    assert acr.wanted(values) == aal
