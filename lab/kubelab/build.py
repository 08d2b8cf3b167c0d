# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From recipes to things: what is missing is built, in an order that keeps all cores busy."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass
from pathlib import Path

from kubelab import host
from kubelab.cache import Recipe, Store
from kubelab.errors import LabError
from kubelab.lock import held
from kubelab.steps import say, step

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

# Compiling Kubernetes takes most of both: sources and objects of 7 GB, a linker of 2 GB.
DISK_TO_COMPILE = 12 * host.GIGABYTE
DISK_TO_ASSEMBLE = 5 * host.GIGABYTE
MEMORY = 3 * host.GIGABYTE


@dataclass(frozen=True)
class Builder:
    """Builds into a store."""

    store: Store

    def missing(self, wanted: Recipe) -> Iterator[Recipe]:
        """What has to be built for a recipe, in order. What a finished thing was made of is not asked for."""
        if self.store.find(wanted) is None:
            for recipe in wanted.needs:
                yield from self.missing(recipe)
            yield wanted

    def path(self, recipe: Recipe) -> Path:
        """Where a built recipe is."""
        found = self.store.find(recipe)
        if found is None:
            raise KeyError(recipe.entry)
        return found

    def build(self, *wanted: Recipe) -> None:
        """Build what is missing, each thing once."""
        if not any(True for recipe in wanted for _ in self.missing(recipe)):
            return
        with held(self.store.lock, "the cache of built things"):
            self.store.sweep()
            # Looked at again: whoever held the lock until now may have built the same.
            missing = list({one.entry: one for recipe in wanted for one in self.missing(recipe)}.values())
            self._check(missing)
            for number, recipe in enumerate(missing, 1):
                with step(f"build {number}/{len(missing)}: {recipe.name}"):
                    self.store.make(recipe, self.path)
            host.give_to_caller(self.store.root)

    def _check(self, missing: Sequence[Recipe]) -> None:
        compiling = any(recipe.name.startswith(("go-", "kernel-")) for recipe in missing)
        host.require_disk(self.store.root, DISK_TO_COMPILE if compiling else DISK_TO_ASSEMBLE)
        if host.free_memory() < MEMORY:
            raise LabError(f"a build needs {MEMORY / host.GIGABYTE:.0f} GB of free memory")
        host.install(host.PACKAGES_TO_BUILD, self.store.root / "logs")

    def prune(self, wanted: Iterable[Recipe], used: Iterable[Path]) -> None:
        """Free the space of what neither these recipes nor a running lab need."""
        with held(self.store.lock, "the cache of built things"), step("prune"):
            self.store.sweep()
            keep = {one.entry for recipe in wanted for one in _with_needs(recipe)} | {path.name for path in used}
            freed = self.store.prune(keep.__contains__)
        say(f"{freed / host.GIGABYTE:.1f} GB are free again")


def _with_needs(recipe: Recipe) -> Iterator[Recipe]:
    yield recipe
    for need in recipe.needs:
        yield from _with_needs(need)
