from dataclasses import replace
from pathlib import Path

import numpy as np

from made_people import composed
from vatrace.inference.prediction import NOBODY, OFF_SCREEN, SEVERAL, Prediction, Turn
from vatrace.output.figure import figure


def prediction(steps: int = 30) -> Prediction:
    presence = {name: np.zeros(steps, bool) for name in ("face", "voice", "words")}
    presence["face"][steps // 3 :] = True
    times = np.arange(steps) / 10
    return Prediction(Path("talk.mp4"), 10.0, times, np.sin(times), np.cos(times), presence)


def test_the_figure_draws_both_traces_and_the_presence_under_them() -> None:
    above, below = figure(prediction()).axes
    drawn = {line.get_label(): line.get_ydata() for line in above.lines}
    np.testing.assert_allclose(drawn["valence"][10:], np.sin(np.arange(10, 30) / 10))
    assert np.isnan(drawn["valence"][:10]).all()  # strong only where something was there
    (span,) = below.collections[0].get_paths()
    assert (span.vertices[:, 0].min(), span.vertices[:, 0].max()) == (1.0, 3.0)


def test_bands_are_said_to_be_intervals_and_faint_where_nothing_was_there() -> None:
    made = prediction()
    ends = np.stack([made.valence, made.arousal], axis=-1)
    above = figure(replace(made, bounds=(ends - 0.1, ends + 0.1))).axes[0]
    assert [text.get_text() for text in above.get_legend().get_texts()] == ["valence", "arousal", "90 % interval"]
    strong, faint = (collection.get_alpha() for collection in above.collections[:2])
    assert strong > 3 * faint > 0
    assert [text.get_text() for text in figure(made).axes[0].get_legend().get_texts()] == ["valence", "arousal"]


def test_one_row_and_no_support_can_be_drawn_too() -> None:
    single = prediction(1)
    figure(single).canvas.draw()
    single.presence["face"][:] = False
    nobody = figure(single)
    nobody.canvas.draw()
    assert [text.get_text() for text in nobody.axes[1].texts] == [NOBODY]


def test_several_people_have_two_panels_each_and_share_one_of_their_turns() -> None:
    drawn = figure(composed(3))
    drawn.canvas.draw()
    *panels, turns = drawn.axes
    assert [axes.get_ylabel() for axes in panels[::2]] == ["Person 1", "Person 2", "Person 3"]
    for number, axes in enumerate(panels[::2]):
        drawn_valence = next(line for line in axes.lines if line.get_label() == "valence").get_ydata()
        np.testing.assert_allclose(drawn_valence, list(composed(3).people.values())[number].valence)
    assert [text.get_text() for text in turns.get_yticklabels()][::-1] == [
        *("Person 1 speaks", "Person 2 speaks", "Person 3 speaks", OFF_SCREEN, SEVERAL)
    ]
    spans = [[path.vertices[:, 0].min() for path in row.get_paths()] for row in turns.collections]
    assert spans == [[0.0], [1.0], [2.0], [3.0], [4.0]]
    assert [row.get_hatch() is not None for row in turns.collections] == [False] * 4 + [True]


def test_at_most_eight_people_are_drawn_and_can_be_told_apart() -> None:
    drawn = figure(composed(10))
    assert len(drawn.axes) == 2 * 8 + 1
    assert len({axes.yaxis.label.get_color() for axes in drawn.axes[:-1:2]}) == 8


def test_turns_are_drawn_only_if_another_person_speaks() -> None:
    alone = replace(prediction(), turns=[Turn(0, 1, "1")])
    assert len(figure(alone).axes) == 2
    assert figure(alone).get_suptitle() == alone.source.name
    with_others = figure(replace(alone, turns=[*alone.turns, Turn(1, 2, "2")]))
    assert len(with_others.axes) == 3 and with_others.get_suptitle() == f"{alone.source.name}, Person 1"
