"""Hosts on this machine: network namespaces, joined by virtual links that can be cut. They need root, and `ip`."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress

from acz.backend.processes import Cluster
from acz.backend.registry import find_info

PORT = 29400
INTERFACE = "acz0"
CHOSEN = ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME")
"""Variables that name the interface to a framework that would otherwise look up the name of the host."""


def may_join_hosts() -> bool:
    """True where this process can make network namespaces."""
    if os.geteuid() or not shutil.which("ip"):
        return False
    words = ["unshare", "--net", "ip", "link", "add", "acz0", "type", "veth", "peer", "name", "acz1"]
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


class Links:
    """Hosts 10.77.0.1, 10.77.0.2 and so on, each with one link to a switch. A context manager; the hosts are made when used."""

    def __init__(self, hosts: int) -> None:
        self.hosts, self.prefix, self.made = hosts, f"acz{os.getpid()}", False
        self.down: set[int] = set()
        self.scheduler: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Links:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop_scheduler()
        if self.made:
            for name in self._names():
                _ip("netns", "del", name)

    def _names(self) -> list[str]:
        return [*(f"{self.prefix}-{host}" for host in range(self.hosts)), f"{self.prefix}-switch"]

    def _make(self) -> None:
        if self.made:
            return
        self.made = True
        *hosts, switch = self._names()
        for name in (*hosts, switch):
            _ip("netns", "add", name)
            _ip("-n", name, "link", "set", "lo", "up")
        _ip("-n", switch, "link", "add", "bridge", "type", "bridge")
        _ip("-n", switch, "link", "set", "bridge", "up")
        for number, name in enumerate(hosts):
            port = f"port{number}"
            _ip("-n", switch, "link", "add", port, "type", "veth", "peer", "name", INTERFACE, "netns", name)
            _ip("-n", switch, "link", "set", port, "master", "bridge", "up")
            _ip("-n", name, "addr", "add", f"{address(number)}/24", "dev", INTERFACE)
            _ip("-n", name, "link", "set", INTERFACE, "up")

    def inside(self, host: int, words: Sequence[str]) -> list[str]:
        """The words that start a program on a host."""
        self._make()
        return ["ip", "netns", "exec", self._names()[host], *words]

    def variables(self, backend: str, rank: int) -> dict[str, str]:
        """The variables of a rank that is alone on its host, as the framework's launcher sets them."""
        launcher = find_info(backend).launcher
        assert launcher
        return {**launcher.variables(self._cluster(), rank), **dict.fromkeys(CHOSEN, INTERFACE)}

    def _cluster(self) -> Cluster:
        return Cluster([address(host) for host in range(self.hosts)], 1, PORT)

    def start_scheduler(self, backend: str, environ: Mapping[str, str]) -> None:
        """Start the further process of a framework that has one, on the first host."""
        launcher, null = find_info(backend).launcher, subprocess.DEVNULL
        if launcher and launcher.scheduler:
            command = launcher.scheduler(self._cluster())
            self.scheduler = subprocess.Popen(
                self.inside(0, list(command.words)),
                env={**environ, **command.variables},
                stdin=null,
                stdout=null,
                stderr=null,
            )

    def stop_scheduler(self) -> None:
        """End that process."""
        if self.scheduler:
            with suppress(ProcessLookupError):
                self.scheduler.kill()
            self.scheduler.wait()
            self.scheduler = None

    def cut(self, host: int) -> None:
        """Cut the link of a host."""
        _ip("-n", self._names()[-1], "link", "set", f"port{host}", "down")
        self.down.add(host)

    def repair(self) -> None:
        """Make all links whole again."""
        for host in self.down:
            _ip("-n", self._names()[-1], "link", "set", f"port{host}", "up")
        self.down.clear()


def address(host: int) -> str:
    """The address of a host."""
    return f"10.77.0.{host + 1}"


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)
