# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Only the kube-proxy of a release: which recipe it is, what is printed, what is kept."""

from __future__ import annotations

import shutil
import typing as t
from pathlib import Path

import pytest

from kubelab import cli, host, releases
from kubelab import golang as toolchain
from kubelab.cache import ABOUT, Bench, Store
from kubelab.recipes import data, disk, golang
from kubelab.steps import Log

VERSION = "1.34.4"


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """The user's, empty; nothing is asked of the machine."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("LAB_CACHE", raising=False)
    for name in ("require_root", "require_disk", "install"):
        monkeypatch.setattr(host, name, lambda *_: None)
    monkeypatch.setattr(cli, "CHECKOUT", tmp_path / "checkout")
    return Store(tmp_path / "netops-kube-proxy-lab")


def _compile(monkeypatch: pytest.MonkeyPatch) -> None:
    def build(_program: golang.Program, bench: Bench) -> None:
        (bench.out / "bin").mkdir()
        (bench.out / "bin" / "kube-proxy").write_text("ELF", encoding="utf-8")

    monkeypatch.setattr(golang.Program, "build", build)


def test_it_is_compiled_from_the_modules_of_its_release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[list[str]] = []

    def run(_bench: Bench, argv: t.Sequence[str | Path], cwd: Path, env: t.Mapping[str, str]) -> None:
        assert env
        assert (cwd / "go.mod").read_text(encoding="utf-8") == data.text(f"go/kubernetes-{VERSION}/go.mod")
        made.append([str(word) for word in argv])

    monkeypatch.setattr(Bench, "run", run)
    monkeypatch.setattr(toolchain, "toolchain", lambda *_: Path("go"))
    recipe = golang.kube_proxy(VERSION)
    bench = Bench(tmp_path / "out", tmp_path / "work", tmp_path, Log(tmp_path / "log"), lambda _recipe: tmp_path)
    for path in (bench.out, bench.work):
        path.mkdir()
    recipe.build(bench)
    ((go, build, *options, target),) = made
    assert (recipe.name, go, build) == (f"go-kube-proxy-{VERSION}", "go", "build")
    assert target == "k8s.io/kubernetes/cmd/kube-proxy"
    # Without it kube-proxy would call itself v0.0.0-master+$Format:%H$.
    assert f"-X k8s.io/component-base/version.gitVersion=v{VERSION} " in " ".join(options)


def test_the_hash_follows_the_modules_of_its_release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {version: golang.kube_proxy(version).digest for version in releases.OFFERED}
    assert len(set(before.values())) == len(releases.OFFERED)
    shutil.copytree(data.ROOT / "go", tmp_path / "go")
    monkeypatch.setattr(data, "ROOT", tmp_path)
    (tmp_path / "go" / f"kubernetes-{VERSION}" / "go.sum").write_text("", encoding="utf-8")
    changed = {version for version, digest in before.items() if golang.kube_proxy(version).digest != digest}
    assert changed == {VERSION}


def test_nothing_but_the_path_is_printed(
    store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _compile(monkeypatch)
    path = store.root / golang.kube_proxy(VERSION).entry / "bin" / "kube-proxy"
    assert cli.main(["kube-proxy", VERSION]) == 0
    first = capsys.readouterr()
    assert first.out == f"{path}\n"
    assert path.is_file()
    assert first.err.startswith(f"build 1/1: go-kube-proxy-{VERSION} ... done")
    assert cli.main(["kube-proxy", VERSION]) == 0
    assert capsys.readouterr() == (f"{path}\n", "")


def test_what_is_not_on_offer_is_not_tried(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["kube-proxy", "1.30.0"]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "choose one of 1.34.4" in captured.err
    assert not store.root.exists()


def test_prune_keeps_it_and_removes_that_of_an_older_recipe(store: Store) -> None:
    kept = [golang.kube_proxy(VERSION).entry, disk.for_release(VERSION).entry]
    for name in (*kept, f"go-kube-proxy-{VERSION}-0123456789abcdef"):
        (store.root / name).mkdir(parents=True)
        (store.root / name / ABOUT).write_text("{}", encoding="utf-8")
    assert cli.main(["prune"]) == 0
    assert sorted(about.parent.name for about in store.root.glob(f"*/{ABOUT}")) == sorted(kept)
