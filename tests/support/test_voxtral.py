"""The double of vLLM's model: a test that trusts it has to know that it springs the traps."""

from tests.support.fake_vllm import MODEL
from tests.support.sound import pcm
from tests.support.voxtral import Voxtral


def test_the_double_springs_vllms_traps() -> None:
    model = Voxtral(MODEL, lambda _turn, step: f" w{step}")
    assert model.start() is not None, "a turn needs a model"
    model.name_model(MODEL)
    model.start()
    model.append(pcm(0.5))
    assert model.step() is None, "the first delta needs 562.5 ms"
    model.append(pcm(0.0625))
    assert model.step() is not None
    model.end()
    model.append(pcm(1.0))
    model.start()
    answers = []
    while (answer := model.step()) is not None:
        answers.append(answer)
    assert len(answers) == 17 + 1
    assert '"transcription.done"' in answers[-1]
    assert model.start() is None
    assert model.step() is None, "the audio between the end and done is gone"
    assert len(model.traps) == 3


def test_the_doubles_stray_end_poisons_the_next_turn() -> None:
    model = Voxtral(MODEL, lambda _turn, step: f" w{step}")
    model.name_model(MODEL)
    model.end()
    model.start()
    model.append(pcm(1.0))
    answer = model.step()
    assert answer is not None
    assert '"text":""' in answer
