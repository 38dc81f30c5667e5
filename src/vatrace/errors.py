"""Errors that users can act on, with a common base class, and reports of other errors.

`ValueError` is for wrong arguments of Python functions. Any other exception, except `OSError`, is a bug in vatrace.
"""

from __future__ import annotations

import logging
import platform
import sys
import tempfile
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from threading import current_thread, main_thread
from typing import NoReturn

logger = logging.getLogger("vatrace")

CPU_TORCH = "pip install torch==2.13.0 --index-url https://download.pytorch.org/whl/cpu"


class VatraceError(Exception):
    """A problem with a file, an installation or a command; the message names it and says what to do."""


class UsageError(VatraceError):
    """The options of a command contradict each other, or don't fit its files."""


class MediaError(VatraceError):
    """A recording or transcript can't be read."""


class TooLongError(MediaError):
    """A recording is longer than can be processed, or claims to be."""


class StoreError(VatraceError):
    """A store of features can't be used as it is."""


class CorpusError(VatraceError):
    """A corpus or one of its files can't be used as it is."""


class ConfigError(VatraceError):
    """A run's TOML file can't be used as it is."""


class RunError(VatraceError):
    """A run can't be used or resumed."""


class TrainingError(VatraceError):
    """Training failed, for instance because the loss became NaN."""


class CheckpointError(VatraceError):
    """A file of weights can't be read, or its weights don't fit."""


class ModelError(VatraceError):
    """A model file can't be used here."""


class PluginError(VatraceError):
    """A class from outside the package can't be imported, or lacks a required method."""


class MissingWeightsError(VatraceError):
    """Weights that a modality needs can't be found."""


class MissingExtraError(VatraceError, ImportError):
    """A library that comes with one of the package's extras is not installed."""


def one_line(text: object) -> str:
    """A message of another library, or one with names from a file, without line breaks."""
    return " ".join(str(text).split())


def missing(what: str, extra: str) -> MissingExtraError:
    """Make the error for a missing extra.

    Args:
        what: the need for a library, such as "training needs PyTorch".
        extra: the extra's name in pyproject.toml.
    """
    hint = f" (without an NVIDIA GPU, first: {CPU_TORCH})" if extra == "train" else ""
    return MissingExtraError(
        f"{what}; it comes with the `{extra}` extra: pip install '.[{extra}]' in a checkout of vatrace{hint}"
    )


def require(what: str, libraries: Iterable[str], extra: str) -> None:
    """Import libraries of an extra before any work that needs them.

    Args:
        what: the feature that needs them, such as "parquet".
        libraries: names of their modules.
        extra: the extra's name in pyproject.toml.

    Raises:
        MissingExtraError: if one of them isn't installed, or is installed but can't be imported; the message names the cause.
    """
    absent = []
    for library in libraries:
        try:
            import_module(library)
        except Exception as error:  # a library may raise anything if another doesn't fit, for instance an old NumPy
            if isinstance(error, ModuleNotFoundError) and error.name == library:
                absent.append(library)
                continue
            raise MissingExtraError(
                f"{what} needs {library}, which is installed but can't be imported ({_summary(error)}): "
                f"pip install --upgrade --upgrade-strategy eager '.[{extra}]' in a checkout of vatrace"
            ) from error
    if absent:
        raise missing(f"{what} needs {', '.join(absent)}", extra)


_stops: list[KeyboardInterrupt] = []
"""Why this process has been asked to end; empty if it hasn't."""


def stop(error: KeyboardInterrupt) -> NoReturn:
    """Raise what asks this process to end, and remember it: code in C may put another error in its place."""
    _stops.append(error)
    raise error


def stopped() -> KeyboardInterrupt | None:
    """What has asked this process to end, in its main thread; None if nothing has."""
    return _stops[0] if _stops and current_thread() is main_thread() else None


def check_stopped() -> None:
    """Raise what has asked this process to end once more, if anything has: another error is only its consequence."""
    if (error := stopped()) is not None:
        raise error


def forget_stop() -> None:
    """The process goes on."""
    _stops.clear()


def reason(error: BaseException) -> str:
    """The message of the system or of FFmpeg in an error, in lower case, for use within a sentence."""
    return str(getattr(error, "strerror", None) or error).lower()


def message(error: object) -> str:
    """The message of an error; for one of the system about a file, the file and the reason, without the system's number."""
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{error.filename}: {reason(error)}"
    return str(error)


def described(error: BaseException, path: object) -> str:
    """The message of an error about a file, which names the file: those of the system and of libraries often don't.

    Raises:
        KeyboardInterrupt: if this process has been asked to end.
    """
    check_stopped()
    text = message(error)
    if isinstance(error, OSError) and error.filename is None and error.strerror:
        text = reason(error)
    return text if isinstance(error, VatraceError) or str(path) in text else f"{path}: {text}"


OUT_OF_MEMORY = (
    "DefaultCPUAllocator",
    "could not create a primitive",
    "Failed to allocate memory",
    "bad_alloc",
    "bad allocation",
)
"""What messages of PyTorch, oneDNN, ONNX Runtime and other C++ libraries contain if there isn't enough memory."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that there isn't enough memory, in whichever library."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # the latter is PyTorch's
        return True
    return any(text in str(error) for text in OUT_OF_MEMORY)


def report_bug(error: BaseException, what: object) -> str:
    """Save the traceback of an unexpected error for a bug report.

    Args:
        error: the error.
        what: the work that failed, such as a recording's path.

    Returns:
        One line for the user, which names the file with the traceback. If no file can be written, the traceback is logged.

    Raises:
        KeyboardInterrupt: if this process has been asked to end.
    """
    check_stopped()
    if is_out_of_memory(error):
        return f"{what}: out of memory ({_summary(error)})"
    import traceback

    place = save_report("".join(traceback.format_exception(error)))
    return f"{what}: a bug in vatrace ({_summary(error)}); please report it with {place}"


def save_report(problem: str) -> str:
    """Save a traceback for a bug report, with the versions and the command, without the path of the home folder.

    Returns:
        The file with it. If no file can be written, it is logged instead.
    """
    from vatrace import __version__

    facts = f"vatrace {__version__}, Python {platform.python_version()}, {platform.platform()}\n{' '.join(sys.argv)}\n\n"
    text, home = facts + problem, str(Path.home())
    text = text.replace(home, "~") if len(home) > 1 else text
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="vatrace-bug-", suffix=".txt", delete=False, encoding="utf-8", errors="backslashreplace"
        ) as file:
            file.write(text)
        return file.name
    except OSError:
        logger.error("%s", text)
        return "the traceback above"


def _summary(error: BaseException) -> str:
    """The type of an error, and the first line of its message."""
    lines = str(error).splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
