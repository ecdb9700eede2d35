"""Ask a person for consent: what will be shown is settled and stored before the page opens (C4)."""

import hashlib
import json
import re
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any, Final, Protocol
from urllib.parse import urlsplit
from uuid import UUID

from django.utils import timezone
from django.utils.crypto import constant_time_compare
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import get_language

from authfi.accounts import signin
from authfi.accounts.models import User
from authfi.lib.transaction import transaction
from consent import wording
from consent.choices import Item
from consent.models import ConsentRequest, ConsentText
from tenants.http import TenantRequest

ANSWER_SECONDS: Final = 15 * 60

# An origin, or the bare scheme of a native app: nothing that could add to a CSP header.
_ORIGIN: Final = re.compile(r"[a-z][a-z0-9+.-]*:(//[A-Za-z0-9.\-\[\]:]+)?")


class App(Protocol):
    """What this layer needs to know of a registered app."""

    pk: Any
    name: str
    client_id: str
    access_token_seconds: int
    about: Any

    @property
    def is_public(self) -> bool:
        """True for an app that cannot keep a secret."""
        ...


@dataclass(frozen=True, slots=True)
class Withheld:
    """Something the app asked for and will not get, and why: one of `wording.Why`.

    Raises ValueError for another reason.
    """

    short: str
    why: str

    def __post_init__(self) -> None:
        wording.Why(self.why)


def open_request(
    request: TenantRequest,
    *,
    application: App,
    user: User,
    reader: str,
    patient: str | None,
    patient_name: str,
    items: Sequence[Item],
    redirect_origin: str,
    return_path: str,
    withheld: Sequence[Withheld] = (),
    lasts_seconds: int | None = None,
) -> ConsentRequest:
    """Store a question to `user`, to be shown in the session of `request`.

    `reader` is one of `wording.Reader`, `patient` the logical id of a Patient. The answer goes by
    `return_path`, ours, to `redirect_origin` (`https://app.example`, or `com.example.app:`).
    `withheld` is what the app does not get whatever the answer (D5). `lasts_seconds` is the longest
    that lasting access can last, None where it has no end; access for once lasts as long as an
    access token. A confidential app's answer can be remembered (C3). Raises ValueError for an
    unsafe origin or path, when nothing is asked, or when `user` is not who is signed in.
    """
    _check_person(request, user)
    _check(items, redirect_origin, return_path)
    scopes = [item.scope for item in items]
    if wording.lasting(scopes) == "once":
        lasts_seconds = application.access_token_seconds
    shape = _shape(items, patient_name, has_end=lasts_seconds is not None)
    facts = {
        "app": application.name,
        "hospital": request.tenant.name,
        "host": _host(redirect_origin),
        "person": user.name,
        "patient": patient_name,
        "time": wording.length_of_time(lasts_seconds) if lasts_seconds is not None else "",
        "once": wording.length_of_time(application.access_token_seconds),
        "wait": wording.length_of_time(ANSWER_SECONDS),
    }
    with transaction():
        return ConsentRequest.objects.create(
            application_id=application.pk,
            user=user,
            patient=patient,
            shown={
                "facts": facts,
                "redirect_origin": redirect_origin,
                "about": application.about,
                "may_remember": not application.is_public,
            },
            scopes=" ".join(scopes),
            return_path=return_path,
            session_digest=signin.assurance(request).session_digest,
            text=_text(wording.words(wording.Reader(reader), shape), items, withheld),
            expires_at=timezone.now() + timedelta(seconds=ANSWER_SECONDS),
        )


def find(request_id: UUID, *, user: User, session_digest: str) -> ConsentRequest | None:
    """The question, for the person and the session it was put to; None for anybody else (O7)."""
    found = ConsentRequest.objects.filter(pk=request_id, user=user).select_related("text").first()
    if found and constant_time_compare(found.session_digest, session_digest):
        return found
    return None


def items(consent_request: ConsentRequest) -> tuple[Item, ...]:
    """What is asked for, as it was settled."""
    return tuple(Item.stored(item) for item in consent_request.text.text["items"])


def digest(consent_request: ConsentRequest, opened: Collection[str] = ()) -> str:
    """SHA-256 over all that the page shows and asks; the answer must bring it back (C4).

    `opened` are the scopes in whose place the page shows their parts.
    """
    return _sha256(
        {
            "opened": sorted(opened),
            "request": str(consent_request.pk),
            "text": consent_request.text.digest,
            "shown": consent_request.shown,
            "patient": consent_request.patient,
            "scopes": consent_request.scopes,
        }
    )


def _check_person(request: TenantRequest, user: User) -> None:
    if signin.person(request) != user:
        raise ValueError("a question is put to the person who is signed in")


def _check(items: Sequence[Item], redirect_origin: str, return_path: str) -> None:
    if not items:
        raise ValueError("nothing is asked for")
    if not _ORIGIN.fullmatch(redirect_origin):
        raise ValueError("redirect_origin is not an origin")
    is_path = return_path.startswith("/") and "\\" not in return_path
    if not (is_path and url_has_allowed_host_and_scheme(return_path, allowed_hosts=None)):
        raise ValueError("return_path is not a path of ours")


def _shape(items: Sequence[Item], patient_name: str, *, has_end: bool) -> wording.Shape:
    return wording.Shape(
        kinds=frozenset(wording.Kind(item.kind) for item in items),
        has_patient=bool(patient_name),
        lasts=wording.lasting(item.scope for item in items),
        has_end=has_end,
        has_all_records=wording.reaches_all_records(item.scope for item in items),
    )


def _host(origin: str) -> str:
    """What a person reads of an origin: its host, or a native app's scheme."""
    return urlsplit(origin).netloc or origin.rstrip(":")


def _text(
    words: dict[str, str], items: Sequence[Item], withheld: Sequence[Withheld]
) -> ConsentText:
    """This version of the page's words, stored once (C9, C11)."""
    language = get_language() or "en"
    text = {
        "words": words,
        "items": [asdict(item) for item in items],
        "withheld": [asdict(one) for one in withheld],
    }
    stored, _ = ConsentText.objects.get_or_create(
        digest=_sha256({"language": language, **text}),
        defaults={"language": language, "text": text},
    )
    return stored


def _sha256(value: dict[str, Any]) -> str:
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()
