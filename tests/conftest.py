"""What all tests share: a cache of their own, and one thread, so that nothing depends on the machine."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from tiny import make_tiny

import rnntext

os.environ["RNNTEXT_PLUGINS"] = ""  # what else is installed here is not under test, nor the names of tests


@pytest.fixture(autouse=True, scope="session")
def _surroundings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RNNTEXT_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.delenv("COLUMNS", raising=False)  # a runner of several processes sets it: tables would fold
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        yield
        torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def tiny_recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe that trains in a blink, with its data beside it. Not to be changed: see ``tiny.make_tiny``."""
    return make_tiny(tmp_path_factory.mktemp("tiny"), baselines={"enabled": True})


@pytest.fixture(scope="session")
def tiny_run(tiny_recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> rnntext.Run:
    """A finished run of ``tiny_recipe``. Not to be changed: see ``run_copy``."""
    return rnntext.run(tiny_recipe, out=tmp_path_factory.mktemp("runs") / "tiny")


@pytest.fixture(scope="session")
def tiny_model(tiny_run: rnntext.Run) -> rnntext.TrainedModel:
    """The model of ``tiny_run``."""
    return rnntext.load(tiny_run.path)


@pytest.fixture
def run_copy(tiny_run: rnntext.Run, tmp_path: Path) -> Path:
    """A copy of ``tiny_run`` to damage."""
    return Path(shutil.copytree(tiny_run.path, tmp_path / "copy"))
