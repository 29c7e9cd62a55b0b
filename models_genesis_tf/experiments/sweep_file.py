"""A sweep's file: tables of flags in, the runs of a grid out.

The file is TOML. `[finetune]` and `[pretrain]` hold flags that runs share, each
`[pretrain.<name>]` a recipe of pre-training, each `[task.<name>]` what is learned. A
list of values is an axis of the grid. The first value of an axis has no part in a run's
name, so that a longer list adds runs and renames none. $NAME in a value stands for that
variable of the environment.
"""

import itertools
import os
import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from models_genesis_tf.config import SCRATCH
from models_genesis_tf.errors import InputError
from models_genesis_tf.experiments.data_folders import PHANTOM
from models_genesis_tf.models.weight_names import IMAGENET, start_name, weights_path

_COMMANDS = {"finetune": "finetune", "pretrain": "pretrain", "task": "finetune"}
_SET_BY_SWEEP = ("output_dir", "cache_dir", "restart", "replay", "sweep")


@dataclass(frozen=True)
class Table:
    """The flags in one table of the file.

    Attributes:
      title: As it stands in the file, such as "task.nodules".
      command: Which command takes them, "pretrain" or "finetune".
      flags: One value or more, as text, by flag.
    """

    title: str
    command: str
    flags: dict[str, tuple[str, ...]]

    @property
    def name(self) -> str:
        """Of the recipe or task; empty for flags that are shared."""
        return self.title.partition(".")[2]


@dataclass(frozen=True)
class SweepRun:
    """One run of a sweep.

    Attributes:
      name: Of its folder.
      command: "pretrain" or "finetune".
      flags: Its settings, as text, by flag.
      task: Name of the table that says what is learned; empty for pre-training.
      needs: Name of the run whose weights it starts from; empty for none.
    """

    name: str
    command: str
    flags: dict[str, str]
    task: str = ""
    needs: str = ""


@dataclass(frozen=True)
class Sweep:
    """What a file asks for.

    Attributes:
      path: Of the file.
      text: What it holds.
      folder: In which the folders of all runs lie.
      tables: Of the file, in its order.
      runs: In the order in which they are done.
    """

    path: Path
    text: str
    folder: Path
    tables: tuple[Table, ...]
    runs: tuple[SweepRun, ...]


@dataclass(frozen=True)
class _Start:
    """What a run starts from: a name for it, its file, the run that writes that."""

    label: str
    weights: str
    needs: str = ""


def read_sweep(path: Path, folder: Path) -> Sweep:
    """Reads the file of a sweep and lays out its runs.

    Args:
      path: The file.
      folder: In which the folders of all runs will lie.

    Returns:
      The sweep; its flags' names and values are not looked at yet.

    Raises:
      InputError: If the file is none, or breaks a rule.
    """
    try:
        text = path.read_text(encoding="utf-8")
        document = tomllib.loads(text)
    except (OSError, ValueError) as error:  # TOMLDecodeError is a ValueError
        raise InputError(
            f"--sweep is a TOML file. Received: --sweep={path} ({error})"
        ) from error
    try:
        tables = _read_tables(document)
        runs = _lay_out(tables, folder)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    return Sweep(path, text, folder, tables, runs)


def _read_tables(document: dict) -> tuple[Table, ...]:
    for title, content in document.items():
        if title not in _COMMANDS or not isinstance(content, dict):
            raise InputError(
                "tables are [finetune], [pretrain], [pretrain.<name>] and "
                f"[task.<name>]. Received: {title}"
            )
    tables = []
    for kind, content in document.items():
        inner = {k: v for k, v in content.items() if isinstance(v, dict)}
        shared = {k: v for k, v in content.items() if k not in inner}
        if (kind == "task" and shared) or (kind == "finetune" and inner):
            first = next(iter(shared or inner))
            raise InputError(
                "[finetune] holds flags that all tasks share, [task.<name>] those of "
                f"one task. Received: [{kind}] {first}"
            )
        if kind != "task":
            tables.append(_read_table(kind, shared))
        tables += [_read_table(f"{kind}.{name}", inner[name]) for name in inner]
    return tuple(tables)


def _read_table(title: str, content: dict) -> Table:
    kind, _, name = title.partition(".")
    if (name and not re.fullmatch(r"[\w-]+", name)) or title == f"pretrain.{SCRATCH}":
        raise InputError(
            "names are of letters, digits, _ and -, and no pre-training is called "
            f"{SCRATCH}. Received: [{title}]"
        )
    flags = {}
    if "flagfile" in content:  # what the table itself says comes after it
        flags = _read_flagfile(title, content["flagfile"])
    for flag, value in content.items():
        if flag != "flagfile":
            flags[flag] = _as_texts(title, flag, value)
    for flag in flags:
        if flag in _SET_BY_SWEEP:
            raise InputError(
                f"a sweep sees to {', '.join(_SET_BY_SWEEP)} itself. "
                f"Received: [{title}] {flag}"
            )
    return Table(title, _COMMANDS[kind], flags)


def _read_flagfile(title: str, path: object) -> dict[str, tuple[str]]:
    """Reads a recipe of flags/, one `--name=value` a line."""
    if not (isinstance(path, str) and Path(path).is_file()):
        raise InputError(f"flagfile is a file. Received: [{title}] flagfile = {path}")
    flags = {}
    for line in map(
        str.strip, Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
    ):
        if not line or line.startswith(("#", "//")):
            continue
        name, equals, value = line.lstrip("-").partition("=")
        if not (equals and line.startswith("-")) or name == "flagfile":
            raise InputError(
                "the lines of a sweep's flagfile are --name=value, and none is another "
                f"flagfile. Received: {path}: {line}"
            )
        flags[name] = (value,)
    return flags


def _as_texts(title: str, name: str, value: object) -> tuple[str, ...]:
    """Turns the value of a flag, or a list of values, into text."""
    values = value if isinstance(value, list) else [value]
    if not values or not all(isinstance(v, str | int | float) for v in values):
        raise InputError(
            "a flag has a text, a number, true or false as its value, or a list of one "
            f"or more of these. Received: [{title}] {name} = {value}"
        )
    if len(set(values)) < len(values):
        raise InputError(
            f"the values in a list differ. Received: [{title}] {name} = {value}"
        )
    texts = tuple(str(v).lower() if isinstance(v, bool) else str(v) for v in values)
    texts = tuple(map(os.path.expandvars, texts))
    if unset := [text for text in texts if "$" in text]:
        raise InputError(
            "environment variables that a sweep names are set. "
            f"Received: [{title}] {name} = {unset[0]}"
        )
    return texts


def _lay_out(tables: Sequence[Table], folder: Path) -> tuple[SweepRun, ...]:
    shared = {table.title: table.flags for table in tables if not table.name}
    recipes = [t for t in tables if t.name and t.command == "pretrain"]
    tasks = [t for t in tables if t.name and t.command == "finetune"]
    if not tasks:
        raise InputError("a sweep has a task. Received: no [task.<name>]")
    _check_files(tables, [SCRATCH, *(table.name for table in recipes)])
    runs, starts = [], {SCRATCH: [_Start(SCRATCH, SCRATCH)]}
    for table in recipes:
        starts[table.name] = []
        for suffix, flags in _points(shared.get("pretrain", {}) | table.flags):
            run = SweepRun(f"pretrain_{table.name}{suffix}", "pretrain", flags)
            runs.append(run)
            label = table.name + (f"_pretrain{suffix}" if suffix else "")
            weights = folder / run.name / "model.keras"
            starts[table.name].append(_Start(label, str(weights), run.name))
    for table in tasks:
        flags = shared.get("finetune", {}) | table.flags
        runs += _runs_of_task(table.name, flags, starts)
    names = [run.name for run in runs]
    if twice := [name for name in names if names.count(name) > 1]:
        raise InputError(
            "each run has a name of its own, made of its task, its weights and the "
            f"values in lists. Received: two runs {twice[0]}"
        )
    return tuple(runs)


def _check_files(tables: Sequence[Table], known: Sequence[str]) -> None:
    """Looks for what runs will read, which they would miss hours later only."""
    for table in tables:
        for entry in table.flags.get("weights", ()):
            if entry not in known and not weights_path(entry).is_file():
                raise InputError(
                    f"weights are {SCRATCH}, the name of a recipe under [pretrain] or "
                    f"of a released model, a file, or {IMAGENET} and a file. "
                    f"Received: [{table.title}] weights = {entry}"
                )
        data_dirs = table.flags.get("data_dir", ())
        for entry in data_dirs if table.command == "finetune" else ():
            if entry != PHANTOM and not Path(entry).is_dir():
                raise InputError(
                    f"--data_dir is a folder or {PHANTOM}. "
                    f"Received: [{table.title}] data_dir = {entry}"
                )
        for entry in table.flags.get("manifest", ()):
            if not Path(entry).is_file():
                raise InputError(
                    "--manifest is a csv file. "
                    f"Received: [{table.title}] manifest = {entry}"
                )


def _runs_of_task(
    name: str, flags: dict[str, tuple[str, ...]], starts: dict[str, list[_Start]]
) -> Iterator[SweepRun]:
    """The runs of one task; those that differ in their weights follow one another."""
    axes = dict(flags)
    chosen = [
        start
        for entry in axes.pop("weights", (SCRATCH,))
        for start in starts.get(entry) or [_start_from(entry)]
    ]
    for suffix, point in _points(axes):
        for start in chosen:
            yield SweepRun(
                f"{name}_{start.label}{suffix}",
                "finetune",
                point | {"weights": start.weights},
                name,
                start.needs,
            )


def _start_from(weights: str) -> _Start:
    if weights.startswith(IMAGENET):
        return _Start(start_name(weights), weights)
    path = Path(weights)
    # All runs call their weights model.keras; the folder tells them apart.
    own = path.resolve().parent.name if path.name == "model.keras" else path.stem
    return _Start(_plain(own), str(path))


def _points(flags: dict[str, tuple[str, ...]]) -> Iterator[tuple[str, dict[str, str]]]:
    """The points of a grid, the last axis fastest: the end of a name, and the flags."""
    for values in itertools.product(*flags.values()):
        point = dict(zip(flags, values, strict=True))
        parts = [
            f"_{name.removeprefix('train_')}_{_plain(value)}"
            for name, value in point.items()
            if value != flags[name][0]
        ]
        yield "".join(parts), point


def _plain(text: str) -> str:
    """What can stand in the name of a folder."""
    return re.sub(r"[^\w.+-]+", "-", text)
