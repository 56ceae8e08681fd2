"""rnntext's side of the talk with a peer in another Python: one JSON object a line; see ``serving``."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).parent.parent.parent
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "BLIS_NUM_THREADS"), "1")


class PeerError(RuntimeError):
    """A peer did not answer."""


@dataclass
class Conversation:
    """A peer that is running."""

    process: subprocess.Popen[str]
    errors: IO[str]
    """What it writes to stderr."""

    def hear(self) -> dict[str, Any]:
        """Return the next answer.

        Raises:
            PeerError: there is none.
        """
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            with suppress(subprocess.TimeoutExpired):  # its last words come after the end of its answers
                self.process.wait(timeout=10)
            self.errors.seek(0)
            last_lines = self.errors.read().strip().splitlines()[-2:]
            raise PeerError("; ".join(map(str.strip, last_lines)) or "it ended without a word")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def ask(self, **request: Any) -> dict[str, Any]:
        """Return the answer to a request.

        Raises:
            PeerError: there is none.
        """
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):  # it has ended, and hear says why
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
        return self.hear()


@contextmanager
def conversation(command: Sequence[str]) -> Iterator[Conversation]:
    """Start a peer, on one thread, and end it afterwards."""
    with tempfile.TemporaryFile("w+", encoding="utf-8") as errors:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **ONE_THREAD},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            encoding="utf-8",
        )
        try:
            yield Conversation(process, errors)
        finally:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                assert pipe is not None
                with suppress(BrokenPipeError):  # what it never read
                    pipe.close()
