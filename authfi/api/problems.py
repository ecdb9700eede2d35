"""Errors of the management API as RFC 9457 problems."""

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import orjson
from django.http import Http404, HttpRequest, HttpResponse
from rest_framework import exceptions

from audit.record import AuditUnavailableError
from authfi.api.authentication import CHALLENGE
from authfi.api.permissions import InsufficientScope

CONTENT_TYPE = "application/problem+json"

log = logging.getLogger(__name__)


class InputProblem(exceptions.APIException):
    """400: a member of the body is wrong; the problem names it."""

    status_code = 400

    def __init__(self, member: str, problem: str) -> None:
        super().__init__(f"{member}: {problem}")
        self.member = member
        self.problem = problem


class TooLarge(exceptions.APIException):
    """413."""

    status_code = 413
    default_detail = "The body is larger than 64 KiB."


def problem(
    status: int,
    detail: str,
    *,
    headers: Mapping[str, str] | None = None,
    **members: object,
) -> HttpResponse:
    """A problem document (RFC 9457 3.1); `members` extend it."""
    body = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        **members,
    }
    response = HttpResponse(
        orjson.dumps(body), status=status, content_type=CONTENT_TYPE, headers=headers
    )
    response["Cache-Control"] = "no-store"
    return response


def handle(error: Exception, context: Mapping[str, Any]) -> HttpResponse:
    """What REST framework calls for every exception of a view."""
    if isinstance(error, exceptions.ValidationError):
        return problem(400, sentence(error), errors=_members(error.detail))
    if isinstance(error, InputProblem):
        wrong = [{"member": error.member, "problem": error.problem}]
        return problem(400, str(error.detail), errors=wrong)
    if isinstance(error, exceptions.APIException):
        return problem(error.status_code, str(error.detail), headers=_headers(error))
    if isinstance(error, Http404):
        return problem(404, "There is nothing at this address.")
    if isinstance(error, AuditUnavailableError):
        detail = "The audit trail cannot be written, so nothing is done. Try again."
        return problem(503, detail, headers={"Retry-After": "5"})
    log.error("the management API failed", exc_info=error)
    return problem(500, "Something went wrong here. The request's id tells the operators what.")


def nothing_here(request: HttpRequest, **_: str) -> HttpResponse:
    """404 for addresses below the API that are none of its own."""
    return problem(404, "There is nothing at this address.")


def _headers(error: exceptions.APIException) -> dict[str, str]:
    headers = {}
    if wait := getattr(error, "wait", None):
        headers["Retry-After"] = str(wait)
    if challenge := getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = challenge
    if isinstance(error, InsufficientScope):
        headers["WWW-Authenticate"] = (
            f'{CHALLENGE}, error="insufficient_scope", scope="{error.scope}"'
        )
    return headers


def _members(detail: object, path: str = "") -> list[dict[str, str]]:
    """Each wrong member with what is wrong with it, nested ones by their path (`auth.token`)."""
    if isinstance(detail, Mapping):
        inner = [(_joined(path, str(name)), value) for name, value in detail.items()]
        return [found for name, value in inner for found in _members(value, name)]
    if isinstance(detail, Sequence) and not isinstance(detail, str):
        return [found for value in detail for found in _members(value, path)]
    return [{"member": path, "problem": str(detail)}]


def _joined(path: str, name: str) -> str:
    if name == "non_field_errors":
        return path
    return f"{path}.{name}" if path else name


def sentence(error: exceptions.APIException) -> str:
    """What is wrong, member by member."""
    wrong = _members(error.detail)
    return "; ".join(
        f"{one['member']}: {one['problem']}" if one["member"] else one["problem"] for one in wrong
    )
