"""Exim of Debian as a peer in the benches, beside an installed Postfix (the packages exclude each other).

The packages are fetched with `apt-get download` and unpacked into a temporary folder; configuration, spool and log are the
bench's own (`-C`), and its user, which the binary insists on, is known in a mount namespace of its own only. Needs root.
`$EXIM` names another binary. Where none can be had, `find` says why, and the bench says so in its table.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

PACKAGES = ("exim4-daemon-light", "exim4-base")
USER, GROUP, COMPILED_IN = "nobody", "nogroup", "Debian-exim"
RUNNERS = 4
"""Queue runners at once, as an administrator would start for a queue that waits."""

_CONFIGURATION = """\
exim_path = {binary}
exim_user = {user}
exim_group = {group}
keep_environment = LD_LIBRARY_PATH
spool_directory = {home}/spool
log_file_path = {home}/%slog
pid_file_path = {home}/exim.pid
primary_hostname = branch.test
local_interfaces = 127.0.0.1
daemon_smtp_ports = {port}
disable_ipv6 = true
host_lookup =
rfc1413_hosts =
tls_advertise_hosts =
message_size_limit = 60M
smtp_accept_max = 200
smtp_accept_queue_per_connection = 0
deliver_drop_privilege = true
queue_only = {queue_only}
queue_run_max = {runners}
acl_smtp_rcpt = take
acl_smtp_data = take
begin acl
take:
  accept
begin routers
relay:
  driver = manualroute
  route_list = * {relay} byname
  self = send
  transport = relay
begin transports
relay:
  driver = smtp
  port = {relay_port}
  allow_localhost = true
  hosts_avoid_tls = *
begin retry
* * F,5d,1m
"""


class Missing(Exception):
    """There is no Exim; the text says why."""


_KNOWN = 'mount --bind "$1" /etc/passwd && mount --bind "$2" /etc/group && shift 2 && exec "$@"'


class Binary:
    """An Exim that runs, with what its loader needs. `home`: a folder for the users that it sees."""

    def __init__(self, path: Path, home: Path, libraries: Path | None = None) -> None:
        self.path = path
        files = []
        for name in ("passwd", "group"):
            entry = pwd.getpwnam(USER)
            more = f"{COMPILED_IN}:x:{entry.pw_uid}:" + (f"{entry.pw_gid}::/:/bin/false" if name == "passwd" else "")
            (home / name).write_text(Path("/etc", name).read_text().rstrip("\n") + f"\n{more}\n")
            files.append(str(home / name))
        self.words = ["unshare", "--mount", "sh", "-c", _KNOWN, "sh", *files, str(path)]
        self.environ = {**os.environ} | ({"LD_LIBRARY_PATH": str(libraries)} if libraries is not None else {})

    def run(self, *words: object) -> str:
        command = [*self.words, *map(str, words)]
        done = subprocess.run(command, env=self.environ, capture_output=True, text=True, check=False, timeout=120)
        if done.returncode:
            raise Missing(f"{self.path.name} {words}: {(done.stderr or done.stdout).strip()[-300:]}")
        return done.stdout


def find(folder: Path) -> Binary:
    """The one of `$EXIM`, or Debian's, unpacked below this folder (which others must be able to enter). Raises Missing."""
    home = folder / "exim-package"
    (home / "archives").mkdir(parents=True)
    (home / "empty.conf").write_text("")
    if os.environ.get("EXIM"):
        found = Binary(Path(os.environ["EXIM"]), home)
        found.run("-C", home / "empty.conf", "-bV")
        return found
    _fetch(home, PACKAGES)
    binary = home / "usr" / "sbin" / "exim4"
    if not binary.exists():
        raise Missing("the package exim4-daemon-light holds no usr/sbin/exim4")
    lacking = re.findall(r"^\s*(\S+)\.so\.(\d+) => not found", _told("ldd", binary), re.MULTILINE)
    if lacking:
        _fetch(home, [f"{name}{version}" for name, version in lacking])
    found = Binary(binary, home, next(iter(home.glob("usr/lib/*-linux-gnu*")), None) if lacking else None)
    found.run("-C", home / "empty.conf", "-bV")
    return found


def _fetch(home: Path, packages: Sequence[str]) -> None:
    archives = home / "archives"
    try:
        _told("apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", *packages, folder=archives)
        for archive in archives.glob("*.deb"):
            _told("dpkg", "-x", archive, home)
            archive.unlink()
    except (OSError, subprocess.SubprocessError) as exc:
        said = getattr(exc, "stderr", "") or ""
        raise Missing(f"{' '.join(packages)} cannot be fetched: {(said or str(exc)).strip()[-200:]}") from exc


def _told(*words: object, folder: Path | None = None) -> str:
    return subprocess.run(
        [str(word) for word in words], cwd=folder, capture_output=True, text=True, check=True, timeout=300
    ).stdout


class Exim:
    """One running daemon with everything of its own in `home`. `prefix`: words before each command (a network namespace)."""

    def __init__(
        self,
        binary: Binary,
        home: Path,
        *,
        port: int,
        relay: str,
        relay_port: int,
        queue_only: bool,
        prefix: Sequence[str] = (),
    ) -> None:
        """`queue_only`: mail waits until `go`; else each message is sent as it comes."""
        self._binary, self._prefix, self.home, self.port = binary, list(prefix), home, port
        shutil.rmtree(home, ignore_errors=True)
        (home / "spool").mkdir(parents=True)
        home.chmod(0o755)
        for path in (home, home / "spool"):
            shutil.chown(path, USER, GROUP)
        self._file = home / "exim.conf"
        self._file.write_text(
            _CONFIGURATION.format(
                binary=binary.path,
                user=USER,
                group=GROUP,
                home=home,
                port=port,
                relay=relay,
                relay_port=relay_port,
                queue_only=str(queue_only).lower(),
                runners=RUNNERS,
            )
        )
        self._daemon = self._start("-bdf")
        self._runners: list[subprocess.Popen[bytes]] = []
        end = time.monotonic() + 30
        while not (home / "exim.pid").exists():
            if self._daemon.poll() is not None or time.monotonic() > end:
                raise Missing(f"it does not start: {self.log()[-300:]}")
            time.sleep(0.02)

    def _start(self, *words: str) -> subprocess.Popen[bytes]:
        command = [*self._prefix, *self._binary.words, "-C", str(self._file), *words]
        with (self.home / "said").open("ab") as said:
            return subprocess.Popen(command, env=self._binary.environ, stdout=said, stderr=said)

    def go(self) -> None:
        """Send what waits."""
        self._runners += [self._start("-qff") for _ in range(RUNNERS)]

    def waiting(self) -> int:
        """Messages in its queue."""
        return len(list((self.home / "spool" / "input").glob("**/*-H")))

    def log(self) -> str:
        files = [self.home / name for name in ("said", "mainlog", "paniclog")]
        return "".join(file.read_text(errors="replace") for file in files if file.exists())

    def stop(self) -> None:
        """The daemon and what it started."""
        below = [_below(process.pid) for process in (self._daemon, *self._runners)]
        for process in (self._daemon, *self._runners):
            process.terminate()
        for pid in {pid for pids in below for pid in pids}:
            try:
                os.kill(pid, 15)
            except ProcessLookupError:
                continue
        for process in (self._daemon, *self._runners):
            process.wait(30)


def _below(pid: int) -> list[int]:
    """All processes that this one has started."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [each for child in map(int, children) for each in (child, *_below(child))]
