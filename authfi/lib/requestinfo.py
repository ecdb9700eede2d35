"""Where a request comes from: known to the audit trail without anyone passing it along."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RequestInfo:
    """Facts about the request being served; empty strings outside of one."""

    request_id: str = ""
    ip: str = ""
    user_agent: str = ""


_NONE = RequestInfo()
_current: ContextVar[RequestInfo] = ContextVar("authfi_request", default=_NONE)


def current() -> RequestInfo:
    """Facts about the request being served."""
    return _current.get()


@contextmanager
def serving(info: RequestInfo) -> Iterator[None]:
    """Make `info` known while a request is served."""
    token = _current.set(info)
    try:
        yield
    finally:
        _current.reset(token)
