"""Password rules, hashing and its bounded executor (N1-N4, N7, V2, D18)."""

import threading

import pytest
from django.contrib.auth.hashers import make_password
from django.core.exceptions import ValidationError

from authfi.accounts import blocklist, passwords, people
from authfi.accounts.passwords import BusyError, HashingPool, PepperedArgon2, validate_password
from authfi.lib import tenancy
from tenants import policies
from tests.cast import ADMIN, PASSWORD, a_person, give_password


def refusal(password, words=()):
    with pytest.raises(ValidationError) as refused:
        validate_password(password, words)
    return refused.value


@pytest.mark.spec("N1")
def test_fifteen_characters_are_needed_and_fourteen_are_not_enough(bound):
    validate_password("k" * 7 + "w" * 8)
    assert "at least 15" in refusal("k" * 7 + "w" * 7).message
    validate_password("q" + "é" * 14)


@pytest.mark.spec("N1")
def test_two_hundred_and_fifty_six_characters_are_taken_and_no_more(bound):
    validate_password("w" * 256)
    assert refusal("w" * 257).code == "long"


@pytest.mark.spec("N1")
def test_eight_characters_do_only_while_everyone_has_a_second_factor(bound):
    policies.change(kind="sign-in", changes={"min_password_length": 8}, actor=ADMIN)
    validate_password("kiwxyqzv")
    with pytest.raises(ValidationError):
        policies.change(kind="sign-in", changes={"patient_mfa": False}, actor=ADMIN)


@pytest.mark.spec("N1")
def test_every_character_counts(mercy):
    long = "x" * 79
    with tenancy.bind(mercy):
        person = a_person(mercy, "patient", mfa=False).user
        people.change_password(user=person, password=long + "a", actor=ADMIN)
        assert passwords.verify(person, long + "a")
        assert not passwords.verify(person, long + "b")
        assert not passwords.verify(person, long)


@pytest.mark.spec("N2")
def test_both_unicode_forms_of_a_password_are_one(bound):
    composed, decomposed = (
        "caf\u00e9 cr\u00e8me br\u00fbl\u00e9e",
        "cafe\u0301 cre\u0300me bru\u0302le\u0301e",
    )
    assert composed != decomposed
    person = people.create_person(
        email="n@example.org", name="N", roles=["patient"], password=composed
    )
    assert passwords.verify(person, decomposed)
    assert not passwords.verify(person, "cafe creme brulee")


@pytest.mark.spec("N3")
@pytest.mark.parametrize(
    "listed", ["1234567890987654321", "TheShakespeareProject", " minutestomidnight "]
)
def test_a_breached_password_is_refused_with_the_reason(bound, listed):
    error = refusal(listed)
    assert error.code == "breached"
    assert "data breach" in error.message


@pytest.mark.spec("N3")
def test_containing_a_breached_password_is_fine(bound):
    validate_password("minutestomidnight and more")


@pytest.mark.spec("N3")
def test_the_list_is_long_sorted_and_hits_little_else(bound):
    listed = blocklist.breached()
    assert len(listed) >= 100_000
    assert all(listed[i] < listed[i + 1] for i in range(len(listed) - 1))
    assert listed.holds("password1")
    assert listed.holds("PASSWORD1")
    assert not any(listed.holds(f"unheard of {number}") for number in range(2_000))


@pytest.mark.spec("N3")
def test_a_packed_list_finds_its_own():
    small = blocklist.PackedList(blocklist.pack(["beta carotene", "Alpha Waves", "alpha waves"]))
    assert len(small) == 2
    assert small.holds("ALPHA WAVES")
    assert small.holds("beta carotene")
    assert not small.holds("gamma rays")


@pytest.mark.spec("N3")
def test_names_are_refused_as_a_whole_only(bound, mercy):
    policies.change(kind="sign-in", changes={"min_password_length": 8}, actor=ADMIN)
    words = ["Bartholomew Quimby", "bart.quimby@example.org"]
    assert refusal("bartholomew QUIMBY", words).code == "name"
    assert refusal("Bart.Quimby@example.org", words).code == "name"
    assert refusal(mercy.slug.upper()).code == "name"
    validate_password("Bartholomew Quimby again", words)


@pytest.mark.spec("N3")
def test_a_person_cannot_take_their_own_name(bound):
    with pytest.raises(ValidationError, match="own name"):
        people.create_person(
            email="x@example.org", name="Wilhelmina Aalto", roles=["patient"],
            password="wilhelmina aalto",
        )  # fmt: skip


@pytest.mark.spec("N4")
def test_composition_is_not_asked_for(bound):
    validate_password("onlysmallletterz")


@pytest.mark.spec("N7")
def test_the_hash_is_argon2id_and_the_database_alone_verifies_nothing(settings):
    stored = make_password(PASSWORD)
    assert stored.startswith("argon2_peppered$argon2id$")
    hasher = PepperedArgon2()
    assert hasher.verify(PASSWORD, stored)
    settings.PASSWORD_PEPPER = "another"
    assert not hasher.verify(PASSWORD, stored)


@pytest.mark.spec("N7")
def test_production_hashes_with_64_mib_and_three_rounds():
    hasher = PepperedArgon2()
    hasher.memory_cost, hasher.time_cost = 65_536, 3
    assert "m=65536,t=3,p=1" in hasher.encode(PASSWORD, hasher.salt())


@pytest.mark.spec("N7")
def test_a_hash_of_other_parameters_is_renewed_at_sign_in(client, pat, monkeypatch):
    old = pat.user.password
    monkeypatch.setattr(PepperedArgon2, "time_cost", PepperedArgon2.time_cost + 1)
    assert give_password(client, pat).status_code == 302
    with tenancy.bind(pat.tenant):
        pat.user.refresh_from_db()
        assert pat.user.password != old
        assert f"t={PepperedArgon2.time_cost}," in pat.user.password
        assert passwords.verify(pat.user, PASSWORD)


@pytest.mark.spec("N7")
def test_a_wrong_password_renews_nothing(client, pat, monkeypatch):
    old = pat.user.password
    monkeypatch.setattr(PepperedArgon2, "time_cost", PepperedArgon2.time_cost + 1)
    give_password(client, pat, password="not this one at all")
    with tenancy.bind(pat.tenant):
        pat.user.refresh_from_db()
    assert pat.user.password == old


@pytest.mark.spec("V2")
def test_as_much_is_hashed_for_nobody_as_for_somebody(bound, pat, monkeypatch):
    passwords.verify(None, "warm up")
    compared = []
    real = PepperedArgon2.verify

    def compare(self, password, stored):
        compared.append(stored)
        return real(self, password, stored)

    monkeypatch.setattr(PepperedArgon2, "verify", compare)
    assert not passwords.verify(None, PASSWORD)
    assert not passwords.verify(pat.user, "wrong")
    nobody, somebody = (stored.split("$")[1:4] for stored in compared)
    assert nobody == somebody


def test_an_account_without_a_password_opens_with_none(bound):
    person = people.create_person(email="y@example.org", name="Y", roles=["doctor"])
    assert not passwords.verify(person, "")
    assert not passwords.verify(person, person.password)


@pytest.mark.spec("D18")
def test_a_full_queue_refuses_at_once_and_recovers():
    pool, go, started = HashingPool(workers=1, waiting=0), threading.Event(), threading.Event()

    def hold():
        started.set()
        go.wait()

    busy = threading.Thread(target=pool.run, args=(hold,))
    busy.start()
    started.wait()
    with pytest.raises(BusyError):
        pool.run(lambda: "never")
    go.set()
    busy.join()
    assert pool.run(lambda: "again") == "again"


@pytest.mark.spec("D18")
def test_what_waits_too_long_is_given_up():
    pool = HashingPool(workers=1, waiting=1, wait_seconds=0.05)
    go, started = threading.Event(), threading.Event()

    def hold():
        started.set()
        go.wait()

    pool._executor.submit(hold)
    started.wait()
    with pytest.raises(BusyError):
        pool.run(lambda: "too late")
    go.set()


@pytest.mark.spec("D18")
def test_sign_in_says_when_there_is_no_room(client, pat, monkeypatch, trail):
    def full(work):
        raise BusyError("full")

    monkeypatch.setattr(passwords.pool(), "run", full)
    response = give_password(client, pat)
    assert response.status_code == 503
    assert int(response["Retry-After"]) > 0
    assert "no-store" in response["Cache-Control"]
    assert trail(pat.tenant) == []
