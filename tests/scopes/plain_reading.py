"""A plain reading of scope strings, apart from the code under test, to check it against."""

from itertools import product

S = "http://s.example.org"

SUPPORTED = {"Observation": {"category", "status", "_tag"}, "Condition": {"category", "_tag"}}


def codings(resource, parameter):
    if parameter == "status":
        return [(None, resource["status"])] if "status" in resource else []
    if parameter == "_tag":
        return [(one.get("system"), one["code"]) for one in resource.get("tags", [])]
    return [(one.get("system"), one["code"]) for one in resource.get("categories", [])]


def token_holds(token, system, code):
    if "|" not in token:
        return token == code
    wanted_system, wanted_code = token.split("|")
    if (system or "") != wanted_system:
        return False
    return wanted_code in ("", code)


def plainly_allows(text, level, interaction, resource):
    path, _, query = text.partition("?")
    its_level, _, rest = path.partition("/")
    target, _, suffix = rest.partition(".")
    letters = {"read": "rs", "write": "cud", "*": "cruds"}.get(suffix, suffix)
    if its_level != level or target not in ("*", resource["type"]) or interaction not in letters:
        return False
    for part in query.split("&") if query else []:
        parameter, value = part.split("=", 1)
        if parameter not in SUPPORTED.get(target, {"_tag"}):
            return False
        if not any(
            token_holds(token, *coding)
            for token in value.split(",")
            for coding in codings(resource, parameter)
        ):
            return False
    return True


def sample(kind, categories=(), status=None, tags=()):
    found = {"type": kind}
    for name, values in (("categories", categories), ("tags", tags)):
        found[name] = [
            {"code": code} if system is None else {"system": system, "code": code}
            for system, code in values
        ]
    return found if status is None else {**found, "status": status}


CATEGORY_SETS = [
    [],
    [(S, "a")],
    [(S, "b")],
    [(S, "a"), (S, "b")],
    [(None, "a")],
    [("urn:o", "a")],
    [(S, "b"), ("urn:o", "a")],
]
SAMPLES = [
    *(
        sample("Observation", categories, status, tags)
        for categories, status, tags in product(
            CATEGORY_SETS, ["final", "amended"], [[], [(S, "t")]]
        )
    ),
    *(
        sample("Condition", categories, None, tags)
        for categories, tags in product(CATEGORY_SETS, [[], [(S, "t")]])
    ),
    sample("Patient"),
    sample("Patient", tags=[(S, "t")]),
]


def as_fhir(one):
    resource = {"resourceType": one["type"], "meta": {"tag": one["tags"]}}
    if one["categories"]:
        resource["category"] = [{"coding": [coding]} for coding in one["categories"]]
    if "status" in one:
        resource["status"] = one["status"]
    return resource


FHIR_SAMPLES = [as_fhir(one) for one in SAMPLES]
POINTS = list(product(["patient", "user"], "cruds", range(len(SAMPLES))))


def plain_points(texts):
    return {
        (level, letter, at)
        for level, letter, at in POINTS
        if any(plainly_allows(text, level, letter, SAMPLES[at]) for text in texts)
    }
