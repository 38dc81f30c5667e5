"""Assigns each turn of speech to a person, from the visible mouths and the voices.

Turns are cut into short pieces, mostly at pauses. For each piece and each visible person, there are two kinds of evidence: how
much the mouth moves, and how well its opening follows the level of the sound. Each is a log-likelihood ratio (this person
speaks or doesn't), and they are added up. The scores of an active-speaker network replace both. The voice is further evidence:
if its other pieces belong to one person, this piece probably does too, even if that person is not visible. Within a turn, the
most likely sequence of speakers is found (Viterbi).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vatrace.features.mouths import MARGIN, MOVES, Mouth
from vatrace.features.named_speakers import Owners
from vatrace.features.speakers import ENVELOPE_RATE
from vatrace.features.turns import Turn

if TYPE_CHECKING:
    from vatrace.features.active_speaker import Judgement
    from vatrace.features.people import Person

MAX_PIECE, MIN_PIECE = 2.0, 0.6
"""Length in seconds of the longest and the shortest piece that a turn is cut into."""

SMOOTHED, FLOOR = 0.08, 0.05
"""Seconds over which the envelope is averaged, and the share of its loud level below which differences are ignored."""

RATE, MAX_GAP, MIN_FRAMES = 25, 0.12, 12
"""Frames per second at which mouths and sound are compared; the longest time in seconds to the nearest frame at which a mouth
still counts as known; and the fewest frames that are compared."""
SLOW = 4
"""Slow changes are removed by subtracting the mean over this many frames before and after each, since any two slow signals
correlate by chance. With 4, the correlation of mouth and sound distinguishes speakers best: it is higher for the speaker than
for the mouth of another of five GRID speakers in 95 % of cases; with slow changes in 85 %, and with 10 frames per second
instead of 12.5 or 25 in 90 %."""

LAGS = np.arange(-10, 11)
"""Frames by which the sound may be later than the picture."""

LAG_SPREAD = 0.15
"""Standard deviation of that lag over recordings, in seconds: most are in sync."""

SPEAKERS, SPREAD, CHANCE = 0.5, 0.2, 0.37
"""Correlation of a speaker's mouth and the sound (as its inverse hyperbolic tangent), its standard deviation over pieces, and
that of correlations by chance in one second. In pieces of 1.6 s of five GRID speakers, the first is 0.49 and varies by
0.25, chance included; other mouths that move have -0.03 to 0 and vary by 0.20 to 0.25."""

EVEN, STEEPNESS, LEAST, MOST = (MOVES, 2 * MOVES), 1.5, -2.5, 0.75
"""The range of the neutral motion, at which a mouth is evidence neither for nor against speech; how fast the evidence of one
second grows with the logarithm of motion; and its limits. GRID speakers have 0.032 to 0.062, resting mouths 0 to 0.003, and
mouths that chew (their clips played at half or a third of their speed) 0.013 to 0.034."""
PAUSE, NUM_PAUSES, RESTLESS = 0.3, 4, 1.3
"""Seconds of the shortest pause between turns in which the usual motion of a mouth is measured; how many of the pauses nearest
to a piece are used; and the factor from the median motion during them to the neutral motion."""
MOTION_SECONDS = 2.0
"""Maximum number of seconds of a piece that count as evidence: successive seconds of one mouth are similar."""

SUREST = 5.0
"""Limit of the evidence from an active-speaker network in one piece: about that of mouths, which is between -6 and 7 for two
GRID speakers in pieces of 1.6 s. Scores are seldom calibrated, and one error must not outweigh all other pieces."""

UNSEEN = -1.0
"""Evidence for a person who isn't visible, or whose mouth is hidden: only their voice can outweigh it."""
DOUBT, ROUNDS = 0.5, 30
"""Seconds of each voice that are added for every person, and for off-screen speakers, before their shares are computed (a
prior); and the number of iterations that estimate the shares."""
SWITCH = 2.0
"""Evidence against a change of the speaker within a turn."""
HARDLY = 0.3
"""Share of the speech that must fit the mouth of the only visible person; below it, the voice is off screen. GRID speakers have
all of it, and two listeners who rest or chew have 0.05 and 0.25."""
CLEAR = 1.0
"""Lead in evidence that the most likely person must have over the next; with less, the speaker is uncertain."""
ALIKE = 0.9
"""Correlation of two mouths from which they are taken for one face and its mirror image."""


@dataclass(frozen=True)
class Attribution:
    """The turns of a recording, assigned to people.

    Attributes:
        turns: with their `person`, split where the speaker changes.
        unclear: seconds in which another person, or an off-screen speaker, is nearly as likely (by a factor below e).
        alike: pairs of people whose mouths moved in unison while one of them was taken for the speaker; that one comes first.
        owners: the person that each speaker of a transcript is matched to (`features/named_speakers.py`).
    """

    turns: list[Turn]
    unclear: float = 0.0
    alike: list[tuple[int, int]] = field(default_factory=list)
    owners: Owners = field(default_factory=dict)


@dataclass(frozen=True)
class _Piece:
    turn: int
    start: float
    end: float
    voice: int


def attribute(
    turns: Sequence[Turn],
    envelope: NDArray[np.float32],
    people: Sequence[Person],
    mouths: Sequence[Mouth],
    judged: Sequence[Judgement] | None = None,
) -> Attribution:
    """Assign turns to people.

    Args:
        turns: of all voices, in order.
        envelope: (N,) RMS of the audio at ENVELOPE_RATE.
        people: the visible ones, the most prominent first. A possible photograph counts only if its mouth clearly moves.
        mouths: of all people.
        judged: the scores of an active-speaker network for all people, which replace the mouths; None without a network.
    """
    level = _level(envelope)
    pieces = [piece for index, turn in enumerate(turns) for piece in _pieces(index, turn, level)]
    living = [index for index, person in enumerate(people) if person.moves is not False or _speaks(pieces, mouths[index])]
    seen = [mouths[index] for index in living]
    evidence = (
        _by_mouths(pieces, seen, turns, level) if judged is None else _by_network(pieces, [judged[index] for index in living])
    )
    chosen, margins, alike = _decide(pieces, seen, evidence)
    whose = [None if place == len(living) else living[place] for place in chosen]
    parts: list[tuple[int, Turn]] = []
    for piece, person in zip(pieces, whose, strict=True):
        if parts and parts[-1][0] == piece.turn and parts[-1][1].person == person:
            parts[-1] = (piece.turn, replace(parts[-1][1], end=piece.end))
        else:
            parts.append((piece.turn, Turn(piece.start, piece.end, piece.voice, person)))
    several = [turn for turn in turns if turn.voice is None]
    lengths = np.array([piece.end - piece.start for piece in pieces])
    unclear = np.array(margins) < CLEAR
    return Attribution(
        sorted([turn for _, turn in parts] + several, key=lambda turn: turn.start),
        float(lengths[unclear].sum()) if pieces else 0.0,
        sorted({(living[one], living[other]) for one, other in alike}),
    )


def one_speaker(found: Attribution) -> Attribution:
    """In a recording with one voice and one visible person, give either all turns or none to that person.

    If less than HARDLY of the speech fits their mouth, they listen to an off-screen speaker; in doubt, the voice is theirs.
    """
    lengths = [(turn.person, turn.end - turn.start) for turn in found.turns]
    theirs = sum(length for person, length in lengths if person is not None)
    speaker = 0 if theirs >= HARDLY * sum(length for _, length in lengths) else None
    return replace(found, turns=[replace(turn, person=speaker) for turn in found.turns])


def _speaks(pieces: Sequence[_Piece], mouth: Mouth) -> bool:
    """Whether a mouth ever moves during speech, as no photograph's does."""
    return any(mouth.motion(piece.start, piece.end) > MOVES for piece in pieces)


def _level(envelope: NDArray[np.float32]) -> NDArray[np.float64]:
    """The logarithm of the smoothed envelope."""
    width = round(SMOOTHED * ENVELOPE_RATE)
    if len(envelope) < width:
        return np.zeros(len(envelope))
    smooth = np.convolve(envelope, np.ones(width) / width, "same")
    return np.log(smooth + max(FLOOR * float(np.percentile(smooth, 95)), 1e-9))


def _pieces(index: int, turn: Turn, level: NDArray[np.float64]) -> list[_Piece]:
    """Cut a turn at its quietest moments until no piece is longer than MAX_PIECE."""
    if turn.voice is None:
        return []

    def cut(start: float, end: float) -> list[float]:
        first, last = (round(moment * ENVELOPE_RATE) for moment in (start + MIN_PIECE, end - MIN_PIECE))
        inside = level[first : last + 1]
        if end - start <= MAX_PIECE or not len(inside):
            return []
        middle = (first + int(np.median(np.flatnonzero(inside == inside.min())))) / ENVELOPE_RATE
        return [*cut(start, middle), middle, *cut(middle, end)]

    cuts = [turn.start, *cut(turn.start, turn.end), turn.end]
    return [_Piece(index, start, end, turn.voice) for start, end in pairwise(cuts)]


def _decide(
    pieces: Sequence[_Piece], mouths: Sequence[Mouth], evidence: NDArray[np.float64]
) -> tuple[list[int], list[float], set[tuple[int, int]]]:
    """For each piece, the index of the most likely mouth and its lead; and the pairs of mouths that move in unison.

    The index is len(mouths) for an off-screen speaker. The evidence is (I, P) for I pieces and P mouths, NaN where a mouth
    isn't visible.
    """
    if not pieces:
        return [], [], set()
    scores = np.column_stack([np.where(np.isfinite(evidence), evidence, UNSEEN), np.zeros(len(pieces))])
    voices = np.array([piece.voice for piece in pieces])
    scores = scores + _by_voice(scores, voices, np.array([piece.end - piece.start for piece in pieces]))
    return _among_alike(pieces, mouths, scores, _speakers(pieces, scores))


def _by_mouths(
    pieces: Sequence[_Piece], mouths: Sequence[Mouth], turns: Sequence[Turn], level: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Evidence from how much each mouth moves and follows the sound in each piece (I, P); NaN where it isn't visible."""
    moving = np.array([_by_motion(pieces, mouth, turns) for mouth in mouths]).reshape(len(mouths), len(pieces)).T
    return moving + _following(pieces, mouths, turns, level)


def _by_network(pieces: Sequence[_Piece], judged: Sequence[Judgement]) -> NDArray[np.float64]:
    """Evidence from an active-speaker network for each person in each piece (I, P); NaN where they aren't visible."""
    means = [[person.mean(piece.start, piece.end) for person in judged] for piece in pieces]
    return np.clip(np.array(means).reshape(len(pieces), len(judged)), -SUREST, SUREST)


def _by_voice(scores: NDArray[np.float64], voices: NDArray[np.int64], lengths: NDArray[np.float64]) -> NDArray[np.float64]:
    """The logarithm of each speaker's share of the voice of each piece, (I, states), from the pieces' scores.

    The shares of a voice are those that make the scores of its pieces most likely (expectation maximisation).
    """
    logs = np.zeros(scores.shape)
    for voice in np.unique(voices):
        here, num = voices == voice, scores.shape[1]
        shares = np.full(num, 1 / num)
        for _ in range(ROUNDS):
            likely = scores[here] + np.log(shares)
            likely = np.exp(likely - np.logaddexp.reduce(likely, axis=1)[:, None])
            spoken = lengths[here] @ likely + DOUBT
            shares = spoken / spoken.sum()
        logs[here] = np.log(shares)
    return logs


def _by_motion(pieces: Sequence[_Piece], mouth: Mouth, turns: Sequence[Turn]) -> list[float]:
    """Evidence from how much a mouth moves in each piece; NaN where it isn't visible.

    If the mouth also moves in the nearest pauses between turns, as when chewing, more motion is required.
    """
    pauses = [(one.end, other.start) for one, other in pairwise(turns) if other.start - one.end >= PAUSE]
    motions = np.array([mouth.motion(*pause) for pause in pauses])
    middles = np.array(pauses).reshape(-1, 2).mean(axis=1)[np.isfinite(motions)]
    motions = motions[np.isfinite(motions)]
    evidence = []
    for piece in pieces:
        even = EVEN[0]
        if len(motions) >= NUM_PAUSES:
            nearest = np.argsort(np.abs(middles - (piece.start + piece.end) / 2))[:NUM_PAUSES]
            even = float(np.clip(RESTLESS * np.median(motions[nearest]), *EVEN))
        motion = mouth.motion(piece.start, piece.end)
        a_second = np.clip(STEEPNESS * np.log(max(motion, 1e-6) / even), LEAST, MOST) if np.isfinite(motion) else np.nan
        evidence.append(float(a_second) * min(piece.end - piece.start, MOTION_SECONDS))
    return evidence


def _following(
    pieces: Sequence[_Piece], mouths: Sequence[Mouth], turns: Sequence[Turn], level: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Evidence from how well each mouth follows the sound in each piece, at the recording's most likely lag (I, P)."""
    num = len(level) * RATE // ENVELOPE_RATE
    moments = np.arange(num) / RATE
    sound = np.interp(moments, (np.arange(len(level)) + 0.5) / ENVELOPE_RATE, level) if num else moments
    sound, _ = _without_slow(sound, np.ones(num, bool))
    found = np.zeros((len(pieces), len(mouths), len(LAGS)))
    for p, mouth in enumerate(mouths):
        opening, known = _without_slow(*mouth.at(moments, MAX_GAP))
        for i, piece in enumerate(pieces):
            found[i, p] = _by_lag(piece, opening, known, turns, sound)
    by_lag = np.logaddexp.reduce(found, axis=1).sum(axis=0) - (LAGS / RATE / LAG_SPREAD) ** 2 / 2
    return found[:, :, int(by_lag.argmax())]


def _without_slow(values: NDArray[np.float64], known: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Values (N,) less their mean over 2 SLOW + 1 frames around each, as far as they are known, and where they are."""
    window = np.ones(2 * SLOW + 1)
    if len(values) < len(window):
        return np.zeros(len(values)), np.zeros(len(values), bool)
    count = np.convolve(known, window, "same")
    return values - np.convolve(values * known, window, "same") / np.maximum(count, 1), known & (count > SLOW)


def _by_lag(
    piece: _Piece, opening: NDArray[np.float64], known: NDArray[np.bool_], turns: Sequence[Turn], sound: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Evidence from one piece and one mouth at each of the lags; 0 where there is too little data."""
    start, end = piece.start - MARGIN, piece.end + MARGIN
    for other in turns[max(piece.turn - 1, 0) : piece.turn + 2]:  # the margins must not contain somebody else's speech
        if other.end <= piece.start:
            start = max(start, other.end)
        elif other.start >= piece.end:
            end = min(end, other.start)
    frames = np.arange(max(round(start * RATE), -LAGS[0]), min(round(end * RATE), len(sound) - LAGS[-1]))
    frames = frames[known[frames]]
    if len(frames) < MIN_FRAMES or np.ptp(opening[frames]) < 1e-3:
        return np.zeros(len(LAGS))
    mouth = opening[frames] - opening[frames].mean()
    heard = sound[frames + LAGS[:, None]]
    heard = heard - heard.mean(axis=1, keepdims=True)
    follows = heard @ mouth / np.sqrt(np.maximum((heard**2).sum(axis=1) * (mouth**2).sum(), 1e-12))
    z = np.arctanh(np.clip(follows, -0.95, 0.95))
    chance = CHANCE**2 * RATE / len(frames)
    speaker = chance + SPREAD**2
    evidence = (z**2 / chance - (z - SPEAKERS) ** 2 / speaker + np.log(chance / speaker)) / 2
    return np.asarray(np.where(z < 0, np.minimum(evidence, 0), evidence))


def _speakers(pieces: Sequence[_Piece], scores: NDArray[np.float64]) -> NDArray[np.int64]:
    """The most likely speaker of each piece, where a change within a turn costs SWITCH; scores are (I, states)."""
    num = scores.shape[1]
    best, back = scores[0], []
    for i in range(1, len(scores)):
        cost = SWITCH if pieces[i].turn == pieces[i - 1].turn else 0.0
        change = best[:, None] - cost * (1 - np.eye(num))
        back.append(change.argmax(axis=0))
        best = change.max(axis=0) + scores[i]
    path = [int(best.argmax())]
    for pointers in reversed(back):
        path.append(int(pointers[path[-1]]))
    return np.array(path[::-1])


def _among_alike(
    pieces: Sequence[_Piece], mouths: Sequence[Mouth], scores: NDArray[np.float64], chosen: NDArray[np.int64]
) -> tuple[list[int], list[float], set[tuple[int, int]]]:
    """Of mouths that move in unison, choose the first; return the choices, their leads over the others, and the pairs."""
    result, margins, pairs = [], [], set()
    for piece, row, place in zip(pieces, scores, chosen.tolist(), strict=True):
        same = [other for other in range(len(mouths)) if place < len(mouths) and _alike(piece, mouths[place], mouths[other])]
        winner = min([place, *same])
        pairs |= {(winner, other) for other in {place, *same} - {winner}}
        others = np.delete(row, sorted({place, *same}))
        margins.append(float(row[place] - others.max(initial=-np.inf)))
        result.append(winner)
    return result, margins, pairs


def _alike(piece: _Piece, one: Mouth, other: Mouth) -> bool:
    """Whether two mouths open at the same moments, as a face and its mirror image do."""
    if one is other:
        return False
    inside = np.isfinite(one.openings) & (one.times >= piece.start) & (one.times <= piece.end)
    if inside.sum() < MIN_FRAMES:
        return False
    first, (second, near) = one.openings[inside], other.at(one.times[inside], MAX_GAP)
    if not near.all() or min(np.ptp(first), np.ptp(second)) < MOVES:
        return False
    return float(np.corrcoef(first, second)[0, 1]) > ALIKE
