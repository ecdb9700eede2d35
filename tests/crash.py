"""Kills a process at one step of its work, as `kill -9` would: no clean-up, no last words.

`python -m tests.crash --at audit.chain:append_and_commit:after:3 -- -m tests.audit.appender ARGS`
kills the process when that function has returned for the third time; `before` kills it instead of
the call. Behind `--` stands what Python is to run: `-m MODULE` or a file such as `manage.py`.
The function is named where its caller looks it up, `module:Class.method` for a method.

A web server starts its workers itself: serve `tests.crash_asgi:application` with CRASH_AT set.
"""

import argparse
import functools
import importlib
import inspect
import itertools
import os
import runpy
import signal
import sys
from collections.abc import Callable
from typing import Any, NoReturn

import django


def install(at: str) -> None:
    """Arm this process: `module:function:before|after:nth`, the first call being 1."""
    module, path, moment, nth = at.split(":")
    assert moment in ("before", "after"), moment
    *owners, name = path.split(".")
    owner = functools.reduce(getattr, owners, importlib.import_module(module))
    setattr(owner, name, _armed(getattr(owner, name), moment, int(nth)))


def _armed(function: Callable[..., Any], moment: str, nth: int) -> Callable[..., Any]:
    calls = itertools.count(1)  # next() is atomic: two threads never get one number

    def step(now: str) -> None:
        if now == moment and next(calls) == nth:
            die()

    @functools.wraps(function)
    def plain(*args: Any, **kwargs: Any) -> Any:
        step("before")
        result = function(*args, **kwargs)
        step("after")
        return result

    @functools.wraps(function)
    async def awaited(*args: Any, **kwargs: Any) -> Any:
        step("before")
        result = await function(*args, **kwargs)
        step("after")
        return result

    return awaited if inspect.iscoroutinefunction(function) else plain


def die() -> NoReturn:
    """End this process at once."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("unreachable")


def main() -> None:
    """Arm, then run what stands behind `--`."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__)
    parser.add_argument("--at", required=True, help="module:function:before|after:nth")
    parser.add_argument("command", nargs="+", help="-m MODULE or FILE, and its arguments")
    options = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "authfi.settings")
    django.setup()
    install(options.at)
    first, *rest = options.command
    if first == "-m":
        sys.argv = rest
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    else:
        sys.argv = options.command
        runpy.run_path(first, run_name="__main__")


if __name__ == "__main__":
    main()
