"""The cache for parsed data and vectors: where it is, and how its entries are named and written."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from rnntext.errors import DataError


def cache_folder() -> Path:
    """Return the folder for parsed data: RNNTEXT_CACHE, else rnntext under the user's cache folder."""
    given = os.environ.get("RNNTEXT_CACHE")
    if given:
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rnntext"


def file_digest(path: str | Path) -> str:
    """Return the sha256 of a file, in hexadecimal."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def cache_error(error: OSError) -> DataError:
    """Return what to tell when the cache cannot be written to."""
    return DataError(
        f"cannot write to the cache ({error}); make room, or set RNNTEXT_CACHE to a folder that can be written to"
    )
