"""Commands, recipes, links and figures that the documents name exist and parse."""

import importlib
import json
import re
import shlex
from pathlib import Path

import pytest
from absl import flags

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "notebooks").glob("*.ipynb")),
]
RECIPES = sorted((ROOT / "flags").glob("*.cfg"))


def _read(path: Path) -> str:
    """What a document says; of a notebook, what is typed in its cells."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".ipynb":
        return text
    text = "\n".join("".join(cell["source"]) for cell in json.loads(text)["cells"])
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)  # shell variables' defaults


def _commands(text: str) -> list[list[str]]:
    """Finds `python -m models_genesis_tf.x ...` lines, joined over backslashes."""
    lines = re.sub(r"\\\n[\s#]*", " ", text).splitlines()
    return [
        shlex.split(line.strip().lstrip("$# "), comments=True)
        for line in lines
        if re.match(r"^[\s$#]*python -m models_genesis_tf\.", line)
    ]


def _parse(command: list[str]) -> None:
    name = command[2]
    module = importlib.import_module(name)
    # A fresh set with this command's flags alone, so that a flag of another command
    # is as unknown here as it is to the user.
    values = flags.FlagValues()
    for holder in flags.FLAGS.get_key_flags_for_module(name):
        values[holder.name] = holder
    before = {key: values[key].value for key in values}
    try:
        leftover = values([name, *_with_recipes(command[3:])])
    finally:
        for key, value in before.items():
            values[key].value = value
            values[key].present = 0
    words = getattr(module, "WORDS", ())
    assert leftover[0] == name and len(leftover) == 1 + bool(words)
    assert not words or leftover[1] in words
    assert callable(module.cli)


def _with_recipes(arguments: list[str]) -> list[str]:
    """Puts the lines of each `--flagfile` in its place."""
    expanded = []
    for argument in arguments:
        if argument.startswith("--flagfile="):
            expanded += _recipe_lines(ROOT / argument.split("=", 1)[1])
        else:
            expanded.append(argument)
    return expanded


def _recipe_lines(path: Path) -> list[str]:
    lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def _all_commands() -> list:
    return [
        pytest.param(command, id=f"{path.name}-{number}")
        for path in DOCUMENTS
        for number, command in enumerate(_commands(_read(path)))
    ]


@pytest.mark.parametrize("command", _all_commands())
def test_every_command_in_the_documents_parses(command):
    _parse(command)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_parses_and_says_what_it_costs(path):
    text = path.read_text(encoding="utf-8")
    head = "\n".join(line for line in text.splitlines() if line.startswith("#"))
    assert "python -m models_genesis_tf." in head
    assert re.search(r"measured", head)
    for name in ("--data_dir", "--output_dir", "--seed"):
        assert name not in "\n".join(_recipe_lines(path))
    command = path.stem.split("_")[0]
    _parse(["python", "-m", f"models_genesis_tf.{command}", *_recipe_lines(path)])


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_relative_link_and_figure_exists(path):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", _read(path)):
        if "://" not in target:
            assert (path.parent / target).exists(), target


def test_python_in_the_readme_runs(tmp_path, monkeypatch, capsys):
    from models_genesis_tf.models.saving import save_model
    from models_genesis_tf.models.unet3d import build_unet3d

    blocks = re.findall(
        r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.S
    )
    assert len(blocks) == 3
    # What the first block opens is what the commands above it would have written.
    save_model(build_unet3d((16, 16, 8, 1), 2), tmp_path / "runs/mine/model.keras", {})
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), names)
    assert names["encoder"].output.shape == (None, 2, 2, 1, 32)
    assert names["classifier"].output.shape == (None, 2)
    assert names["segmenter"].output.shape == (None, 32, 32, 16, 3)
    assert names["features"].output.shape == (None, 32)
    assert "depth_0, 1 channel to 4: repeat" in capsys.readouterr().out


def test_readme_shows_the_lines_every_user_types_first():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "python -m models_genesis_tf.pretrain --data_dir=" in text
    assert "python -m models_genesis_tf.finetune --task=bms" in text
    assert "make demo" in text and "make test" in text and "make test-all" in text
