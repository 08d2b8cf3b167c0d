from __future__ import annotations
import os, sys
from pathlib import Path
from kubelab import host
from kubelab.build import Builder, everything
from kubelab.cache import open_store
from kubelab.errors import LabError
from kubelab.steps import complain

def main() -> int:
    try:
        store = open_store(os.environ, Path(__file__).resolve().parents[2])
        Builder(store).build(*everything("1.37.2"))
    except LabError as e:
        complain(e); return 1
    return 0
