"""The package keeps its own rules: layers, flags, random numbers, docstrings."""

import ast
import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "models_genesis_tf"
# The data's way through the package; a room imports only from those before it.
ORDER = (
    "errors",
    "config",
    "imaging",
    "phantoms",
    "transforms",
    "pipelines",
    "models",
    "training",
    "tasks",
    "evaluation",
    "experiments",
    "benchmarks",
    "run_flags",
    "task_flags",
    "scoring_flags",
    "command_line",
)
FLAG_ROOMS = ("run_flags", "task_flags", "scoring_flags", "command_line")
TENSORFLOW_ROOMS = {"pipelines", "training", "experiments", "benchmarks"}
MODULES = sorted(PACKAGE.rglob("*.py"))


def _room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def _imports(path: Path) -> list[str]:
    names = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


def _public_functions(path: Path) -> list[ast.FunctionDef]:
    nodes = ast.parse(path.read_text(encoding="utf-8")).body
    classes = [node for node in nodes if isinstance(node, ast.ClassDef)]
    nodes += [inner for outer in classes for inner in outer.body]
    return [
        node
        for node in nodes
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
    ]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_imports_point_up_the_reading_order(path):
    own = _room(path)
    rank = ORDER.index(own) if own in ORDER else len(ORDER)
    for name in _imports(path):
        if name.startswith("models_genesis_tf."):
            room = name.split(".")[1]
            if room in ("__version__",):
                continue
            assert room in ORDER, f"{path} imports the entry point {name}"
            assert ORDER.index(room) <= rank, f"{path} imports {name}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_tensorflow_and_flags_stay_in_their_rooms(path):
    own = _room(path)
    for name in _imports(path):
        if name.split(".")[0] == "tensorflow":
            assert own in TENSORFLOW_ROOMS, path
        if name.startswith("absl"):
            assert own not in ORDER or own in FLAG_ROOMS, path


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_no_global_random_state(path):
    used = re.findall(r"np\.random\.(\w+)", path.read_text(encoding="utf-8"))
    assert set(used) <= {"Generator", "default_rng"}, path
    assert "random" not in _imports(path), path


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_text_is_read_and_written_as_utf_8_whatever_the_locale(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        named = {keyword.arg for keyword in node.keywords}
        if node.func.attr in ("read_text", "write_text") or "newline" in named:
            positional = node.func.attr == "read_text" and node.args
            own = ast.unparse(node.func).startswith("run_folder.")
            assert "encoding" in named or positional or own, ast.unparse(node)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_public_functions_document_the_arguments_they_take(path):
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), (
        f"{path} says nothing"
    )
    for function in _public_functions(path):
        text = ast.get_docstring(function)
        assert text, f"{path.name}: {function.name} has no docstring"
        if "Args:" not in text:
            continue
        section = re.split(r"\n\S", text.split("Args:\n")[1])[0]
        documented = re.findall(r"^ {2}(\*{0,2}\w+)(?: \(.*?\))?:", section, re.M)
        arguments = function.args
        names = [argument.arg for argument in arguments.args + arguments.kwonlyargs]
        names = [name for name in names if name not in ("self", "cls")]
        assert [name for name in documented if name[0] != "*"] == names, (
            f"{path.name}: {function.name}"
        )


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_entry_points_are_thin(path):
    if _room(path) not in ORDER and path.parent == PACKAGE:
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 150, path
