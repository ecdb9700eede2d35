"""Versions, conflicts, deletions and concurrent writers."""

import sqlite3
import stat
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import orjson
import pytest

from smart.sandbox.outcome import FhirError, Resource
from smart.sandbox.store import Store


def patient(name: str = "1", **members: Any) -> Resource:
    return {"resourceType": "Patient", "id": name, **members}


def test_versions_are_kept_and_numbered(store):
    store.update(patient(gender="male"), None)
    version, is_new = store.update(patient(gender="female", meta={"tag": [{"code": "t"}]}), None)
    assert (version.number, is_new) == (2, False)
    newest = orjson.loads(store.read("Patient", "1").body)
    assert newest["gender"] == "female"
    assert newest["meta"]["versionId"] == "2"
    assert newest["meta"]["tag"] == [{"code": "t"}]
    assert orjson.loads(store.read_version("Patient", "1", 1).body)["gender"] == "male"
    assert store.read_version("Patient", "1", 3) is None
    assert [v.number for v in store.history("Patient", "1")] == [2, 1]


def test_the_server_chooses_the_id_of_a_created_resource(store):
    version = store.create(patient("mine"))
    assert version.id != "mine"
    assert store.read("Patient", "mine") is None
    assert orjson.loads(version.body)["id"] == version.id


def test_an_update_about_another_version_is_refused(store):
    store.update(patient(), None)
    store.update(patient(), 1)
    for stale in (1, 3):
        with pytest.raises(FhirError) as caught:
            store.update(patient(), stale)
        assert caught.value.status == 412
    with pytest.raises(FhirError):
        store.update(patient("new"), 1)
    assert store.read("Patient", "1").number == 2
    assert store.read("Patient", "new") is None


def test_a_deleted_resource_leaves_search_and_can_come_back(store):
    store.update(patient(gender="male"), None)
    with pytest.raises(FhirError):
        store.delete("Patient", "1", 7)
    assert store.delete("Patient", "1", 1).number == 2
    assert store.delete("Patient", "1", None) is None
    assert store.delete("Patient", "never", None) is None
    assert store.read("Patient", "1").body is None
    assert store.select("SELECT * FROM token") == []
    version, is_new = store.update(patient(), None)
    assert (version.number, is_new) == (3, True)


def test_an_update_replaces_what_search_finds(store):
    store.update(patient(gender="male"), None)
    store.update(patient(gender="female"), None)
    found = store.select("SELECT code FROM token WHERE key = 'Patient.gender'")
    assert found == [("female",)]


def test_writers_of_several_threads_lose_nothing(store):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: store.update(patient(language=str(n)), None), range(80)))
    numbers = [version.number for version in store.history("Patient", "1")]
    assert numbers == list(range(80, 0, -1))
    assert len(store.select("SELECT * FROM current")) == 1


def test_only_one_of_two_rivals_wins(store):
    store.update(patient(), None)

    def attempt(_):
        try:
            store.update(patient(), 1)
        except FhirError as error:
            return error.status
        return 200

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(attempt, range(8))) == [200] + [412] * 7


def test_loading_is_all_or_nothing(store):
    good = patient(meta={"lastUpdated": "2024-01-01T00:00:00Z"})
    with pytest.raises(ValueError):
        store.load([good, patient("2", meta={"lastUpdated": "never"})], {"seed": "x"})
    assert store.is_empty()
    assert store.fact("seed") is None
    assert store.load([good], {"seed": "x"}) == 1
    assert store.fact("seed") == "x"
    assert store.read("Patient", "1").updated == 1704067200000


def test_content_outlives_the_process_and_the_file_is_private(tmp_path):
    path = tmp_path / "s.sqlite3"
    first = Store(path)
    first.update(patient(), None)
    first.close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    second = Store(path)
    assert [version.number for version in second.history("Patient", "1")] == [1]
    second.close()


def test_foreign_files_are_refused(tmp_path):
    text = tmp_path / "notes.txt"
    text.write_text("not a database, only text that is long enough" * 30)
    other = tmp_path / "other.sqlite3"
    connection = sqlite3.connect(other)
    connection.execute("CREATE TABLE t (a)")
    connection.commit()
    connection.close()
    for path in (text, other):
        before = path.read_bytes()
        with pytest.raises(ValueError, match="sandbox database"):
            Store(path)
        assert path.read_bytes() == before
