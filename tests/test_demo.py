"""The demo's text, and what it makes of a training; the training itself is `make demo`."""

import json
import sysconfig
from pathlib import Path

import pytest

from gqvae import demo
from gqvae.corpus import Corpus, is_held_out
from gqvae.errors import GqvaeError
from gqvae.evaluation import train_peer
from gqvae.evaluation.figures import draw_training
from gqvae.learn.metrics import read as read_metrics


@pytest.fixture(scope="module")
def documents() -> list[str]:
    return list(demo.python_corpus())


def test_the_text_is_a_few_megabytes_of_prose_and_code(documents: list[str]) -> None:
    size = sum(len(document.encode()) for document in documents)
    code = [document for document in documents if "\n    return " in document and "import " in document]
    assert 3_000_000 < size < 7_000_000
    assert demo.CODE_BYTES / 2 < sum(len(document.encode()) for document in code) < size * 0.8
    assert any(document.startswith("Boolean operations") for document in documents)


def test_the_text_is_the_same_every_time(documents: list[str]) -> None:
    assert list(demo.python_corpus()) == documents


def test_no_document_is_empty_or_comes_twice(documents: list[str]) -> None:
    assert all(document.strip() for document in documents)
    assert len(set(documents)) == len(documents)


def test_held_out_text_is_a_fair_share(documents: list[str]) -> None:
    held_out = sum(len(d) for d in documents if is_held_out(d, demo.HELD_OUT))
    assert 0.03 < held_out / sum(map(len, documents)) < 0.25


def test_no_held_out_docstring_is_in_the_training_sources(documents: list[str]) -> None:
    """Each docstring is either prose or part of a source, never both."""
    training = "\n".join(d for d in documents if not is_held_out(d, demo.HELD_OUT))
    path = Path(sysconfig.get_path("stdlib")) / "textwrap.py"
    docstrings, code = demo._separate(path.read_text(encoding="utf-8"))
    assert len(docstrings) > 10
    for text in docstrings:
        assert text.splitlines()[0] not in code
    if is_held_out("\n\n".join(docstrings) + "\n", demo.HELD_OUT):
        assert docstrings[0] not in training


def test_tests_and_installed_packages_are_left_out() -> None:
    root = Path(sysconfig.get_path("stdlib"))
    for path in demo._modules(root):
        assert not {"test", "tests", "site-packages", "idlelib"} & set(path.relative_to(root).parts)


@pytest.mark.parametrize(
    ("source", "docstrings", "code"),
    [
        ("", [], ""),
        ("x = 1\n", [], "x = 1\n"),
        ('"""One."""\nx = 1\n', ["One."], "x = 1\n"),
        ('"""One.\n\nMore.\n"""\n', ["One.\n\nMore."], ""),
        ('class A:\n    """A."""\n    def f(self):\n        r"""F\\d"""\n', ["A.", "F\\d"],
         "class A:\n    def f(self):\n"),
        ('def f(): "same line"\n', [], 'def f(): "same line"\n'),
        ('def f():\n    "shared"; x = 1\n', [], 'def f():\n    "shared"; x = 1\n'),
        ('x = 1\n\x0c\ndef f():\n    "after a form feed"\n    return 1\n', ["after a form feed"],
         "x = 1\n\x0c\ndef f():\n    return 1\n"),
        ('x = "\u2028"\ndef f():\n    """Zwölf\n    Läufe."""\n', ["Zwölf\nLäufe."],
         'x = "\u2028"\ndef f():\n'),
        ('"""   """\n', [], ""),
    ],
)  # fmt: skip
def test_separating_docstrings(source: str, docstrings: list[str], code: str) -> None:
    assert demo._separate(source) == (docstrings, code)


def test_a_python_without_sources_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(GqvaeError, match="no sources of the standard library"):
        demo._modules(tmp_path)


def test_words_are_shown_as_each_tokenizer_splits_them(capsys: pytest.CaptureFixture[str]) -> None:
    from gqvae.terminal import print_out

    print_out(demo.words_table([train_peer("bpe:300", ["configuration " * 9]), train_peer("bpe:257", [" "])]))
    output = capsys.readouterr().out
    assert "bpe:300" in output
    assert "␣configuration" in output
    assert "␣ | c | o | n" in output
    assert "\\xc3 | \\xa9" in output


METRICS = [
    {
        "step": step, "seconds": step / 10, "loss": 3.0, "nats_per_byte": 1 / step,
        "bytes_per_token": 3 - 1 / step,
        "tokens_per_pretoken_soft": 1.8, "tokens_per_pretoken_hard": 1.7, "exact_codes": 1 - 1 / step,
        "codes_always_exact": 0.5, "duplicate_strings": 0.1, "near_duplicates": 0.2,
        "movement": None if step < 9 else 0.1, "use_by_rank": [0.3, 0.2, 0.1], "ideal_by_rank": [0.25, 0.2],
        "codes_used": 500 + step, "perplexity": 300.0, "gate_histogram": [5, 1, 0, 0, 0, 0, 0, 0, 1, 9],
        "price": 4.0, "learning_rate": 1e-3,
    }
    for step in range(1, 200, 10)
]  # fmt: skip


def test_the_figure_is_a_png(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    metrics = tmp_path / "metrics.jsonl"
    metrics.write_text("".join(json.dumps(row) + "\n" for row in METRICS))
    rows = read_metrics(metrics)
    assert rows == METRICS
    draw_training(rows, tmp_path / "deep" / "training.png", title="a training", bpe=2.9)
    assert (tmp_path / "deep" / "training.png").read_bytes().startswith(b"\x89PNG")


def test_bad_metrics_are_clear_errors(tmp_path: Path) -> None:
    metrics = tmp_path / "metrics.jsonl"
    with pytest.raises(GqvaeError, match=r"cannot read .*metrics\.jsonl"):
        read_metrics(metrics)
    metrics.write_text('{"step": 1}\n{"ste')
    with pytest.raises(GqvaeError, match=r"metrics\.jsonl:2: not valid JSON"):
        read_metrics(metrics)
    with pytest.raises(GqvaeError, match="no metrics to draw"):
        draw_training([], tmp_path / "training.png", title="nothing")


def test_its_training_holds_out_what_it_is_compared_on(
    documents: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or what it says of the network would be said of training text."""
    from gqvae.config import Config
    from gqvae.learn import training

    def stop(config: Config, corpus: Corpus, folder: Path) -> None:
        kept = {document for document in corpus.documents() if is_held_out(document, config.pretokens.held_out)}
        assert kept == set(Corpus((str(tmp_path / "corpus" / "held_out.jsonl"),)).documents())
        assert kept
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, "python_corpus", lambda: documents[:99])
    monkeypatch.setattr(training, "train", stop)
    with pytest.raises(KeyboardInterrupt):
        demo.run(tmp_path)


def test_only_an_earlier_demo_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "checkpoint.safetensors").write_text("precious")
    with pytest.raises(GqvaeError, match="holds other files"):
        demo.run(tmp_path)
    assert (tmp_path / "run" / "checkpoint.safetensors").read_text() == "precious"
    assert len(list(tmp_path.iterdir())) == 1

    def stop() -> list[str]:
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, "python_corpus", stop)
    (tmp_path / "new").mkdir()
    for _ in range(2):  # begun, and begun again
        with pytest.raises(KeyboardInterrupt):
            demo.run(tmp_path / "new")
