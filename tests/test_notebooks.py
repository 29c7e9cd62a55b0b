"""The notebooks run from an empty folder and show what is saved in them."""

import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
# Values of the variables that the notebooks' commands read, for runs below a minute.
SHORT = {
    "01_transforms": {},
    "02_pretrain": {"CASES": "5", "STEPS": "80"},
    "03_domain_crossing": {"CASES": "2", "CUBES": "8"},
    "04_finetune": {"CASES": "20", "STEPS": "4", "TRIALS": "2"},
    "05_predict": {"CASES": "10", "STEPS": "60"},
}


def _shown(cell) -> set[str]:
    """Kinds of what a cell shows; what goes to stderr is not saved."""
    kinds = {
        kind for output in cell.outputs for kind in getattr(output, "data", {}) or ()
    }
    streams = {o.name for o in cell.outputs if o.output_type == "stream"}
    return kinds | (streams - {"stderr"})


def _code(notebook) -> list:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_every_notebook_is_known():
    assert [path.stem for path in NOTEBOOKS] == list(SHORT)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_saved_with_what_it_shows(path):
    cells = _code(nbformat.read(path, as_version=4))
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert any("image/png" in _shown(cell) for cell in cells)
    assert not any(o.output_type == "error" for cell in cells for o in cell.outputs)
    streams = [o for cell in cells for o in cell.outputs if o.output_type == "stream"]
    assert {stream.name for stream in streams} == {"stdout"}
    written = "".join(stream.text for stream in streams)
    assert not [root for root in ("/tmp", "/home", "/root", "/work") if root in written]


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs_and_shows_the_same(path, tmp_path, monkeypatch):
    for name, value in SHORT[path.stem].items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=":")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    # TensorFlow leaves it off on CPUs without AVX-512, where 3D training is slow then.
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "1")
    notebook = nbformat.read(path, as_version=4)
    saved = [_shown(cell) for cell in _code(notebook)]
    NotebookClient(notebook, timeout=600, kernel_name="python3").execute()
    assert [_shown(cell) for cell in _code(notebook)] == saved
