"""Where two servers differ in what they saw of the same bytes, and each difference with its reason."""

import asyncio
import contextlib
import itertools
import re
import tomllib
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from api.server.differential.cases import Case
from api.server.differential.observing import PATIENCE, Request, Seen, observe
from api.server.differential.servers import NGINX, behind_nginx, h11_saw, nginx, ours
from harness import free_port

AT_ONCE = 24
# A server that is slow because the machine is busy is asked again, with more time.
PATIENCE_AGAIN = 1.5
Kind = Literal["stricter", "laxer", "requests", "target", "headers", "body", "end"]


@dataclass(frozen=True)
class Difference:
    """One case in which ours and another server saw something else.

    Attributes:
        case: the bytes.
        other: the other server's name.
        kind: of difference. `stricter`: ours refused what the other took; `laxer`: the reverse; `requests`: another
            number or other methods; `target`, `headers`, `body`: of a request that both took; `end`: one closed or
            refused, where the other waits for more.
        own: what ours saw.
        others: what the other saw.
    """

    case: Case
    other: str
    kind: Kind
    own: Seen
    others: Seen


@dataclass(frozen=True)
class Rule:
    """Why two servers may differ.

    Attributes:
        name: of the rule.
        others: the servers that it is about.
        kinds: of difference that it explains.
        bytes: what the case's bytes hold then.
        reason: why, and why ours is right.
        section: of the specification.
    """

    name: str
    others: tuple[str, ...]
    kinds: tuple[str, ...]
    bytes: "re.Pattern[bytes]"
    reason: str
    section: str

    def explains(self, difference: Difference) -> bool:
        """Whether it is about such a difference."""
        about = difference.other in self.others and difference.kind in self.kinds
        return about and self.bytes.search(difference.case.whole) is not None


@dataclass
class Report:
    """What was compared.

    Attributes:
        cases: how many connections.
        compared: how many, with each other server.
        explained: how many differences each rule explains.
        unexplained: those that none does.
    """

    cases: int
    compared: Counter[str] = field(default_factory=Counter)
    explained: Counter[str] = field(default_factory=Counter)
    unexplained: list[Difference] = field(default_factory=list)


def rules() -> list[Rule]:
    """The table `differences.toml`; the first rule that explains a difference counts."""
    table = tomllib.loads(Path(__file__).with_name("differences.toml").read_text(encoding="utf-8"))
    return [
        Rule(
            name=name, others=tuple(one.get("others", ("h11", "nginx"))), kinds=tuple(one["kinds"]),
            bytes=re.compile(one["bytes"].encode("latin-1"), re.DOTALL), reason=one["reason"], section=one["section"],
        )
        for name, one in table.items()
    ]  # fmt: skip


def kinds_of(own: Seen, others: Seen) -> list[Kind]:
    """How two servers differ.

    That both refuse is agreement, whatever the status, and so is that one refuses and the other closes without a word.
    What both took is compared as far as both go; where one stops, the rest of the other is not looked at.
    """
    found: list[Kind] = []
    for one, other in itertools.zip_longest(own.answers, others.answers):
        if isinstance(one, Request) and isinstance(other, Request):
            found += _parts(one, other)
        elif isinstance(one, Request):
            return [*found, "laxer" if other is not None or others.end == "closed" else "requests"]
        elif isinstance(other, Request):
            return [*found, "stricter" if one is not None or own.end == "closed" else "requests"]
        else:
            break
    own_stops, others_stop = _stops(own), _stops(others)
    if own_stops and not others_stop:
        found.append("stricter" if own.answers and not isinstance(own.answers[-1], Request) else "end")
    elif others_stop and not own_stops:
        found.append("laxer" if others.answers and not isinstance(others.answers[-1], Request) else "end")
    return found


def _parts(one: Request, other: Request) -> list[Kind]:
    if one.method != other.method:
        return ["requests"]
    parts: tuple[Kind, ...] = ("target", "body", "headers")
    return [part for part in parts if getattr(one, part) != getattr(other, part)]


def _stops(seen: Seen) -> bool:
    return seen.end == "closed" or any(not isinstance(answer, Request) for answer in seen.answers)


@contextlib.asynccontextmanager
async def _running(folder: Path) -> AsyncIterator[dict[str, int]]:
    """The ports of the servers that are asked over a socket."""
    ports = {"ours": free_port()}
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(ours(ports["ours"]))
        if NGINX is not None:
            backend, ports["nginx"] = free_port(), free_port()
            await stack.enter_async_context(behind_nginx(backend))
            await asyncio.to_thread(stack.enter_context, nginx(folder, ports["nginx"], backend))
        yield ports


async def compare(cases: Sequence[Case], folder: Path) -> Report:
    """Send all cases to all servers.

    Args:
        cases: to send.
        folder: for nginx.
    """
    report, known, room = Report(len(cases)), rules(), asyncio.Semaphore(AT_ONCE)

    def explained(difference: Difference) -> Rule | None:
        return next((rule for rule in known if rule.explains(difference)), None)

    async def one(case: Case, ports: dict[str, int]) -> None:
        async with room:
            found = await _differences(case, ports, PATIENCE)
            if not all(map(explained, found)):
                found = await _differences(case, ports, PATIENCE_AGAIN)
        for other in ("h11", *sorted(ports.keys() - {"ours"})):
            report.compared[other] += 1
        for difference in found:
            rule = explained(difference)
            if rule is None:
                report.unexplained.append(difference)
            else:
                report.explained[rule.name] += 1

    async with _running(folder) as ports, asyncio.TaskGroup() as group:
        for case in cases:
            group.create_task(one(case, ports))
    return report


async def _differences(case: Case, ports: dict[str, int], patience: float) -> list[Difference]:
    pieces = list(case.pieces)
    seen = {name: await observe(port, pieces, patience) for name, port in ports.items()}
    seen["h11"] = h11_saw(pieces)
    own = seen.pop("ours")
    return [
        Difference(case, other, kind, own, others) for other, others in seen.items() for kind in kinds_of(own, others)
    ]
