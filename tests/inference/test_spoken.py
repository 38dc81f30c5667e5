from vatrace.features.attribution import Attribution
from vatrace.features.perceived import Perceived, Sight, Sound
from vatrace.features.spool import Spool
from vatrace.features.turns import Turn as Heard
from vatrace.inference.prediction import OFF_SCREEN, SEVERAL, Turn
from vatrace.inference.spoken import spoken_turns
from vatrace.media.transcripts import Word


def test_turns_name_the_speaker_and_hold_the_words() -> None:
    words = [Word(text, start, start + 0.4) for text, start in (("a", 0), ("b", 1.5), ("c", 3), ("d", 5.2), ("e", 9))]
    heard = [
        Heard(0, 1, 0, 0),
        Heard(1.25, 2, 0, 0),
        Heard(2.5, 4, 1),
        Heard(4, 5, None),
        Heard(5, 6, 0, 0),
        Heard(6.35, 7, 0, 0),
        Heard(8, 10, 0, 0),
    ]
    sound = Sound(Spool((1,)), words=words)
    scene = Perceived(10.0, frozenset({"words"}), Sight(Spool((1,))), sound, [], Attribution(heard))
    assert spoken_turns(scene) == [
        Turn(0, 2, "1", (words[0], words[1])),  # a pause of 0.25 s is part of the turn
        Turn(2.5, 4, OFF_SCREEN, (words[2],)),
        Turn(4, 5, SEVERAL),
        Turn(5, 6, "1", (words[3],)),
        Turn(6.35, 7, "1"),
        Turn(8, 10, "1", (words[4],)),
    ]
    assert spoken_turns(Perceived(10.0, frozenset(), Sight(Spool((1,))), sound, [], Attribution([]))) == []
