"""A paragraph for the methods section of a paper, from the provenance of the results."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vatrace import __version__
from vatrace.languages import AUTO, ENGLISH, name_of
from vatrace.names import MODALITIES
from vatrace.output.provenance import Provenance
from vatrace.weights import WHISPER_SHA256

CITATIONS = (
    "Praveen, R. G., & Alam, J. (2024). Recursive cross-modal attention for multimodal fusion in dimensional emotion "
    "recognition. arXiv:2403.13659.",
    "Radford, A., Kim, J. W., Xu, T., Brockman, G., McLeavey, C., & Sutskever, I. (2023). Robust speech recognition via "
    "large-scale weak supervision. Proceedings of ICML.",
    "Politis, D. N., & Romano, J. P. (1994). The stationary bootstrap. Journal of the American Statistical Association, 89, "
    "1303-1313.",
    "Politis, D. N., & White, H. (2004). Automatic block-length selection for the dependent bootstrap. Econometric Reviews, "
    "23, 53-70.",
)

ALSO = {
    "emotions": (
        "the probabilities of eight facial expressions, from a network trained on FER+ (Barsoum et al., 2016)",
        "Barsoum, E., Zhang, C., Ferrer, C. C., & Zhang, Z. (2016). Training deep networks for facial expression recognition "
        "with crowd-sourced label distribution. Proceedings of ICMI.",
    ),
    "face": (
        "the pose of the head, gaze, eye openness, mouth opening, blinks and 52 blendshapes, from facial landmarks (the models "
        "of MediaPipe Face Landmarker; Kartynnik et al., 2019)",
        "Kartynnik, Y., Ablavatski, A., Grishchenko, I., & Grundmann, M. (2019). Real-time facial surface geometry from "
        "monocular video on mobile GPUs. arXiv:1907.06724.",
    ),
    "voice": (
        "the pitch of the voice (Praat through Parselmouth; Boersma, 1993; Jadoul et al., 2018), its loudness, speech rate and "
        "pauses",
        "Boersma, P. (1993). Accurate short-term analysis of the fundamental frequency and the harmonics-to-noise ratio of a "
        "sampled sound. Proceedings of the Institute of Phonetic Sciences, 17, 97-110.\n- Jadoul, Y., Thompson, B., & de "
        "Boer, B. (2018). Introducing Parselmouth: A Python interface to Praat. Journal of Phonetics, 71, 1-15.",
    ),
}
"""What each choice of `--also` measures, and whom to cite for it."""

LIMITS = (
    "The shipped model was trained on recordings composed of faces, acted voices and sentences, and has not been validated on "
    "real recordings with all three modalities.",
    "Its values estimate how observers would rate the expression, not what the person feels.",
    "Its 90 % intervals are calibrated on recordings like those of its training; on others, they miss more often.",
    "Words are understood best in English.",
    "Rows in which no modality was detected (`supported` = 0) are not based on the recording, and should be left out.",
    "Intervals of means allow for the autocorrelation of the trace, but not for errors of the model.",
)


def methods(made: Sequence[Provenance], failed: int, by: str, baseline: str) -> str:
    """The paragraph in Markdown, with citations, and the limits that a reviewer would ask for.

    Args:
        made: the provenance of each recording, at least one.
        failed: number of recordings that could not be processed.
        by: what a row of the table is; "" if there is no table of stretches.
        baseline: what was subtracted; "" for nothing.
    """
    listed, models = made[0].options, made[0].models
    used = [name for name in MODALITIES if name in listed.get("modalities", MODALITIES)]
    words = {facts.options.get("transcript") for facts in made}
    lines = [
        f"Valence and arousal (both from -1 to 1) were estimated from {len(made)} recording{'s' if len(made) != 1 else ''} "
        f"with vatrace {__version__}, which fuses {_and(used)} with recursive cross-modal attention (Praveen & Alam, 2024), at "
        f"{made[0].rate:g} values per second.",
        f"The fusion model has the SHA-256 {_fusion(made[0])[:12]}…; encoders: "
        + ", ".join(value for name, value in models.items() if name.endswith("encoder"))
        + ".",
    ]
    if "words" in used:
        lines.append("Words were taken from transcripts." if words <= {"given", "found"} else _recognised(made[0], words))
    if "adapt" in made[0].inputs:
        adapted = Path(made[0].inputs["adapt"].path).name
        lines.append(
            f"Values and intervals were fitted to our own ratings ({adapted}; SHA-256 {made[0].inputs['adapt'].sha256[:12]}…)."
        )
    people = listed.get("people", "main")
    lines.append("The trace follows the most prominent person." if people == "main" else f"Traces: people = {people}.")
    also = [name for name in ALSO if name in listed.get("also", ())]
    if also:
        lines.append(f"Also measured were {'; '.join(ALSO[name][0] for name in also)}.")
    if by:
        lines.append(
            f"Statistics are over stretches ({by}) and supported rows; 95 % intervals of means are from a stationary bootstrap "
            "(Politis & Romano, 1994) of the residuals of an autoregression, with automatic block length (Politis & White, "
            "2004)."
        )
    if baseline:
        lines.append(f"The mean of each person's baseline ({baseline}) was subtracted from the values.")
    if failed:
        lines.append(f"{failed} further recording{'s' if failed != 1 else ''} could not be processed.")
    lines.append("Software: " + ", ".join(f"{name} {version}" for name, version in made[0].libraries.items()) + ".")
    mixed = sum(bool(made[0].changes(other)) and _setup(made[0]) != _setup(other) for other in made)
    if mixed:
        lines.append(f"NOTE: {mixed} recordings were made with other options or versions: see their side files.")
    cited = [*(CITATIONS if by else CITATIONS[:2]), *(ALSO[name][1] for name in also)]
    parts = [
        "# Methods",
        " ".join(lines),
        "## Limits",
        *(f"- {limit}" for limit in LIMITS),
        "## References",
        *(f"- {c}" for c in cited),
    ]
    return "\n\n".join(parts).replace("\n\n- ", "\n- ") + "\n"


def _and(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _fusion(made: Provenance) -> str:
    return made.inputs["model"].sha256 if "model" in made.inputs else made.models.get("fusion.onnx", "")


def _recognised(made: Provenance, words: set[object]) -> str:
    some = " where there was no transcript" if words & {"given", "found"} else ""
    weights, language = made.models.get("whisper", WHISPER_SHA256), made.options.get("language", AUTO)
    model = "tiny.en" if weights == WHISPER_SHA256 else f"(SHA-256 {weights[:12]}…)"
    if "whisper base" in made.models and language != ENGLISH:
        known = language != AUTO and weights == WHISPER_SHA256
        model = "base" if known else f"{model}, or Whisper base in languages that this model does not know"
    spoken = "Speech" if language == AUTO else f"Speech in {name_of(language)}"
    return f"{spoken} was recognised with Whisper {model} (Radford et al., 2023){some}; doubtful words were left out."


SAME = frozenset({"rate", "modalities", "explain", "encoders", "language"})
"""Options that should be the same for all recordings of a study."""


def _setup(made: Provenance) -> tuple[object, ...]:
    """What should be the same for all recordings of a study."""
    same = {name: value for name, value in made.options.items() if name in SAME}
    return made.vatrace, made.models, made.libraries, same
