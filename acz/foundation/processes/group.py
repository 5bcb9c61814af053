"""Messages among the ranks of one task, beside the framework's collectives: values, an agreed stop, and signs of life.

Rank 0 listens, and every other rank has one connection to it. A rank that ends without leaving, or gives no sign of life for
SILENCE seconds, ends all the others: a collective that waits for it would wait for ever.

The connections are trusted: whoever reaches the port can join. docs/distributed.md says so.
"""

from __future__ import annotations

import json
import os
import queue
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NoReturn, TypeAlias

from acz.foundation.errors import DataError, RankFailed
from acz.foundation.processes.messages import receive, send

SILENCE = 40.0
"""Seconds without a sign of life after which a rank counts as lost."""
QUIET = 10.0
"""Seconds without a sign of life after which a rank is to blame for what goes wrong at another: a collective gave it up."""
BEAT = 1.0
"""Seconds between two signs of life."""
JOINING = 60.0
"""Seconds in which all ranks must connect."""

Fatal: TypeAlias = Callable[[str, int], None]
"""Called with a message and an exit code before the process ends because of another rank."""


def say_on_stderr(message: str, code: int) -> None:
    """Write the message of a fatal error."""
    print(f"acz: {message}", file=sys.stderr, flush=True)


@dataclass
class Peer:
    """A connection, and what came through it."""

    rank: int
    host: str
    connection: socket.socket
    values: queue.SimpleQueue[bytes]
    seen: float
    left: bool = False


class Group:
    """The ranks of one task. Use `open_hub` at rank 0 and `connect` at the others; `close` at the end.

    `gather`, `broadcast` and `agree` are called by all ranks in the same order, from one thread.
    """

    def __init__(self, rank: int, world: int, fatal: Fatal = say_on_stderr) -> None:
        self.rank, self.world, self.fatal = rank, world, fatal
        self.peers: dict[int, Peer] = {}
        self._sending = threading.Lock()
        self._state = threading.Condition()
        self._next_stop = 0
        """The first number of steps after which this rank can still stop."""
        self._gated = False
        self._asked = False
        self._until: int | None = None
        self._answers: dict[int, int] = {}
        self._closing = False

    def gather(self, value: bytes) -> list[bytes]:
        """The values of all ranks in their order, at rank 0; an empty list at the others."""
        if self.rank:
            self.send_to(self.peers[0], {"kind": "value"}, value)
            return []
        return [value, *(self.peers[rank].values.get() for rank in range(1, self.world))]

    def broadcast(self, value: bytes) -> bytes:
        """The value of rank 0, at every rank."""
        if self.rank:
            return self.peers[0].values.get()
        for peer in self.peers.values():
            self.send_to(peer, {"kind": "value"}, value)
        return value

    def wait(self) -> None:
        """Wait until every rank has come here."""
        self.gather(b"")
        self.broadcast(b"")

    def agree(self, facts: dict[str, str]) -> None:
        """Check that all ranks have the same facts.

        Raises:
            DataError: at every rank: a rank's fact differs from rank 0's; the message names rank, host and fact.
        """
        problem = ""
        for rank, text in enumerate(self.gather(json.dumps(facts).encode())):
            others = json.loads(text)
            differing = [name for name in facts if others.get(name) != facts[name]]
            if differing and not problem:
                name = differing[0]
                problem = (
                    f"rank {rank} on {self.peers[rank].host} has another {name} than rank 0: "
                    f"{others.get(name)}, not {facts[name]}"
                )
        problem = self.broadcast(problem.encode()).decode()
        if problem:
            raise DataError(problem)

    def begin_step(self, step: int) -> None:
        """Say that this rank begins step number `step`, from 0. Where a stop is being agreed on, this waits until it is."""
        with self._state:
            while self._gated:
                self._state.wait()
            self._next_stop = step + 1

    def ask_to_stop(self) -> None:
        """Have all ranks stop after the same number of steps. The answer is `stops_after`."""
        if self._asked:
            return
        self._asked = True
        if self.rank:
            self.send_to(self.peers[0], {"kind": "stop"})
        else:
            self._close_gates()

    def stops_after(self, steps: int) -> bool:
        """Tell whether the ranks agreed to stop after this number of steps. Every rank asks after every step."""
        with self._state:
            while self._gated:
                self._state.wait()
            if self._until is not None and steps >= self._until:
                return True
            self._next_stop = steps + 1
            return False

    def close(self) -> None:
        """Leave; the other ranks may still be at work."""
        failed, self._closing = self._closing, True
        for peer in self.peers.values():
            with suppress(OSError):
                self.send_to(peer, {"kind": "bye"})
        if not self.rank and not failed:
            end = time.monotonic() + JOINING
            while any(not peer.left for peer in self.peers.values()) and time.monotonic() < end:
                time.sleep(0.01)
        for peer in self.peers.values():
            with suppress(OSError):
                peer.connection.shutdown(socket.SHUT_RDWR)
            peer.connection.close()

    def blame(self, message: str) -> str:
        """The message of an error, or, where another rank has been quiet, one that names it: that is the cause."""
        now = time.monotonic()
        quiet = [peer for peer in self.peers.values() if not peer.left and now - peer.seen > QUIET]
        if not quiet:
            return message
        peer = min(quiet, key=lambda peer: peer.seen)
        return (
            f"rank {peer.rank} on {peer.host} has given no sign of life for {now - peer.seen:.0f} s; "
            "the last checkpoint is whole"
        )

    def fail(self, message: str, code: int = 1) -> None:
        """Tell the others that this rank ends with an error. They end with it."""
        self._closing = True
        for peer in self.peers.values():
            with suppress(OSError):
                self.send_to(peer, {"kind": "failed", "rank": self.rank, "message": message, "code": code})
        time.sleep(2 * BEAT if self.rank else 0.2)  # rank 0 says it, before a launcher ends everything

    def add_peer(self, peer: Peer) -> None:
        """Take up the connection to another rank."""
        peer.connection.settimeout(None)
        peer.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.peers[peer.rank] = peer

    def start(self) -> None:
        """Listen to the peers and give signs of life."""
        for peer in self.peers.values():
            threading.Thread(target=self._listen, args=(peer,), daemon=True).start()
        threading.Thread(target=self._beat, daemon=True).start()

    def _beat(self) -> None:
        last = time.monotonic()
        while not self._closing:
            now = time.monotonic()
            asleep, last = now - last > SILENCE / 2, now  # this process stood still, so nothing it heard counts
            for peer in list(self.peers.values()):
                if asleep:
                    peer.seen = now
                with suppress(OSError):
                    self.send_to(peer, {"kind": "beat"})
                if not peer.left and now - peer.seen > SILENCE:
                    self._lose(peer, f"has given no sign of life for {SILENCE:.0f} s")
            time.sleep(BEAT)

    def _lose(self, peer: Peer, how: str) -> None:
        if not (self._closing or peer.left):
            self._end(f"rank {peer.rank} on {peer.host} {how}; the last checkpoint is whole", 1)

    def _end(self, message: str, code: int, told: bool = False) -> NoReturn:
        """End this process, and through rank 0 all the others."""
        self._closing = True
        self.fatal(message, code)
        if not told:
            for peer in self.peers.values():
                with suppress(OSError):
                    self.send_to(peer, {"kind": "failed", "rank": self.rank, "message": message, "code": code})
        os._exit(code)

    def send_to(self, peer: Peer, header: dict[str, Any], payload: bytes = b"") -> None:
        """Send a message to another rank. Raises OSError."""
        with self._sending:
            send(peer.connection, header, payload)

    def _listen(self, peer: Peer) -> None:
        try:
            while True:
                header, payload = receive(peer.connection)
                peer.seen = time.monotonic()
                self._take(peer, header, payload)
                if header["kind"] == "bye":
                    return
        except (OSError, EOFError):
            self._lose(peer, "ended without a word, or its connection did")

    def _take(self, peer: Peer, header: dict[str, Any], payload: bytes) -> None:
        kind = header["kind"]
        if kind == "value":
            peer.values.put(payload)
        elif kind == "bye":
            peer.left = True
        elif kind == "stop":
            self._close_gates()
        elif kind == "gate":
            with self._state:
                self._gated = True
                steps = self._next_stop
            self.send_to(peer, {"kind": "next", "steps": steps})
        elif kind == "next":
            self._note_next(peer.rank, header["steps"])
        elif kind == "until":
            self._open_gate(header["steps"])
        elif kind == "failed":
            if self._closing:
                return
            self._closing = True  # a rank that is told below ends at once, which is no loss
            place = f"rank {header['rank']} on {peer.host}: " if header["rank"] == peer.rank and not self.rank else ""
            if self.rank:
                self._end(header["message"], header["code"], told=True)
            message = self.blame(place + header["message"])
            for other in self.peers.values():
                if other is not peer:
                    with suppress(OSError):
                        self.send_to(other, {**header, "message": message})
            self._end(message, header["code"], told=True)

    def _close_gates(self) -> None:
        """Rank 0: have no rank begin another step, and ask each for its last one."""
        with self._state:
            if self._gated or self._until is not None:
                return
            self._gated = True
            steps = self._next_stop
        for peer in self.peers.values():
            self.send_to(peer, {"kind": "gate"})
        self._note_next(0, steps)

    def _note_next(self, rank: int, steps: int) -> None:
        """Rank 0: note an answer. With the last one the ranks have agreed on the largest: each of them still reaches it."""
        with self._state:
            self._answers[rank] = steps
            if len(self._answers) < self.world:
                return
        until = max(self._answers.values())
        for peer in self.peers.values():
            self.send_to(peer, {"kind": "until", "steps": until})
        self._open_gate(until)

    def _open_gate(self, until: int) -> None:
        with self._state:
            self._gated, self._until = False, until
            self._state.notify_all()


def open_hub(world: int, address: str, announce: Callable[[int], object], fatal: Fatal = say_on_stderr) -> Group:
    """The group at rank 0.

    Args:
        world: the number of ranks.
        address: where to listen.
        announce: tells the other ranks the port.

    Raises:
        RankFailed: a rank has not come in JOINING seconds.
        OSError: the address is not one of this host.
    """
    group = Group(0, world, fatal)
    with socket.create_server((address, 0), backlog=world) as listening:
        announce(listening.getsockname()[1])
        listening.settimeout(JOINING)
        while len(group.peers) < world - 1:
            try:
                connection, _ = listening.accept()
                connection.settimeout(JOINING)
                hello, _ = receive(connection)
            except (OSError, EOFError, ValueError):
                missing = sorted(set(range(1, world)) - set(group.peers))
                raise RankFailed(f"rank {missing[0]} has not joined in {JOINING:.0f} s") from None
            group.add_peer(Peer(hello["rank"], hello["host"], connection, queue.SimpleQueue(), time.monotonic()))
    group.start()
    group.broadcast(b"")
    return group


def connect(rank: int, world: int, address: str, port: int, fatal: Fatal = say_on_stderr) -> Group:
    """The group at another rank. Raises RankFailed where rank 0 can't be reached."""
    group = Group(rank, world, fatal)
    try:
        connection = socket.create_connection((address, port), timeout=JOINING)
    except OSError as error:
        raise RankFailed(f"rank 0 can't be reached at {address}:{port}: {error.strerror or error}") from None
    # rank 0 gives signs of life when all have come
    peer = Peer(0, address, connection, queue.SimpleQueue(), time.monotonic() + JOINING)
    group.add_peer(peer)
    group.send_to(peer, {"kind": "hello", "rank": rank, "host": socket.gethostname()})
    group.start()
    group.broadcast(b"")
    return group
