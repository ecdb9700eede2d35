"""Keeps a handful of child processes running and stops them in good order (design D1)."""

import logging
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import FrameType

log = logging.getLogger(__name__)

STOP_SECONDS = 15.0
LONGEST_PAUSE_SECONDS = 30.0


@dataclass(slots=True)
class Child:
    """One program: how it is started and, while it runs, its process."""

    name: str
    command: Sequence[str]
    env: Mapping[str, str]
    folder: str
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    pause_seconds: float = 0.5
    due_at: float = 0.0

    def start(self) -> None:
        """Start the program."""
        self.process = subprocess.Popen(  # noqa: S603 (our own)
            self.command, env=dict(self.env), cwd=self.folder, start_new_session=True
        )
        self.started_at = time.monotonic()

    def has_ended(self) -> bool:
        """True once the program has ended; False before its first start."""
        return self.process is not None and self.process.poll() is not None

    def signal_all(self, number: int) -> None:
        """Signal the program and whatever it started: its session is its own."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)

    def plan_restart(self, now: float) -> None:
        """Wait longer after each quick death, so that a broken program does not spin."""
        self.signal_all(signal.SIGKILL)  # a worker may have outlived its main process
        lived = now - self.started_at
        self.pause_seconds = (
            0.5 if lived > 60 else min(self.pause_seconds * 2, LONGEST_PAUSE_SECONDS)
        )
        self.due_at = now + self.pause_seconds
        self.process = None


@dataclass(slots=True)
class Supervisor:
    """Starts children, restarts those that die, and stops all on SIGTERM or Ctrl-C."""

    env: Mapping[str, str]
    folder: str
    children: list[Child] = field(default_factory=list)
    stopping: bool = False

    def add(self, name: str, command: Sequence[str]) -> Child:
        """Start a child in the supervisor's environment and folder, and keep it running."""
        child = Child(name=name, command=command, env=self.env, folder=self.folder)
        child.start()
        self.children.append(child)
        return child

    def catch_signals(self) -> None:
        """Let SIGTERM and Ctrl-C end the parent by way of `stop`, whatever it is doing."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)

    def run(self) -> None:
        """Watch until told to stop, then stop all."""
        try:
            while not self.stopping:
                self._restart_dead()
                time.sleep(0.2)
        finally:
            self.stop()

    def stop(self) -> None:
        """Ask every child to end; end those that do not, and what they leave behind."""
        self.stopping = True
        for child in self.children:
            child.signal_all(signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        for child in self.children:
            if child.process is not None:
                with suppress(subprocess.TimeoutExpired):
                    child.process.wait(max(0.1, deadline - time.monotonic()))
                child.signal_all(signal.SIGKILL)
                child.process.wait()
        self.children.clear()

    def _restart_dead(self) -> None:
        now = time.monotonic()
        for child in self.children:
            if child.has_ended():
                log.warning("%s ended and is started again", child.name)
                child.plan_restart(now)
            if child.process is None and now >= child.due_at:
                child.start()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if not self.stopping:
            self.stopping = True
            raise SystemExit(0)
