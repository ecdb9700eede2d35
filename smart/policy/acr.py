"""Levels of authentication by the names tokens have for them (N13; OIDC Core 2 `acr`). Pure.

NIST SP 800-63B calls them AAL: one factor, and several.
"""

from collections.abc import Mapping
from typing import Final

#: The weakest first; a sign-in here reaches these.
LEVELS: Final[Mapping[str, int]] = {"aal1": 1, "aal2": 2}
_NAMES: Final = {aal: name for name, aal in LEVELS.items()}
#: What a sign-in is taken for of which nothing is told, or nothing that is known here.
LOWEST: Final = 1


def name_of(aal: int) -> str:
    """The `acr` of a level. Raises KeyError for a level that no sign-in has."""
    return _NAMES[aal]


def aal_of(acr: str) -> int:
    """The level that an `acr` names."""
    return LEVELS.get(acr, LOWEST)


def wanted(acr_values: str) -> int:
    """The level that an app asks for: the one it likes best of those known; 0 without one.

    `acr_values` are names with spaces between, in order of preference; what is unknown is passed
    over (OIDC Core 3.1.2.1).
    """
    return next((LEVELS[one] for one in acr_values.split() if one in LEVELS), 0)
