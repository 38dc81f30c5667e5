"""The errors that users can act on, all of one family, and how other errors are reported.

`ValueError` is for wrong arguments of Python functions. What else is raised, except `OSError`, is a bug in vatrace.
"""

from __future__ import annotations

import platform
import sys
import tempfile
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path

CPU_TORCH = "pip install torch==2.13.0 --index-url https://download.pytorch.org/whl/cpu"


class VatraceError(Exception):
    """Something is wrong with a file, an installation or a command; the message names it and says what to do."""


class UsageError(VatraceError):
    """The options of a command contradict each other, or don't fit its files."""


class MediaError(VatraceError):
    """A recording or transcript can't be read."""


class StoreError(VatraceError):
    """A store of features can't be used as it is."""


class CorpusError(VatraceError):
    """A corpus or one of its files can't be used as it is."""


class ConfigError(VatraceError):
    """A run's TOML file can't be used as it is."""


class RunError(VatraceError):
    """A run can't be used or resumed."""


class TrainingError(VatraceError):
    """Training broke down, for instance because the loss became NaN."""


class CheckpointError(VatraceError):
    """A file of weights can't be read, or its weights are not those needed."""


class ModelError(VatraceError):
    """A model file can't be used here."""


class PluginError(VatraceError):
    """A class from outside the package can't be imported, or lacks a method that it needs."""


class MissingWeightsError(VatraceError):
    """Weights that a modality needs can't be found."""


class MissingExtraError(VatraceError, ImportError):
    """A library that comes with one of the package's extras is not installed."""


def missing(what: str, extra: str) -> MissingExtraError:
    """The error for a missing extra.

    Args:
        what: what needs which library, such as "training needs PyTorch".
        extra: the extra's name in pyproject.toml.
    """
    hint = f" (without an NVIDIA GPU, first: {CPU_TORCH})" if extra == "train" else ""
    return MissingExtraError(
        f"{what}; it comes with the `{extra}` extra: pip install '.[{extra}]' in a checkout of vatrace{hint}"
    )


def require(what: str, libraries: Iterable[str], extra: str) -> None:
    """Import libraries of an extra before any work is done that needs them.

    Args:
        what: what needs them, such as "parquet".
        libraries: their modules.
        extra: the extra's name in pyproject.toml.

    Raises:
        MissingExtraError: if one of them isn't installed, or is installed but can't be imported; the message names the cause.
    """
    absent = []
    for library in libraries:
        try:
            import_module(library)
        except Exception as error:  # whatever a library raises when another one doesn't fit, for instance an old NumPy
            if isinstance(error, ModuleNotFoundError) and error.name == library:
                absent.append(library)
                continue
            raise MissingExtraError(
                f"{what} needs {library}, which is installed but can't be imported ({_summary(error)}): "
                f"pip install --upgrade --upgrade-strategy eager '.[{extra}]' in a checkout of vatrace"
            ) from error
    if absent:
        raise missing(f"{what} needs {', '.join(absent)}", extra)


def reason(error: BaseException) -> str:
    """The system's or FFmpeg's message of an error, in lower case, to stand within a sentence."""
    return str(getattr(error, "strerror", None) or error).lower()


def report_bug(error: BaseException, what: object) -> str:
    """Keep the traceback of an error that vatrace doesn't expect, for a bug report.

    Args:
        error: the error.
        what: what failed, such as a recording's path.

    Returns:
        One line for the user. It names the file with the traceback; if none can be written, the traceback goes to stderr.
    """
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # the latter is PyTorch's
        return f"{what}: out of memory ({_summary(error)})"
    text = _bug_report(error)
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="vatrace-bug-", suffix=".txt", delete=False, encoding="utf-8", errors="backslashreplace"
        ) as file:
            file.write(text)
        place = file.name
    except OSError:
        print(text, file=sys.stderr)
        place = "the traceback above"
    return f"{what}: a bug in vatrace ({_summary(error)}); please report it with {place}"


def _bug_report(error: BaseException) -> str:
    """The traceback, the versions and the command, without the name of the home folder."""
    import traceback

    from vatrace import __version__

    facts = f"vatrace {__version__}, Python {platform.python_version()}, {platform.platform()}\n{' '.join(sys.argv)}\n\n"
    text = facts + "".join(traceback.format_exception(error))
    home = str(Path.home())
    return text.replace(home, "~") if len(home) > 1 else text


def _summary(error: BaseException) -> str:
    """The kind of an error, and the first line of its message."""
    lines = str(error).splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
