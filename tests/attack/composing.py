"""Requests that hypothesis puts together from pieces that mean something to a FHIR server."""

import os
from typing import Final

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from tests.attack.records import CATEGORY, RECORDS

#: The same requests in every run, unless more of them are wished for: ATTACK_EXAMPLES=5000.
EXAMPLES: Final = int(os.environ.get("ATTACK_EXAMPLES", "300"))
attack: Final = settings(
    max_examples=EXAMPLES,
    derandomize="ATTACK_EXAMPLES" not in os.environ,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)

RESOURCES: Final = sorted({one.key for one in RECORDS})
TYPES: Final = sorted({kind for kind, _ in RESOURCES})


def words(text: str) -> st.SearchStrategy[str]:
    """One of the words of a text."""
    return st.sampled_from(text.split())


_kinds = st.sampled_from(TYPES)
_known = st.sampled_from(RESOURCES).map("/".join)
_mismatched = st.builds("{}/{}".format, _kinds, st.sampled_from([n for _, n in RESOURCES]))
_resources = st.one_of(_known, _known, _known, _mismatched)
_patients = words("ann b7f3bob b7f3eve")
_operations = words("$everything $graphql $match $export $meta $expunge $lastn")
_tricks = words(
    "/ // /. /.. /%2e%2e %2f %252f ;x=1 ..; %00 %0d%0aX:1 ? # \\ %5c * , %2c ' \" <x> %ff + %20 "
    "%c0%af :80 @ {} [] | ^ ~ _history _search $everything"
)
_paths = st.one_of(
    _kinds.map("/{}".format),
    _resources.map("/{}".format),
    _resources.map("/{}".format),
    st.builds("/{}/_history".format, _resources),
    st.builds("/{}/_history/{}".format, _resources, words("1 2 3 x ..")),
    st.builds("/Patient/{}/{}".format, _patients, _kinds),
    st.builds("/{}/{}".format, _resources, _kinds),
    st.builds("/{}/{}".format, _resources, _operations),
    st.builds("/{}/{}".format, _kinds, _operations),
    words("/ /metadata /_history /$export /_search /Patient/_history"),
)
#: Most as they are, some with something put into the middle.
paths = st.one_of(
    _paths,
    _paths,
    _paths,
    st.builds(lambda path, trick, at: path[:at] + trick + path[at:], _paths, _tricks,
              st.integers(1, 30)),
)  # fmt: skip

_names = words(
    "patient subject _id identifier name code category status date performer encounter focus link "
    "beneficiary subscriber target agent participant member general-practitioner value-concept "
    "_lastUpdated _tag _security _profile _sort _total _elements _summary _count _include "
    "_revinclude _contained _type _filter _list _text _content _query _has _format _pretty _since "
    "_page _method frobnicate patient:Patient subject:Patient subject:Group patient:not "
    "patient:missing patient:identifier _id:not code:not code:text code:in category:not "
    "name:exact name:contains name:missing performer:Patient patient.name subject:Patient.name "
    "encounter.patient _has:Observation:patient:code _include:iterate _revinclude:iterate"
)
_values = st.one_of(
    _patients,
    _patients.map("Patient/{}".format),
    st.lists(_patients, min_size=2, max_size=3).map(",".join),
    _resources,
    st.lists(_resources, min_size=2, max_size=3).map(",".join),
    st.sampled_from([number for _, number in RESOURCES]),
    words(
        "Quill Bob Eve Lind Nord 8821 55501 718-7 laboratory vital-signs final male female 1980 "
        "ge2000 true false count text data accurate 0 1 2 200 1000000 -date code,subject "
        "name,status valueQuantity json xml batch Group/b7f3group Patient/ann/_history/1 "
        "Observation:subject Observation:encounter Observation:performer Observation:focus "
        "Coverage:subscriber Encounter:subject Provenance:target Patient:link Group:member "
        "CareTeam:participant Task:focus List:item Observation:* * Appointment:patient "
        "https://evil.example/Patient/ann urn:uuid:1 |x x| a|b|c ann\\,b7f3bob ann%00 %2525 , "
        "Patient/b7f3bob%26patient=ann Patient?name=Bob"
    ),
    st.just(f"{CATEGORY}|vital-signs"),
)
_parameters = st.builds("{}={}".format, _names, _values)
_include = st.builds(
    "{}={}".format,
    words("_include _revinclude"),
    words(
        "Observation:subject Observation:encounter Observation:performer Observation:focus "
        "Coverage:subscriber Provenance:target Patient:link Encounter:subject Group:member "
        "CareTeam:participant Observation:patient MedicationRequest:medication"
    ),
)
queries = st.lists(st.one_of(_parameters, _parameters, _include), max_size=3).map("&".join)

#: Searches that a server may well answer: types with parameters that they have.
_BY_TYPE: Final = {
    "Observation": "category=laboratory category=vital-signs code=718-7 status=final "
    "performer=Practitioner/nora focus=Patient/ann encounter=Encounter/enc-ann "
    "encounter=Encounter/b7f3enc _include=Observation:encounter _include=Observation:subject "
    "_include=Observation:performer _revinclude=Provenance:target _sort=-date _elements=code "
    "_id=lab-ann,b7f3lab _id=b7f3evelab",
    "Patient": "name=Lind name=Bob name=Eve identifier=8821 gender=female _id=ann,b7f3eve "
    "_revinclude=Observation:subject _revinclude=Provenance:target _include=Patient:link "
    "link=Patient/b7f3eve _elements=name _sort=name",
    "Encounter": "status=finished _revinclude=Observation:encounter _include=Encounter:subject "
    "_id=enc-ann,b7f3enc",
    "Coverage": "subscriber=Patient/ann subscriber=Patient/b7f3eve _include=Coverage:subscriber "
    "beneficiary=Patient/ann",
    "Provenance": "target=Observation/lab-ann target=Observation/b7f3evelab "
    "_include=Provenance:target",
    "CareTeam": "participant=Practitioner/nora participant=Patient/ann "
    "_include=CareTeam:participant",
    "List": "item=Patient/ann item=Patient/b7f3eve _include=List:item status=current",
    "Condition": "asserter=Patient/ann _include=Condition:asserter",
}
_anywhere = words(
    "patient=ann patient=ann patient=ann patient=ann patient=b7f3bob patient=ann,b7f3eve "
    "_count=1 _count=0 _summary=count _summary=text _summary=data _total=accurate"
)


def _search(kind: str) -> st.SearchStrategy[tuple[str, str]]:
    parameters = st.lists(st.one_of(words(_BY_TYPE[kind]), _anywhere), max_size=2, unique=True)
    return parameters.map(lambda found: (f"/{kind}", "&".join(found)))


_sensible = st.one_of(
    st.one_of(_known, st.builds("{}/_history".format, _known)).map(lambda path: (f"/{path}", "")),
    st.sampled_from(sorted(_BY_TYPE)).flatmap(_search),
    st.sampled_from(sorted(_BY_TYPE)).flatmap(_search),
)
#: Path and query: half of them such as a server may well answer.
targets = st.one_of(_sensible, st.tuples(paths, queries))

_header = st.lists(
    st.one_of(
        st.tuples(words("if-none-match if-match"), words('W/"1" "1" W/"2" * x W/"1",W/"2"')),
        st.tuples(st.just("accept"), words("application/fhir+json application/fhir+xml */* x")),
        st.tuples(st.just("prefer"), words("handling=lenient handling=strict respond-async")),
        st.tuples(words("x-forwarded-host host x-original-url origin"), st.just("evil.example")),
        st.tuples(words("x-http-method-override connection te range"), words("DELETE close x")),
    ),
    min_size=1,
    max_size=1,
).map(lambda pairs: tuple((name.encode(), value.encode()) for name, value in pairs))
headers = st.one_of(*(st.just(()) for _ in range(4)), _header)
