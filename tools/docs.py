# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The site below .cache/site/html: every page of the sources, and one for each plugin and role, with all links between them checked.

C(make docs). Links that leave the site lead to the sources or to other people's pages; these are not followed.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import threading
import typing as t
from contextlib import contextmanager, suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import yaml

from tools.debian import have
from tools.environment import programs_of
from tools.report import ROOT, repository_files

CACHE = ROOT / ".cache" / "site"
PINS = ROOT / "requirements-docs.txt"
SITE = ROOT / "tools" / "site"
PAGES = re.compile(r"(README|CONTRIBUTING|lab/README|docs/[^/]+|roles/[^/]+/README)\.md")
LINK = re.compile(r"(?<=\]\()(?!https?:|#)[^)#\s]+")
# It draws the diagrams in a reader's browser.
MERMAID = "mermaid@12.3.0"
MERMAID_SHA256 = "be0684e8d20bfc874df12c0f04927a5c482f57f2200eec54cca52a4583fd4040"
SCRIPT = "mermaid.min.js"


def linked(page: Path, text: str, pages: t.Collection[Path], sources: str) -> str:
    """A page's text, with links to what is no page leading to the sources."""

    def target(link: re.Match[str]) -> str:
        path = Path(os.path.normpath(page.parent / link[0]))
        return link[0] if path in pages else f"{sources}/{path.as_posix()}"

    return LINK.sub(target, text)


def write_pages(target: Path, root: Path = ROOT) -> None:
    """Copy the sources' pages to where Sphinx reads them, each at its own path.

    :raises SystemExit: when a page links to a file that the sources do not have
    """
    files = repository_files(root)
    pages = {path for path in files if PAGES.fullmatch(path.as_posix())}
    sources = f"{yaml.safe_load((root / 'galaxy.yml').read_text('utf-8'))['repository']}/blob/main"
    for page in sorted(pages):
        text = linked(page, (root / page).read_text("utf-8"), pages, sources)
        for missing in (
            one for one in re.findall(rf"{re.escape(sources)}/([^)#\s]+)", text) if not (root / one).exists()
        ):
            sys.exit(f"{page} links to {missing}, which is not there")
        (target / page).parent.mkdir(parents=True, exist_ok=True)
        (target / page).write_text(text, "utf-8")


def write_reference(programs: Path, target: Path) -> None:
    """Have antsibull-docs write the pages of plugins and roles."""
    target.mkdir(mode=0o755)
    paths = {"ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections"), "PATH": f"{programs}:{os.environ['PATH']}"}
    options = ("--use-current", "--fail-on-error", "--squash-hierarchy", "--no-add-antsibull-docs-version")
    command: list[str | Path] = [
        programs / "antsibull-docs",
        "collection",
        *options,
        "--dest-dir",
        target,
        "netops.kube_proxy",
    ]
    subprocess.run(command, check=True, env={**os.environ, **paths})


def write_script(target: Path) -> None:
    """Put the script that draws diagrams where Sphinx finds it; fetched once.

    :raises SystemExit: when it is not the one that is pinned
    """
    package = CACHE / f"{MERMAID.replace('@', '-')}.tgz"
    if not package.is_file():
        subprocess.run([have("npm"), "pack", "--silent", MERMAID], check=True, cwd=CACHE, stdout=subprocess.DEVNULL)
    if hashlib.sha256(package.read_bytes()).hexdigest() != MERMAID_SHA256:
        sys.exit(f"{package} is not the pinned {MERMAID}: remove it, then run this again")
    target.mkdir()
    with tarfile.open(package) as archive, (target / SCRIPT).open("wb") as script:
        shutil.copyfileobj(t.cast("t.IO[bytes]", archive.extractfile(f"package/dist/{SCRIPT}")), script)


class Files(SimpleHTTPRequestHandler):
    """The files of a folder, without a line for each request."""

    def log_message(self, *_arguments: t.Any) -> None:
        pass

    def do_GET(self) -> None:
        """A client that has read enough hangs up."""
        with suppress(ConnectionError):
            super().do_GET()


@contextmanager
def served(folder: Path) -> t.Iterator[str]:
    """Its address while the folder is served. (As root the link checker becomes nobody, who may not see the files.)"""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Files, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/index.html"
        server.shutdown()


def main() -> int:
    """Write, build, check; the exit status is that of the last program."""
    source, site = CACHE / "source", CACHE / "html"
    programs = programs_of(CACHE / "venv", PINS)
    for old in (source, site):
        shutil.rmtree(old, ignore_errors=True)
    shutil.copytree(SITE, source)
    write_pages(source)
    write_reference(programs, source / "collection")
    write_script(source / "_static")
    subprocess.run([programs / "sphinx-build", "-W", "--keep-going", "-q", "-j", "auto", source, site], check=True)
    print(f"The site is at {(site / 'index.html').relative_to(ROOT)}; its links:", flush=True)
    with served(site) as address:
        return subprocess.run([programs / "linkchecker", "--no-status", address], check=False).returncode


if __name__ == "__main__":
    try:
        sys.exit(main())
    except subprocess.CalledProcessError as error:
        sys.exit(f"{Path(error.cmd[0]).name} ended with {error.returncode}")
