"""What pip users get: the wheel holds the code, the recipes and the sample data."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel_names(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_the_wheel_holds_every_module_and_the_type_marker(wheel_names: set[str]) -> None:
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "rnntext").rglob("*.py")}
    assert modules <= wheel_names
    assert "rnntext/py.typed" in wheel_names


def test_the_wheel_holds_every_recipe_and_all_sample_data(wheel_names: set[str]) -> None:
    files = [path for path in (ROOT / "recipes").rglob("*") if path.is_file() and path.parent.name != "__pycache__"]
    shipped = {f"rnntext/{path.relative_to(ROOT)}" for path in files}
    assert shipped
    assert shipped <= wheel_names


def test_the_wheel_holds_the_templates_of_plugins(wheel_names: set[str]) -> None:
    templates = {
        str(path.relative_to(ROOT)) for path in (ROOT / "rnntext" / "templates").rglob("*") if path.is_file()
    }
    assert {"datasets", "heads", "every_kind"} <= {Path(name).parts[3] for name in templates}
    assert templates <= wheel_names


def test_the_wheel_holds_nothing_else_of_the_repository(wheel_names: set[str]) -> None:
    assert {name.split("/")[0].split("-")[0] for name in wheel_names} == {"rnntext"}
