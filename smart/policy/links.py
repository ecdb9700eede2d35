"""Whether a link in a resource leads to a resource of this server (G13, G47). Pure.

It is read as a browser would read it: a spelling that only we do not understand would open what a
plain one may not.
"""

import re
from posixpath import normpath
from typing import Final
from urllib.parse import unquote

from smart.policy.references import Bases
from smart.scopes.resource_types import RESOURCE_TYPES

#: The members that hold links: of an Attachment or an element, and of an extension's value.
MEMBERS: Final = ("url", "valueUrl", "valueUri", "valueCanonical")

_absolute = re.compile(
    r"(?:https?:)?//(?:[^/@]*@)?([^/:]+|\[[^\]/]*\])(:\d*)?(/.*)?", re.IGNORECASE
).fullmatch
_DEFAULT_PORTS: Final = ("", ":", ":80", ":443")


def leads_here(link: str, bases: Bases) -> bool:
    """Below one of the bases, with whatever search, operation or fragment; or relative to one."""
    text = "".join(link.split()).replace("\\", "/")
    place = re.split("[?#]", text, maxsplit=1)[0]
    absolute = _absolute(place)
    if absolute is None:
        first = unquote(place).removeprefix("./").split("/", 1)[0]
        return place.startswith(("/", "../")) or (first in RESOURCE_TYPES and first != text)
    here = _place(absolute)
    known = filter(None, map(_absolute, bases.urls))
    return any(f"{here}/".startswith(f"{_place(base)}/") for base in known)


def _place(url: re.Match[str]) -> str:
    """Host, port and path in one spelling, whatever the scheme."""
    host, port, path = url[1].lower().rstrip("."), url[2] or "", unquote(url[3] or "/")
    shown = "" if port in _DEFAULT_PORTS else port
    return f"{host}{shown}{normpath('/' + path.lstrip('/'))}".rstrip("/")
