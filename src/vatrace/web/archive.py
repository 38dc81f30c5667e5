"""The results of several recordings as one ZIP."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Iterator
from itertools import chain, count
from pathlib import Path

from vatrace.files import temporary_folder
from vatrace.inference.prediction import Prediction
from vatrace.output.cells import harmless_table
from vatrace.output.columns import PERSON, RECORDING, SUMMARY, TRACE, described
from vatrace.output.quality import write_quality
from vatrace.output.study_tables import write_codebook
from vatrace.output.writers import summary_rows, summary_table, write_csv, write_json


def write_archive(results: Iterable[tuple[str, Prediction]], path: Path) -> None:
    """Write the traces of each recording (CSV and JSON), and the tables of the study.

    The ZIP has a table with all rows of all traces (`traces.csv`), one with a row for each trace (`recordings.csv`), what their
    columns mean (`codebook.csv`), and a page on all recordings (`quality.html`).

    Args:
        results: the name of each recording without its suffix, all different, and its result.
        path: the ZIP.
    """
    import pandas as pd

    with temporary_folder() as folder, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        rows, tables = [], []
        for name, prediction in results:
            for suffix, write in (("csv", write_csv), ("json", write_json)):
                write(prediction, folder / f"result.{suffix}")
                archive.write(folder / f"result.{suffix}", f"results/{name}.{suffix}")
            rows += [{"recording": name, **row} for row in summary_rows(prediction)]
            for person in prediction.people.values():
                table = person.to_pandas().drop(columns="person", errors="ignore")
                table.insert(0, "person", person.person)
                table.insert(0, "recording", name)
                tables.append(table)
        traces, summary = pd.concat(tables, ignore_index=True), summary_table(rows)
        for name, table in (("traces", traces), ("recordings", summary)):
            harmless_table(table).to_csv(folder / f"{name}.csv", index=False, float_format="%.10g")
        known = {
            "traces": described(map(str, traces.columns), (RECORDING, PERSON, *TRACE)),
            "recordings": described(map(str, summary.columns), SUMMARY),
        }
        write_codebook(folder / "codebook.csv", known)
        write_quality(rows, [], {}, folder / "quality.html")
        for name in ("traces.csv", "recordings.csv", "codebook.csv", "quality.html"):
            archive.write(folder / name, name)


def different(stems: Iterable[str]) -> Iterator[str]:
    """Names of files, those that occur already with a number; upper and lower case count as the same."""
    taken = set[str]()
    for stem in stems:
        names = chain([stem], (f"{stem}-{number}" for number in count(2)))
        name = next(name for name in names if name.lower() not in taken)
        taken.add(name.lower())
        yield name
