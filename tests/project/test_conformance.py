"""`make conformance` reads every form of a mark, and fails where a mark names nothing."""

import pytest

from tests import conformance

REQUIREMENTS = """
["AUTZ-"]
title = "Authorize"
["AUTZ-".ids]
01 = "requests by GET"
02 = "requests by POST"
["G"]
title = "Gateway"
["G".ids]
1 = "another patient"
"""
TESTS = '''
import pytest

pytestmark = [pytest.mark.spec("AUTZ-02")]


@pytest.mark.spec("AUTZ-01", *("G1",))
def test_one():
    """No mark: pytest.mark.spec("G9")."""


@pytest.mark.parametrize("x", [pytest.param(1, marks=pytest.mark.spec("G1"))])
async def test_two(x):
    pass


@pytest.mark.spec("G1")
class TestThree:
    @pytest.mark.spec("G1")
    def test_inner(self):
        pass
'''


@pytest.fixture
def project(tmp_path, monkeypatch):
    (tmp_path / "tests" / "area").mkdir(parents=True)
    (tmp_path / "docs").mkdir()
    (tmp_path / "tests" / "area" / "test_it.py").write_text(TESTS)
    (tmp_path / "tests" / "area" / "helper.py").write_text(TESTS)
    (tmp_path / "tests" / "requirements.toml").write_text(REQUIREMENTS)
    monkeypatch.setattr(conformance, "ROOT", tmp_path)
    monkeypatch.setattr(conformance, "REQUIREMENTS", tmp_path / "tests" / "requirements.toml")
    monkeypatch.setattr(conformance, "TARGET", tmp_path / "docs" / "conformance.md")
    return tmp_path


def run(monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", ["conformance", *arguments])
    return conformance.main()


def test_every_form_of_a_mark_is_read(project):
    assert conformance.proven(project) == {
        "AUTZ-02": ["tests/area/test_it.py"],
        "AUTZ-01": ["tests/area/test_it.py::test_one"],
        "G1": [
            *("tests/area/test_it.py::test_one", "tests/area/test_it.py::test_two"),
            *("tests/area/test_it.py::TestThree", "tests/area/test_it.py::test_inner"),
        ],
    }


def test_requests_that_are_data_name_their_rules(project):
    folder = project / "tests" / "area" / "data"
    folder.mkdir()
    rows = 'requests = [{name = "a", rule = "G1"}, {name = "b", rule = ["G1", "AUTZ-02"]}]'
    (folder / "topic.toml").write_text(rows)
    found = conformance.proven(project)
    assert found["G1"][-2:] == ["tests/area/data/topic.toml::a", "tests/area/data/topic.toml::b"]
    assert found["AUTZ-02"][-1] == "tests/area/data/topic.toml::b"


def test_the_matrix_shows_tests_and_what_is_open(project, monkeypatch, capsys):
    (project / "tests" / "area" / "test_it.py").write_text(TESTS.replace("AUTZ-02", "AUTZ-01"))
    assert run(monkeypatch) == 0
    text = (project / "docs" / "conformance.md").read_text()
    assert text == capsys.readouterr().out
    assert "2 of 3 requirements have a test." in text
    assert "| AUTZ-02 | requests by POST | open |" in text
    assert (
        "| G1 | another patient | `area/test_it.py::test_one`<br>`area/test_it.py::test_two`"
        "<br>`area/test_it.py::TestThree`<br>and 1 more |"
    ) in text


def test_a_stale_document_is_told_and_left(project, monkeypatch, capsys):
    assert run(monkeypatch, "--check") == 1
    assert "run make conformance" in capsys.readouterr().err
    assert not (project / "docs" / "conformance.md").exists()
    assert run(monkeypatch) == 0
    assert run(monkeypatch, "--check") == 0
    (project / "tests" / "area" / "test_it.py").write_text(TESTS.replace('"G1"', '"AUTZ-01"'))
    assert run(monkeypatch, "--check") == 1


def test_a_mark_that_names_nothing_is_a_fault(project, monkeypatch, capsys):
    (project / "tests" / "area" / "test_it.py").write_text(TESTS.replace('"G1"', '"G99"'))
    assert run(monkeypatch) == 1
    assert "G99" in capsys.readouterr().err
    assert not (project / "docs" / "conformance.md").exists()


def test_our_own_marks_all_name_a_requirement():
    groups = conformance.requirements(conformance.REQUIREMENTS)
    names = [name for _, found in groups for name in found]
    assert len(set(names)) == len(names) > 550
    assert set(conformance.proven(conformance.ROOT)) <= set(names)
