"""How a tenant's pages look, for apps that are opened among them (SMART App Launch 2.2.0; CTXT-07).

A document of `tenants.policies`. The members are called as SMART calls them; the standing values
are those of `static/css/tokens.css`.
"""

import re
from dataclasses import asdict, dataclass

from django.core.exceptions import ValidationError

_color = re.compile(r"#[0-9a-fA-F]{6}").fullmatch
_length = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,2})?(?:px|rem|em)").fullmatch
_family = re.compile(r"[A-Za-z0-9 ,\"'-]{1,200}").fullmatch
_FORMS = {
    "color": (_color, "A color is written #0a6470."),
    "dim": (_length, "A length is written 16px or 1rem."),
    "font": (_family, "A font family is a list of names."),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class StylePolicy:
    """Colors, lengths and font families, all as CSS writes them."""

    color_background: str = "#f4f7f7"
    color_error: str = "#a3262a"
    color_highlight: str = "#0a6470"
    color_modal_backdrop: str = "#14232a"
    color_success: str = "#17663a"
    color_text: str = "#14232a"
    dim_border_radius: str = "6px"
    dim_font_size: str = "16px"
    dim_spacing_size: str = "16px"
    font_family_body: str = "system-ui, sans-serif"
    font_family_heading: str = "system-ui, sans-serif"

    def check(self) -> None:
        """Raises ValidationError."""
        for name, value in asdict(self).items():
            is_right, help_text = _FORMS[name.partition("_")[0]]
            if not is_right(value):
                raise ValidationError({name: help_text})
