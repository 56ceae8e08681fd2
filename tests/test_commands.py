"""The commands that train and predict: what goes to which stream, and with which exit status they end."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from interrupting import StopsIn
from tiny import make_tiny, sha256, tiny_rows, write_jsonl, write_recipe

import rnntext
from rnntext import commands, registry
from rnntext.answering import answer_lines
from rnntext.cli import main
from rnntext.contracts import Example

REPOSITORY = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def stdin(monkeypatch):
    def give(content: bytes, terminal: bool = False):
        stream = io.TextIOWrapper(io.BytesIO(content), encoding="utf-8")
        stream.isatty = lambda: terminal
        monkeypatch.setattr(sys, "stdin", stream)

    return give


def answers(capsys) -> list[dict]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


# --- run -------------------------------------------------------------------------------------------------------


def test_run_prints_table_and_path_and_tells_its_progress_on_standard_error(tmp_path, capsys):
    recipe = make_tiny(tmp_path, baselines={"enabled": True})
    assert main(["run", str(recipe)]) == 0
    told = capsys.readouterr()
    lines = told.out.splitlines()
    assert lines[-1] == "runs/tiny-1"
    assert "test, 24 texts" in lines[0]
    for expected in ("lstm (this run)", "majority", "tfidf", "accuracy", "macro_f1", "ece", "ms/text", "MB"):
        assert expected in told.out
    assert "accuracy by length" in told.out
    assert [line.split()[:2] for line in told.err.splitlines() if line.startswith("epoch")] == [
        ["epoch", f"{number}/3"] for number in (1, 2, 3)
    ]
    assert "train: 96 texts" in told.err
    assert "epoch" not in told.out


def test_the_table_holds_the_scores_of_metrics_json(tmp_path, capsys):
    recipe = make_tiny(tmp_path, baselines={"enabled": True})
    assert main(["run", str(recipe), "--out", "here"]) == 0
    metrics = json.loads(Path("here/metrics.json").read_text())
    rows = {line.split()[0]: line.split() for line in capsys.readouterr().out.splitlines() if line.split()}
    assert rows["majority"][1:4] == [
        f"{metrics['baselines']['majority'][name]:.4f}" for name in ("accuracy", "macro_f1", "ece")
    ]
    assert rows["lstm"][3:6] == [f"{metrics['test'][name]:.4f}" for name in ("accuracy", "macro_f1", "ece")]


def test_a_quiet_run_prints_its_path_alone(tmp_path, capsys):
    recipe = make_tiny(tmp_path, training={"epochs": 1})
    assert main(["run", str(recipe), "-q", "--out", "quiet"]) == 0
    told = capsys.readouterr()
    assert (told.out, told.err) == ("quiet\n", "")


def test_set_overrules_the_recipe(tmp_path, capsys):
    recipe = make_tiny(tmp_path)
    assert main(["run", str(recipe), "--set", "training.epochs=1", "--set", "encoder.type=gru", "-q"]) == 0
    assert main(["show", "runs/tiny-1/recipe.toml"]) == 0
    assert 'type = "gru"' in capsys.readouterr().out


def test_a_folder_in_use_ends_with_status_2(tmp_path, run_copy, capsys):
    before = sha256(run_copy / "model.safetensors")
    assert main(["run", str(make_tiny(tmp_path / "data")), "--out", str(run_copy)]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert "--force to replace it" in told.err
    assert sha256(run_copy / "model.safetensors") == before
    assert (
        main(
            ["run", str(tmp_path / "data" / "tiny.toml"), "--out", str(run_copy), "--force", "-q", "--set", "seed=8"]
        )
        == 0
    )
    assert sha256(run_copy / "model.safetensors") != before


def test_force_never_deletes_a_folder_of_other_files(tmp_path, capsys):
    make_tiny(tmp_path).rename(tmp_path / "recipe.toml")
    assert main(["run", "recipe.toml", "--out", ".", "--force"]) == 2
    assert "holds other files than a run's" in capsys.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} == {
        "recipe.toml",
        "train.jsonl",
        "validation.jsonl",
        "test.jsonl",
    }


def test_an_interrupted_run_ends_with_status_130_and_keeps_its_best_epoch(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(commands, "_reporter", lambda quiet: StopsIn(2))
    assert main(["run", str(make_tiny(tmp_path, baselines={"enabled": True}))]) == 130
    told = capsys.readouterr()
    assert told.out.splitlines()[-1] == "runs/tiny-1"
    assert "interrupted; epoch 1 was kept, and the folder predicts" in told.err
    assert main(["predict", "runs/tiny-1", "--text", "soup"]) == 0


def test_a_run_interrupted_before_its_first_epoch_leaves_nothing(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(commands, "_reporter", lambda quiet: StopsIn(1))
    assert main(["run", str(make_tiny(tmp_path))]) == 130
    told = capsys.readouterr()
    assert told.out == ""
    assert "nothing was kept" in told.err
    assert list(Path("runs").iterdir()) == []


@pytest.mark.slow
def test_a_real_ctrl_c_ends_with_status_130_and_a_folder_that_predicts(tmp_path):
    recipe = make_tiny(tmp_path, training={"epochs": 1_000_000, "patience": 0})
    command = [sys.executable, "-m", "rnntext", "run", str(recipe)]
    surroundings = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=tmp_path, env=surroundings, text=True, **pipes) as process:
        for line in process.stderr:
            if line.startswith("epoch 3/"):
                break
        process.send_signal(signal.SIGINT)
        out, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out.splitlines()[-1] == "runs/tiny-1"
    assert "Traceback" not in told
    assert rnntext.load("runs/tiny-1")("soup").text == "soup"


# --- bad data, end to end --------------------------------------------------------------------------------------

GOOD_LINES = [json.dumps(row) for row in tiny_rows(12)]


def jsonl(*changed: str, at: int = 4) -> bytes:
    return ("\n".join([*GOOD_LINES[:at], *changed, *GOOD_LINES[at:]]) + "\n").encode()


BAD = {
    "empty file": (b"", r"train.jsonl: no rows: the file is empty"),
    "blank lines alone": (b"\n \n\n", r"train.jsonl: no rows: the file is empty"),
    "missing column": (
        jsonl('{"words": "soup", "label": "good"}'),
        "train.jsonl:5: no column 'text'; its columns: words, label",
    ),
    "missing label column": (jsonl('{"text": "soup"}'), "train.jsonl:5: no column 'label'"),
    "label missing in one row": (
        jsonl('{"text": "soup", "label": null}'),
        "train.jsonl:5: the label in 'label' is null",
    ),
    "empty label": (jsonl('{"text": "soup", "label": ""}'), "train.jsonl:5: the label in 'label' is empty"),
    "text missing in one row": (
        jsonl('{"text": null, "label": "good"}'),
        "train.jsonl:5: the text in 'text' is null",
    ),
    "broken line": (jsonl('{"text": "soup", "label": "good"'), "train.jsonl:5: not valid JSON"),
    "one class only": (
        "".join(f'{{"text": "t{number}", "label": "good"}}\n' for number in range(12)).encode(),
        "train.jsonl: all 12 texts of the training split have the label 'good'",
    ),
    "wrong encoding": (
        jsonl() + '{"text": "soupe sal\u00e9e", "label": "good"}\n'.encode("latin-1"),
        "train.jsonl:13: not UTF-8",
    ),
    "UTF-16": (jsonl().decode().encode("utf-16"), "train.jsonl:1:"),
}


@pytest.mark.parametrize("fault", BAD)
def test_bad_data_are_told_with_file_and_line_and_end_with_status_1(tmp_path, capsys, fault):
    content, expected = BAD[fault]
    recipe = make_tiny(tmp_path, dataset={"group_fields": []})
    (tmp_path / "train.jsonl").write_bytes(content)
    assert main(["run", str(recipe)]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert f"rnntext: {tmp_path}/{expected}" in told.err
    assert "Traceback" not in told.err
    assert not Path("runs").exists()


@pytest.mark.parametrize("split", ["validation", "test"])
def test_a_label_that_training_does_not_have_is_told_with_its_place(tmp_path, capsys, split):
    recipe = make_tiny(tmp_path, dataset={"group_fields": []})
    (tmp_path / f"{split}.jsonl").write_bytes(jsonl('{"text": "soup", "label": "godo"}'))
    assert main(["run", str(recipe)]) == 1
    told = capsys.readouterr().err
    assert f"{split}.jsonl:5: the label 'godo' does not occur in the training split. Did you mean 'good'?" in told


CSV = {
    "empty file": ("", "reviews.csv: no rows"),
    "a header alone": ("text,label\n", "reviews.csv: no rows: there is a header and nothing below it"),
    "missing column": ("text,tone\nsoup,good\n", "reviews.csv:1: no column 'label'; its columns: text, tone"),
    "a cell too many": ("text,label\nsoup,good\nsoup, salty,bad\n", "reviews.csv:3: 3 cells in a row, but 2 columns"),
    "label missing": ('text,label\n"two\nlines",good\nsoup,\n', "reviews.csv:4: the label in 'label' is empty"),
    "an open quotation mark": ('text,label\nsoup,good\n"soup,bad\n', "reviews.csv:3: not valid CSV"),
}


@pytest.mark.parametrize("fault", CSV)
def test_bad_csv_is_told_with_file_and_line(tmp_path, capsys, fault):
    content, expected = CSV[fault]
    (tmp_path / "reviews.csv").write_text(content)
    recipe = write_recipe(tmp_path, dataset={"type": "csv", "train": "reviews.csv"})
    assert main(["run", str(recipe)]) == 1
    told = capsys.readouterr().err
    assert expected in told
    assert "Traceback" not in told


def test_odd_but_good_data_are_used_and_counted(tmp_path, capsys):
    """A BOM, CRLF, blank lines, a label NA, a text of a megabyte without a blank, emoji, zero-width characters."""
    odd = [
        {"text": "x" * 1_000_000, "label": "NA"},
        {"text": "lovely 😀👩\u200d🍳 soup", "label": "NA"},
        {"text": "zero\u200bwidth\ufeff", "label": "null"},
        {"text": "", "label": "null"},
        {"text": "line\u2028separator\0nul", "label": "null"},
    ]
    lines = [json.dumps(row, ensure_ascii=False) for row in odd * 6]
    lines.insert(7, "")
    (tmp_path / "train.jsonl").write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode() + b"\r\n")
    dataset = {"train": "train.jsonl", "validation": "train.jsonl"}
    recipe = write_recipe(tmp_path, dataset=dataset, baselines={"enabled": True}, training={"epochs": 1})
    assert main(["run", str(recipe), "--out", "run"]) == 0
    metrics = json.loads(Path("run/metrics.json").read_text())
    assert metrics["data"]["texts"] == {"train": 30, "validation": 30}
    assert metrics["data"]["texts_without_tokens"] == {"train": 6, "validation": 6}
    assert json.loads(Path("run/labels.json").read_text())["labels"] == ["NA", "null"]
    told = capsys.readouterr().err
    assert "train: blank lines skipped in train.jsonl: 1" in told
    assert "6 without tokens, read as one <unk>" in told
    model = rnntext.load("run")
    assert [found.text for found in model([row["text"] for row in odd])] == [row["text"] for row in odd]


# --- predict ---------------------------------------------------------------------------------------------------


def test_predict_answers_each_line_in_order(tiny_run, stdin, capsys):
    stdin(
        b'lovely soup\n{"text": "dull tent", "id": "b-2"}\n{"tokens": ["dull", "tent"], "id": [3]}\n {"text": "x"}\n'
    )
    assert main(["predict", str(tiny_run.path)]) == 0
    plain, with_id, with_tokens, indented = answers(capsys)
    assert list(plain) == ["text", "label", "probability", "probabilities"]
    assert (plain["text"], plain["label"]) == ("lovely soup", "good")
    assert (with_id["id"], with_id["text"], with_id["label"]) == ("b-2", "dull tent", "bad")
    assert (with_tokens["id"], with_tokens["text"]) == ([3], "dull tent")
    assert with_tokens["probabilities"] == pytest.approx(with_id["probabilities"], abs=1e-6)
    assert indented["text"] == ' {"text": "x"}', "only a line that starts with { is JSON"


def test_a_line_that_cannot_be_read_gives_an_error_in_its_place(tiny_run, stdin, capsys):
    stdin(
        b'soup\n{"text": \ncaf\xe9\n{"words": 3}\n{"text": 3}\n{"tokens": "soup"}\n' + b'{"a":' * 9000 + b"\ntent\n"
    )
    assert main(["predict", str(tiny_run.path)]) == 1
    told = capsys.readouterr()
    found = [json.loads(line) for line in told.out.splitlines()]
    assert [answer.get("line") for answer in found] == [None, 2, 3, 4, 5, 6, 7, None]
    assert [answer["text"] for answer in found if "text" in answer] == ["soup", "tent"]
    assert all(set(answer) == {"line", "error"} for answer in found[1:7])
    assert "not JSON" in found[1]["error"]
    assert found[2]["error"] == "byte 4 of the line is not UTF-8"
    assert found[3]["error"] == 'expected "text" (a string) or "tokens" (a list of strings)'
    assert "6 lines could not be read" in told.err
    assert "Traceback" not in told.err


def test_byte_order_mark_and_windows_line_ends_are_no_part_of_a_text(tiny_run, stdin, capsys):
    stdin(b'\xef\xbb\xbflovely soup\r\n{"text": "a\\r\\n"}\r\nlast line without an end\r')
    assert main(["predict", str(tiny_run.path)]) == 0
    assert [answer["text"] for answer in answers(capsys)] == ["lovely soup", "a\r\n", "last line without an end"]


def test_empty_lines_are_texts_without_tokens(tiny_run, stdin, capsys):
    stdin(b"\n  \nsoup\n\n")
    assert main(["predict", str(tiny_run.path)]) == 0
    told = capsys.readouterr()
    assert [json.loads(line)["text"] for line in told.out.splitlines()] == ["", "  ", "soup", ""]
    assert "3 of 4 texts had no tokens: read as one <unk>" in told.err


def test_no_lines_give_no_answers(tiny_run, stdin, capsys):
    stdin(b"")
    assert main(["predict", str(tiny_run.path)]) == 0
    assert capsys.readouterr().out == ""


def test_more_lines_than_a_window_keep_their_order(tiny_run, stdin, capsys):
    texts = [f"{row['text']} {number}" for number, row in enumerate(tiny_rows(2500))]
    lines = [json.dumps({"text": text, "id": n}) if n % 3 else text for n, text in enumerate(texts)]
    lines[1500] = '{"broken"'
    stdin("\n".join(lines).encode())
    assert main(["predict", str(tiny_run.path)]) == 1
    found = answers(capsys)
    assert found[1500]["line"] == 1501
    assert [answer["text"] for n, answer in enumerate(found) if n != 1500] == texts[:1500] + texts[1501:]
    assert all(answer["id"] == n for n, answer in enumerate(found) if "id" in answer)


def test_a_stream_of_text_is_answered_before_it_ends(tiny_run):
    model = rnntext.load(tiny_run.path)
    taken = 0

    def many():
        nonlocal taken
        for _ in range(5000):
            taken += 1
            yield b"soup\n"

    assert next(answer_lines(model, many()))["text"] == "soup"
    assert taken == 1024
    taken = 0
    assert next(answer_lines(model, many(), at_once=True))["text"] == "soup"
    assert taken == 1


def test_top_k_gives_so_many_probabilities(tiny_run, capsys):
    assert main(["predict", str(tiny_run.path), "--text", "lovely soup", "--top-k", "1"]) == 0
    (answer,) = answers(capsys)
    assert answer["probabilities"] == {"good": answer["probability"]}
    for wrong in ("0", "-1", "two"):
        with pytest.raises(SystemExit) as ended:
            main(["predict", str(tiny_run.path), "--text", "soup", "--top-k", wrong])
        assert ended.value.code == 2


def test_texts_on_the_command_line_are_texts_whatever_is_in_them(tiny_run, capsys):
    texts = ["two\nlines", '{"text": "no JSON here"}', "", "😀 é"]
    arguments = [word for text in texts for word in ("--text", text)]
    assert main(["predict", str(tiny_run.path), *arguments]) == 0
    out = capsys.readouterr().out
    assert [json.loads(line)["text"] for line in out.splitlines()] == texts
    assert "😀 é" in out, "readable, not escaped"


def test_texts_from_a_file_or_a_dash(tiny_run, stdin, capsys):
    Path("texts.txt").write_text("soup\ntent\n")
    assert main(["predict", str(tiny_run.path), "texts.txt"]) == 0
    from_file = capsys.readouterr().out
    stdin(b"soup\ntent\n")
    assert main(["predict", str(tiny_run.path), "-"]) == 0
    assert capsys.readouterr().out == from_file
    assert [json.loads(line)["text"] for line in from_file.splitlines()] == ["soup", "tent"]


def test_a_file_is_answered_in_batches_at_a_terminal_too(tiny_run, stdin, capsys, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "rnntext.answering.answer_lines",
        lambda model, lines, top_k, *, at_once, sentences: seen.append(at_once) or iter(()),
    )
    Path("texts.txt").write_text("soup\n")
    stdin(b"soup\n", terminal=True)
    main(["predict", str(tiny_run.path), "texts.txt"])
    main(["predict", str(tiny_run.path), "--text", "soup"])
    assert capsys.readouterr().err == ""
    main(["predict", str(tiny_run.path)])
    assert "Ctrl-D ends" in capsys.readouterr().err
    assert seen == [False, False, True]


def test_a_file_that_is_not_there_ends_with_status_2(tiny_run, tmp_path, capsys):
    assert main(["predict", str(tiny_run.path), "gone.txt"]) == 2
    assert "cannot read gone.txt: there is no such file" in capsys.readouterr().err
    assert main(["predict", str(tiny_run.path), str(tmp_path)]) == 2
    assert "is a folder" in capsys.readouterr().err


def test_a_file_and_texts_at_once_are_refused(tiny_run, capsys):
    Path("texts.txt").write_text("soup\n")
    assert main(["predict", str(tiny_run.path), "texts.txt", "--text", "tent"]) == 2
    assert "not both" in capsys.readouterr().err


def test_a_folder_that_is_damaged_ends_with_status_1(run_copy, capsys):
    (run_copy / "labels.json").unlink()
    assert main(["predict", str(run_copy), "--text", "soup"]) == 1
    assert "has no labels.json" in capsys.readouterr().err


def test_texts_that_are_cut_are_counted(tmp_path, capsys):
    assert main(["run", str(make_tiny(tmp_path, batching={"max_tokens": 3}, training={"epochs": 1})), "-q"]) == 0
    assert main(["predict", "runs/tiny-1", "--text", "the lovely soup today", "--text", "soup"]) == 0
    assert "1 of 2 texts were cut at 3 tokens" in capsys.readouterr().err


def test_half_a_surrogate_pair_is_answered_with_an_escape(tiny_run, stdin, capsys):
    stdin(b'{"text": "a\\ud800b"}\n')
    assert main(["predict", str(tiny_run.path)]) == 0
    out = capsys.readouterr().out
    assert "\\ud800" in out
    assert json.loads(out)["text"] == "a\ud800b"


def test_several_labels_are_answered_as_a_list(tmp_path, capsys):
    rows = [{"text": row["text"], "label": [row["label"], "any"]} for row in tiny_rows(60)]
    write_jsonl(tmp_path / "train.jsonl", rows)
    recipe = write_recipe(tmp_path, dataset={"train": "train.jsonl", "multi_label": True})
    assert main(["run", str(recipe), "--out", "run"]) == 0
    capsys.readouterr()
    assert main(["predict", "run", "--text", "lovely soup"]) == 0
    (answer,) = answers(capsys)
    assert list(answer) == ["text", "labels", "probabilities"]
    assert "any" in answer["labels"]


def test_predict_in_a_process_of_its_own_speaks_utf_8(tiny_run):
    """A file of bytes in, bytes out: no console, no locale."""
    surroundings = {**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    command = [sys.executable, "-m", "rnntext", "predict", str(tiny_run.path), "-"]
    lines = 'lovely soup 😀\n{"broken"\ndull tent\n'.encode()
    done = subprocess.run(command, input=lines, env=surroundings, capture_output=True, check=False)
    assert done.returncode == 1
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [answer.get("label", answer.get("line")) for answer in found] == ["good", 2, "bad"]
    assert found[0]["text"] == "lovely soup 😀"
    assert b"Traceback" not in done.stderr


# --- evaluate --------------------------------------------------------------------------------------------------


def test_evaluate_as_json_is_one_flat_object_of_metrics(tiny_run, tiny_recipe, capsys):
    assert main(["evaluate", str(tiny_run.path), str(tiny_recipe.parent / "test.jsonl"), "--json"]) == 0
    out = capsys.readouterr().out
    assert len(out.splitlines()) == 1
    scores = json.loads(out)
    assert {"accuracy", "macro_f1", "ece"} <= set(scores)
    assert all(isinstance(value, float) for value in scores.values())
    assert scores == pytest.approx(tiny_run.metrics["test"], abs=1e-6)


def test_evaluate_prints_scores_and_groups(tiny_run, tiny_recipe, capsys):
    assert main(["evaluate", str(tiny_run.path), str(tiny_recipe.parent / "test.jsonl")]) == 0
    out = capsys.readouterr().out
    assert "24 texts" in out
    assert f"{tiny_run.metrics['test']['accuracy']:.4f}" in out
    for value, scores in tiny_run.metrics["groups"]["length"].items():
        assert f"length = {value}: {scores['texts']} texts, accuracy {scores['accuracy']:.4f}" in out


def test_evaluate_tells_a_label_that_the_model_does_not_know(tiny_run, tmp_path, capsys):
    write_jsonl(tmp_path / "new.jsonl", [*tiny_rows(3), {"text": "a", "label": "so-so", "length": "short"}])
    assert main(["evaluate", str(tiny_run.path), "new.jsonl", "--json"]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert "new.jsonl:4: the label 'so-so' does not occur in the training split" in told.err


def test_evaluate_tells_that_data_of_a_type_come_from_no_file(tmp_path, capsys):
    class OfItself:
        contract = 1

        def __init__(self, *, shout: bool = False) -> None:
            self._rows = [(row["text"].upper() if shout else row["text"], row["label"]) for row in tiny_rows(32)]

        def splits(self):
            return ("train",)

        def files(self, split):
            return ()

        def read(self, split):
            return (Example(text, label=label) for text, label in self._rows)

    with registry.registrations_undone():
        registry.register("datasets", "of_itself")(OfItself)
        run = rnntext.run(write_recipe(tmp_path, dataset={"type": "of_itself"}), out=tmp_path / "run")
        assert main(["evaluate", str(run.path), str(write_jsonl(tmp_path / "new.jsonl", tiny_rows(3)))]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert "data of the type 'of_itself' have no option test, so no file of theirs can be scored" in told.err


# --- describe --------------------------------------------------------------------------------------------------


def test_describe_counts_what_the_run_has(tiny_run, tiny_recipe, capsys):
    assert main(["describe", str(tiny_recipe)]) == 0
    told = capsys.readouterr()
    assert f"parameters: {tiny_run.metrics['training']['parameters']:,}" in told.out
    for expected in ("V 26", "E 8", "D 16", "memory of a training step", "B 8"):
        assert expected in told.out
    assert "train: 96 texts" in told.err
    assert not Path("runs").exists()


def test_describe_without_data_assumes_some_and_says_so(tmp_path, capsys):
    assert main(["describe", str(write_recipe(tmp_path, dataset={}))]) == 0
    told = capsys.readouterr()
    assert "needs dataset.train: 20,000 words and 50 tokens a text are assumed" in told.err
    assert "V 20,000" in told.out
    assert "T 50" in told.out


def test_describe_tells_what_a_state_reads(tmp_path, capsys):
    recipe = write_recipe(tmp_path, dataset={}, encoder={"bidirectional": False})
    assert main(["describe", str(recipe)]) == 0
    assert "a state reads the past alone" in capsys.readouterr().out


def test_describe_counts_the_data(tiny_recipe, capsys):
    assert main(["describe", str(tiny_recipe)]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    ((_, texts, _, distinct, _, unknown),) = [line for line in lines if line[:1] == ["train"]]
    assert (texts, distinct, unknown) == ("96", "24", "0.0%")
    assert ["rank", "token", "count", "share", "Zipf's", "law"] in lines
    assert ["share", "of", "tokens", "50%", "80%", "90%", "95%", "99%"] in lines


def test_describe_tells_of_a_head_that_learns_from_text_alone(tmp_path, capsys):
    recipe = write_recipe(tmp_path, dataset={"type": "text"}, head={"type": "fill_blank"})
    assert main(["describe", str(recipe)]) == 0
    told = capsys.readouterr()
    assert "needs dataset.train: 20,000 words" in told.err
    assert "V 20,000" in told.out
    assert "log probabilities float [blanks, V 20,000], adaptive softmax: 500 words + 3" in " ".join(told.out.split())
    # The table of words is the embedding's and the head's: counted once, in parameters and in memory.
    assert "shares 160,000 parameters with stages above" in " ".join(told.out.split())
    lstm, inner, outer, biases = 2 * 4 * 8 * (8 + 8 + 2), 16 * 8 + 8, 8 * 8 + 8, 20_000 + 3 * 8 + 3
    total = 160_000 + lstm + inner + outer + biases
    assert f"parameters: {total:,}" in told.out
    assert f"(weights {total * 4 / 1e6:.1f}, " in told.out


@pytest.mark.parametrize(
    ("dataset", "tokens"),
    [
        ({"num_steps": 7}, "tokens, one stream in windows of 7"),
        ({"num_steps": 120, "sampling": "sequential"}, "tokens, one stream in windows of 120"),
        ({}, "tokens, at most 50 a text"),
    ],
)
def test_describe_tells_of_streams_without_data(tmp_path, capsys, dataset, tokens):
    recipe = write_recipe(
        tmp_path,
        dataset={"type": "text", **dataset},
        tokenizer={"type": "character"},
        encoder={"bidirectional": False},
        head={"type": "next_token"},
    )
    assert main(["describe", str(recipe)]) == 0
    told = capsys.readouterr()
    assert "needs dataset.train: 100 characters" in told.err
    assert tokens in told.out
    assert f"the longest batch, B 8, T {dataset.get('num_steps', 50)}" in told.out
    assert "log probabilities float [B, T, V 100], full softmax; chosen by perplexity" in told.out


@pytest.mark.parametrize(
    ("scheme", "labels"), [("none", 2), ("io", 3), ("bio", 5), ("bioes", 9), ("biluo", 9), (None, 5)]
)
def test_describe_tells_of_taggers_without_data(tmp_path, capsys, scheme, labels):
    dataset = {"spans_field": "spans"} if scheme is None else {"type": "conll", "scheme": scheme}
    recipe = write_recipe(tmp_path, dataset=dataset, head={"type": "tagging"})
    assert main(["describe", str(recipe)]) == 0
    assert f"logits float [8, 50, {labels}]" in capsys.readouterr().out


def test_describe_refuses_a_list_of_words_without_a_blank_where_one_is_filled_in(tmp_path, capsys):
    (tmp_path / "words.txt").write_text("soup\nlamp\n", encoding="utf-8")
    words = {"type": "word_list", "path": "words.txt"}
    recipe = write_recipe(tmp_path, dataset={"type": "text"}, vocabulary=words, head={"type": "fill_blank"})
    assert main(["describe", str(recipe)]) == 1
    assert "no <blank>" in capsys.readouterr().err
    (tmp_path / "words.txt").write_text("soup\n<blank>\nlamp\n", encoding="utf-8")
    assert main(["describe", str(recipe)]) == 0
    assert "[blanks, V 5], full softmax" in capsys.readouterr().out


@pytest.mark.parametrize(
    "settings", [["tokenizer.type=character"], ["vocabulary.max_size=3"], ["batching.max_tokens=7"]]
)
@pytest.mark.parametrize("tables", [{}, {"dataset": {"type": "text"}, "head": {"type": "fill_blank"}}])
def test_describe_without_data_takes_any_recipe(tmp_path, capsys, settings, tables):
    recipe = write_recipe(tmp_path, **{"dataset": {}, **tables})
    assert main(["describe", str(recipe), *(word for pair in settings for word in ("--set", pair))]) == 0
    assert "parameters:" in capsys.readouterr().out
