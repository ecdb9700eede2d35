"""An app's registration document: RFC 7591 names, read strictly (RFC 7591 2, REGI-01 to REGI-12).

Pure: text in, values out. Whether the URIs and scopes may be registered is for `register` to say;
here is what the document's shape decides.
"""

import difflib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

MAX_BYTES: Final = 65_536
MAX_TEXT: Final = 2_000
MAX_ENTRIES: Final = 50
MAX_SCOPE: Final = 20_000

GRANT_TYPES: Final = ("authorization_code", "refresh_token", "client_credentials")
AUTH_METHODS: Final = ("client_secret_basic", "none")
#: What an app for people may ask for where its document does not say (RFC 7591 2, `scope`).
DEFAULT_SCOPE: Final = "openid fhirUser launch launch/patient patient/*.rs"

_LATER: Final = "goes with private_key_jwt, which is not offered yet"
_REFUSED: Final = {
    "jwks": _LATER,
    "jwks_uri": _LATER,
    "client_secret": "is made here and told once: leave it out",
}
_PAGES: Final = ("client_uri", "logo_uri", "tos_uri", "policy_uri")
_ABOUT: Final = (*_PAGES, "contacts", "software_id", "software_version")


class MetadataError(ValueError):
    """The document cannot be registered; the text names each member and what is wrong with it."""

    def __init__(self, problems: Iterable[str]) -> None:
        super().__init__("; ".join(problems))


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientMetadata:
    """What a document asks for, with the defaults of RFC 7591 filled in.

    `client_id` and `allowed_origins` are None where the document leaves them to us; `about` holds
    the members for people (`client_uri`, `contacts`, ...); `warnings` says what was ignored.
    """

    client_id: str | None
    name: str | None
    is_public: bool
    grant_types: tuple[str, ...]
    scopes: str
    redirect_uris: tuple[str, ...] = ()
    launch_uris: tuple[str, ...] = ()
    post_logout_redirect_uris: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] | None = None
    in_development: bool = False
    without_pkce: bool = False
    patient_access: bool = False
    access_token_seconds: int | None = None
    about: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def parse(document: bytes) -> ClientMetadata:
    """Read a registration document. Raises MetadataError."""
    members = _members(document)
    problems = [f"{name}: {why}" for name, why in _REFUSED.items() if name in members]
    values: dict[str, Any] = {}
    for name, read in _READERS.items():
        if name in members:
            try:
                values[name] = read(members[name])
            except MetadataError as error:
                problems += [f"{name}{error}"]
    problems = problems or _contradictions(values)
    if problems:
        raise MetadataError(problems)
    return _metadata(values, tuple(_warnings(members)))


def _members(document: bytes) -> dict[str, Any]:
    """The document's members; one that is null counts as left out."""
    if len(document) > MAX_BYTES:
        raise MetadataError([f"the document is longer than {MAX_BYTES} bytes"])
    try:
        text = document.decode("utf-8-sig")
        found = json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        raise MetadataError([f"the document is not UTF-8 (byte {error.start + 1})"]) from error
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise MetadataError([f"the document is not JSON: {error.msg} ({place})"]) from error
    except RecursionError as error:
        raise MetadataError(["the document is nested too deeply"]) from error
    if not isinstance(found, dict):
        raise MetadataError([f"the document is {_kind(found)}, an object is needed"])
    return {name: value for name, value in found.items() if value is not None}


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = sorted({name for name in names if names.count(name) > 1})
        raise MetadataError([f"{name}: given twice" for name in twice])
    return found


def _no_constant(text: str) -> None:
    raise MetadataError([f"the document is not JSON: {text} is no JSON value"])


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise MetadataError([f": {_kind(value)}, a text is needed"])
    if not value or len(value) > MAX_TEXT or not value.isprintable():
        raise MetadataError([f": 1 to {MAX_TEXT} printable characters are needed"])
    return value


def _scope(value: object) -> str:
    if not isinstance(value, str):
        raise MetadataError([f": {_kind(value)}, a text of scopes between spaces is needed"])
    if not 0 < len(value) <= MAX_SCOPE:
        raise MetadataError([f": 1 to {MAX_SCOPE} characters are needed"])
    return value


def _texts(value: object) -> tuple[str, ...]:
    """A list of texts, none twice; what is wrong with an entry names its index."""
    if not isinstance(value, list):
        raise MetadataError([f": {_kind(value)}, a list of texts is needed"])
    if len(value) > MAX_ENTRIES:
        raise MetadataError([f": more than {MAX_ENTRIES} entries"])
    for index, entry in enumerate(value):
        try:
            _text(entry)
        except MetadataError as error:
            raise MetadataError([f"[{index}]{error}"]) from error
        if entry in value[:index]:
            raise MetadataError([f"[{index}]: the same as [{value.index(entry)}]"])
    return tuple(value)


def _uris(value: object) -> tuple[str, ...]:
    """Texts without white space, so that they can be kept in one line."""
    found = _texts(value)
    for index, entry in enumerate(found):
        if any(character.isspace() for character in entry):
            raise MetadataError([f"[{index}]: a URI has no white space"])
    return found


def _some_of(allowed: tuple[str, ...]) -> Callable[[object], tuple[str, ...]]:
    def read(value: object) -> tuple[str, ...]:
        found = _texts(value)
        for index, entry in enumerate(found):
            if entry not in allowed:
                raise MetadataError([f"[{index}]: {entry!r} is not offered, use {_or_of(allowed)}"])
        return found

    return read


def _auth_method(value: object) -> str:
    method = _text(value)
    if method == "private_key_jwt":
        raise MetadataError([f": private_key_jwt is not offered yet, use {_or_of(AUTH_METHODS)}"])
    if method not in AUTH_METHODS:
        raise MetadataError([f": {method!r} is not offered, use {_or_of(AUTH_METHODS)}"])
    return method


def _page(value: object) -> str:
    """The address of a page for people."""
    text = _text(value)
    try:
        parts = urlsplit(text)
        is_page = parts.scheme in ("https", "http") and bool(parts.hostname)
    except ValueError:
        is_page = False
    if not is_page or "@" in parts.netloc or any(character.isspace() for character in text):
        raise MetadataError([f": {text!r} is not an http or https URL"])
    return text


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise MetadataError([f": {_kind(value)}, true or false is needed"])
    return value


def _number(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise MetadataError([f": {_kind(value)}, a whole number is needed"])
    return value


_READERS: Final[Mapping[str, Callable[[object], Any]]] = {
    "client_id": _text,
    "client_name": _text,
    "redirect_uris": _uris,
    "token_endpoint_auth_method": _auth_method,
    "grant_types": _some_of(GRANT_TYPES),
    "response_types": _some_of(("code",)),
    "scope": _scope,
    **dict.fromkeys(_PAGES, _page),
    "contacts": _texts,
    "software_id": _text,
    "software_version": _text,
    "post_logout_redirect_uris": _uris,
    "launch_uris": _uris,
    "allowed_origins": _uris,
    "in_development": _flag,
    "without_pkce": _flag,
    "patient_access": _flag,
    "access_token_seconds": _number,
}


def _contradictions(values: Mapping[str, Any]) -> list[str]:
    """Members that do not go together."""
    problems = []
    grant_types = values.get("grant_types", ("authorization_code",))
    is_public = values.get("token_endpoint_auth_method") == "none"
    acts_for_people = "authorization_code" in grant_types
    if acts_for_people == ("client_credentials" in grant_types):
        problems.append(
            "grant_types: authorization_code for an app that people use, or client_credentials for "
            "one that acts in its own name"
        )
    elif not acts_for_people and "refresh_token" in grant_types:
        problems.append("grant_types: refresh_token goes with authorization_code")
    if is_public and "client_credentials" in grant_types:
        problems.append("token_endpoint_auth_method: client_credentials needs a secret")
    if "response_types" in values and acts_for_people != bool(values["response_types"]):
        problems.append("response_types: code goes with authorization_code, and only with it")
    if is_public and values.get("without_pkce"):
        problems.append("without_pkce: an app without a secret always uses PKCE")
    if not acts_for_people and "scope" not in values:
        problems.append("scope: an app that acts in its own name says what it may ask for")
    return problems


def _metadata(values: Mapping[str, Any], warnings: tuple[str, ...]) -> ClientMetadata:
    return ClientMetadata(
        client_id=values.get("client_id"),
        name=values.get("client_name"),
        is_public=values.get("token_endpoint_auth_method") == "none",
        grant_types=values.get("grant_types", ("authorization_code",)),
        scopes=values.get("scope", DEFAULT_SCOPE),
        redirect_uris=values.get("redirect_uris", ()),
        launch_uris=values.get("launch_uris", ()),
        post_logout_redirect_uris=values.get("post_logout_redirect_uris", ()),
        allowed_origins=values.get("allowed_origins"),
        in_development=values.get("in_development", False),
        without_pkce=values.get("without_pkce", False),
        patient_access=values.get("patient_access", False),
        access_token_seconds=values.get("access_token_seconds"),
        about={name: values[name] for name in _ABOUT if name in values},
        warnings=warnings,
    )


def _warnings(members: Mapping[str, Any]) -> Iterable[str]:
    """RFC 7591 2: unknown members are ignored; a slip of the pen is told all the same."""
    for name in members:
        if name not in _READERS:
            near = difflib.get_close_matches(name, _READERS, n=1, cutoff=0.8)
            hint = f", {near[0]} is one" if near else ""
            yield f"{name[:100]!r} is not a member that is known here{hint}: ignored"
    if "client_name" not in members:
        yield "client_name: not given, so people will read the client_id"
    if "scope" not in members:
        yield f"scope: not given, so the app may ask for {DEFAULT_SCOPE}"


def _or_of(names: Iterable[str]) -> str:
    return " or ".join(names)


def _kind(value: object) -> str:
    """What a JSON value is, in words."""
    kinds: tuple[tuple[type, str], ...] = (
        (bool, "true or false"),
        (str, "a text"),
        (int, "a number"),
        (float, "a number"),
        (list, "a list"),
        (dict, "an object"),
    )
    return next((words for kind, words in kinds if isinstance(value, kind)), "null")
