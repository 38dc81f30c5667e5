"""Which files in a folder are recordings, and which transcript belongs to a recording; by their names alone if possible."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vatrace.errors import MediaError
from vatrace.files import shown
from vatrace.languages import AUTO, ENGLISH, language_of
from vatrace.media.container import is_still, open_container
from vatrace.media.transcripts import TRANSCRIPT_SUFFIXES, is_transcript


def _listed(names: str) -> list[str]:
    return names.split()


def _suffixes(names: str) -> frozenset[str]:
    return frozenset(f".{name}" for name in _listed(names))


VIDEO_SUFFIXES = _suffixes(
    """3g2 3gp 3gpp amv asf avi divx dv evo f4v flv gxf h264 h265 hevc ivf m1v m2t m2ts m2v m4v mjpeg mjpg mkv mod mov
    mp4 mpe mpeg mpg mts mxf nut ogm ogv qt rm rmvb tod ts vob webm wmv wtv y4m"""
)
AUDIO_SUFFIXES = _suffixes(
    """aac ac3 adts aif aifc aiff amr ape au awb caf dss dts eac3 flac gsm m4a m4b mka mp2 mp3 mpa oga ogg opus ra snd
    spx sph tta voc w64 wav weba wma wv"""
)
MEDIA_SUFFIXES = VIDEO_SUFFIXES | AUDIO_SUFFIXES
OTHER_SUFFIXES = _suffixes(
    """7z ass bak bib bmp bz2 cfg crdownload csv db doc docx
    eaf gif gz heic htm html ini ipynb jpeg jpg js json log lrc m mat md
    nfo npy npz odt onnx parquet part pdf pfsx pkl png ppt pptx psfx psd py pyc r rar rtf sav srt ssa sub svg tar textgrid
    tif tiff toml torrent tsv txt url vtt webp xls xlsx xml xz yaml yml zip"""
)
"""Suffixes of files that aren't recordings. Files with an unknown suffix, or none, are opened to find out."""

JUNK = re.compile(
    r"\..*|~\$.*|.*~|.*\.(tmp|temp|swp|lnk)|thumbs\.db|ehthumbs.*\.db|desktop\.ini|icon\r|__macosx|@eadir|"
    r"\$recycle\.bin|system volume information|lost\+found|#recycle|#snapshot",
    re.IGNORECASE,
)
"""Files that systems and programs leave in folders, and hidden files."""
POINTER_LENGTH = 1024
"""Bytes of the largest file that can be a pointer to content stored elsewhere."""

LANGUAGES = frozenset(
    _listed(
        """en eng english
        ara arabic ces chi chinese cze czech dan danish deu dut dutch ell fin finnish fra fre french ger german gre
        greek heb hebrew hin hindi hun hungarian ita italian japanese jpn kor korean nld nor norwegian pol polish por
        portuguese ron rum romanian rus russian spa spanish swe swedish tha thai tur turkish ukr ukrainian vie
        vietnamese zho"""
    )
)
"""Languages in file names, in lower case; any two letters count as well."""
QUALIFIERS = frozenset(_listed("sdh cc hi auto asr default full orig original forced captions subtitles"))
"""Other tags in file names: for the hard of hearing (`sdh`, `cc`, `hi`), automatic, only foreign passages (`forced`), ..."""
MADE_BY = "NOTE vatrace"
"""The start of subtitles written by vatrace, which are results, not transcripts."""


def key(name: str) -> str:
    """A name in NFC, so that names match however their accents are encoded."""
    return unicodedata.normalize("NFC", name)


def is_junk(path: Path) -> bool:
    """Whether a file or folder was left by the operating system or a program, by its name."""
    return JUNK.fullmatch(path.name) is not None


def is_media(path: Path) -> bool:
    """Whether a file is a recording: by its suffix, or if that is unknown, by whether FFmpeg can decode it.

    Links to missing files count, so that they can be reported.
    """
    suffix = path.suffix.lower()
    if suffix in MEDIA_SUFFIXES:
        return not path.is_dir()
    return suffix not in OTHER_SUFFIXES and path.is_file() and _decodes(path)


def _decodes(path: Path) -> bool:
    """Whether a file of unknown kind contains video or audio whose start can be decoded."""
    import av

    try:
        with path.open("rb") as file:
            start = file.read(POINTER_LENGTH)
        if len(start) < 64 or b"\0" not in start:  # text
            return False
        with open_container(path) as container:
            streams = [*container.streams.video, *container.streams.audio]
            if not streams or is_still(container) or not container.duration:
                return False
            return next(container.decode(streams[0]), None) is not None
    except (MediaError, av.FFmpegError, OSError, ValueError):
        return False


def missing_content(path: Path) -> str:
    """Why a file's content isn't on this machine, as the rest of a sentence; "" if it is, or the file can't be read at all."""
    fetch = {"git-annex": "git annex get", "Git LFS": "git lfs pull"}
    if path.is_symlink() and not path.exists():
        target = path.readlink()
        if "annex" in target.parts or ".git" in target.parts:
            return f"its content hasn't been fetched (git-annex): run `{fetch['git-annex']}`"
        return f"a link to {shown(target)}, which doesn't exist"
    try:
        if path.is_file() and path.stat().st_size <= POINTER_LENGTH:
            start = path.read_bytes()
            if start.startswith(b"version https://git-lfs.github.com/spec/"):
                return f"its content hasn't been fetched (Git LFS): run `{fetch['Git LFS']}`"
            if start.startswith((b"/annex/objects/", b"../.git/annex/")):
                return f"its content hasn't been fetched (git-annex): run `{fetch['git-annex']}`"
    except OSError:
        return ""
    return ""


@dataclass(frozen=True)
class Transcripts:
    """The transcripts in the folder of a recording.

    Attributes:
        path: the one to use; None if there is none, or none in English.
        others: transcripts of the same recording that aren't used.
    """

    path: Path | None = None
    others: tuple[Path, ...] = ()

    @property
    def all(self) -> tuple[Path, ...]:
        """The one to use, if any, and the others."""
        return (*([self.path] if self.path else []), *self.others)


def find_transcripts(recording: Path, files: Iterable[Path], language: str = AUTO) -> Transcripts:
    """Choose the transcript of a recording: for talk.mp4, `talk.srt`, `talk.mp4.srt`, `talk.en.vtt` or `talk.en.sdh.srt`.

    English is preferred, then names without a language; other languages aren't used, because the words network understands
    only English. If another language is named, that one is preferred. SRT is preferred to WebVTT, and WebVTT to SubStation
    Alpha. Subtitles written by vatrace are ignored.

    Args:
        recording: its path.
        files: the candidates.
        language: the code of the language that is spoken; AUTO for English.
    """
    ranked: list[tuple[tuple[int, int, int, str], Path]] = []
    others: list[Path] = []
    for path in files:
        tags = _tags(path, recording)
        if tags is None or is_result(path):
            continue
        languages = [tag for tag in tags if tag not in QUALIFIERS]
        if languages and language_of(languages[0]) != (ENGLISH if language == AUTO else language):
            others.append(path)
            continue
        rank = (not languages, "forced" in tags, TRANSCRIPT_SUFFIXES.index(path.suffix.lower()), path.name)
        ranked.append((rank, path))
    chosen = [path for _, path in sorted(ranked)]
    return Transcripts(chosen[0] if chosen else None, (*chosen[1:], *sorted(others)))


def _tags(path: Path, recording: Path) -> list[str] | None:
    """The tags that a transcript's name adds to the recording's, in lower case; None if it is another recording's."""
    if not is_transcript(path):
        return None
    stem = key(path.stem).casefold()
    for name in (key(recording.name).casefold(), key(recording.stem).casefold()):
        if stem == name:
            return []
        tags = stem.removeprefix(f"{name}.").split(".") if stem.startswith(f"{name}.") else []
        if tags and all(tag in QUALIFIERS or _is_language(tag) for tag in tags):
            return ["hindi" if tags == ["hi"] else tag for tag in tags]
    return None


def _is_language(tag: str) -> bool:
    language = re.split("[-_]", tag)[0]
    return language in LANGUAGES or (len(language) == 2 and language.isalpha())


def is_result(path: Path) -> bool:
    """Whether a transcript was written by vatrace, with values."""
    if path.suffix.lower() != ".vtt" or not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            return MADE_BY.encode() in file.read(200)
    except OSError:
        return False


def in_folder(folder: Path) -> list[Path]:
    """The files and folders in a folder, sorted by name, without junk.

    Raises:
        OSError: if it can't be read.
    """
    return [path for path in sorted(folder.iterdir(), key=lambda path: os.fsencode(path.name)) if not is_junk(path)]


def passed_over(names: Sequence[str], most: int = 5) -> str:
    """A list of file names for a message: the first ones, and how many more there are."""
    listed = ", ".join(names[:most])
    return f"{listed} and {len(names) - most} more" if len(names) > most else listed


def walk(root: Path, refuse: Callable[[OSError], None]) -> Iterator[tuple[Path, list[Path]]]:
    """Folders with their files, both sorted by name and without junk; linked folders are followed, each folder once.

    Args:
        root: where to start.
        refuse: called with the error of each folder that can't be read.
    """
    waiting, seen = [root], set()
    while waiting:
        folder = waiting.pop()
        try:
            if (real := folder.resolve()) in seen:  # links may form a loop
                continue
            seen.add(real)
            inside = in_folder(folder)
        except (OSError, RuntimeError) as error:  # before Python 3.13, a link to itself is a RuntimeError
            refuse(error if isinstance(error, OSError) else OSError(0, str(error), str(folder)))
            continue
        folders = [path for path in inside if path.is_dir()]
        waiting += reversed(folders)
        yield folder, [path for path in inside if path not in folders]
