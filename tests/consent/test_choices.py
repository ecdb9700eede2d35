"""What is ticked, opened and taken of a page's lines."""

from dataclasses import replace

import pytest

from consent import choices
from consent.choices import Item, Selection
from tests.consent.conftest import ALL_RECORDS, AWAY, CHANGE_ALLERGIES, VIEW_LABS, WHO

ITEMS = (ALL_RECORDS, CHANGE_ALLERGIES, WHO, AWAY)
WHOLE = "patient/*.rs"
DEVICE, ORDERS = "patient/Device.rs", "patient/DeviceRequest.rs"
OBSERVATION = "patient/Observation.rs"
LABS, SDOH = f"{OBSERVATION}?category=laboratory", f"{OBSERVATION}?category=sdoh"


def ticked(*scopes, opened=()):
    return Selection(frozenset(opened), frozenset(scopes))


def below(lines, at=0):
    """The lines in place of an opened one."""
    found = lines.plain[at].below
    assert found is not None
    return found


@pytest.mark.spec("C2")
def test_at_first_all_but_the_very_private_is_ticked():
    assert Selection.first(ITEMS).ticked == {WHOLE, "openid", "offline_access"}


@pytest.mark.spec("C2")
def test_very_private_lines_stand_apart():
    lines = choices.lines(ITEMS, Selection.first(ITEMS))
    assert [line.item for line in lines.private] == [CHANGE_ALLERGIES]
    assert [line.item for line in lines.plain] == [ALL_RECORDS, WHO, AWAY]


@pytest.mark.spec("C2")
def test_chosen_is_what_is_ticked_and_what_is_fixed():
    assert choices.chosen(ITEMS, ticked(WHOLE)) == [WHOLE, "openid"]
    assert choices.chosen(ITEMS, ticked()) == ["openid"]


@pytest.mark.spec("C4")
def test_what_is_not_on_the_page_cannot_be_chosen():
    added = ticked(WHOLE, "user/*.cruds", DEVICE, LABS)
    assert choices.chosen(ITEMS, added) == [WHOLE, "openid"]
    opened = ticked(WHOLE, DEVICE, LABS, opened=[WHOLE])
    assert choices.chosen(ITEMS, opened) == [DEVICE, "openid"]


@pytest.mark.spec("GRNT-05")
def test_an_opened_wildcard_gives_single_types_only():
    selection = Selection.first(ITEMS).open(ALL_RECORDS)
    assert choices.chosen([ALL_RECORDS], selection) == [DEVICE, ORDERS, OBSERVATION]


def test_opening_keeps_what_was_ticked():
    assert ticked().open(ALL_RECORDS).ticked == set()
    assert ticked(WHOLE, "openid").open(ALL_RECORDS).ticked >= {DEVICE, ORDERS, "openid"}


@pytest.mark.spec("GRAN-08")
def test_a_type_opens_into_categories_inside_an_opened_wildcard():
    selection = Selection.first(ITEMS).open(ALL_RECORDS).open(ALL_RECORDS.parts[3])
    assert choices.chosen([ALL_RECORDS], selection) == [DEVICE, ORDERS, LABS]
    observations = below(below(choices.lines([ALL_RECORDS], selection)), 2)
    assert [line.item.scope for line in observations.private] == [SDOH]


def test_closing_goes_back_to_one_line_and_forgets_what_was_open_below():
    opened = Selection.first(ITEMS).open(ALL_RECORDS).open(ALL_RECORDS.parts[3])
    assert opened.close(ALL_RECORDS) == Selection.first(ITEMS)
    assert opened.close(ALL_RECORDS.parts[3]) == Selection.first(ITEMS).open(ALL_RECORDS)
    fewer = Selection(opened.opened, opened.ticked - {LABS})
    assert fewer.close(ALL_RECORDS) == ticked("openid", "offline_access")


@pytest.mark.spec("GRNT-06")
def test_no_type_is_left_whose_name_begins_with_a_refused_one():
    chosen = choices.chosen([ALL_RECORDS], ticked(ORDERS, OBSERVATION, opened=[WHOLE]))
    assert chosen == [OBSERVATION]
    opened = choices.lines([ALL_RECORDS], ticked(opened=[WHOLE]))
    assert [line.needs for line in below(opened).plain] == ["", f"View {DEVICE}", ""]


@pytest.mark.spec("GRNT-07")
@pytest.mark.parametrize(
    ("items", "scopes", "expected"),
    [
        ([VIEW_LABS, WHO], ["openid"], True),
        ([VIEW_LABS, WHO], [VIEW_LABS.scope, "openid"], False),
        ([VIEW_LABS, WHO, AWAY], [], True),
        ([WHO], ["openid"], False),
        ([WHO, AWAY], ["openid"], False),
        ([AWAY], [], True),
    ],
)
def test_nothing_left_of_what_was_asked_is_a_refusal(items, scopes, expected):
    assert choices.is_refusal(items, scopes) is expected


def test_only_items_with_parts_open():
    assert choices.find(ITEMS, WHOLE) == ALL_RECORDS
    assert choices.find(ITEMS, OBSERVATION) == ALL_RECORDS.parts[3]
    for scope in (DEVICE, "openid", "user/*.rs", ""):
        assert choices.find(ITEMS, scope) is None


def test_an_item_of_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="eat"):
        replace(VIEW_LABS, kind="eat")
    assert isinstance(VIEW_LABS, Item)
