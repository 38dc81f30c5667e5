"""How one recording of the queue is predicted, apart from whose traces are made."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from vatrace.languages import AUTO
from vatrace.names import DEFAULT_RATE


@dataclass(frozen=True)
class Options:
    """Options of `Model.predict`.

    Attributes:
        modalities: which of face, voice and words to use.
        language: code of the language of the speech and the transcript; "auto" to find out.
        rate: rows a second.
        also: what else to measure.
        transcript: path of a transcript; "" for none.
        person: path of a picture of the person to follow; "" for none.
        model: path of another fusion model; "" for the server's.
    """

    modalities: list[Literal["face", "voice", "words"]] = field(default_factory=lambda: ["face", "voice", "words"])
    language: str = AUTO
    rate: float = DEFAULT_RATE
    also: list[Literal["emotions", "face", "voice"]] = field(default_factory=list)
    transcript: str = ""
    person: str = ""
    model: str = ""
