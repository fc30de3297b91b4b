"""What loads what: the runtime stays light, and the arrows between the modules point one way."""

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import gqvae

PACKAGE = Path(gqvae.__file__).parent
TORCH = {"torch", "lightning_fabric", "transformers", "vector_quantize_pytorch"}
HEAVY = TORCH | {"datasets", "matplotlib", "numpy", "pyarrow"}
# What no module outside these packages imports at its top. The demo drives the training, but imports it late.
TRAINS = ("gqvae.learn", "gqvae.reproduce", "gqvae.zoo")
TRAINING = TORCH | set(TRAINS)

# Each stage may know the ones before it, never the ones after. What a package exports comes after its modules.
ORDER = [
    "gqvae.errors",
    "gqvae.arrow",
    "gqvae.machine",
    "gqvae.files",
    "gqvae.memo",
    "gqvae.grouped",
    "gqvae.parallel.shelf",
    "gqvae.parallel.worker",
    "gqvae.parallel.pool",
    "gqvae.parallel",
    "gqvae.cluster",
    "gqvae.corpus.documents",
    "gqvae.corpus.readers",
    "gqvae.corpus.sources",
    "gqvae.corpus",
    "gqvae.patterns",
    "gqvae.boundaries",
    "gqvae.pretokens",
    "gqvae.vocabulary",
    "gqvae.bpe",
    "gqvae.encoder.viterbi",
    "gqvae.encoder.packed",
    "gqvae.encoder.automaton",
    "gqvae.encoder.lockstep",
    "gqvae.encoder.segmentation",
    "gqvae.encoder.words",
    "gqvae.encoder.columns",
    "gqvae.encoder.encoder",
    "gqvae.encoder.processes",
    "gqvae.encoder",
    "gqvae.offsets",
    "gqvae.tokenizer",
    "gqvae.names",
    "gqvae.shards.plan",
    "gqvae.shards.index",
    "gqvae.shards.reading",
    "gqvae.shards.writing",
    "gqvae.shards.encoding",
    "gqvae.shards",
    "gqvae.verify",
    "gqvae.export",
    "gqvae.evaluation",
    "gqvae.settings",
    "gqvae.config",
    "gqvae.learn",
    "gqvae.reproduce",
    "gqvae.zoo",
    "gqvae.demo",
    "gqvae.cli",
]


def loaded_by(statement: str) -> set[str]:
    """The top-level packages in sys.modules after `statement` ran in a fresh interpreter."""
    return {name.split(".")[0] for name in modules_of(statement)}


def modules_of(statement: str) -> set[str]:
    """All that is in sys.modules then."""
    report = "import json, sys; print(json.dumps(sorted(sys.modules)))"
    command = [sys.executable, "-c", f"{statement}\n{report}"]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return set(json.loads(output.splitlines()[-1]))


def imports(path: Path, *, everywhere: bool) -> set[str]:
    """The modules a file imports by name: at module level, or anywhere in it."""
    found: set[str] = set()
    pending: list[ast.AST] = list(ast.parse(path.read_text(encoding="utf-8")).body)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} line {node.lineno}: imports here are absolute"
            found |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif everywhere or not _runs_later(node):
            pending.extend(ast.iter_child_nodes(node))
    return found


def _runs_later(node: ast.AST) -> bool:
    """A function's body, or a block that only type checkers read."""
    if isinstance(node, ast.If):
        return isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def is_within(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


def rank(module: str) -> int | None:
    return next((number for number, stage in enumerate(ORDER) if is_within(module, stage)), None)


def files() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def test_import_gqvae_loads_nothing_heavy() -> None:
    assert not loaded_by("import gqvae") & (HEAVY | {"rich", "typer", "tokenizers"})


def test_a_tokenizer_needs_nothing_heavy() -> None:
    assert not loaded_by("import gqvae; gqvae.load, gqvae.Tokenizer, gqvae.Vocabulary") & HEAVY


def test_shards_are_read_without_a_tokenizer() -> None:
    names = modules_of("from gqvae.shards import Shards")
    assert "gqvae.shards.index" in names
    assert not names & {"gqvae.tokenizer", "gqvae.encoder", "gqvae.parallel"}


@pytest.mark.parametrize(
    "statement",
    [
        "import gqvae; gqvae.load('tinystories-1024').encode(' a word' * 500_000)",
        "from gqvae.pretokens import count_pretokens; count_pretokens(['a word'], pattern='gpt2', window=16)",
    ],
)
def test_arrow_does_not_bring_pandas(statement: str) -> None:
    """Which takes longer to load than all else that these do."""
    pytest.importorskip("pandas")
    loaded = loaded_by(statement)
    assert "pyarrow" in loaded
    assert "pandas" not in loaded


@pytest.mark.parametrize("arguments", [["--help"], ["encode", "--help"], ["train", "--help"]])
def test_help_loads_nothing_heavy_and_is_quick(arguments: list[str]) -> None:
    before = os.times()
    packages = loaded_by(f"from gqvae.cli import main\ntry: main({arguments})\nexcept SystemExit: pass")
    after = os.times()
    assert not packages & (HEAVY | {"tokenizers"})
    seconds = sum(after[2:4]) - sum(before[2:4])  # of the processor, by children: the machine may be busy
    assert seconds < 3, "help answers in well under a second"


def test_public_names() -> None:
    assert set(gqvae.__all__) <= set(dir(gqvae))
    for name in gqvae.__all__:
        assert getattr(gqvae, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        gqvae.nothing  # noqa: B018


@pytest.mark.parametrize("path", files(), ids=module_name)
def test_only_what_trains_imports_torch_at_module_level(path: Path) -> None:
    if not any(is_within(module_name(path), package) for package in TRAINS):
        at_top = imports(path, everywhere=False)
        wrong = {name for name in at_top if any(is_within(name, package) for package in TRAINING)}
        assert not wrong, f"{module_name(path)} imports {sorted(wrong)} when it is imported"


@pytest.mark.parametrize("path", files(), ids=module_name)
def test_no_stage_knows_a_later_one(path: Path) -> None:
    """Imports inside functions count too; the command line and the demo stand at the end and may use all."""
    name = module_name(path)
    if rank(name) is None:
        return
    later = {imported for imported in imports(path, everywhere=True) if (rank(imported) or 0) > (rank(name) or 0)}
    assert not later, f"{name} imports {sorted(later)}, which come after it"


@pytest.mark.parametrize("package", sorted({path.parent for path in files()} - {PACKAGE}), ids=lambda path: path.name)
def test_a_package_says_what_each_of_its_files_is_for(package: Path) -> None:
    about = ast.get_docstring(ast.parse((package / "__init__.py").read_text(encoding="utf-8"))) or ""
    there = {path.name for path in package.glob("*.py")} - {"__init__.py"}
    assert set(re.findall(r"\w+\.py", about)) == there


@pytest.mark.parametrize("path", files(), ids=module_name)
def test_no_pickle(path: Path) -> None:
    assert not imports(path, everywhere=True) & {"pickle", "dill", "joblib", "shelve", "marshal"}
