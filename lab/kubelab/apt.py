# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Debian packages of the node's release, from wherever this host takes its own."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass
from pathlib import Path

from kubelab.errors import LabError
from kubelab.steps import output

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from kubelab.steps import Log

SUITE = "trixie"
BACKPORTS = "trixie-backports"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
# Suites of other archives (security) live at other addresses and have no suite of the node's name.
MAIN_ARCHIVE = re.compile(r"^(?:bookworm|trixie|forky|sid|stable|testing|unstable)(?:-updates|-backports)?/?$")


@dataclass(frozen=True)
class Mirror:
    """Where packages come from and who signs them."""

    uri: str
    signed_by: str = KEYRING

    def sources(self, suites: str = f"{SUITE} {BACKPORTS}") -> str:
        """A deb822 sources file, for the node's release if no other is named."""
        return f"Types: deb\nURIs: {self.uri}\nSuites: {suites}\nComponents: main\nSigned-By: {self.signed_by}\n"


def host_mirror(etc: Path = Path("/etc/apt")) -> Mirror:
    """The mirror this host installs from, read from its own apt configuration."""
    for mirror in _configured(etc):
        return mirror
    raise LabError(
        f"no Debian mirror was found in {etc}/sources.list or {etc}/sources.list.d",
        "The lab takes its nodes' packages from the mirror that this host uses: name one there (as for Debian 12 or 13).",
    )


def _configured(etc: Path) -> Iterator[Mirror]:
    for path in sorted((etc / "sources.list.d").glob("*.sources")):
        yield from parse_deb822(path.read_text(encoding="utf-8"))
    for path in (etc / "sources.list", *sorted((etc / "sources.list.d").glob("*.list"))):
        if path.exists():
            yield from parse_one_line(path.read_text(encoding="utf-8"))


def parse_deb822(text: str) -> Iterator[Mirror]:
    """Mirrors of Debian's main archive named in a `.sources` file."""
    for stanza in re.split(r"\n\s*\n", "\n".join(line for line in text.splitlines() if not line.startswith("#"))):
        fields = {
            name.lower(): value.strip()
            for name, value in re.findall(r"^([\w-]+):(.*(?:\n[ \t].*)*)", stanza, flags=re.MULTILINE)
        }
        if fields.get("enabled", "yes").lower() == "no" or "deb" not in fields.get("types", "").split():
            continue
        if any(MAIN_ARCHIVE.match(suite) for suite in fields.get("suites", "").split()):
            for uri in fields.get("uris", "").split():
                yield _mirror(uri, fields.get("signed-by", ""))


def parse_one_line(text: str) -> Iterator[Mirror]:
    """Mirrors of Debian's main archive named in a `sources.list`."""
    for line in text.splitlines():
        found = re.match(r"^\s*deb\s+(?:\[(?P<options>[^\]]*)\]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)\s", line + " ")
        if found and MAIN_ARCHIVE.match(found["suite"]):
            signed = re.search(r"signed-by=(\S+)", found["options"] or "")
            yield _mirror(found["uri"], signed[1] if signed else "")


def _mirror(uri: str, signed_by: str) -> Mirror:
    # The host's keyring wins: it is the one that is known to match its mirror. Without one apt trusts a global keyring,
    # which a private apt state does not have to, so the archive's own is named.
    return Mirror(uri, signed_by or KEYRING)


@dataclass(frozen=True)
class PrivateApt:
    """apt with its state in a folder of ours: the host's own lists and sources are never touched."""

    folder: Path
    log: Log

    @property
    def sources(self) -> Path:
        """The sources file in use."""
        return self.folder / "lab.sources"

    def options(self) -> list[str]:
        """apt options that keep everything inside the folder."""
        return [
            *("-o", f"Dir::Etc::sourcelist={self.sources}"),
            *("-o", "Dir::Etc::sourceparts=-"),
            *("-o", f"Dir::State::lists={self.folder}/lists"),
            *("-o", f"Dir::Cache={self.folder}/cache"),
            *("-o", "APT::Sandbox::User=root"),
            *("-o", "Acquire::Languages=none"),
            *("-o", "Acquire::Retries=3"),
        ]

    def update(self, sources: str) -> None:
        """Fetch the package lists."""
        for name in ("lists/partial", "cache/archives/partial"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        self.sources.write_text(sources, encoding="utf-8")
        self.log.run(["apt-get", *self.options(), "update"])

    def versions(self, package: str) -> list[str]:
        """Versions on offer of a package, the newest first."""
        lines = output(["apt-cache", *self.options(), "madison", package]).splitlines()
        return [line.split("|")[1].strip() for line in lines if line.count("|") >= 2]

    def names(self, pattern: str) -> list[str]:
        """Names of the packages that match a regular expression."""
        return sorted(output(["apt-cache", *self.options(), "pkgnames", pattern]).split())

    def download(self, package: str, into: Path) -> Path:
        """Fetch one package's file."""
        self.log.run(["apt-get", *self.options(), "download", package], cwd=into)
        return next(into.glob("*.deb"))
