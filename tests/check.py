"""Every check that runs no test: format, lint, types, imports, marks, migrations, deployment.

`make check` calls it. Runs them all, then names those that failed.
"""

import re
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.services import clean_environment

BIN = Path(sys.executable).parent
MANAGE = (sys.executable, "manage.py")
MODULE = (sys.executable, "-m")
# An installation as it should be; nothing is contacted.
PRODUCTION = {
    "AUTHFI_MODE": "production",
    "DATABASE_URL": "postgres://authfi_app:unused@database.invalid/authfi",
    "DATABASE_OWNER_URL": "postgres://authfi_owner:unused@database.invalid/authfi",
    "REDIS_URL": "rediss://redis.invalid/0",
    "ORIGIN": "https://id.example.org",
    "KEK_URL": "file:///etc/authfi/kek.key",
    "AUDIT_KEY_FILE": "/etc/authfi/audit.key",
}


def commands(folder: str) -> Iterator[tuple[str, tuple[str, ...], dict[str, str]]]:
    """Each check: its name, command and environment; `folder` is empty and for their files."""
    test = {"AUTHFI_MODE": "test", "DATA_DIR": folder}
    made = {name: secrets.token_urlsafe(64) for name in ("SECRET_KEY", "PASSWORD_PEPPER")}
    production = PRODUCTION | made | {"DATA_DIR": folder}
    yield "format", (*MODULE, "ruff", "format", "--check", "."), {}
    yield "lint", (*MODULE, "ruff", "check", "."), {}
    yield "types", (*MODULE, "mypy", "."), test
    yield "imports", (str(BIN / "lint-imports"),), test
    yield "conformance", (*MODULE, "tests.conformance", "--check"), {}
    yield "migrations", (*MANAGE, "makemigrations", "--check", "--dry-run"), test
    deploy = (*MANAGE, "check", "--deploy", "--fail-level", "WARNING")
    yield "deployment", deploy, production


def addresses_in_requirements(folder: Path = Path("requirements")) -> list[str]:
    """Lines of the requirement files that name an address: where packages come from is the host's
    to say, and a hash is what proves them."""
    return [
        f"{path}:{number}: {line}"
        for path in sorted(folder.iterdir())
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if re.search(r"://|^\s*(-i|-f|--index-url|--extra-index-url|--find-links)\b", line)
    ]


def main() -> int:
    """Run every check. Returns 1 when one fails."""
    failed = []
    with tempfile.TemporaryDirectory() as folder:
        for name, command, variables in commands(folder):
            sys.stdout.write(f"== {name}\n")
            sys.stdout.flush()
            if subprocess.run(command, env=clean_environment() | variables, check=False).returncode:
                failed.append(name)
    if lines := addresses_in_requirements():
        sys.stdout.write("== requirements\n" + "\n".join(lines) + "\n")
        failed.append("requirements")
    sys.stdout.write(f"Failed: {', '.join(failed)}\n" if failed else "All checks passed.\n")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
