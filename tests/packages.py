"""Programs of the system that the tests use: found, installed where we may, or asked for."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

POLICY = Path("/usr/sbin/policy-rc.d")
FONT_FOLDERS = ("/usr/share/fonts", "/usr/local/share/fonts", "/Library/Fonts")


@dataclass(frozen=True)
class Programs:
    """Where the programs are: PostgreSQL's folder of binaries, and two executables."""

    postgres: Path
    redis: Path
    chromium: Path


def _on_path(*names: str) -> Path | None:
    return next((Path(found) for name in names if (found := shutil.which(name))), None)


def find_postgres() -> Path | None:
    """The folder with `initdb` of the newest PostgreSQL; Debian keeps it off the PATH."""
    debian = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    newest = max(debian, key=lambda initdb: float(initdb.parts[-3]), default=None)
    found = newest or _on_path("initdb")
    return found.parent if found else None


def find_redis() -> Path | None:
    """The Redis server."""
    return _on_path("redis-server")


def find_chromium() -> Path | None:
    """The browser: the one named by CHROMIUM, else the system's."""
    return _on_path(os.environ.get("CHROMIUM", "chromium"), "chromium", "chromium-browser")


def find_nginx() -> Path | None:
    """The web server, which Debian keeps off the PATH of people."""
    return _on_path("nginx", "/usr/sbin/nginx")


def find_font() -> Path | None:
    """Any outline font: without one Chromium draws no text."""
    for folder in (*FONT_FOLDERS, Path.home() / ".fonts"):
        for path in Path(folder).rglob("*.[to]tf"):
            return path
    return None


PACKAGES: dict[str, Callable[[], Path | None]] = {
    "postgresql": find_postgres,
    "redis-server": find_redis,
    "chromium": find_chromium,
    "fonts-dejavu-core": find_font,
}


#: What only `make bench` needs.
BENCH_PACKAGES: dict[str, Callable[[], Path | None]] = {"nginx-light": find_nginx}


def missing(packages: Mapping[str, Callable[[], Path | None]] = PACKAGES) -> list[str]:
    """Debian's names of the packages that are not there."""
    return [package for package, find in packages.items() if find() is None]


def install_line(packages: list[str]) -> str:
    """The one line that installs the packages."""
    names = " ".join(packages)
    return f"sudo apt-get update && sudo apt-get install -y --no-install-recommends {names}"


@contextmanager
def services_stay_down() -> Iterator[None]:
    """Keep apt-get from starting the servers it installs: the tests start their own.

    Debian asks /usr/sbin/policy-rc.d before it starts one; 101 means no. An existing one stays.
    """
    if POLICY.exists():
        yield
        return
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink()


def install(packages: list[str]) -> None:
    """Install Debian packages. Raises CalledProcessError."""
    sys.stderr.write(f"Installing {', '.join(packages)} ...\n")
    env = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    apt = ["apt-get", "-qq", "-o", "Dpkg::Use-Pty=0"]
    with services_stay_down():
        subprocess.run([*apt, "update"], env=env, check=True)
        command = [*apt, "install", "-y", "--no-install-recommends", *packages]
        subprocess.run(command, env=env, check=True, stdout=subprocess.DEVNULL)


def provide(packages: Mapping[str, Callable[[], Path | None]]) -> None:
    """Install what is missing, as root on Debian.

    Ends the process with the line that installs it where we may not or cannot.
    """
    needed = missing(packages)
    if not needed:
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise SystemExit(f"System packages are missing: {install_line(needed)}")
    try:
        install(needed)
    except subprocess.CalledProcessError as error:
        raise SystemExit(f"apt-get failed. Try: {install_line(needed)}") from error


def nginx() -> Path:
    """The web server that the benchmark measures beside, installed where we may."""
    provide(BENCH_PACKAGES)
    found = find_nginx()
    if found is None:
        raise SystemExit(f"The benchmark needs nginx: {install_line(list(BENCH_PACKAGES))}")
    return found


def programs() -> Programs:
    """Find every program, installing first as root on Debian.

    Ends the process with the line that installs them where it may not or cannot.
    """
    provide(PACKAGES)
    postgres, redis, chromium = find_postgres(), find_redis(), find_chromium()
    if postgres is None or redis is None or chromium is None or find_font() is None:
        raise SystemExit(f"The tests need system packages: {install_line(missing())}")
    return Programs(postgres, redis, chromium)
