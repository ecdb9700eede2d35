"""What is known of each kind of FHIR server: data files, read once (ehr-connectors 11, EHR-37)."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_FOLDER = Path(__file__).resolve().parent / "preset_data"

#: Presets the management API names but that need more than a FHIR base to connect.
NOT_YET_AVAILABLE = frozenset({"epic", "cerner", "allscripts", "openmrs", "microsoft", "google"})


class UnknownPresetError(LookupError):
    """No preset of that name, or not one that can be used yet; the text says which there are."""


@dataclass(frozen=True, slots=True)
class Preset:
    """One kind of FHIR server.

    `auth_modes` are the ways AuthFI may sign in there, `setup` what the organization has to see to
    itself, a sentence each.
    """

    name: str
    label: str
    needs_fhir_base: bool
    auth_modes: tuple[str, ...]
    setup: tuple[str, ...]


def available() -> tuple[str, ...]:
    """Names of the presets that can be used."""
    return tuple(_presets())


def get(name: str) -> Preset:
    """The preset of that name. Raises UnknownPresetError."""
    found = _presets().get(name)
    if found is not None:
        return found
    problem = "is not available yet" if name in NOT_YET_AVAILABLE else "is not a preset"
    raise UnknownPresetError(f"{name!r} {problem}: use one of {', '.join(available())}")


@cache
def _presets() -> dict[str, Preset]:
    return {path.stem: _read(path) for path in sorted(_FOLDER.glob("*.json"))}


def _read(path: Path) -> Preset:
    data = json.loads(path.read_text())
    return Preset(
        name=path.stem,
        label=data["label"],
        needs_fhir_base=data["needs_fhir_base"],
        auth_modes=tuple(data["auth_modes"]),
        setup=tuple(data["setup"]),
    )
