"""What a page offers to tick, and what a person ticked of it (C2, C4, GRNT-06, GRNT-07)."""

from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

from consent import wording

_RECORDS = frozenset({wording.Kind.VIEW, wording.Kind.CHANGE})


@dataclass(frozen=True, slots=True)
class Item:
    """One line of the page: a scope and its words, for the one who reads.

    `kind` is one of `wording.Kind`. `is_fixed` items cannot be ticked off. `parts` can be chosen in
    the item's place; `needs` names the scope without which it is not given. Raises ValueError for
    another kind.
    """

    scope: str
    kind: str
    short: str
    long: str
    sensitive: bool
    is_fixed: bool = False
    needs: str = ""
    parts: tuple["Item", ...] = ()

    def __post_init__(self) -> None:
        wording.Kind(self.kind)

    @classmethod
    def stored(cls, value: dict[str, Any]) -> "Item":
        """The item that `dataclasses.asdict` made this of."""
        parts = tuple(cls.stored(part) for part in value["parts"])
        return cls(**{**value, "parts": parts})


@dataclass(frozen=True, slots=True)
class Selection:
    """The state of a page: which items show their parts, which lines are ticked."""

    opened: frozenset[str] = frozenset()
    ticked: frozenset[str] = frozenset()

    @classmethod
    def first(cls, items: Iterable[Item]) -> "Selection":
        """Before anybody touched it: very private things are not ticked (C2)."""
        return cls(ticked=_plain(items))

    def open(self, item: Item) -> "Selection":
        """Show the parts of an item; they are ticked if it was."""
        ticked = _plain(item.parts) if item.scope in self.ticked else frozenset()
        return Selection(self.opened | {item.scope}, (self.ticked - {item.scope}) | ticked)

    def close(self, item: Item) -> "Selection":
        """Show the item as one line again; it is ticked if all its plain parts were."""
        below = frozenset(part.scope for part in _all(item.parts))
        whole = frozenset({item.scope}) if self._has_all(item) else frozenset()
        return Selection(self.opened - below - {item.scope}, (self.ticked - below) | whole)

    def _has_all(self, item: Item) -> bool:
        if not _is_open(item, self.opened):
            return item.scope in self.ticked
        return all(self._has_all(part) for part in item.parts if not part.sensitive)


@dataclass(frozen=True, slots=True)
class Line:
    """An item as it stands on the page; `below` are its parts where it is opened.

    `needs` are the words of the item it goes with.
    """

    item: Item
    is_ticked: bool
    needs: str = ""
    below: "Lines | None" = None


@dataclass(frozen=True, slots=True)
class Lines:
    """Lines that belong together, very private ones apart (C2)."""

    plain: tuple[Line, ...]
    private: tuple[Line, ...]


def find(items: Iterable[Item], scope: str) -> Item | None:
    """The item of that scope that has parts."""
    return next((item for item in _all(items) if item.scope == scope and item.parts), None)


def lines(items: Sequence[Item], selection: Selection) -> Lines:
    """The items as the page shows them."""
    names = {item.scope: item.short for item in items}
    made = [
        Line(
            item,
            is_ticked=item.scope in selection.ticked,
            needs=names.get(item.needs, ""),
            below=lines(item.parts, selection) if _is_open(item, selection.opened) else None,
        )
        for item in items
    ]
    return Lines(
        tuple(line for line in made if not line.item.sensitive),
        tuple(line for line in made if line.item.sensitive),
    )


def groups(
    items: Sequence[Item], selection: Selection, words: Mapping[str, str]
) -> list[dict[str, Any]]:
    """The items under their headings: reading apart from changing, lasting access last (C2)."""
    return [
        {"kind": kind, "heading": words[kind], "lines": lines(of_kind, selection)}
        for kind in wording.Kind
        if (of_kind := [item for item in items if item.kind == kind])
    ]


def chosen(items: Sequence[Item], selection: Selection) -> list[str]:
    """The scopes that the person ticked, with the fixed ones; nothing that was not shown (C4)."""
    found = {item.scope: _chosen(item, selection) for item in items}
    return [
        scope
        for item in items
        if not item.needs or found.get(item.needs)
        for scope in found[item.scope]
    ]


def is_refusal(items: Sequence[Item], scopes: Collection[str]) -> bool:
    """Is nothing left of what was asked for (GRNT-07)?

    Who the person is, is not given away alone to an app that asked for records.
    """
    fixed = {item.scope for item in items if item.is_fixed}
    if any(item.kind in _RECORDS for item in items):
        return not set(scopes) - fixed
    return not scopes


def _chosen(item: Item, selection: Selection) -> list[str]:
    if _is_open(item, selection.opened):
        return chosen(item.parts, selection)
    return [item.scope] if item.is_fixed or item.scope in selection.ticked else []


def _is_open(item: Item, opened: Set[str]) -> bool:
    return bool(item.parts) and item.scope in opened


def _plain(items: Iterable[Item]) -> frozenset[str]:
    return frozenset(item.scope for item in items if not item.sensitive)


def _all(items: Iterable[Item]) -> list[Item]:
    return [one for item in items for one in (item, *_all(item.parts))]
