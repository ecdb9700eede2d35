"""What the page says: to whom, how plainly, and for every shape of request."""

from itertools import product
from string import Formatter

import pytest

from consent import wording
from consent.wording import Kind, Reader, Shape
from tests.consent.readability import grade, longest_sentence

FACTS = {
    "app": "Growth Chart",
    "hospital": "Mercy",
    "host": "growth.example",
    "person": "Pat",
    "patient": "Pat",
    "time": "15 minutes",
    "once": "15 minutes",
    "wait": "15 minutes",
}
ALL_KINDS = frozenset(Kind)


def shape(kinds=ALL_KINDS, *, has_patient=True, lasts="once", has_end=True, has_all_records=False):
    return Shape(
        kinds=frozenset(kinds),
        has_patient=has_patient,
        lasts=lasts,
        has_end=has_end,
        has_all_records=has_all_records,
    )


EVERY_SHAPE = [
    shape(kinds, has_patient=patient, lasts=lasts, has_end=end, has_all_records=everything)
    for kinds, patient, (lasts, end), everything in product(
        [ALL_KINDS, {Kind.VIEW, Kind.KNOW}, {Kind.CHANGE}, {Kind.KNOW, Kind.CONTEXT}],
        [True, False],
        [("once", True), ("online", True), ("offline", True), ("offline", False)],
        [True, False],
    )
]


def page_text(words):
    plain = {name: Formatter().vformat(text, (), FACTS) for name, text in words.items()}
    return "\n".join(plain.values())


# Whole sentences; labels and buttons would only make the page look plainer than it is.
PROSE = (
    "heading",
    "lead",
    "choice",
    "remember_hint",
    "change_note",
    "duration",
    "meaning",
    "stop",
    "deadline",
)


@pytest.mark.spec("C1")
@pytest.mark.parametrize("one", EVERY_SHAPE)
def test_patient_text_reads_at_grade_six(one):
    words = wording.words(Reader.PATIENT, one)
    prose = page_text({name: words[name] for name in PROSE if name in words})
    assert grade(prose) <= 6.0
    assert longest_sentence(prose) <= 16


@pytest.mark.spec("C1")
@pytest.mark.parametrize("one", EVERY_SHAPE)
def test_every_patient_paragraph_reads_at_grade_six_by_itself(one):
    words = wording.words(Reader.PATIENT, one)
    grades = {name: grade(page_text({name: words[name]})) for name in PROSE if name in words}
    assert max(grades.values()) <= 6.0, grades


def test_the_grade_tells_plain_from_learned_words():
    assert grade("The cat sat on the mat. It was warm.") < 2
    assert grade("Authorization of interoperable disclosures necessitates attestation.") > 14


@pytest.mark.parametrize("one", EVERY_SHAPE)
@pytest.mark.parametrize("reader", Reader)
def test_every_sentence_has_its_facts(reader, one):
    filled = wording.fill(wording.words(reader, one), FACTS)
    assert all(text and "{" not in text for text in filled.values())


@pytest.mark.spec("C1", "D17")
def test_patient_reads_of_her_own_records():
    words = wording.words(Reader.PATIENT, shape())
    assert words["heading"] == "Let {app} use your medical records?"
    assert "HIPAA" in words["meaning"]
    assert "FTC" in words["meaning"]


@pytest.mark.spec("C1", "D17")
def test_clinician_reads_on_whose_record_the_app_acts():
    words = wording.words(Reader.CLINICIAN, shape())
    assert words["heading"] == "{app} wants to act for you on the record of {patient}"
    assert "HIPAA may not protect data once this app has it; FTC rules may." in words["meaning"]


def test_clinician_without_a_patient_reads_of_none():
    words = wording.words(Reader.CLINICIAN, shape(has_patient=False))
    assert words["heading"] == "{app} wants to act for you"


@pytest.mark.parametrize("reader", Reader)
def test_sign_in_alone_speaks_of_no_records(reader):
    words = wording.words(reader, shape({Kind.KNOW}))
    assert words["heading"] in ("Let {app} know who you are?", "{app} wants to know who you are")
    assert "HIPAA" not in words["meaning"]


@pytest.mark.spec("C1")
@pytest.mark.parametrize("reader", Reader)
def test_writing_says_that_it_becomes_part_of_the_record(reader):
    assert "part of" in wording.words(reader, shape({Kind.CHANGE}))["change_note"]
    assert "change_note" not in wording.words(reader, shape({Kind.VIEW}))


@pytest.mark.spec("GRNT-11", "D17")
@pytest.mark.parametrize(
    ("scopes", "has_patient", "expected"),
    [
        (["patient/*.rs"], True, "on the record of {patient}"),
        (["user/*.rs"], False, "on all records that you may open"),
        (["user/*.rs", "patient/*.rs"], True, "on the record of {patient} and all others"),
    ],
)
def test_a_clinician_reads_whose_records_it_is_about(scopes, has_patient, expected):
    everything = wording.reaches_all_records(scopes)
    asked = shape({Kind.VIEW}, has_patient=has_patient, has_all_records=everything)
    words = wording.words(Reader.CLINICIAN, asked)
    assert expected in words["heading"]
    assert ("your own access" in words["lead"]) == ("user/*.rs" in scopes)
    assert ("the same patient" in words["remember_hint"]) == has_patient


@pytest.mark.parametrize(
    ("scopes", "expected"),
    [
        (["openid"], "once"),
        (["online_access", "openid"], "online"),
        (["online_access", "offline_access"], "offline"),
    ],
)
def test_scopes_say_how_long_access_lasts(scopes, expected):
    assert wording.lasting(scopes) == expected


@pytest.mark.spec("GRNT-11")
@pytest.mark.parametrize(
    ("lasts", "has_end", "expected"),
    [
        ("once", True, "This ends after {time}. Then the app must ask you again."),
        ("online", False, "This ends when you sign out. If you do not let it stay connected"),
        ("offline", True, "The app can use this until you stop it, or for {time} at most."),
        ("offline", False, "The app can use this until you stop it."),
    ],
)
def test_duration_is_told(lasts, has_end, expected):
    words = wording.words(Reader.PATIENT, shape(lasts=lasts, has_end=has_end))
    assert words["duration"].startswith(expected)
    assert ("{once}" in words["duration"]) == (lasts != "once")


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (5, "1 minute"),
        (60, "1 minute"),
        (61, "2 minutes"),
        (900, "15 minutes"),
        (3600, "1 hour"),
        (5400, "90 minutes"),
        (7200, "2 hours"),
        (86_400, "1 day"),
        (7_776_000, "90 days"),
    ],
)
def test_length_of_time(seconds, expected):
    assert wording.length_of_time(seconds) == expected


def test_facts_are_escaped_and_keep_their_direction():
    filled = wording.fill({"heading": "Let {app} in?"}, {"app": "<b>{x}</b>"})
    assert filled["heading"] == "Let <bdi>&lt;b&gt;{x}&lt;/b&gt;</bdi> in?"
