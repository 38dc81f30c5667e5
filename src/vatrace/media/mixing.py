"""How a recording's audio becomes mono: from which track and channels, and at what level.

One pass over parts of the recording decides; then `Mix.mixed` is one weighted sum, however long the recording is. Channels are
never averaged blindly: one may be inverted, or contain timecode, hum or nothing, and the dialogue of surround sound comes from
its centre.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vatrace.errors import MediaError
from vatrace.media.container import decoded_frames, open_container, start_time
from vatrace.media.samples import MAX_SAMPLE, Resampler, cleaned, plausible_limit
from vatrace.media.voice_activity import RATE, speech_mask

TARGET_LEVEL = -28.0
"""dBFS (RMS) of the speech that features are computed from. In RAVDESS, which the voice encoder was trained on, it is
-45..-15 dBFS; with a gain of -40 dB, arousal was off by 0.07."""
MAX_GAIN = 60.0
"""dB. Speech at -88 dBFS still reaches the target; 16 bits can't represent much quieter speech."""

SURVEY_DUR, PART_DUR = 480.0, 10.0
"""Seconds, summed over channels, that the decision is based on, and seconds of each part if the recording is longer."""
MIN_SPEECH_DUR = 0.5
"""Seconds of speech from which a track or a channel counts as containing speech."""
MIN_SPEECH_SHARE = 0.1
"""Share of the main channel's speech below which another channel counts as having no voice of its own."""
INVERTED = -0.5
"""Correlation in the speech band below which a channel is inverted. Inverted channels in AAC at 64 kbit/s had -0.9 or less,
two microphones with different voices -0.1..0.1."""
DELAYED, MAX_DELAY = 0.5, 0.05
"""Correlation above which a channel is a delayed copy of another, and the longest delay in seconds."""
HARMLESS = -20.0
"""dB relative to the main channel's speech: a channel without speech that is quieter than this does no harm in a mix."""
SPEECH_BAND = (200.0, 4000.0)
"""Hz."""

LARGE, FLAT_TOP, FLAT_SHARE = 0.995, 0.8, 0.04
"""Speech is clipped if more than FLAT_SHARE of its samples reach FLAT_TOP of the quantile LARGE of their sizes. In 273
recordings of GRID, RAVDESS and other speech corpora, it is at most 0.032 of them. With a tenth of the samples cut off, which
changes valence or arousal by 0.04 on average and by up to 0.13, it is 0.060 to 0.144 (17 files, as AAC, Opus and MP3)."""
CLIPPED = "the sound is clipped (its peaks are cut off), so values from the voice may be wrong"
"""The note on it."""

CENTRE, FRONT, AROUND = 1.0, 0.7071, 0.5
SURROUND = {
    **dict.fromkeys(("FC", "DL", "DR"), CENTRE),
    **dict.fromkeys(("FL", "FR", "FLC", "FRC", "WL", "WR"), FRONT),
    **dict.fromkeys(("BL", "BR", "BC", "SL", "SR", "SDL", "SDR"), AROUND),
}
"""Weights of a mono downmix after ITU-R BS.775-3, annex 4; low-frequency effects and ceiling channels are left out."""

ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth")
SIDES = ("left", "right")

Audio = NDArray[np.float32]


@dataclass(frozen=True)
class Mix:
    """How the audio of a recording becomes mono.

    Attributes:
        track: index of the track among the audio tracks.
        weights: of the channels, by layout, where they differ from `default_weights`.
        limit: samples beyond it are damage, not sound.
        scale: factor that brings samples into -1..1.
        level: RMS of the speech after scaling, in dBFS; None if no speech was found.
        notes: what the user should know.
    """

    track: int = 0
    weights: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    limit: float = MAX_SAMPLE
    scale: float = 1.0
    level: float | None = None
    notes: tuple[str, ...] = ()

    def mixed(self, samples: Audio, layout: str, channels: Sequence[str]) -> Audio:
        """Mix the channels (C, N) of a layout, with these names, to (N,)."""
        weights = self.weights.get(layout) or default_weights(channels)
        return self.scale * (np.asarray(weights, np.float32) @ samples)

    @property
    def gain(self) -> float:
        """Factor that brings the speech to `TARGET_LEVEL`; 1 without speech, so that noise isn't amplified."""
        return 1.0 if self.level is None else gain_from(self.level)


def gain_from(level: float) -> float:
    """Factor that brings speech of a level in dBFS to `TARGET_LEVEL`, by at most `MAX_GAIN`."""
    return float(10 ** (min(TARGET_LEVEL - level, MAX_GAIN) / 20))


def default_weights(channels: Sequence[str]) -> tuple[float, ...]:
    """The weights of channels by their names alone: the downmix of a surround layout, else the mean. Their sum is 1."""
    weights = [SURROUND.get(name, 0.0) for name in channels] if is_surround(channels) else [1.0] * len(channels)
    return tuple(weight / sum(weights) for weight in weights)


def is_surround(channels: Sequence[str]) -> bool:
    """Whether the layout has a centre or a subwoofer in addition to its sides, so that its channels belong together."""
    return len(channels) > 2 and bool({"FC", "LFE"} & set(channels)) and {"FL", "FR"} <= set(channels)


def track_order(container: Any) -> list[int]:
    """Indices of the audio tracks that FFmpeg can decode: first those meant for everybody, and of these, the default one."""
    from av.stream import Disposition

    special = Disposition.comment | Disposition.visual_impaired | Disposition.hearing_impaired | Disposition.karaoke

    def rank(index: int) -> tuple[bool, bool, int]:
        flags = container.streams.audio[index].disposition
        return bool(flags & special), not flags & Disposition.default, index

    decodable = [index for index, stream in enumerate(container.streams.audio) if stream.codec_context is not None]
    return sorted(decodable, key=rank)


def choose_mix(path: Path) -> Mix:
    """Choose the track, channels and level of a recording's audio, from parts of it.

    Args:
        path: the recording, with audio.

    Raises:
        MediaError: if it can't be opened.
    """
    with open_container(path) as container:
        order, total = track_order(container), len(container.streams.audio)
    surveys = [_survey(path, track) for track in order]
    if not surveys:
        return Mix()
    most = max(speech_dur for _, speech_dur in surveys)
    enough = MIN_SPEECH_SHARE * most if most >= MIN_SPEECH_DUR else 0.0
    chosen = next(index for index, (_, speech_dur) in enumerate(surveys) if speech_dur >= enough)
    mix = surveys[chosen][0]
    return mix if total < 2 else replace(mix, notes=(_track_note(mix.track, total, order, chosen > 0), *mix.notes))


def _track_note(track: int, total: int, order: Sequence[int], by_speech: bool) -> str:
    """Which of several tracks was used, and why if it isn't the first."""
    name = ORDINALS[track] if track < len(ORDINALS) else f"{track + 1}th"
    why = ""
    if by_speech:
        why = ", which contains the speech"
    elif 0 not in order:
        why = ", since the first can't be decoded"
    elif track > 0:
        why = ", which is flagged as the default"
    return f"contains {total} audio tracks: the {name} was used{why}"


def _survey(path: Path, track: int) -> tuple[Mix, float]:
    """The mix of one track, and the seconds of speech in the parts that it is based on."""
    limit = plausible_limit(_frames(path, track, SURVEY_DUR)) if _is_float(path, track) else MAX_SAMPLE
    parts: dict[str, list[Audio]] = {}
    names: dict[str, tuple[str, ...]] = {}
    resampler = Resampler()
    for frame in _frames(path, track, SURVEY_DUR):
        for part in resampler.resample(cleaned(frame, limit)[0]):
            parts.setdefault(part.layout.name, []).append(part.to_ndarray())
            names[part.layout.name] = tuple(channel.name for channel in part.layout.channels)
    joined = {layout: np.concatenate(found, axis=1) for layout, found in parts.items()}
    peak = max((float(np.abs(audio).max(initial=0.0)) for audio in joined.values()), default=0.0)
    weights: dict[str, tuple[float, ...]] = {}
    notes: list[str] = []
    for layout, audio in joined.items():
        chosen, note = choose_weights(audio, names[layout])
        if chosen is not None:
            weights[layout] = chosen
            notes.append(note)
    mix = Mix(track, weights, limit, 1.0 / peak if peak > 1.0 else 1.0, None, tuple(notes))
    mono = [mix.mixed(audio, layout, names[layout]) for layout, audio in joined.items()]
    whole = np.concatenate(mono) if mono else np.zeros(0, np.float32)
    speech = whole[speech_mask(whole)]
    if not len(speech) or not speech.any():
        return mix, 0.0
    level = 10 * np.log10(np.mean(np.square(speech, dtype=np.float64)))
    clipped = (CLIPPED,) if is_clipped(speech) else ()
    return replace(mix, level=float(level), notes=mix.notes + clipped), len(speech) / RATE


def is_clipped(speech: Audio) -> bool:
    """Whether the peaks of speech (N,) are cut off: then many samples are nearly as large as the largest.

    Later processing may have changed the level, and lossy codecs the shape of the peaks, so samples are compared with each
    other, not with full scale.
    """
    sizes = np.abs(speech)
    return float((sizes >= FLAT_TOP * np.quantile(sizes, LARGE)).mean()) > FLAT_SHARE


def _is_float(path: Path, track: int) -> bool:
    """Whether the track stores floating-point numbers, which aren't limited to -1..1."""
    with open_container(path) as container:
        name = container.streams.audio[track].codec_context.name
    return bool(name.startswith(("pcm_f", "wavpack")))


def _frames(path: Path, track: int, dur: float) -> Iterator[Any]:
    """Decoded frames of parts of a track, spread over the recording: `dur` seconds, summed over channels."""
    with open_container(path) as container:
        stream = container.streams.audio[track]
        dur /= max(stream.codec_context.channels or 1, 2)  # mono counts as stereo
        length = container.duration / 1e6 if container.duration else 0.0
        starts: list[float | None] = [None]
        if length > dur:
            starts = list(np.linspace(0.0, length - PART_DUR, max(int(dur / PART_DUR), 1)))
        for start in starts:
            if start is not None and not _seek(container, start):
                continue
            heard = 0.0
            for frame, _ in decoded_frames(container, stream):
                if frame is not None:
                    yield frame
                    heard += frame.samples / frame.sample_rate
                if heard >= (dur if start is None else PART_DUR):
                    break


def _seek(container: Any, start: float) -> bool:
    import av

    try:
        container.seek(round((start_time(container) + start) * 1e6))
    except (av.FFmpegError, MediaError):
        return False
    return True


def choose_weights(audio: Audio, channels: Sequence[str]) -> tuple[tuple[float, ...] | None, str]:
    """Weights of channels (C, N) at 16 kHz that preserve their speech, and a note; None if the default ones do.

    Surround sound keeps its downmix. In other layouts, the channel with the most speech is compared with each other one, whose
    weight is negative if it is inverted, and 0 if it is a delayed copy or loud without speech.
    """
    if len(channels) < 2 or is_surround(channels):
        return None, ""
    masks = [speech_mask(channel) for channel in audio]
    durs = [float(mask.sum()) / RATE for mask in masks]
    band = np.stack([in_speech_band(channel) for channel in audio])
    main = int(np.argmax(durs))
    if durs[main] < MIN_SPEECH_DUR:
        return None, ""
    speech_power = float(np.mean(np.square(audio[main][masks[main]])))
    signs = np.zeros(len(channels))
    for other in range(len(channels)):
        if other == main:
            signs[other] = 1.0
            continue
        heard = masks[main] | masks[other]
        speaks = durs[other] >= max(MIN_SPEECH_DUR, MIN_SPEECH_SHARE * durs[main])
        if correlation(band[main][heard], band[other][heard]) <= INVERTED:
            signs[other] = -1.0
        elif speaks:
            signs[other] = 0.0 if _is_delayed_copy(band[main], band[other], heard) else 1.0
        else:
            quiet = audio[other][~masks[other]]
            power = float(np.mean(np.square(quiet))) if len(quiet) else 0.0
            signs[other] = float(power <= speech_power * 10 ** (HARMLESS / 10))
    if (signs == 1.0).all():
        return None, ""
    return tuple((signs / np.abs(signs).sum()).tolist()), _channel_note(signs, channels)


def _channel_note(signs: NDArray[np.float64], channels: Sequence[str]) -> str:
    def named(indices: NDArray[np.intp]) -> str:
        if len(channels) == 2:
            return f"the {SIDES[indices[0]]} one"
        return f"{'channels' if len(indices) > 1 else 'channel'} {', '.join(str(index + 1) for index in indices)}"

    inverted, used = np.flatnonzero(signs < 0), np.flatnonzero(signs)
    parts = []
    if len(inverted):
        verb, them = ("was", "it") if len(inverted) == 1 else ("were", "them")
        others = "other" if len(channels) == 2 else "others"
        parts.append(f"{named(inverted)} {verb} inverted to prevent {them} from cancelling the {others}")
    if len(used) < len(channels):
        contain, verb = ("contains", "was") if len(used) == 1 else ("contain", "were")
        parts.append(f"only {named(used)}, which {contain} the speech, {verb} used")
    return f"{len(channels)} audio channels: {'; '.join(parts)}"


def in_speech_band(audio: Audio) -> Audio:
    """Audio (N,) at 16 kHz, limited to `SPEECH_BAND`."""
    size = 1 << 16
    result = np.empty_like(audio)
    for start in range(0, len(audio), size):
        part = audio[start : start + size]
        spectrum, frequencies = np.fft.rfft(part), np.fft.rfftfreq(len(part), 1 / RATE)
        spectrum[(frequencies < SPEECH_BAND[0]) | (frequencies > SPEECH_BAND[1])] = 0
        result[start : start + size] = np.fft.irfft(spectrum, len(part))
    return result


def correlation(first: Audio, second: Audio) -> float:
    """Correlation of two channels (N,) of zero mean, -1..1; 0 if one of them is silent."""
    norm = float(np.sqrt(np.sum(np.square(first, dtype=np.float64)) * np.sum(np.square(second, dtype=np.float64))))
    return float(np.dot(first.astype(np.float64), second)) / norm if norm > 0 else 0.0


def _is_delayed_copy(first: Audio, second: Audio, where: NDArray[np.bool_]) -> bool:
    """Whether two channels contain the same voice at different times, so that a mix would be a comb filter."""
    if correlation(first[where], second[where]) >= DELAYED:
        return False
    span, norm = round(MAX_DELAY * RATE), float(np.sqrt(np.sum(np.square(first[where])) * np.sum(np.square(second[where]))))
    size, total = 1 << 16, np.zeros(2 * span + 1)
    for start in range(0, len(first) - size // 2, size):
        parts = [(channel * where)[start : start + size] for channel in (first, second)]
        spectra = [np.fft.rfft(part, 2 * size) for part in parts]
        lags = np.fft.irfft(spectra[0] * np.conj(spectra[1]), 2 * size)
        total += np.concatenate([lags[-span:], lags[: span + 1]])
    return norm > 0 and float(np.abs(total).max()) / norm >= DELAYED
