"""Index rows: odd shapes are no error, known shapes are found."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from smart.sandbox.indexing import index_rows, normalize, split_reference
from smart.sandbox.parameters import PARAMETERS

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["coding", "code", "system", "value", "reference", "start", "identifier"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)
STEPS = sorted(
    {
        path.steps[0]
        for parameters in PARAMETERS.values()
        for parameter in parameters.values()
        for path in parameter.paths
    }
)


@given(st.sampled_from(sorted(PARAMETERS)), st.dictionaries(st.sampled_from(STEPS), JSON))
def test_any_json_can_be_indexed(resource_type, members):
    rows = index_rows({**members, "resourceType": resource_type})
    for found in rows.values():
        assert all(str(row[0]).startswith(f"{resource_type}.") for row in found)


def test_names_are_compared_without_case_and_accents():
    assert normalize("Núñez-STRAẞE") == "nunez-strasse"


def test_references_lose_their_version_and_keep_foreign_addresses():
    assert split_reference("Patient/1/_history/3") == ("Patient", "1", "")
    assert split_reference("http://x/Patient/1") == ("", "", "http://x/Patient/1")
    assert split_reference("urn:uuid:1") == ("", "", "urn:uuid:1")
    assert split_reference("patient/1") == ("", "", "patient/1")


def test_a_patient_parameter_holds_patients_only():
    rows = index_rows({"resourceType": "Observation", "subject": {"reference": "Group/1"}})
    assert rows["reference"] == [("Observation.subject", "Group", "1", "")]


def test_the_sandbox_imports_nothing_of_the_project():
    root = Path(__file__).parents[2] / "smart" / "sandbox"
    sources = [path.read_text() for path in root.rglob("*.py")]
    assert len(sources) > 15
    lines = [line for source in sources for line in source.splitlines()]
    imports = [line.split()[1] for line in lines if line.startswith(("import ", "from "))]
    project = {"smart", "authfi", "audit", "tenants", "consent"}
    own = {name for name in imports if name.split(".")[0] in project}
    assert own
    assert all(name.startswith("smart.sandbox") for name in own)
    assert not any(name.split(".")[0] == "django" for name in imports)
