"""Scopes in plain words for the one who reads the consent page (GRNT-11, GRNT-12, design D17).

Every short text follows "... wants to:". Texts for patients use grade-6 words. This package knows
no web framework, so the caller hands in its translation function.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from smart.scopes.constraints import Token, parse_tokens
from smart.scopes.names import (
    ALL_RECORDS,
    CATEGORY_WORDS,
    PATIENT_TYPES,
    SENSITIVE_CATEGORIES,
    SENSITIVE_PARAMETERS,
    SENSITIVE_TYPES,
    Words,
    gettext_noop,
    type_words,
)
from smart.scopes.syntax import (
    ANY_TYPE,
    INTROSPECTION_SCOPE,
    ClinicalScope,
    Constraint,
    ContextScope,
    Interaction,
    Level,
    NamedScope,
    Scope,
)

_ = gettext_noop

Translate = Callable[[str], str]


class Reader(StrEnum):
    """For whom the words are."""

    PATIENT = "patient"
    CLINICIAN = "clinician"


class Kind(StrEnum):
    """Under which heading of the page a scope goes.

    `offline` is access that lasts beyond this visit (`offline_access`, `online_access`).
    """

    VIEW = "view"
    CHANGE = "change"
    KNOW = "know"
    OFFLINE = "offline"
    CONTEXT = "context"


@dataclass(frozen=True, slots=True)
class Description:
    """One line of a consent page.

    `sensitive`: the scope names delicate data, so a page should not tick it by itself.
    """

    kind: Kind
    short: str
    long: str
    sensitive: bool


_VERBS: Final = (
    ({Interaction.READ, Interaction.SEARCH}, _("View"), _("view")),
    ({Interaction.CREATE}, _("Add"), _("add")),
    ({Interaction.UPDATE}, _("Change"), _("change")),
    ({Interaction.DELETE}, _("Delete"), _("delete")),
)

_FRAMES: Final = {
    (Reader.PATIENT, Level.PATIENT): _("{verbs} {things}"),
    (Reader.PATIENT, Level.USER): _("{verbs} {things}, and those of people you care for"),
    (Reader.PATIENT, Level.SYSTEM): _("{verbs} {things}, and those of other patients"),
    (Reader.CLINICIAN, Level.PATIENT): _("{verbs} {things} of this patient"),
    (Reader.CLINICIAN, Level.USER): _("{verbs} {things} that you may access"),
    (Reader.CLINICIAN, Level.SYSTEM): _("{verbs} {things} of all patients it is approved for"),
}

_LEVEL_SENTENCES: Final = {
    Level.PATIENT: _("It covers one person's record only."),
    Level.USER: _("The app can never do more than you can."),
    Level.SYSTEM: _("The app does this by itself, with no one signed in."),
}

_NAMED: Final = {
    "openid": (
        Kind.KNOW,
        Words(_("Know who you are"), _("Know who you are")),
        _("The app learns that it is you. It does not get your password."),
    ),
    "fhirUser": (
        Kind.KNOW,
        Words(_("Know which health record is yours"), _("Know your professional record")),
        _("The app can open the record that says who you are here."),
    ),
    "profile": (
        Kind.KNOW,
        Words(_("Know your name"), _("Know your name")),
        _("The app learns your name and basic facts about you."),
    ),
    "offline_access": (
        Kind.OFFLINE,
        Words(_("Keep its access when you are away"), _("Keep its access when you are away")),
        _("The app can use this access when you do not use the app. You can stop it at any time."),
    ),
    "online_access": (
        Kind.OFFLINE,
        Words(
            _("Keep its access while you are signed in"),
            _("Keep its access while you are signed in"),
        ),
        _("The access ends when you sign out."),
    ),
}

_MANAGEMENT: Final = {
    "authfi/tenants": (Kind.CHANGE, _("Manage organizations")),
    "authfi/users": (Kind.CHANGE, _("Manage people and their roles")),
    "authfi/apps": (Kind.CHANGE, _("Manage apps")),
    "authfi/launch": (Kind.CHANGE, _("Start apps with a patient's record open")),
    "authfi/audit.read": (Kind.VIEW, _("View the audit trail")),
    "authfi/consents": (Kind.CHANGE, _("Manage consents")),
    "authfi/sessions": (Kind.CHANGE, _("View and end sessions")),
    INTROSPECTION_SCOPE: (Kind.VIEW, _("View what other apps' access allows")),
}
_MANAGEMENT_LONG: Final = _("The app works on the settings of this server, not on health records.")

_CONTEXTS: Final = {
    None: (
        _("Know what you have open"),
        _("The app learns what was on the screen when you started it."),
    ),
    "Patient": (
        _("Know which record is open"),
        _("The app learns whose record it should show."),
    ),
    "Encounter": (_("Know which visit is open"), _("The app learns which visit it should show.")),
}

_CONTEXT_FRAMES: Final = {
    Reader.PATIENT: _("Know which of {things} are open"),
    Reader.CLINICIAN: _("Know which {things} are open"),
}

#: Characters of a constraint's value shown on a page.
_SHOWN_VALUE: Final = 120


def _same(text: str) -> str:
    return text


def describe(scope: Scope, reader: Reader, translate: Translate = _same) -> Description:
    """What a scope lets an app do, in words for the reader.

    `translate` turns each English message (with its `{placeholders}`) into the reader's language.
    """
    if isinstance(scope, ClinicalScope):
        return _clinical(scope, reader, translate)
    if isinstance(scope, ContextScope):
        return _context(scope, reader, translate)
    if isinstance(scope, NamedScope):
        return _named(scope, reader, translate)
    short = translate(_("Use “{scope}”")).format(scope=scope.text)
    return Description(Kind.KNOW, short, translate(_("This server does not know it.")), False)


def _named(scope: NamedScope, reader: Reader, translate: Translate) -> Description:
    if scope.text in _MANAGEMENT:
        kind, short = _MANAGEMENT[scope.text]
        return Description(kind, translate(short), translate(_MANAGEMENT_LONG), False)
    kind, words, long = _NAMED[scope.text]
    return Description(kind, translate(_pick(words, reader)), translate(long), False)


def _context(scope: ContextScope, reader: Reader, translate: Translate) -> Description:
    if scope.resource_type in _CONTEXTS:
        short, long = _CONTEXTS[scope.resource_type]
        return Description(Kind.CONTEXT, translate(short), translate(long), False)
    things = translate(_pick(type_words(scope.resource_type or ""), reader))
    return Description(
        Kind.CONTEXT,
        translate(_CONTEXT_FRAMES[reader]).format(things=things),
        translate(_("The app learns what was on the screen when you started it.")),
        False,
    )


def _clinical(scope: ClinicalScope, reader: Reader, translate: Translate) -> Description:
    things, unnamed = _things(scope, reader, translate)
    # A type without a patient's words (Questionnaire, ...) is nobody's own: no "those of people".
    personal = scope.resource_type == ANY_TYPE or scope.resource_type in PATIENT_TYPES
    level = scope.level if personal or reader is Reader.CLINICIAN else Level.PATIENT
    short = translate(_FRAMES[reader, level]).format(
        verbs=_verbs(scope.interactions, translate), things=things
    )
    if scope.resource_type == ANY_TYPE:
        short = translate(_("{text}, now and in the future")).format(text=short)
    sensitive = _is_sensitive(scope)
    sentences = [translate(sentence) for sentence in _reach(scope.interactions)]
    if scope.resource_type == ANY_TYPE:
        sentences.append(translate(_("This means every kind of record, also new kinds.")))
    sentences += [_limit(constraint, translate) for constraint in unnamed]
    sentences.append(translate(_LEVEL_SENTENCES[scope.level]))
    if sensitive:
        sentences.append(translate(_("This can be very private.")))
    kind = Kind.VIEW if scope.interactions <= _VERBS[0][0] else Kind.CHANGE
    return Description(kind, short, " ".join(sentences), sensitive)


def _things(
    scope: ClinicalScope, reader: Reader, translate: Translate
) -> tuple[str, list[Constraint]]:
    """The data in words, and the constraints those words do not tell."""
    words = ALL_RECORDS if scope.resource_type == ANY_TYPE else type_words(scope.resource_type)
    things = translate(_pick(words, reader))
    unnamed = list(scope.constraints)
    for constraint in scope.constraints:
        if categories := _categories(scope.resource_type, constraint):
            names = [translate(_pick(category, reader)) for category in categories]
            things = _join(names, translate)
            unnamed.remove(constraint)
            break
    if unnamed:
        things = translate(_("{things} (only some)")).format(things=things)
    return things, unnamed


def _categories(resource_type: str, constraint: Constraint) -> list[Words]:
    """The words of each category of a constraint; none if one of them has no words."""
    if constraint.parameter != "category":
        return []
    found = [_category(resource_type, token) for token in parse_tokens(constraint.decoded) or ()]
    return list(dict.fromkeys(words for words in found if words)) if all(found) else []


def _category(resource_type: str, token: Token) -> Words | None:
    return next(
        (
            words
            for (owner, system, code), words in CATEGORY_WORDS.items()
            if owner == resource_type and token.code == code and token.system in (None, system)
        ),
        None,
    )


def _reach(interactions: frozenset[Interaction]) -> list[str]:
    """Sentences that say how far each interaction goes (SCOP-03 to SCOP-07)."""
    reads, searches = Interaction.READ in interactions, Interaction.SEARCH in interactions
    sentences = {
        (True, True): _("The app can look for these records and open them."),
        (True, False): _("The app can open a record it knows of, but not look for more."),
        (False, True): _("The app can look for these records and see what it finds."),
        (False, False): _("By this alone, the app does not see what is there."),
    }
    found = [sentences[reads, searches]]
    if Interaction.CREATE in interactions:
        found.append(_("It can add new ones."))
    if Interaction.UPDATE in interactions:
        found.append(_("It can change them."))
    if Interaction.DELETE in interactions:
        found.append(_("It can delete them."))
    return found


def _limit(constraint: Constraint, translate: Translate) -> str:
    # The literal value is plain ASCII without spaces: an app cannot write sentences into it.
    value = constraint.value
    if len(value) > _SHOWN_VALUE:
        value = value[:_SHOWN_VALUE] + "…"
    return translate(_("Only where “{name}” is “{value}”.")).format(
        name=constraint.parameter, value=value
    )


def _verbs(interactions: frozenset[Interaction], translate: Translate) -> str:
    chosen = [(first, later) for group, first, later in _VERBS if group & interactions]
    return _join(
        [translate(pair[0] if at == 0 else pair[1]) for at, pair in enumerate(chosen)], translate
    )


def _join(names: list[str], translate: Translate) -> str:
    if len(names) == 1:
        return names[0]
    return translate(_("{first} and {last}")).format(first=", ".join(names[:-1]), last=names[-1])


def _pick(words: Words, reader: Reader) -> str:
    return words.patient if reader is Reader.PATIENT else words.clinician


def _is_sensitive(scope: ClinicalScope) -> bool:
    if scope.resource_type in SENSITIVE_TYPES:
        return True
    return any(
        constraint.parameter in SENSITIVE_PARAMETERS
        or (
            constraint.parameter == "category"
            and any(
                token.code in SENSITIVE_CATEGORIES
                for token in parse_tokens(constraint.decoded) or ()
            )
        )
        for constraint in scope.constraints
    )
