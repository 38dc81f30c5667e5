"""What goes into the interface for programs and comes out of it: the parameters of jobs, and the answers."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from vatrace.languages import AUTO, LANGUAGES
from vatrace.names import DEFAULT_RATE, MAX_PEOPLE, MAX_RATE
from vatrace.web.job import State

NAME, MAX_NAME = r"^[^/\\\x00-\x1f]+$", 255
"""File names without a folder, and their longest."""
LOCAL = r"^http://(127\.0\.0\.1|localhost|\[::1\])(:[1-9][0-9]{0,4})?(/[!-~]*)?$"
"""Addresses that may be told about the end of a job: on this machine."""


class Problem(BaseModel):
    """What went wrong (RFC 9457)."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str


class JobState(BaseModel):
    """A recording that was submitted."""

    id: str
    name: str = Field(description="File name of the recording.")
    state: State
    message: str = Field(description="The trace in one line once done; the cause once failed.")
    stages: dict[str, float] = Field(description="Progress: the share of each stage that is done, 0 to 1.")
    notes: list[str] = Field(description="What users should know about the trace.")
    people: str | int
    options: dict[str, Any]
    duration: float = Field(description="Seconds of the trace once done.")
    order: int = Field(description="Place in the order of completion, from 1; 0 until then.")


class JobList(BaseModel):
    """Several jobs."""

    jobs: list[JobState]


class About(BaseModel):
    """What this server offers."""

    version: str
    model: str
    formats: list[str]


class Submission(BaseModel):
    """The options of a new job."""

    model_config = ConfigDict(extra="forbid")

    people: Literal["main", "all", "left", "right"] | Annotated[int, Field(ge=1, le=MAX_PEOPLE)] = Field(
        "main", description="Whose traces to make; a number for that many of the most prominent people."
    )
    modalities: list[Literal["face", "voice", "words"]] = Field(
        ["face", "voice", "words"], min_length=1, max_length=3, description="Which modalities to use."
    )
    language: Literal[(AUTO, *LANGUAGES)] = Field(AUTO, description="Language of the speech and the transcript.")  # type: ignore[valid-type]
    rate: float = Field(DEFAULT_RATE, gt=0, le=MAX_RATE, description="Rows a second.")
    also: list[Literal["emotions", "face", "voice"]] = Field([], max_length=3, description="What else to measure.")
    transcript: str | None = Field(None, min_length=1, max_length=4096, description="A transcript below an allowed folder.")
    person: str | None = Field(
        None, min_length=1, max_length=4096, description="Instead of people: a picture of the person, below an allowed folder."
    )
    model: str | None = Field(
        None, min_length=1, max_length=4096, description="A fusion model in ONNX below an allowed folder."
    )
    webhook: str | None = Field(
        None, max_length=1000, pattern=LOCAL, description="Address on this machine to which the job is posted when it ends."
    )


class Upload(Submission):
    """The parameters of an upload."""

    name: str | None = Field(None, min_length=1, max_length=MAX_NAME, pattern=NAME, description="File name of the recording.")


class Named(Submission):
    """The parameters of a recording that isn't uploaded."""

    path: str = Field(min_length=1, max_length=4096, description="Of the recording, below a folder that the server allows.")
