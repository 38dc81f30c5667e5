"""The errors that users can act on, all of one family, and the words for what the system says of an error.

`ValueError` is for wrong arguments of Python functions. Anything else that is raised is a bug.
"""

from __future__ import annotations

CPU_TORCH = "pip install torch==2.13.0 --index-url https://download.pytorch.org/whl/cpu"


class VatraceError(Exception):
    """Something is wrong with a file, an installation or a command; the message names it and says what to do."""


class UsageError(VatraceError):
    """The options of a command contradict each other or what they are applied to."""


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
    """A file of weights can't be read, or holds others than those needed."""


class ModelError(VatraceError):
    """A model file can't be used here."""


class PluginError(VatraceError):
    """A class from outside the package can't be imported, or lacks what is needed of it."""


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


def reason(error: BaseException) -> str:
    """What the system or FFmpeg says about an error, in lower case, to stand within a sentence."""
    return str(getattr(error, "strerror", None) or error).lower()
