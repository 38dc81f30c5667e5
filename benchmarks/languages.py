"""Which language is found, how many words are wrong, and what it costs, in speech of many languages.

    python benchmarks/languages.py DATA                   acted speech and, if espeak-ng is installed, synthesised speech
    python benchmarks/languages.py DATA --files 10 --test  a quick look, and the corpora that no threshold was chosen by
    python benchmarks/languages.py DATA --voices VOICES   recordings of another synthesiser instead, such as VOICES/fr_anna.wav
    python benchmarks/languages.py DATA --cost            only time and memory, compared with English

DATA is a folder with `speech/meta.csv`, as in recipes/README.md. The error is the share of words, or of characters where a
language has no spaces, that are wrong, missing or too many in the files of which any words are kept; "left out" is the share of
recognised words that are left out as doubtful. Synthesised speech shows only that the method works: it isn't like people's.
VOICES contains the sentences of SPOKEN, by a synthesiser whose voices are more natural than those of espeak-ng.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from vatrace import Model, load_model
from vatrace.languages import WITHOUT_SPACES, joined, name_of
from vatrace.media.demo import SPEECH, packaged_file

EMODB = {
    "a01": "Der Lappen liegt auf dem Eisschrank.",
    "a02": "Das will sie am Mittwoch abgeben.",
    "a04": "Heute Abend könnte ich es ihm sagen.",
    "a05": "Das schwarze Stück Papier befindet sich da oben neben dem Holzstück.",
    "a07": "In sieben Stunden wird es soweit sein.",
    "b01": "Was sind denn das für Tüten, die da unter dem Tisch stehen?",
    "b02": "Sie haben es gerade hochgetragen und jetzt gehen sie wieder runter.",
    "b03": "An den Wochenenden bin ich jetzt immer nach Hause gefahren und habe Agnes besucht.",
    "b09": "Ich will das eben wegbringen und dann mit Karl was trinken gehen.",
    "b10": "Die wird auf dem Platz sein, wo wir sie immer hinlegen.",
}
"""The sentences of Emo-DB (Burkhardt et al. 2005)."""
SPOKEN = {
    "en": "The train leaves at seven in the morning. I was very happy to see my old friends again after such a long time.",
    "de": "Der Zug fährt um sieben Uhr morgens ab. Ich war sehr froh, meine alten Freunde nach so langer Zeit zu sehen.",
    "fr": "Le train part à sept heures du matin. J'étais très heureux de revoir mes vieux amis après si longtemps.",
    "es": "El tren sale a las siete de la mañana. Estaba muy feliz de ver a mis viejos amigos después de tanto tiempo.",
    "it": "Il treno parte alle sette del mattino. Ero molto felice di rivedere i miei vecchi amici dopo tanto tempo.",
    "pt": "O trem sai às sete da manhã. Fiquei muito feliz em rever meus velhos amigos depois de tanto tempo.",
    "nl": "De trein vertrekt om zeven uur 's ochtends. Ik was heel blij om mijn oude vrienden na zo lange tijd weer te zien.",
    "pl": "Pociąg odjeżdża o siódmej rano. Bardzo się ucieszyłem, że znów zobaczyłem starych przyjaciół po tak długim czasie.",
    "ru": "Поезд отправляется в семь часов утра. Я был очень рад увидеть своих старых друзей после такого долгого времени.",
    "tr": "Tren sabah yedide kalkıyor. Bu kadar uzun zaman sonra eski arkadaşlarımı tekrar gördüğüm için çok mutlu oldum.",
    "ar": "يغادر القطار في الساعة السابعة صباحا. كنت سعيدا جدا برؤية أصدقائي القدامى مرة أخرى بعد وقت طويل.",
    "hi": "ट्रेन सुबह सात बजे निकलती है। इतने लंबे समय के बाद अपने पुराने दोस्तों को देखकर मैं बहुत खुश था।",
    "ko": "기차는 아침 일곱 시에 출발합니다. 오랜만에 옛 친구들을 다시 만나서 정말 기뻤습니다.",
    "zh": "火车早上七点出发。过了这么久又见到老朋友，我非常高兴。",
    "ja": "電車は朝七時に出発します。久しぶりに昔の友達に会えて、とても嬉しかったです。",
}
"""What espeak-ng says, by language: "The train leaves at seven in the morning. I was very happy ..."."""
VOICES = {"zh": "cmn", "en": "en-gb"}
"""espeak-ng's names of languages that are not their codes."""
SETTINGS = (
    ("English, without the extra", "en", "en"),
    ("English, language found", "en", "auto"),
    ("German, language found", "de", "auto"),
)
COST_DUR = 60
"""Seconds of the recordings whose cost is measured."""


class Item(NamedTuple):
    """A file, and what is said in it; "" if it isn't known."""

    path: Path
    text: str


def corpora(data: Path, test: bool) -> dict[tuple[str, str], list[Item]]:
    """The files of each corpus, by its language and its name."""
    table = pd.read_csv(data / "speech" / "meta.csv", keep_default_na=False)
    names = ["emodb", "emovo", "nemo", "korean", "urdu", *(["koread", "turev", "tess"] if test else [])]
    found: dict[tuple[str, str], list[Item]] = {}
    for name in names:
        rows = table[table["corpus"] == name]
        texts = [EMODB.get(row.sentence, "") if name == "emodb" else row.text for row in rows.itertuples()]
        found[rows["language"].iloc[0], name] = [
            Item(data / "speech" / file, text) for file, text in zip(rows["file"], texts, strict=True)
        ]
    return found


def synthesised(folder: Path) -> Iterator[tuple[str, Item]]:
    """Speech by espeak-ng, by language."""
    for language, text in SPOKEN.items():
        path = folder / f"{language}.wav"
        subprocess.run(["espeak-ng", "-v", VOICES.get(language, language), "-s", "140", "-w", str(path), text], check=True)
        yield language, Item(path, text)


def units(text: str, language: str) -> list[str]:
    """The words of a text, or its characters in languages without spaces, without capitals and punctuation."""
    kept = "".join(letter if unicodedata.category(letter)[0] in "LMN" else " " for letter in unicodedata.normalize("NFC", text))
    return list(kept.replace(" ", "")) if language in WITHOUT_SPACES else kept.lower().split()


def errors(truth: Sequence[str], found: Sequence[str]) -> int:
    """The smallest number of insertions, deletions and substitutions (Levenshtein 1966)."""
    row = list(range(len(found) + 1))
    for i, expected in enumerate(truth, start=1):
        before, row[0] = row[0], i
        for j, unit in enumerate(found, start=1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (expected != unit))
    return row[-1]


def line(model: Model, language: str, name: str, items: Sequence[Item]) -> str:
    """The row of the table for some files of one language."""
    languages: Counter[str] = Counter()
    wrong = total = kept = left_out = english = 0
    for item in items:
        prediction = model.predict(item.path, modalities=["words"])
        spoken = prediction.languages[0].language if prediction.languages else "none"
        languages[spoken] += 1
        kept += len(prediction.words)
        left_out += prediction.words_left_out
        english += sum(word.language is None for word in prediction.words)
        if item.text and prediction.words:
            truth = units(item.text, language)
            wrong += errors(truth, units(joined(word.text for word in prediction.words), language))
            total += len(truth)
    error = f"{wrong / total:.1%}" if total else ""
    others = ", ".join(f"{code} {number}" for code, number in languages.most_common(4) if code != language)
    return (
        f"{name_of(language):12} {name:12} {len(items):5} {languages[language] / len(items):6.0%} {error:>7} "
        f"{left_out / max(kept + left_out, 1):9.0%} {english:8}  {others}"
    )


def cost(data: Path, language: str, choice: str) -> str:
    """CPU seconds per second of audio, and peak memory, of a process that predicts voice and words of COST_DUR s."""
    speech = packaged_file(*SPEECH) if language == "en" else data / "real" / "speech_de.flac"
    code = (
        "import sys, numpy as np, wave; from pathlib import Path;"
        "from vatrace import load_model; from vatrace.media.reading import AudioReader;"
        "audio = np.concatenate(list(AudioReader(Path(sys.argv[1]), 60)));"
        f"audio = np.resize(audio, {COST_DUR * 16000}); file = wave.open(sys.argv[2], 'wb');"
        "file.setparams((1, 2, 16000, 0, 'NONE', '')); file.writeframes((audio * 32767).astype('<i2').tobytes()); file.close();"
        "load_model(threads=1).predict(sys.argv[2], modalities=['voice', 'words'], language=sys.argv[3])"
    )
    with tempfile.TemporaryDirectory() as folder:
        argv = [sys.executable, "-c", code, str(speech), str(Path(folder) / "speech.wav"), choice]
        process = os.posix_spawn(sys.executable, argv, os.environ | {"OMP_NUM_THREADS": "1"})
        _, status, usage = os.wait4(process, 0)
    if status:
        raise RuntimeError("the prediction failed")
    seconds = usage.ru_utime + usage.ru_stime
    return f"{seconds:6.1f} s CPU for {COST_DUR} s, with loading; peak memory {usage.ru_maxrss / 1024:5.0f} MB"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--files", type=int, default=40, metavar="N", help="of each corpus, drawn with seed 0 (default: 40)")
    parser.add_argument("--test", action="store_true", help="also the corpora whose terms allow testing only")
    parser.add_argument("--voices", type=Path, help="only recordings of SPOKEN, whose names begin with the language")
    parser.add_argument("--whisper", metavar="DIR|NAME", help="another Whisper model for all languages")
    parser.add_argument("--cost", action="store_true", help="only time and memory")
    args = parser.parse_args()
    if args.cost:
        for name, language, choice in SETTINGS:
            print(f"{name:28} {cost(args.data, language, choice)}", flush=True)
        return
    model, random = load_model(whisper=args.whisper, threads=1), np.random.default_rng(0)
    print(f"{'language':12} {'speech':12} {'files':>5} {'found':>6} {'error':>7} {'left out':>9} {'English':>8}  taken for")
    if args.voices:
        for path in sorted(args.voices.glob("*_*.wav")):
            language, _, voice = path.stem.partition("_")
            print(line(model, language, voice, [Item(path, SPOKEN[language])]), flush=True)
        return
    for (language, name), items in corpora(args.data, args.test).items():
        chosen = [items[index] for index in sorted(random.permutation(len(items))[: args.files])]
        print(line(model, language, name, chosen), flush=True)
    if shutil.which("espeak-ng"):
        with tempfile.TemporaryDirectory() as folder:
            for language, item in synthesised(Path(folder)):
                print(line(model, language, "synthesised", [item]), flush=True)


if __name__ == "__main__":
    main()
