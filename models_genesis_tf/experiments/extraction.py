"""Scans to cube files: every fold in turn, its scans side by side.

A fold that is complete is not done again, an unfinished one leaves no file behind, and
every scan's draws depend on its own name only, so that shards, restarts and the number
of workers change nothing.
"""

import collections
import concurrent.futures
import contextlib
import csv
import dataclasses
import functools
import itertools
import json
import multiprocessing
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from models_genesis_tf.config import CubeConfig
from models_genesis_tf.errors import InputError
from models_genesis_tf.experiments.run_folder import make_folder, write_json
from models_genesis_tf.imaging import cube_files, cube_sampling, resampling, volumes

_SUBSET = re.compile(r"subset(\d+)")


@dataclass(frozen=True)
class Scan:
    """A scan and the fold that its cubes go to.

    Attributes:
      path: File or DICOM folder.
      source: Its name in the csv files: the series' UID in LUNA16, elsewhere the path
        below the data folder without suffix.
      fold: Number of the cube file.
      luna16: Whether it lies in LUNA16's layout.
    """

    path: Path
    source: str
    fold: int
    luna16: bool


def extract_cubes(
    data_dir: str | Path,
    output_dir: str | Path,
    config: CubeConfig,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    folds: Sequence[int] | None = None,
    shard: tuple[int, int] = (0, 1),
    num_workers: int = 0,
) -> list[Path]:
    """Cuts cubes from all scans of a folder.

    Args:
      data_dir: Folder of scans, in LUNA16's layout or any other.
      output_dir: Folder to write cube files, `cubes.json` and `skipped.csv` to.
      config: What to cut.
      include: Globs on scan names; empty takes all.
      exclude: Globs on scan names that are left out.
      folds: Numbers of the folds to do; None does all.
      shard: (k, n): do every n-th fold, beginning with the k-th.
      num_workers: Scans read at the same time; 0 is one per core.

    Returns:
      The cube files of the folds asked for, sorted by fold.

    Raises:
      InputError: If there is no scan, none gives a cube, or the output folder holds
        cubes cut with other settings.
    """
    scans = find_scans(data_dir, include, exclude)
    output_dir = make_folder(output_dir)
    settings = dataclasses.asdict(config)
    settings |= {"data_dir": Path(data_dir).resolve().name}
    settings |= {"include": list(include), "exclude": list(exclude)}
    _check_settings(output_dir, settings)
    chosen = {
        output_dir
        / cube_files.fold_name(config.cubes_per_volume, config.cube_size, fold): scans
        for fold, scans in _choose_folds(scans, folds, shard).items()
    }
    done = {path for path in chosen if path.is_file()}
    if done:
        print(f"{len(done)} of {len(chosen)} cube files are complete already")
    report = _skipped_path(output_dir, shard)
    skipped = _skipped_before(report, [scan for path in done for scan in chosen[path]])
    pending = [scan for path in chosen if path not in done for scan in chosen[path]]
    notices: collections.Counter[str] = collections.Counter()
    with contextlib.closing(_sample_all(pending, config, num_workers)) as results:
        for path in chosen:
            if path not in done:
                skipped += _write_fold(path, chosen[path], results, config, notices)
    _write_skipped(report, skipped)
    for notice, count in sorted(notices.items()):
        print(f"{count} scan{'s' * (count > 1)}: {notice}")
    if skipped:
        print(f"{len(skipped)} skipped, see {report}")
    files = [path for path in chosen if path.is_file()]
    if chosen and not files:
        raise InputError(
            f"no scan of {data_dir} gave a cube. Received: "
            f"{skipped[0][0]}: {skipped[0][1]}"
        )
    return files


def find_scans(
    data_dir: str | Path, include: Sequence[str] = (), exclude: Sequence[str] = ()
) -> list[Scan]:
    """Lists the scans of a folder with their names and folds.

    Args:
      data_dir: Folder of scans.
      include: Globs on scan names; empty takes all.
      exclude: Globs on scan names that are left out.

    Returns:
      All scans, sorted by path. Folds are LUNA16's subsets, elsewhere the patient's
      name hashed to 0..9.

    Raises:
      InputError: If the folder is absent or holds no scan.
    """
    data_dir = Path(data_dir)
    paths = volumes.list_scans(data_dir, include, exclude)
    if not paths:
        raise InputError(
            f"--data_dir holds scans ({volumes.FORMATS}) or cube files bat_*.npy. "
            f"Received: --data_dir={data_dir} without any that "
            "--include and --exclude let through"
        )
    return [_name_scan(path, data_dir) for path in paths]


def _name_scan(path: Path, data_dir: Path) -> Scan:
    name = volumes.scan_name(path)
    subset = _SUBSET.fullmatch(path.parent.name)
    if subset:
        return Scan(path, name, int(subset.group(1)), True)
    below = path.relative_to(data_dir).parent
    source = (below / name).as_posix() if path != data_dir else name
    patient = cube_files.patient_of(source)
    fold = cube_files.stable_hash(patient) % cube_files.NUM_HASHED_FOLDS
    return Scan(path, source, fold, False)


def _choose_folds(
    scans: list[Scan], folds: Sequence[int] | None, shard: tuple[int, int]
) -> dict[int, list[Scan]]:
    by_fold = collections.defaultdict(list)
    for scan in scans:
        by_fold[scan.fold].append(scan)
    if folds is not None and not set(folds) <= set(by_fold):
        present = ",".join(str(fold) for fold in sorted(by_fold))
        raise InputError(
            f"--folds names folds that are there, here {present}. "
            f"Received: --folds={','.join(str(fold) for fold in folds)}"
        )
    wanted = sorted(by_fold if folds is None else set(folds))
    return {fold: by_fold[fold] for fold in wanted[shard[0] :: shard[1]]}


def _check_settings(output_dir: Path, settings: dict) -> None:
    """Cubes of one folder are cut with one setting, which lies beside them."""
    settings = json.loads(json.dumps(settings))
    path = output_dir / "cubes.json"
    if path.is_file():
        found = json.loads(path.read_text())
        differing = [key for key in settings if found.get(key) != settings[key]]
        if differing:
            raise InputError(
                f"a folder holds cubes of one setting; {output_dir} holds "
                f"{_pairs(found, differing)}. Received: {_pairs(settings, differing)}; "
                "choose another --output_dir"
            )
        return
    write_json(path, settings)


def _pairs(settings: dict, keys: list[str]) -> str:
    return ", ".join(f"{key}={settings.get(key)}" for key in keys)


def _write_fold(
    path: Path,
    scans: list[Scan],
    results: Iterator[cube_sampling.Sample | str],
    config: CubeConfig,
    notices: collections.Counter,
) -> list[tuple[str, str]]:
    """Writes one fold; gives the scans skipped with their reasons."""
    skipped = []
    with cube_files.FoldWriter(path, config.cube_size) as writer:
        for scan, sample in zip(
            scans, itertools.islice(results, len(scans)), strict=True
        ):
            if isinstance(sample, str):
                skipped.append((scan.source, sample))
                continue
            dataset = "luna16" if scan.luna16 else "other"
            places = zip(sample.starts.tolist(), sample.tissue.tolist(), strict=True)
            rows = [
                (scan.source, *start, *sample.spacing, f"{tissue:.4f}", dataset)
                for start, tissue in places
            ]
            writer.add(sample.cubes, rows)
            notices[f"rule {sample.rule}, window {sample.window}"] += 1
            if sample.notice:
                notices[sample.notice] += 1
            if len(rows) < config.cubes_per_volume:
                notices[f"fewer cubes than {config.cubes_per_volume} were found"] += 1
    return skipped


def _sample_all(
    scans: list[Scan], config: CubeConfig, num_workers: int
) -> Iterator[cube_sampling.Sample | str]:
    """Cubes of every scan in order, or the reason why there are none."""
    workers = min(num_workers or os.cpu_count() or 1, len(scans))
    sample = functools.partial(_sample_scan, config)
    bar = tqdm(total=len(scans), desc="cubes", unit="scan", disable=None)
    with bar, contextlib.ExitStack() as stack:
        if workers <= 1:
            results = map(sample, scans)
        else:
            # SimpleITK holds the interpreter's lock while it reads, so threads would
            # wait for each other. Processes start afresh: forked ones can inherit a
            # lock that is taken.
            context = multiprocessing.get_context("spawn")
            pool = concurrent.futures.ProcessPoolExecutor(workers, mp_context=context)
            results = _in_order(stack.enter_context(pool), sample, scans, 2 * workers)
        for result in results:
            bar.update()
            yield result


def _in_order(pool, function, items: Iterable, ahead: int) -> Iterator:
    """Maps over a pool; results that nobody has taken yet do not pile up."""
    waiting = collections.deque()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


def _sample_scan(config: CubeConfig, scan: Scan) -> cube_sampling.Sample | str:
    try:
        volume = volumes.read_volume(scan.path)
        if config.spacing is not None:
            volume = resampling.resample_volume(volume, config.spacing)
        return cube_sampling.sample_cubes(volume, config, scan.source, scan.luna16)
    except (InputError, OSError) as error:
        return " ".join(str(error).split())


def _skipped_path(output_dir: Path, shard: tuple[int, int]) -> Path:
    name = "skipped.csv" if shard[1] == 1 else f"skipped_{shard[0]}of{shard[1]}.csv"
    return output_dir / name


def _skipped_before(path: Path, scans: list[Scan]) -> list[tuple[str, str]]:
    """What an earlier run skipped among these scans."""
    if not path.is_file():
        return []
    sources = {scan.source for scan in scans}
    with path.open(newline="") as stream:
        rows = [(row["source"], row["reason"]) for row in csv.DictReader(stream)]
    return [row for row in rows if row[0] in sources]


def _write_skipped(path: Path, rows: list[tuple[str, str]]) -> None:
    part = path.with_name(f".{path.name}.part")
    with part.open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(("source", "reason"))
        writer.writerows(rows)
    os.replace(part, path)
