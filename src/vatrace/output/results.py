"""All results of one recording: written together, with the side file that says how they were made."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from vatrace.errors import UsageError, reason
from vatrace.files import remove_earlier, sha256, shown, written_whole
from vatrace.inference.prediction import Prediction, for_everyone, renamed
from vatrace.media.recording import Recording
from vatrace.names import Progress
from vatrace.output.batch import SIDE, Result
from vatrace.output.formats import FORMATS
from vatrace.output.provenance import Provenance, now
from vatrace.output.writers import csv_text, write_side


def named(prediction: Prediction, names: Mapping[str, str], table: Path) -> Prediction:
    """A prediction with the names of a table for its people.

    Raises:
        UsageError: if two of those who are seen or heard would have the same name.
    """
    numbers = {*prediction.people, *(turn.person for turn in prediction.turns)}
    name, times = Counter(names.get(number, number) for number in numbers).most_common(1)[0]
    if times > 1:
        raise UsageError(f"{prediction.source}: {name} would be the name of two people; change {table}")
    return renamed(prediction, names)


def write_results(
    prediction: Prediction,
    recording: Recording,
    results: Sequence[Result],
    made: Provenance,
    explain: bool,
    progress: Progress,
) -> None:
    """Write the results of a recording; the tables contain the explanation only with `explain`, the report always.

    Args:
        prediction: the traces.
        recording: for the report and the overlay.
        results: what to write. The side file (or JSON) is last, because it lists the others.
        made: how they were made; what is known only now is added.
        explain: whether tables contain the explanation.
        progress: called with the progress of each stage.

    Raises:
        OSError: if they can't be written; then none is.
    """
    tabulated = prediction if explain else _unexplained(prediction)
    made = completed(made, tabulated)
    prediction, tabulated = (for_everyone(found, provenance=made.as_dict()) for found in (prediction, tabulated))
    try:
        with ExitStack() as files:  # all are written before any is moved into place, the last one first
            ordered = sorted(results, key=lambda result: result.kind in {"json", SIDE})  # which says what must be there
            temporaries = [(result, files.enter_context(written_whole(result.path))) for result in ordered]
            written: dict[str, dict[str, Any]] = {}
            for result, temporary in temporaries:
                if result.kind in {"json", SIDE}:
                    written[result.path.name] = {"kind": result.kind}
                    tabulated = for_everyone(tabulated, provenance=replace(made, results=written).as_dict())
                    (write_side if result.kind == SIDE else FORMATS["json"].write)(tabulated, temporary)
                    continue
                whole = prediction if result.kind in {"png", "html", "overlay"} else tabulated
                _write_one(whole, recording, result, temporary, progress)
                facts = {"size": temporary.stat().st_size, "sha256": sha256(temporary)}
                written[result.path.name] = {"kind": result.kind, "person": result.person, **facts}
            remove_earlier([result.path for result in ordered if result.kind not in {"json", SIDE}])
    except OSError as error:
        folder = results[0].path.parent
        raise OSError(f"{prediction.source}: can't write its results to {folder} ({reason(error)})") from error


def completed(made: Provenance, prediction: Prediction) -> Provenance:
    """How a prediction was made, with what is known only afterwards."""
    people = tuple(map(shown, prediction.people))
    return replace(made, created=now(), people=people, rate=prediction.rate, trace=trace_hash(prediction))


def _write_one(prediction: Prediction, recording: Recording, result: Result, temporary: Path, progress: Progress) -> None:
    from vatrace.output.figure import write_picture
    from vatrace.output.overlay import write_overlay
    from vatrace.output.report import embedded, write_page

    if result.kind == "png":
        write_picture(prediction, temporary)
    elif result.kind == "html":
        write_page(prediction, temporary, embedded(recording, partial(progress, "report")))
    elif result.kind == "overlay":
        write_overlay(prediction, recording, temporary, partial(progress, "overlay"))
    else:
        FORMATS[result.kind].write(prediction if result.person is None else prediction.people[result.person], temporary)


def trace_hash(prediction: Prediction) -> str:
    """The SHA-256 of the table of the trace, as the CSV has it."""
    return hashlib.sha256(csv_text(prediction).encode()).hexdigest()


def _unexplained(prediction: Prediction) -> Prediction:
    """The same prediction, without the explanation of anyone's trace."""
    return for_everyone(prediction, explanation=None)
