"""The page about speed says what the benchmarks' files say."""

import itertools
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from figure_checks import check_png
from matplotlib.backends.backend_agg import FigureCanvasAgg

from models_genesis_tf.benchmarks.page import write_page
from models_genesis_tf.benchmarks.page_figures import Bars, bar_figure, draw_bars
from models_genesis_tf.benchmarks.page_numbers import format_number, ratio
from models_genesis_tf.benchmarks.settings import BENCHMARKS
from models_genesis_tf.errors import InputError

DOCS = Path(__file__).resolve().parents[1] / "docs"
STEPS = [
    {
        "batch_size": 2,
        "network": "models_genesis_tf",
        "precision": "mixed_bfloat16",
        "first_step_seconds": 9.0,
        "seconds_per_step": 4.0,
        "cubes_per_second": 0.5,
        "tflops": 0.3456,
        "share_of_matrix_product": 0.82,
        "over_official": 0.444,
    },
    {
        "batch_size": 2,
        "network": "official",
        "precision": "float32",
        "seconds_per_step": 9.0,
        "cubes_per_second": 0.2222,
    },
]
RESULTS = {
    "step": {
        "backend": "tensorflow",
        "device": "CPU",
        "official": "timed",
        "forward_gflop_per_cube": 236.7,
        "step_gflop_per_cube": 709.9,
        "matrix_product": {"mixed_bfloat16": {"size": 2048, "tflops": 0.4158}},
        "steps": STEPS,
    },
    "input": {
        "pairs_per_second": {
            "one_thread": 600.0,
            "all_threads": 1100.0,
            "tf_data": 900.0,
            "official": 20.0,
        }
    },
    "transforms": {
        "milliseconds": {"shuffling": 2.0, "pair": 3.0},
        "official_milliseconds": {"shuffling": 50.0},
        "pairs_per_second": {"one_thread": 500.0, "all_threads": 1000.0},
        "import_seconds": 0.25,
    },
    "extract": {
        "size": [512, 512, 128],
        "cubes": {"read_and_extract": 32, "official": 31},
        "float32_mib": 128.0,
        "seconds": {"read": 0.05, "read_and_extract": 0.1, "official": 12.0},
        "peak_mib": {"read": 66.3, "read_and_extract": 99.0, "official": 454.3},
    },
    "predict": {
        "size": [256, 256, 128],
        "patch_size": [64, 64, 32],
        "windows": 343,
        "seconds": {
            "read": 0.5,
            "network": 100.0,
            "segment": 102.0,
            "write": 1.0,
            "all": 103.5,
        },
        "voxels_per_second": 81049,
        "peak_mib": 294.0,
    },
}
GPU = {
    "device": "Some GPU",
    "steps": [
        {
            "batch_size": size,
            "network": "models_genesis_tf",
            "precision": "float32",
            "seconds_per_step": size / rate,
            "cubes_per_second": rate,
        }
        for size, rate in ((6, 250.0), (16, 4000.0))
    ],
}


def _write(folder, name, results, **values):
    folder.mkdir(parents=True, exist_ok=True)
    report = {"benchmark": name, "results": results} | values
    path = folder / f"benchmark_{name}.json"
    path.write_text(json.dumps(report))
    return path


def _page(folder):
    return write_page(folder).read_text(encoding="utf-8")


def _rows(text):
    """The cells of all tables' rows."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def _section(page, title):
    return re.split(r"^## ", page.split(f"\n## {title}\n")[1], flags=re.M)[0]


@pytest.fixture
def folder(tmp_path):
    for name, results in RESULTS.items():
        _write(tmp_path / "speed" / "cpu", name, results)
    return tmp_path / "speed"


def test_tables_show_what_was_measured_and_its_ratios(folder):
    page = _page(folder)
    rows = _rows(_section(page, "Training step"))
    ours = ["2", "models_genesis_tf", "mixed_bfloat16", "4.00", "9.00", "0.500"]
    assert rows[2] == [*ours, "0.346", "0.820", "–", "0.444"]
    theirs = ["2", "official (PyTorch)", "float32", "9.00", "–", "0.222"]
    assert rows[3] == [*theirs, *"––––"]
    rows = _rows(_section(page, "Input"))
    assert rows[2] == ["official generator", "20.0", "0.0333", "1.00"]
    assert rows[5] == ["tf.data, as training", "900", "1.50", "45.0"]
    rows = _rows(_section(page, "Transforms"))
    assert rows[2:] == [["shuffling", "2.00", "50.0", "25.0"], ["pair", "3.00", *"––"]]
    rows = _rows(_section(page, "Extraction"))
    assert rows[2][1:] == ["0.0500", "0.500", "66.3", "–"]
    assert rows[3][1:] == ["0.100", "1.00", "99.0", "32"]
    assert rows[4][1:] == ["12.0", "120", "454", "31"]
    rows = _rows(_section(page, "Prediction"))
    assert [row[1:] for row in rows[2:]] == [
        ["0.500", "0.00500"],
        ["100", "1.00"],
        ["102", "1.02"],
        ["1.00", "0.0100"],
        ["104", "1.03"],  # 103.5 is rounded to the even number
    ]


def test_facts_beside_the_tables_are_told(folder):
    page = " ".join(_page(folder).split())
    for fact in (
        "Ratios within one run are what counts",
        "237 GFLOP forward and 710 in a step",
        "0.416 TFLOP/s in mixed_bfloat16 (2048 rows)",
        "500 pairs/s in one thread, 1000 with a thread for each core",
        "Importing them takes 0.250 s",
        "512x512x128 voxels, 128 MiB in float32",
        "343 windows of 64x64x32 voxels",
        "81049 voxels of the scan/s. Peak of memory: 294 MiB",
    ):
        assert fact in page, fact
    assert "The official network:" not in page


def test_machine_versions_and_the_command_are_told(tmp_path):
    _write(
        tmp_path / "speed" / "gpu",
        "step",
        {"official": "left out: torch is not installed"},
        machine={
            "processor": "Some CPU",
            "cores": 16,
            "memory_gib": 128.0,
            "gpus": ["Some GPU"],
        },
        software={
            "python": "3.11.7",
            "packages": {"keras": "3.15.1", "jax": "0.10.2"},
            "git_commit": "0123456789abcdef",
            "started": "2026-11-25T11:35:47+0000",
        },
        settings={
            "backend": "jax",
            "precisions": ["float32", "mixed_float16"],
            "batch_sizes": ["6", "16"],
            "steps": 3,
            "official_dir": None,
        },
    )
    page = _page(tmp_path / "speed")
    assert "### gpu\n" in page
    assert "16 cores of Some CPU, 128.0 GiB of memory, Some GPU.\n" in page
    assert "Python 3.11.7, keras 3.15.1, jax 0.10.2.\n" in page
    assert "Measured on 2026-11-25, commit 0123456789.\n" in page
    assert "The official network: left out: torch is not installed.\n" in page
    command = page.split("```bash\n")[1].split("\n```")[0]
    assert command.replace("\\\n", "").split() == [
        *("python", "-m", "models_genesis_tf.benchmark", "step", "--backend=jax"),
        *("--precisions=float32,mixed_float16", "--batch_sizes=6,16", "--steps=3"),
    ]
    assert max(map(len, command.splitlines())) <= 80


def test_what_has_no_file_is_not_measured(tmp_path):
    _write(tmp_path / "speed", "input", RESULTS["input"], machine={"processor": "Some"})
    page = _page(tmp_path / "speed")
    assert page.count("Not measured here.") == len(BENCHMARKS) - 1
    assert "### Some\n" in _section(page, "Input")
    assert (tmp_path / "speed" / "benchmark_input.png").is_file()


def test_files_that_lack_fields_give_a_page_without_them(tmp_path):
    for name in BENCHMARKS:
        _write(tmp_path / "speed" / "old", name, {})
    page = _page(tmp_path / "speed")
    assert "None" not in page and "Not measured" not in page and "![" not in page
    assert page.count("### old") == len(BENCHMARKS)
    rows = [{"batch_size": 2}, {"seconds_per_step": 1.0}]
    _write(tmp_path / "speed" / "old", "step", {"steps": rows})
    row = ["2", "–", "–", *"–––––––"]
    assert _rows(_section(_page(tmp_path / "speed"), "Training step"))[2] == row


def test_every_machine_has_its_part_and_each_figure_lies_beside_its_file(folder):
    _write(folder / "gpu", "step", GPU)
    page = _page(folder)
    section = _section(page, "Training step")
    assert re.findall(r"^### (.*)$", section, re.M) == ["cpu", "gpu"]
    links = re.findall(r"!\[.*?\]\((.*?)\)", page)
    steps = [f"speed/{machine}/benchmark_step.png" for machine in ("cpu", "gpu")]
    assert links == [*steps, "speed/cpu/benchmark_input.png"]
    assert all((folder.parent / link).is_file() for link in links)
    assert not list(folder.parent.rglob("*.part"))
    assert _page(folder) == page


def test_what_input_costs_is_derived_where_steps_ran_on_a_gpu(folder):
    assert "derived" not in _page(folder)  # steps on a CPU
    _write(folder / "gpu", "step", GPU)
    assert "derived" not in _page(folder)  # transforms of another machine
    _write(folder / "gpu", "transforms", RESULTS["transforms"])
    section = _section(_page(folder), "Training step")
    text = section.split("### Input on gpu, derived\n")[1]
    assert "Derived, not measured: the cores make 1000 pairs/s" in text
    # 1000 pairs/s: 250 cubes/s keep the cores busy for a quarter of the time; 4000 make
    # the GPU wait for three quarters.
    assert _rows(text)[2:] == [
        ["6", "float32", "250", "25.0 %", "0.0 %"],
        ["16", "float32", "4000", "100.0 %", "75.0 %"],
    ]


def test_folders_without_files_and_foreign_files_are_refused(tmp_path):
    with pytest.raises(InputError, match="with benchmark_.*.json files. Received: --o"):
        write_page(tmp_path)
    for text in ("{", "[]", '{"benchmark": "sorting"}'):
        (tmp_path / "benchmark_sorting.json").write_text(text)
        with pytest.raises(InputError, match="is what one of .*sorting.json$"):
            write_page(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["benchmark_sorting.json"]


def test_the_command_writes_the_page(folder):
    command = [sys.executable, "-m", "models_genesis_tf.benchmark", "page"]
    done = subprocess.run(
        [*command, f"--output_dir={folder}"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{folder}.md\n" and Path(f"{folder}.md").is_file()
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stderr == "error: benchmark page takes --output_dir. Received: none\n"


def test_bars_are_legible(tmp_path):
    bars = Bars(
        "Time of a training step",
        "Seconds per step",
        ("float32", "official (PyTorch), mixed_bfloat16, 32 cubes", "mixed_float16"),
        (0.0125, 8.98, 4.17),
        (False, True, False),
    )
    figure = bar_figure(bars)
    (axes,) = figure.axes
    FigureCanvasAgg(figure).draw()
    assert [text.get_text() for text in axes.texts] == ["0.0125", "8.98", "4.17"]
    texts = [axes.title, axes.xaxis.label, *axes.texts, *axes.get_yticklabels()]
    boxes = [text.get_window_extent() for text in texts]
    assert not any(
        one.overlaps(other) for one, other in itertools.combinations(boxes, 2)
    )
    assert min(text.get_fontsize() for text in texts) >= 9
    assert [patch.get_width() for patch in axes.patches] == list(bars.values)
    grey, *others = {patch.get_facecolor() for patch in axes.patches[1:]}
    assert len(others) == 1 and grey != others[0]
    draw_bars(bars, tmp_path / "bars.png")
    check_png(tmp_path / "bars.png")


def test_the_committed_page_is_what_its_files_say(tmp_path):
    for path in sorted((DOCS / "speed").rglob("benchmark_*.json")):
        copy = tmp_path / "speed" / path.relative_to(DOCS / "speed")
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    committed = (DOCS / "speed.md").read_text(encoding="utf-8")
    assert _page(tmp_path / "speed") == committed
    for link in re.findall(r"!\[.*?\]\((.*?)\)", committed):
        assert (DOCS / link).is_file(), link


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *((0, "0.00"), (1, "1.00"), (0.00652, "0.00652"), (12.34, "12.3")),
        *((99.96, "100"), (1234.5, "1234"), (674242, "674242"), (-0.5, "-0.500")),
        (0.00001234, "0.0000123"),
    ],
)
def test_numbers_have_three_digits_and_no_exponent(value, text):
    assert format_number(value) == text


def test_ratios_of_missing_numbers_are_missing():
    assert ratio(1.0, 4.0) == 0.25
    assert ratio(None, 1.0) is ratio(1.0, None) is ratio(1.0, 0) is None
