# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The store: hashes over declarations, publication whole or not at all, other stores read only."""

from __future__ import annotations

import dataclasses
import typing as t
from pathlib import Path

import pytest

from kubelab import host
from kubelab.build import Builder
from kubelab.cache import ABOUT, Recipe, Store, declared, open_store
from kubelab.errors import LabError
from kubelab.recipes import data, debian, disk, golang, kernel

if t.TYPE_CHECKING:
    from kubelab.cache import Bench


def _write(text: str) -> t.Callable[[Bench], None]:
    def build(bench: Bench) -> None:
        (bench.out / "thing").write_text(text, encoding="utf-8")

    return build


def _recipe(name: str = "thing", *, build: t.Callable[[Bench], None] = _write("made"), **changes: t.Any) -> Recipe:
    return dataclasses.replace(Recipe(name=name, build=build, inputs={"version": "1"}), **changes)


@pytest.fixture
def builder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Builder:
    monkeypatch.setattr(host, "install", lambda *_: None)
    monkeypatch.setattr(host, "require_disk", lambda *_: None)
    return Builder(Store(tmp_path / "cache"))


def test_comments_and_blank_lines_do_not_count() -> None:
    assert declared("#!/bin/sh\n# why\n\nrun  \n\t// also why\n") == declared("#!/bin/sh\nrun\n# other words\n")


@pytest.mark.parametrize(("before", "after"), [("run", "run more"), ("#!/bin/sh", "#!/bin/dash"), ("a # b", "a # c")])
def test_everything_else_counts(before: str, after: str) -> None:
    assert declared(before) != declared(after)


def test_the_hash_follows_every_declaration() -> None:
    need = _recipe("need")
    base = _recipe(needs=(need,))
    changed = [
        dataclasses.replace(base, inputs={"version": "2"}),
        dataclasses.replace(base, inputs={"version": "1", "more": ""}),
        dataclasses.replace(base, revision=2),
        dataclasses.replace(base, name="other"),
        dataclasses.replace(base, needs=()),
        dataclasses.replace(base, needs=(dataclasses.replace(need, revision=2),)),
    ]
    assert len({recipe.digest for recipe in [base, *changed]}) == len(changed) + 1


def test_the_hash_does_not_follow_the_program() -> None:
    assert _recipe(build=_write("a")).digest == _recipe(build=_write("b"), advice="other words").digest


def test_a_comment_in_the_kernel_options_rebuilds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    before = kernel.recipe().digest
    text = data.text(kernel.CONFIG)
    monkeypatch.setattr(data, "text", lambda _name: "# more words\n\n" + text)
    assert kernel.recipe().digest == before
    monkeypatch.setattr(data, "text", lambda _name: text + "CONFIG_MORE=m\n")
    assert kernel.recipe().digest != before


def test_the_disk_follows_what_it_is_made_of(monkeypatch: pytest.MonkeyPatch) -> None:
    before = disk.for_release("1.37.2").digest
    assert disk.for_release("1.36.3").digest != before
    monkeypatch.setattr(debian, "NODE", [*debian.NODE, "tcpdump"])
    assert disk.for_release("1.37.2").digest != before


def test_go_sum_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = golang.coredns().digest
    folder = tmp_path / "go" / "coredns"
    folder.mkdir(parents=True)
    for name in ("go.mod", "go.sum", "main.go"):
        (folder / name).write_text(data.text(f"go/coredns/{name}") + "// no matter\n", encoding="utf-8")
    monkeypatch.setattr(data, "ROOT", tmp_path)
    assert golang.coredns().digest == before
    (folder / "go.sum").write_text("example.org/module v1.0.0 h1:=\n", encoding="utf-8")
    assert golang.coredns().digest != before


def test_a_thing_is_built_once_with_what_it_needs(builder: Builder) -> None:
    made: list[str] = []

    def recording(name: str) -> t.Callable[[Bench], None]:
        return lambda _bench: made.append(name)

    shared = _recipe("shared", build=recording("shared"))
    one = _recipe("one", build=recording("one"), needs=(shared,))
    two = _recipe("two", build=recording("two"), needs=(shared,))
    builder.build(one, two)
    builder.build(one, two)
    assert made == ["shared", "one", "two"]


def test_what_a_finished_thing_was_made_of_is_not_asked_for(builder: Builder) -> None:
    need = _recipe("need")
    final = _recipe("final", needs=(need,))
    builder.build(final)
    host.remove_tree(builder.path(need))
    assert list(builder.missing(final)) == []


def test_a_failed_build_publishes_nothing_and_can_be_repeated(builder: Builder) -> None:
    def fail(bench: Bench) -> None:
        (bench.out / "half").write_text("", encoding="utf-8")
        raise LabError("no")

    with pytest.raises(LabError):
        builder.build(_recipe(build=fail))
    assert builder.store.find(_recipe()) is None
    builder.build(_recipe())
    assert sorted(path.name for path in builder.path(_recipe()).iterdir()) == [ABOUT, "thing"]
    assert not list((builder.store.root / "tmp").glob("*"))


def test_leftovers_of_an_interrupted_build_are_not_taken_and_swept(builder: Builder) -> None:
    recipe = _recipe()
    half = builder.store.root / recipe.entry
    stale = builder.store.root / "tmp" / "other-0123" / "out"
    for folder in (half, stale):
        folder.mkdir(parents=True)
    assert builder.store.find(recipe) is None
    builder.build(recipe)
    assert (builder.path(recipe) / "thing").read_text(encoding="utf-8") == "made"
    assert not stale.exists()


def test_labs_and_downloads_survive_the_sweep(builder: Builder) -> None:
    kept = [builder.store.root / name for name in ("labs/my-lab/state.json", "downloads/go-build/object")]
    for path in kept:
        path.parent.mkdir(parents=True)
        path.write_text("{}", encoding="utf-8")
    builder.store.sweep()
    assert all(path.exists() for path in kept)


def test_other_caches_are_used_and_never_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "install", lambda *_: None)
    monkeypatch.setattr(host, "require_disk", lambda *_: None)
    checkout = tmp_path / "checkout"
    shared = tmp_path / "shared" / "lab-cache"
    shared.mkdir(parents=True)
    Builder(Store(shared)).build(_recipe("shared"))
    Builder(Store(tmp_path / "named")).build(_recipe("named"))
    before = sorted(shared.rglob("*"))
    environment = {"XDG_CACHE_HOME": str(tmp_path / "own"), "LAB_CACHE": f"{tmp_path}/named:{tmp_path}/absent"}
    store = open_store(environment, checkout)
    assert store.find(_recipe("shared")) == shared / _recipe("shared").entry
    assert store.find(_recipe("named")) == tmp_path / "named" / _recipe("named").entry
    Builder(store).build(_recipe("new"), _recipe("shared"))
    assert store.find(_recipe("new")) == store.root / _recipe("new").entry
    assert sorted(shared.rglob("*")) == before


def test_the_cache_is_where_the_user_keeps_caches(tmp_path: Path) -> None:
    assert open_store({"HOME": "/h"}, tmp_path).root == Path("/h/.cache/netops-kube-proxy-lab")
    assert open_store({"HOME": "/h", "XDG_CACHE_HOME": "/c"}, tmp_path).root == Path("/c/netops-kube-proxy-lab")
