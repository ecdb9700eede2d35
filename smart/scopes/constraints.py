"""What a granular constraint means: FHIR R4 search, token parameters (GRAN-09, GRAN-10, G42).

A constraint is supported when its parameter is in the table of `parameters`, has no modifier or
chain, and its value is well-formed for the elements searched. Codes and systems are compared
exactly. Anything unsupported matches nothing.
"""

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import NamedTuple

from smart.scopes.parameters import Element, Kind, elements
from smart.scopes.syntax import Constraint

_PIECE = re.compile(r"(?:[^\\,]|\\[\\,|$])*")
_HALF = re.compile(r"(?:[^\\|$]|\\[\\,|$])*")
_ESCAPE = re.compile(r"\\(.)")


class Token(NamedTuple):
    """One alternative of a token value. None means any; system "" means none at all."""

    system: str | None
    code: str | None


class _Rule(NamedTuple):
    elements: tuple[Element, ...]
    tokens: tuple[Token, ...]


def is_supported(resource_type: str, constraint: Constraint) -> bool:
    """Can this constraint be judged on resources of the type (or of every type, for `*`)?"""
    return _rule(resource_type, constraint.parameter, constraint.value) is not None


def matches(resource_type: str, constraint: Constraint, resource: Mapping[str, object]) -> bool:
    """Does one coding, identifier or code of the resource meet the constraint?"""
    rule = _rule(resource_type, constraint.parameter, constraint.value)
    if rule is None:
        return False
    return any(
        _meets(token, system, code)
        for element in rule.elements
        for system, code in _pairs(resource, element)
        for token in rule.tokens
    )


def implies(resource_type: str, narrow: Constraint, wide: Constraint) -> bool:
    """Is it certain that what meets `narrow` meets `wide` too? False when in doubt."""
    if narrow == wide:
        return True
    if narrow.parameter != wide.parameter:
        return False
    inner = _rule(resource_type, narrow.parameter, narrow.value)
    outer = _rule(resource_type, wide.parameter, wide.value)
    if inner is None or outer is None:
        return False
    return all(any(_includes(big, small) for big in outer.tokens) for small in inner.tokens)


def combine(
    resource_type: str, first: tuple[Constraint, ...], second: tuple[Constraint, ...]
) -> tuple[Constraint, ...]:
    """Both sets of constraints at once (AND), without those that another one makes needless.

    Of two with the same meaning the first set's spelling stays.
    """

    def outdone(constraint: Constraint) -> bool:
        return any(
            implies(resource_type, other, constraint)
            and not implies(resource_type, constraint, other)
            for other in second
        )

    kept = tuple(constraint for constraint in first if not outdone(constraint))
    added = (
        constraint
        for constraint in second
        if not any(implies(resource_type, other, constraint) for other in first)
    )
    return tuple(dict.fromkeys((*kept, *added)))


def parse_tokens(value: str) -> tuple[Token, ...] | None:
    """The alternatives of a decoded token value: `system|code`, `|code`, `system|`, `code`.

    None when it is not of that form: an empty alternative, a third part, a stray escape or an
    unescaped `$`, which FHIR keeps for composite values.
    """
    tokens = []
    for piece in _split(value, ",", _PIECE):
        halves = _split(piece, "|", _HALF)
        if len(halves) > 2 or not all(map(_HALF.fullmatch, halves)) or not any(halves):
            return None
        texts = [_ESCAPE.sub(r"\1", half) for half in halves]
        tokens.append(Token(None, texts[0]) if len(texts) == 1 else _pair(*texts))
    return tuple(tokens)


def _split(text: str, separator: str, part: re.Pattern[str]) -> list[str]:
    """Cut at unescaped separators; a part that breaks the escape rules stays in one piece."""
    parts, start = [], 0
    while match := part.match(text, start):
        end = match.end()
        if text[end : end + 1] != separator:
            break
        parts.append(text[start:end])
        start = end + 1
    parts.append(text[start:])
    return parts


def _pair(system: str, code: str) -> Token:
    return Token(system, code or None)


@lru_cache(maxsize=2048)
def _rule(resource_type: str, parameter: str, value: str) -> _Rule | None:
    searched = tuple(elements(resource_type, parameter))
    tokens = parse_tokens(Constraint(parameter, value).decoded)
    if not searched or tokens is None:
        return None
    # A plain `code` element carries no system, so only a bare code can be judged on it.
    if any(element.kind is Kind.CODE for element in searched) and any(
        token.system is not None for token in tokens
    ):
        return None
    return _Rule(searched, tokens)


def _pairs(resource: Mapping[str, object], element: Element) -> Iterator[tuple[object, object]]:
    """System and code of each coding found; no system is None."""
    nodes = _nodes(resource, element.path)
    if element.kind is Kind.CODE:
        yield from ((None, node) for node in nodes)
        return
    if element.kind is Kind.CONCEPT:
        nodes = [coding for node in nodes for coding in _nodes(node, ("coding",))]
    member = "value" if element.kind is Kind.IDENTIFIER else "code"
    for node in nodes:
        if isinstance(node, Mapping):
            yield node.get("system"), node.get(member)


def _nodes(root: object, path: tuple[str, ...]) -> list[object]:
    nodes = [root]
    for name in path:
        below: list[object] = []
        for node in nodes:
            child = node.get(name) if isinstance(node, Mapping) else None
            if isinstance(child, list):
                below.extend(child)
            elif child is not None:
                below.append(child)
        nodes = below
    return nodes


def _meets(token: Token, system: object, code: object) -> bool:
    if token.code is not None and token.code != code:
        return False
    return token.system is None or (
        system is None if token.system == "" else token.system == system
    )


def _includes(big: Token, small: Token) -> bool:
    system = big.system is None or big.system == small.system
    return system and (big.code is None or big.code == small.code)
