"""The directions of imports and a few house rules, held by reading the source."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import rnntext
from rnntext.contracts import KINDS

PACKAGE = Path(rnntext.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
MAX_LINES = 350
MAX_LINES_OF = {"contracts.py": 420}  # the whole plugin surface on one page
# The core that finds parts by name, and so may know none of them.
KNOWS_NO_PART = ["contracts", "errors", "registry", "options", "tables", "recipe", "recipe_source", "recipe_schema"]
MAY_BE_IMPORTED_BY_PARTS = {"contracts", "errors", "caching", "schemes"}
MAY_BE_IMPORTED_BY_DATASETS = {*MAY_BE_IMPORTED_BY_PARTS, "sentences"}
MAY_BE_IMPORTED_BY_HEADS = {*MAY_BE_IMPORTED_BY_PARTS, "metrics", "baselines", "tag_baselines", "ngram_baselines"}
# Read before any data, and by commands that must answer at once.
NEEDS_NO_TORCH = [*KNOWS_NO_PART, "cli", "plugin_template", "shipping", "__init__", "__main__"]

every_file = pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
parts_files = [path for path in FILES if path.relative_to(PACKAGE).parts[0] in KINDS]


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def running_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield every node of a module except what stands under ``if TYPE_CHECKING``."""
    for child in ast.iter_child_nodes(tree):
        yield child
        if is_type_checking(child):
            for other in child.orelse:
                yield from running_nodes(other)
        else:
            yield from running_nodes(child)


def imported(nodes: Iterator[ast.AST], path: Path) -> set[str]:
    """Return the dotted names of all modules that are imported, ``from rnntext import x`` as rnntext.x."""
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import in line {node.lineno}"
            names = {f"rnntext.{alias.name}" for alias in node.names} if node.module == "rnntext" else {node.module}
            found |= {str(name) for name in names}
    return found


def every_import(path: Path) -> set[str]:
    return imported(ast.walk(ast.parse(path.read_text(encoding="utf-8"))), path)


def own_imports(path: Path) -> set[str]:
    """Return the first names below rnntext that a file imports, anywhere in it."""
    return {name.split(".")[1] for name in every_import(path) if name.startswith("rnntext.")}


def module(name: str) -> Path:
    path = PACKAGE / f"{name}.py"
    assert path.is_file(), f"{name} has moved; change this test with it"
    return path


def test_the_parts_are_where_the_tests_look():
    assert {path.relative_to(PACKAGE).parts[0] for path in parts_files} == set(KINDS)


@pytest.mark.parametrize("path", parts_files, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_part_imports_only_contracts_and_its_own_folder(path):
    kind = path.relative_to(PACKAGE).parts[0]
    more = {"datasets": MAY_BE_IMPORTED_BY_DATASETS, "heads": MAY_BE_IMPORTED_BY_HEADS}
    assert own_imports(path) <= {*more.get(kind, MAY_BE_IMPORTED_BY_PARTS), kind}


@pytest.mark.parametrize("name", KNOWS_NO_PART)
def test_what_finds_parts_by_name_imports_none(name):
    assert not own_imports(module(name)) & set(KINDS)


@pytest.mark.parametrize("path", [path for path in FILES if path not in parts_files], ids=lambda path: path.stem)
def test_nothing_outside_the_parts_imports_a_part_by_its_file(path):
    assert not own_imports(path) & set(KINDS)


def test_contracts_and_errors_import_nothing_of_rnntext_at_run_time():
    for name in ("contracts", "errors"):
        path = module(name)
        found = imported(running_nodes(ast.parse(path.read_text(encoding="utf-8"))), path)
        assert not [other for other in found if other.startswith("rnntext")]


def test_contracts_import_torch_for_type_checking_or_within_a_method_alone():
    tree = ast.parse(module("contracts").read_text(encoding="utf-8"))
    at_import = [node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]
    assert "torch" not in imported(iter(at_import), PACKAGE)
    assert "torch" in imported(ast.walk(next(filter(is_type_checking, tree.body))), PACKAGE)


@pytest.mark.parametrize("name", NEEDS_NO_TORCH)
def test_what_answers_at_once_imports_no_torch_at_its_top(name):
    path = module(name)
    top = [node for node in ast.parse(path.read_text(encoding="utf-8")).body if not is_type_checking(node)]
    packages = {other.split(".")[0] for other in imported(iter(top), path)}
    assert not packages & {"torch", "numpy", "sklearn", "spacy", "nltk", "datasets", "pyarrow"}


def test_only_the_head_knows_tasks_by_name():
    tasks = {"classification", "sentiment", "tagging", "fill_blank", "next_token"}
    tables = {"registry.py", "tables.py"}  # where names stand as data
    for path in FILES:
        if path.name in tables or path.parent.name == "heads":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Compare):
                compared = {item.value for item in ast.walk(node) if isinstance(item, ast.Constant)}
                assert not compared & tasks, f"{path.name}:{node.lineno} asks for a task by name"


def test_only_devices_knows_accelerate():
    assert {path.stem for path in FILES if "accelerate" in every_import(path)} <= {"devices"}


@every_file
def test_a_file_is_short_enough_for_one_sitting(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_LINES_OF.get(path.name, MAX_LINES)


@every_file
def test_no_file_unpickles_evaluates_or_prints(path):
    assert not every_import(path) & {"pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
    forbidden = {"eval", "exec", "compile", "__import__"} | (
        set() if path.name in ("cli.py", "commands.py") else {"print"}
    )
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in forbidden, f"line {node.lineno}"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            loads = ast.unparse(node.func)
            assert loads not in {"torch.load", "torch.save"}, f"line {node.lineno}: these are pickles"


@pytest.mark.parametrize("name", ["manager", "utils", "common", "misc", "helpers"])
def test_no_module_is_named_after_nothing(name):
    assert not [path for path in PACKAGE.rglob("*") if path.stem == name]


def test_the_package_says_that_it_is_typed():
    assert (PACKAGE / "py.typed").is_file()


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["--version"], ["list"], [], ["run", "--help"]],
    ids=["--help", "--version", "list", "no command", "run --help"],
)
def test_a_command_that_only_tells_leaves_torch_alone(arguments):
    code = (
        "import sys\nfrom rnntext.cli import main\n"
        f"try:\n    main({arguments!r})\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'numpy', 'spacy', 'sklearn', 'datasets', 'pandas', 'pyarrow'} & set(sys.modules)\n"
        "sys.exit(f'imported: {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_importing_rnntext_and_its_registry_leaves_torch_alone_and_names_come_when_asked_for():
    code = (
        "import sys, rnntext\n"
        "assert 'torch' not in sys.modules and 'pydantic' not in sys.modules\n"
        "rnntext.registry.entries('encoders'); rnntext.register; rnntext.read_recipe\n"
        "assert 'torch' not in sys.modules\n"
        "assert callable(rnntext.load) and callable(rnntext.run)\n"
        "assert set(rnntext.__all__) == set(dir(rnntext))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_public_name_is_there():
    for name in rnntext.__all__:
        assert getattr(rnntext, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = rnntext.nothing
