"""Figures for speed as one Markdown page, made from the JSON that benchmarks wrote."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from models_genesis_tf.benchmarks.page_figures import draw_bars
from models_genesis_tf.benchmarks.page_sections import SECTIONS
from models_genesis_tf.benchmarks.page_step import describe_input_share
from models_genesis_tf.errors import InputError
from models_genesis_tf.experiments.run_folder import write_text

_NOT_MEASURED = "Not measured here."
_INTRODUCTION = """\
# Speed

`python -m models_genesis_tf.benchmark page` made this page from the JSON files in
[{folder}]({folder}), which the commands below wrote. Ratios within one run are what
counts: what it compares took turns, so that whatever else the machine did slowed all of
it alike. Times of different runs or machines are no measure of each other."""


@dataclass(frozen=True)
class _Report:
    """What one benchmark wrote.

    Attributes:
      path: Its file.
      name: Of the benchmark.
      values: What the file holds.
    """

    path: Path
    name: str
    values: dict

    @property
    def results(self) -> dict:
        """What was measured."""
        return self.values.get("results", {})


def write_page(folder: str | Path) -> Path:
    """Writes the page beside a folder and a figure beside each file that has one.

    Args:
      folder: With `benchmark_<name>.json` files, in it or in folders below, one for
        each machine.

    Returns:
      The page: the folder's own path with ".md" added.

    Raises:
      InputError: If there is no such file, or one is not what a benchmark wrote.
    """
    folder = Path(folder).resolve()
    reports = _read_reports(folder)
    parts = [_INTRODUCTION.format(folder=folder.name)]
    for name, section in SECTIONS.items():
        parts.append(f"## {section.title}\n\n{section.text}")
        of_name = [report for report in reports if report.name == name]
        parts += [_describe(report, folder) for report in of_name] or [_NOT_MEASURED]
        if name == "step":
            parts += _input_shares(reports, folder)
    page = folder.with_name(f"{folder.name}.md")
    write_text(page, "\n\n".join(parts) + "\n")
    return page


def _read_reports(folder: Path) -> list[_Report]:
    reports = []
    for path in sorted(folder.rglob("benchmark_*.json")):
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            values = None
        name = values.get("benchmark") if isinstance(values, dict) else None
        if name not in SECTIONS:
            raise InputError(
                "a file benchmark_*.json of --output_dir is what one of "
                f"{', '.join(SECTIONS)} wrote. Received: {path}"
            )
        reports.append(_Report(path, name, values))
    if not reports:
        raise InputError(
            "benchmark page takes an --output_dir with benchmark_*.json files. "
            f"Received: --output_dir={folder}"
        )
    return reports


def _describe(report: _Report, folder: Path) -> str:
    """One machine's part of a section."""
    section = SECTIONS[report.name]
    parts = [
        f"### {_label(report, folder)}",
        _describe_machine(report.values),
        f"```bash\n{_command(report)}\n```",
        section.describe(report.results),
    ]
    bars = section.bars and section.bars(report.results)
    if bars:
        figure = report.path.with_suffix(".png")
        draw_bars(bars, figure)
        link = Path(folder.name, figure.relative_to(folder)).as_posix()
        parts.append(f"![{bars.title}]({link})")
    return "\n\n".join(part for part in parts if part)


def _label(report: _Report, folder: Path) -> str:
    """The folder of the file, or where it lies in none, the machine's processor."""
    below = report.path.parent.relative_to(folder).as_posix()
    processor = report.values.get("machine", {}).get("processor")
    return below if below != "." else processor or "This machine"


def _describe_machine(values: Mapping) -> str:
    machine, software = values.get("machine", {}), values.get("software", {})
    hardware = [
        f"{machine['cores']} cores of {machine.get('processor', 'a processor')}"
        if "cores" in machine
        else "",
        f"{machine['memory_gib']} GiB of memory" if "memory_gib" in machine else "",
        ", ".join(machine.get("gpus", ())) or "no GPU",
    ]
    versions = [
        f"{name} {version}" for name, version in software.get("packages", {}).items()
    ]
    if "python" in software:
        versions.insert(0, f"Python {software['python']}")
    lines = [", ".join(part for part in hardware if part) + "."]
    if versions:
        lines.append(f"{', '.join(versions)}.")
    if software.get("started"):
        commit = software.get("git_commit")
        at = f", commit {commit[:10]}" if commit else ""
        lines.append(f"Measured on {software['started'][:10]}{at}.")
    return "\n".join(lines)


def _command(report: _Report) -> str:
    words = ["python -m models_genesis_tf.benchmark", report.name]
    for name, value in report.values.get("settings", {}).items():
        if isinstance(value, list):
            value = ",".join(map(str, value))
        if value not in (None, ""):
            words.append(f"--{name}={value}")
    return _wrap(words)


def _wrap(words: list[str]) -> str:
    """Breaks a command into lines of at most 80 letters, as a shell reads them."""
    lines = [words[0]]
    for word in words[1:]:
        if len(lines[-1]) + len(word) < 78:
            lines[-1] += f" {word}"
        else:
            lines.append(f"  {word}")
    return " \\\n".join(lines)


def _input_shares(reports: list[_Report], folder: Path) -> list[str]:
    """What making the pairs would cost, where a machine has both figures."""
    parts = []
    for report in reports:
        beside = [
            other
            for other in reports
            if other.name == "transforms" and other.path.parent == report.path.parent
        ]
        if report.name == "step" and beside:
            text = describe_input_share(report.results, beside[0].results)
            if text:
                parts.append(
                    f"### Input on {_label(report, folder)}, derived\n\n{text}"
                )
    return parts
