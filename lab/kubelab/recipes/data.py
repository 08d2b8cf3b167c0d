"""The recipes' data files."""

from __future__ import annotations

from pathlib import Path

from kubelab.cache import declared

ROOT = Path(__file__).parent / "data"


def text(name: str) -> str:
    """Contents of a data file."""
    return (ROOT / name).read_text(encoding="utf-8")


def declarations(folder: str) -> dict[str, str]:
    """For a recipe's inputs: what each file under a folder declares, comments left out."""
    root = ROOT / folder
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): declared(path.read_text(encoding="utf-8")) for path in files}
