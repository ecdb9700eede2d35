"""The forms of the sign-in pages. What was typed stays on the page, except secrets."""

from typing import Any

from django import forms
from django.core.validators import MaxLengthValidator
from django.utils.translation import gettext_lazy as _

from authfi.accounts.mfa.totp import DIGITS
from authfi.accounts.passwords import MAX_LENGTH

# A validator and not `max_length`, with which browsers would cut what is pasted without a word.
_no_longer = MaxLengthValidator(MAX_LENGTH, _("A password has at most %(limit_value)s characters."))


class LoginForm(forms.Form):
    """E-mail and password."""

    email = forms.CharField(
        label=_("E-mail"),
        max_length=254,
        widget=forms.EmailInput(
            attrs={"class": "input", "autocomplete": "username", "autofocus": True}
        ),
        error_messages={"required": _("Enter your e-mail address.")},
    )
    password = forms.CharField(
        label=_("Password"),
        validators=[_no_longer],
        strip=False,
        widget=forms.PasswordInput(
            attrs={"class": "input", "autocomplete": "current-password"}, render_value=False
        ),
        error_messages={"required": _("Enter your password.")},
    )


class CodeForm(forms.Form):
    """The code of an authenticator app."""

    code = forms.CharField(
        label=_("Code"),
        max_length=16,
        widget=forms.TextInput(
            attrs={
                "class": "input code",
                "inputmode": "numeric",
                "autocomplete": "one-time-code",
                "autofocus": True,
            }
        ),
        error_messages={"required": _("Enter the code your authenticator app shows.")},
    )

    def clean_code(self) -> str:
        """Six digits, however they were grouped. Raises ValidationError."""
        code = "".join(str(self.cleaned_data["code"]).split())
        if not (len(code) == DIGITS and code.isascii() and code.isdigit()):
            raise forms.ValidationError(
                _("The code has %(digits)s digits."), params={"digits": DIGITS}
            )
        return code


class NewPasswordForm(forms.Form):
    """A new password, typed twice."""

    password = forms.CharField(
        label=_("New password"),
        strip=False,
        widget=forms.PasswordInput(attrs={"class": "input", "autocomplete": "new-password"}),
        error_messages={"required": _("Choose a password.")},
    )
    again = forms.CharField(
        label=_("New password, once more"),
        strip=False,
        widget=forms.PasswordInput(attrs={"class": "input", "autocomplete": "new-password"}),
        error_messages={"required": _("Enter the password once more.")},
    )

    def clean(self) -> dict[str, Any] | None:
        """Both must agree."""
        cleaned = super().clean()
        first, again = self.cleaned_data.get("password"), self.cleaned_data.get("again")
        if first and again and first != again:
            self.add_error("again", _("The two new passwords differ."))
        return cleaned


class PasswordForm(NewPasswordForm):
    """A new password, and the present one."""

    present = forms.CharField(
        label=_("Present password"),
        validators=[_no_longer],
        strip=False,
        widget=forms.PasswordInput(attrs={"class": "input", "autocomplete": "current-password"}),
    )
    field_order = ["present", "password", "again"]
