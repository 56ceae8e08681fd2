"""The head within a run: a grammar is learnt, and what is stored is what is served."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import rnntext
from rnntext.cli import main
from rnntext.contracts import Batch, Encoded, Example
from rnntext.errors import DataError
from rnntext_translate.head import TranslationHead
from rnntext_translate.target_words import UNKNOWN_ID

RECIPE = Path(__file__).parent.parent / "recipes" / "toy.toml"
TOY = RECIPE.parent / "data" / "toy.tsv"
PAIRS = [line.split("\t") for line in TOY.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module", autouse=True)
def _surroundings(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RNNTEXT_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("OMP_NUM_THREADS", "1")
        yield


@pytest.fixture(scope="module")
def toy_run(tmp_path_factory, _surroundings) -> rnntext.Run:
    return rnntext.run(RECIPE, ["training.epochs=12"], out=tmp_path_factory.mktemp("runs") / "toy")


@pytest.fixture(scope="module")
def model(toy_run) -> rnntext.TrainedModel:
    return rnntext.load(toy_run.path)  # which repeats the self-test


def small_head(**options) -> TranslationHead:
    torch.manual_seed(0)
    labels = TranslationHead.learn_labels(Example(source, label=target) for source, target in PAIRS[:20])
    widths = {"embedding_dim": 8, "hidden_dim": 8, "attention_dim": 8}
    return TranslationHead(input_dim=6, labels=labels, **{**widths, **options}).eval()


def read(head: TranslationHead, lengths: list[int], targets: list[list[int]] | None = None):
    batch = Batch(
        torch.ones(len(lengths), max(lengths), dtype=torch.int64),
        torch.tensor(lengths),
        None if targets is None else torch.tensor(targets),
    )
    generator = torch.Generator().manual_seed(5)
    states = torch.randn(len(lengths), max(lengths), 6, generator=generator) * batch.mask[:, :, None]
    return head(Encoded(states, states[:, 0]), batch), batch


def test_a_small_grammar_is_learnt_and_the_simple_methods_stay_behind(toy_run):
    scores, baselines = toy_run.metrics["test"], toy_run.metrics["baselines"]
    assert scores["bleu"] > 80
    assert scores["perplexity"] < 2
    assert scores["bleu"] > baselines["nearest"]["bleu"] > baselines["copy"]["bleu"]
    assert set(baselines["nearest"]) >= {"bleu", "chrf", "megabytes", "milliseconds_per_text"}
    assert toy_run.metrics["units"]["bleu"].startswith("sacrebleu nrefs:1|")


def test_the_parts_are_found_by_their_entry_points(toy_run):
    environment = json.loads((toy_run.path / "environment.json").read_text(encoding="utf-8"))
    names = {part["name"] for part in environment["parts"]}
    assert {"rnntext-translate/pairs", "rnntext-translate/translation"} <= names


def test_answers_are_the_same_alone_and_in_company(model):
    texts = [source for source, _ in PAIRS[:30]]
    together = model(texts)
    assert sum(answer.translation == target for answer, (_, target) in zip(together, PAIRS, strict=False)) > 20
    for text, answer in list(zip(texts, together, strict=True))[::6]:
        alone = model(text)
        assert alone.translation == answer.translation
        assert alone.probability == pytest.approx(answer.probability, abs=1e-4)
        assert 0 < alone.probability <= 1


def test_candidates_are_whole_translations_the_best_first(model):
    answer = model("She sees the red book.", top_k=3)
    assert [*answer.to_dict()] == ["text", "translation", "probability", "candidates"]
    assert len(answer.candidates) == 3
    assert answer.candidates[0] == {"text": answer.translation, "probability": answer.probability}
    assert len({candidate["text"] for candidate in answer.candidates}) == 3
    assert sum(candidate["probability"] for candidate in answer.candidates) <= 1.0001


def test_any_text_is_answered(model):
    for text in ("", "?", "zzz " * 40, "\u202f"):
        assert isinstance(model(text).translation, str)


def test_a_file_is_scored_against_its_own_sentences_known_or_not(model, tmp_path):
    file = tmp_path / "new.tsv"
    file.write_text("".join(f"{source}\t{target}\n" for source, target in PAIRS[:30]), encoding="utf-8")
    known = model.evaluate(file).scores()
    file.write_text("".join(f"{source}\tTombouctou {target}\n" for source, target in PAIRS[:30]), encoding="utf-8")
    assert model.evaluate(file).scores()["bleu"] < known["bleu"] - 5


def test_the_command_line_translates(toy_run, capsys):
    assert main(["predict", str(toy_run.path), "--text", "We sell a green hat."]) == 0
    assert json.loads(capsys.readouterr().out)["translation"].startswith("Nous vendons")


def test_a_recipe_without_data_is_described(tmp_path, capsys):
    assert main(["describe", str(RECIPE.with_name("fra_eng.toml"))]) == 0
    assert "of each word of the translations" in " ".join(capsys.readouterr().out.split())


def test_a_head_of_labels_is_refused_on_pairs_and_this_head_on_labels(tmp_path, capsys):
    (tmp_path / "labels.csv").write_text("text,label\na,b\n", encoding="utf-8")
    settings = {
        "one": ('type = "pairs"\ntrain = "labels.csv"', "classification", "needs labels of whole texts"),
        "two": ('type = "csv"\ntrain = "labels.csv"', "translation", "needs 'translation', which these data do not"),
    }
    for name, (dataset, head, reason) in settings.items():
        path = tmp_path / f"{name}.toml"
        path.write_text(f'recipe_version = 1\n[dataset]\n{dataset}\n[head]\ntype = "{head}"\n', encoding="utf-8")
        assert main(["check", str(path)]) == 2
        assert reason in " ".join(capsys.readouterr().err.split())


def test_the_loss_is_the_mean_of_real_words_and_smoothing_is_for_training_alone():
    head = small_head(label_smoothing=0.3, dropout=0.0)
    output, _ = read(head, [3, 2], [[0, 1, 2, 3], [4, -1, -1, -1]])
    assert output.count == 7  # four words and an end, one word and an end
    assert output.losses.sum().item() / 7 == pytest.approx(output.loss.item(), rel=1e-5)
    assert output.told.tolist() == [5, 2]
    torch.testing.assert_close(output.logits, read(head, [3, 2])[0].logits)  # of the first words, targets or not
    wider, _ = read(head, [3, 2], [[0, 1, 2, 3, -1, -1], [4, -1, -1, -1, -1, -1]])
    assert wider.loss.item() == pytest.approx(output.loss.item())
    smoothed, _ = read(head.train(), [3, 2], [[0, 1, 2, 3], [4, -1, -1, -1]])
    assert smoothed.loss.item() != pytest.approx(output.loss.item(), abs=1e-3)


def test_unknown_words_are_never_written():
    head = small_head(min_count=3)
    with torch.no_grad():
        head.decoder.bias[UNKNOWN_ID] = 50.0
    output, _ = read(head, [3, 2])
    for width in (1, 5):
        assert not (head.translate(output, width).ids == UNKNOWN_ID).any()


def test_a_translation_is_at_most_as_long_as_its_text_allows():
    head = small_head(max_length_ratio=1.5)
    with torch.no_grad():
        head.decoder.bias[0] = -50.0  # never the end of its own accord
    output, _ = read(head, [4, 1])
    found = head.translate(output, 1).ids[:, 0]
    assert (found != 0).sum(1).tolist() == [11, 7]  # 4 x 1.5 + 5, 1 x 1.5 + 5


def test_greedy_scoring_leaves_predictions_alone():
    greedy, beam = small_head(scoring="greedy", beam_size=4), small_head(beam_size=4)
    assert (greedy.scoring_width, beam.scoring_width) == (1, 4)
    output, batch = read(greedy, [4, 2])
    assert greedy.predictions(output, batch) == beam.predictions(read(beam, [4, 2])[0], batch)


def test_a_text_without_translation_is_named():
    with pytest.raises(DataError, match="this text has no translation"):
        TranslationHead.encode_targets(Example("a", line=3), {"words": {}}, 1)


def test_computing_in_bfloat16_translates_in_float32():
    head = small_head()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output, batch = read(head, [3, 2], [[0, 1], [2, -1]])
    assert len(head.predictions(output, batch)) == 2
    assert torch.isfinite(output.loss)
