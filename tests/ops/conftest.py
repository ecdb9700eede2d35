"""Commands as people type them."""

import io
import os
import subprocess
import sys
from collections.abc import Callable

import pytest
from django.core.management import CommandError, call_command


def run(*arguments: str) -> str:
    """What a command prints."""
    out = io.StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue()


def refusal(*arguments: str) -> str:
    """The one line of a command that ends with exit status 1 and prints nothing else."""
    out = io.StringIO()
    with pytest.raises(CommandError) as error:
        call_command(*arguments, stdout=out)
    assert error.value.returncode == 1
    assert "\n" not in str(error.value)
    assert not out.getvalue()
    return str(error.value)


@pytest.fixture
def typed() -> Callable[..., subprocess.CompletedProcess[str]]:
    """A command in a process of its own, beside this one, on the same database."""

    def type_in(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env=dict(os.environ),
        )

    return type_in
