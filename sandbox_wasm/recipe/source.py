"""CPython's source: one pinned tarball, from wherever this machine can get it.

Tried in this order: the path that the user names, the build cache, python.org,
and Debian's source package, whose upstream tarball is the very same file. The
SHA-256 is checked each time, so it does not matter who handed it over.
"""

from __future__ import annotations

import http.client
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

from recipe import cache
from recipe.errors import BuildError

VERSION = "3.13.5"
SHA256 = "93e583f243454e6e9e4588ca2c2662206ad961659863277afcdb96801647d640"
NAME = f"Python-{VERSION}.tar.xz"
URL = f"https://www.python.org/ftp/python/{VERSION}/{NAME}"
DEBIAN_SUITE = "trixie"
DEBIAN_PACKAGE = "python3.13"

#: A machine without the network must not wait long to learn that.
CONNECT_SECONDS = 6
_CHUNK_BYTES = 1 << 20


def tarball(folder: Path, named: Path | None) -> Path:
    """The checked tarball: `named` if given, else one in the cache `folder`, fetched if need be.

    Raises BuildError if `named` is missing or another file, or if no source has it.
    """
    if named is not None:
        if not named.is_file():
            raise BuildError(f"there is no file {named}", hint=f"give the path of {NAME}")
        _check(named)
        return named
    kept = folder / NAME
    if kept.is_file() and cache.file_digest(kept) == SHA256:
        return kept
    refusals = []
    for origin, fetch in (("python.org", _from_python_org), ("Debian", _from_debian)):
        print(f"guest: fetching CPython {VERSION} from {origin}", flush=True)
        try:
            fetch(kept)
            return kept
        except BuildError as error:
            print(f"guest: {error}", flush=True)
            refusals.append(f"{origin}: {error}")
    raise BuildError(
        f"the source of CPython {VERSION} could not be fetched ({'; '.join(refusals)})",
        hint=f"bring {NAME} yourself and name it by --source or RLM_LOCAL_CPYTHON_SOURCE",
    )


def unpack(archive: Path, folder: Path) -> Path:
    """Unpack the tarball into `folder`; the source tree's folder."""
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    return folder / f"Python-{VERSION}"


def _check(path: Path) -> None:
    found = cache.file_digest(path)
    if found != SHA256:
        raise BuildError(
            f"{path} has SHA-256 {found}, and {NAME} has {SHA256}",
            hint="remove it and fetch it again",
        )


def _from_python_org(target: Path) -> None:
    """Download with resume: what a broken connection left in `.part` is gone on with."""
    part = target.with_name(target.name + ".part")
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(URL)
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        with urllib.request.urlopen(request, timeout=CONNECT_SECONDS) as reply:
            goes_on = have > 0 and reply.status == 206
            size = (have if goes_on else 0) + int(reply.headers.get("Content-Length", 0))
            with open(part, "ab" if goes_on else "wb") as file:
                while chunk := reply.read(_CHUNK_BYTES):
                    file.write(chunk)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # `part` is no beginning of the file
            part.unlink()
        raise BuildError(f"it answered {error.code}") from error
    except (OSError, http.client.HTTPException) as error:  # time-outs among them
        raise BuildError(f"it cannot be reached ({error})") from error
    if part.stat().st_size < size:
        raise BuildError(f"the connection broke after {part.stat().st_size:,} of {size:,} bytes")
    _publish(part, target)


def _publish(part: Path, target: Path) -> None:
    try:
        _check(part)
    except BuildError:
        part.unlink()
        raise
    os.replace(part, target)


def _from_debian(target: Path) -> None:
    """Let apt fetch the source package, under a configuration of our own; no root needed."""
    if shutil.which("apt-get") is None:
        raise BuildError("there is no apt-get on this machine")
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".apt-") as name:
        private = Path(name)
        _write_apt_configuration(private, debian_archive(Path("/etc/apt")))
        environment = {**os.environ, "APT_CONFIG": str(private / "apt.conf"), "LC_ALL": "C"}
        for command in (
            ["apt-get", "update"],
            # Upstream's tarball is what is wanted: `--tar-only` leaves Debian's changes alone.
            ["apt-get", "source", "--download-only", "--tar-only", DEBIAN_PACKAGE],
        ):
            _run_apt(command, private, environment)
        found = sorted(private.glob(f"{DEBIAN_PACKAGE}_*.orig.tar.xz"))
        if not found:
            raise BuildError(f"its source package {DEBIAN_PACKAGE} held no upstream tarball")
        _publish(found[0], target)


def _run_apt(command: list[str], folder: Path, environment: dict[str, str]) -> None:
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600
        )
    except subprocess.TimeoutExpired as error:
        raise BuildError(f"`{' '.join(command)}` took longer than 600 s") from error
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["no message"]
        raise BuildError(f"`{' '.join(command)}` failed: {lines[-1]}")


def _write_apt_configuration(folder: Path, archive: str) -> None:
    for part in ("lists/partial", "cache/archives/partial", "parts"):
        (folder / part).mkdir(parents=True)
    (folder / "sources.list").write_text(f"deb-src {archive} {DEBIAN_SUITE} main\n")
    (folder / "apt.conf").write_text(
        f'Dir::Etc::sourcelist "{folder}/sources.list";\n'
        f'Dir::Etc::sourceparts "{folder}/parts";\n'
        f'Dir::State::Lists "{folder}/lists";\n'
        f'Dir::Cache "{folder}/cache";\n'
        'Acquire::http::Timeout "20";\nAcquire::https::Timeout "20";\nAcquire::Retries "1";\n'
        # Source packages for one suite only: no indexes for desktops, no translations.
        'Acquire::Languages "none";\n'
        # apt drops root to a user who may not enter our private folder.
        'APT::Sandbox::User "root";\n'
        'Debug::NoLocking "1";\n'
    )


def debian_archive(etc: Path) -> str:
    """The address of Debian's archive in the machine's own apt sources under `etc`.

    Reads one-line files (`*.list`) and deb822 files (`*.sources`); takes the
    first enabled archive that carries a Debian release, not a security or
    third-party one. Raises BuildError if there is none.
    """
    parts = etc / "sources.list.d"
    for path in (etc / "sources.list", *sorted(parts.glob("*.list"))):
        if path.is_file():
            for line in path.read_text(errors="replace").splitlines():
                if archive := _one_line_archive(line):
                    return archive
    for path in sorted(parts.glob("*.sources")):
        for stanza in re.split(r"\n[ \t]*\n", path.read_text(errors="replace")):
            if archive := _deb822_archive(stanza):
                return archive
    raise BuildError(f"no Debian archive is named in {etc}")


def _one_line_archive(line: str) -> str | None:
    match = re.match(r"\s*deb(?:-src)?\s+(?:\[[^\]]*\]\s+)?(\S+)\s+(\S+)\s+(.*)", line)
    if match is None:
        return None
    address, suite, components = match.groups()
    return _archive(address, [suite], components.split("#")[0].split())


def _deb822_archive(stanza: str) -> str | None:
    fields: dict[str, str] = {}
    name = ""
    for line in stanza.splitlines():
        if line.startswith("#"):
            continue
        if line[:1].isspace():
            fields[name] = f"{fields.get(name, '')} {line.strip()}"
        elif ":" in line:
            name, _, value = line.partition(":")
            name = name.strip().lower()
            fields[name] = value.strip()
    if fields.get("enabled", "yes").lower() == "no":
        return None
    for address in fields.get("uris", "").split():
        archive = _archive(
            address, fields.get("suites", "").split(), fields.get("components", "").split()
        )
        if archive:
            return archive
    return None


def _archive(address: str, suites: list[str], components: list[str]) -> str | None:
    """`address` if it looks like Debian's main archive, whose pool holds all suites."""
    path = address.rstrip("/").rsplit("/", 1)[-1]
    plain = any("-" not in suite and "/" not in suite for suite in suites)
    return address if path == "debian" and plain and "main" in components else None
