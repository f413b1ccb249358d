"""The addresses of SRV targets: from additional records, the bare service name, and the targets' own names (sans-IO).

Additional records ("glue") are the server's choice (RFC 1035, 3.3; RFC 2782): a family that is not shown is not gone.
An RRset in a whole message replaces a target's addresses of that family (RFC 2181, 5 and 9). In a truncated message an
RRset may be cut, so it may only add; what it leaves open is settled by the bare name or by the target's own name.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from .answer import FAMILIES, SIZES, Addresses, Held, Known, Rdtype
from .errors import LookupFailed
from .message import AAAA, A
from .model import address_in_label, address_text, packed_address
from .servers import Reply, Servers
from .settings import Settings
from .steps import Task
from .target import Server

NOTHING_KNOWN, NONE = Addresses(), Addresses((), ())
GLUE_BUDGET = 50  # single queries a refresh may take for addresses of SRV targets, and as many for suspects
CURIOUS = 10  # targets asked for in a refresh because the bare name has an address that no target is known to have
HEX = frozenset("0123456789abcdef-")  # what a name that spells an address begins with
MANY = 10  # targets that show one family, for which the bare name is worth a query of the other


class Usable:
    """Lets addresses through that a peer may have, and notes the others."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.refused: dict[str, str] = {}

    def __call__(self, addresses: Iterable[bytes], server: Server | None) -> list[bytes]:
        """v4-mapped addresses are unwrapped first. The hosts file (`server` None) may name loopback."""
        from_loopback = server is None or server.address.startswith("127.") or server.address == "::1"
        usable = []
        for packed in addresses:
            if len(packed) == 16 and packed[:12] == b"\0\0\0\0\0\0\0\0\0\0\xff\xff":
                packed = packed[12:]
            if (why := self._settings.refusal(packed, from_loopback)) is None:
                usable.append(packed)
            else:
                self.refused[address_text(packed)] = why
        return usable

    def problem(self) -> str:
        shown = ", ".join(f"{address} ({why})" for address, why in list(self.refused.items())[:3])
        return f"{len(self.refused)} addresses refused: {shown}; see allow_networks="


class _Bare(NamedTuple):
    """The addresses of the bare service name; `complete`: all of them; `failed`: nothing is known."""

    addresses: frozenset[bytes] = frozenset()
    complete: bool = False
    failed: bool = True


class Glue:
    """Finds the addresses of targets in one lookup. `first`: nothing is held, so there is no budget."""

    def __init__(self, settings: Settings, servers: Servers, usable: Usable, rng: random.Random, held: Held) -> None:
        self.problem: str | None = None  # why a target's own name could not be asked for
        self._family = settings.family
        self._wanted = {SIZES[rdtype] for rdtype in FAMILIES[settings.family]}
        self._servers = servers
        self._usable = usable
        self._rng = rng
        self._first = held.rdtype is None
        self._held = held
        self._left = GLUE_BUDGET
        self._bare: dict[tuple[str, Rdtype], _Bare] = {}

    def find(self, base: str, members: Iterable[tuple[str, int]], reply: Reply) -> Task[dict[str, Addresses]]:
        """What is known of each member's target once the message, the bare name and the own names were asked. Never
        raises.
        """
        glue, holds = reply.message.glue, self._held.members
        found: dict[str, Addresses] = {}
        held: dict[str, Addresses] = {}  # of the targets that are to be settled
        shown: dict[str, Addresses] = {}
        barred: set[tuple[str, Rdtype]] = set()
        for key in members:
            target, detail = key[0], holds.get(key)
            if target in found:
                continue
            known = NOTHING_KNOWN if detail is None else detail.addresses
            values = glue.get(target)
            settled = (known.v4 or known.v6) and not known.lacks(self._family) and () not in known
            if settled and values == list(known.all):
                found[target] = known  # mostly, nothing is new
            elif (literal := literal_target(target)) is not None:
                found[target] = self._split((literal,), reply.server)
            else:  # who has no address may have got one meanwhile
                found[target] = held[target] = known if known.v4 or known.v6 else NOTHING_KNOWN
                shown[target] = seen = self._split(values or (), reply.server)
                if values and self._usable.refused:  # shown, but not to be used: there is nothing to ask for
                    for rdtype, size in SIZES.items():
                        if not seen.get(rdtype) and any(len(packed) == size for packed in values):
                            barred.add((target, rdtype))
        families = FAMILIES[self._family]
        for place, rdtype in enumerate(families):
            share = self._left // (len(families) - place if self._family == "any" else 1)
            yield from self._settle(base, rdtype, shown, barred, held, found, share, reply.message.truncated)
        return found

    def _split(self, addresses: Sequence[bytes], server: Server) -> Addresses:
        """The usable ones by family, each in an order of its own, since servers shuffle."""
        if len(self._wanted) == 1:
            addresses = [a for a in addresses if len(a) in self._wanted]
        if not addresses:
            return NONE
        usable = self._usable(addresses, server)
        if len(usable) == 1:
            return Addresses((usable[0],), ()) if len(usable[0]) == 4 else Addresses((), (usable[0],))
        v4, v6 = (tuple(sorted({a for a in usable if len(a) == size})) for size in SIZES.values())
        return Addresses(v4, v6)

    def _settle(
        self,
        base: str,
        rdtype: Rdtype,
        shown: Mapping[str, Addresses],
        barred: Collection[tuple[str, Rdtype]],
        held: Mapping[str, Addresses],
        found: dict[str, Addresses],
        budget: int,
        truncated: bool,
    ) -> Task[None]:
        """One family of all targets, into `found`."""
        open_, doubted = [], []
        for target, seen_all in shown.items():
            before = found[target]
            ours = before.get(rdtype)
            if ours == () and before.v4 != held[target].v4:
                ours = None  # the pod is another one, which may have both families
            if (target, rdtype) in barred:
                found[target] = before.having(rdtype, ours or ())
                continue
            seen = seen_all.get(rdtype) or ()
            known, settled = _by_glue(ours, seen, truncated)
            found[target] = now = before.having(rdtype, known)
            if not settled and seen and known != ours:
                doubted.append(target)
            elif not settled and not self._needless(now, rdtype, target, base):
                spelled = _decoded(target, base)
                if spelled is not None and len(spelled) != SIZES[rdtype] and not known:
                    found[target] = now.having(rdtype, ())  # a name made of one address has no other
                else:
                    open_.append(target)
        if not open_ and not doubted:
            return
        urgent, later = yield from self._by_bare_name(base, rdtype, open_, doubted, shown, found, truncated)
        to_ask = urgent if self._first else self._drawn(urgent, later, budget)
        self._left -= 0 if self._first else len(to_ask)
        results = yield [self._own_name(target, rdtype) for target in to_ask]
        for target, result in zip(to_ask, results, strict=True):
            if isinstance(result, LookupFailed):
                self.problem = min(self.problem or str(result), str(result))  # of several, always the same
            else:
                found[target] = found[target].having(rdtype, result)

    def _needless(self, found: Addresses, rdtype: Rdtype, target: str, base: str) -> bool:
        """Nothing is to be asked for: "auto" is content with IPv4. A family that a target was known to lack is looked
        for among the bare name's addresses, because a server may have been behind.
        """
        known = found.get(rdtype)
        content = not known and rdtype == AAAA and self._family == "auto" and bool(found.v4)
        return content or (known == () and not target.endswith(f".{base}"))

    def _by_bare_name(
        self,
        base: str,
        rdtype: Rdtype,
        open_: Sequence[str],
        doubted: Sequence[str],
        shown: Mapping[str, Addresses],
        found: dict[str, Addresses],
        truncated: bool,
    ) -> Task[tuple[list[str], list[str]]]:
        """What the addresses of the bare service name settle; the targets to ask for by name, and those to ask for if
        there is room.
        """
        inside = [target for target in (*open_, *doubted) if target.endswith(f".{base}")]
        spelled = {t: address for t in inside if (address := _decoded(t, base)) and len(address) == SIZES[rdtype]}
        other = A if rdtype == AAAA else AAAA
        others = {t: found[t].get(other) or shown[t].get(other) for t in open_ if found[t].get(rdtype) is None}
        # Many pods of one family need no query each to know that they have none of the other one.
        single = sum(1 for target in inside if others.get(target)) > MANY
        worth = single or any(target in spelled or found[target].get(rdtype) is not None for target in inside)
        bare = (yield from self.bare(base, rdtype)) if worth else _Bare()
        listed = (
            (yield from self.bare(base, other)).addresses
            if single and bare.complete and not bare.addresses
            else frozenset()
        )
        claims = Counter(address for known in found.values() for address in known.get(rdtype) or ())
        urgent: list[str] = []
        later: list[str] = []
        for target in open_:
            ours = found[target].get(rdtype)
            if target in spelled and spelled[target] in bare.addresses:
                found[target] = found[target].having(rdtype, (spelled[target],))
            elif ours == ():
                if not (bare.failed or (bare.complete and bare.addresses.issubset(claims))):
                    later.append(target)
            elif ours is None:
                if listed and (known := others[target]) and listed.issuperset(known):
                    found[target] = found[target].having(rdtype, ())
                else:
                    urgent.append(target)
            elif not target.endswith(f".{base}"):
                urgent.append(target)
            elif bare.addresses.issuperset(ours):
                if any(claims[address] > 1 for address in ours):
                    urgent.append(target)  # an address that another target has, too: one of them has moved
            elif bare.complete:
                urgent.append(target)
            elif not bare.failed:
                later.append(target)  # not in a part of the answer: no evidence, but a reason to ask
        urgent += [t for t in doubted if not bare.complete or not bare.addresses.issuperset(found[t].get(rdtype) or ())]
        needed = rdtype == A or self._family != "auto"
        if needed and truncated and not (urgent or later or bare.addresses.issubset(claims)):
            # An address that no message has shown: of several of one target, some may have been cut each time.
            pool = [t for t, known in found.items() if known.get(rdtype) and t.endswith(f".{base}")]
            later += self._rng.sample(pool, min(len(pool), CURIOUS))
        return urgent, later

    def bare(self, base: str, rdtype: Rdtype) -> Task[_Bare]:
        """The usable addresses of the bare service name, asked for once in a lookup."""
        if (base, rdtype) not in self._bare:
            try:
                reply = yield from self._servers.ask(base, rdtype)
            except LookupFailed:
                found = _Bare()
            else:
                usable = frozenset(self._usable(reply.values, reply.server))
                found = _Bare(usable, not reply.message.truncated and bool(usable) == bool(reply.values), False)
            self._bare[base, rdtype] = found
        return self._bare[base, rdtype]

    def _drawn(self, urgent: list[str], later: list[str], budget: int) -> list[str]:
        """Drawn anew each time, so that names which always fail do not keep the others from being asked."""
        drawn = self._rng.sample(urgent, min(len(urgent), budget))
        return drawn + self._rng.sample(later, min(len(later), budget - len(drawn)))

    def _own_name(self, target: str, rdtype: Rdtype) -> Task[tuple[bytes, ...]]:
        """A target's addresses of one family; () if it has none. Raises `LookupFailed`."""
        reply = yield from self._servers.ask(target, rdtype)
        usable = self._usable(reply.values, reply.server)
        if reply.values and not usable:
            raise LookupFailed(f"{target}: no usable address. {self._usable.problem()}")
        return tuple(sorted(set(usable)))

    # Suspects.

    def verify(self, targets: Iterable[str]) -> Task[dict[str, Addresses]]:
        """Suspects are asked for by their own name. What fails decides nothing and is left out."""
        suspects = self._drawn(list(targets), [], GLUE_BUDGET)
        wanted = set(suspects)
        held = {key[0]: detail.addresses for key, detail in self._held.members.items() if detail and key[0] in wanted}
        results = yield [self._whereabouts(target, held.get(target, NOTHING_KNOWN)) for target in suspects]
        pairs = zip(suspects, results, strict=True)
        return {target: result for target, result in pairs if not isinstance(result, LookupFailed)}

    def _whereabouts(self, target: str, held: Addresses) -> Task[Addresses]:
        found = NOTHING_KNOWN
        for rdtype in FAMILIES[self._family]:
            if rdtype == AAAA and found.v4 and self._family == "auto":  # of IPv6 nothing need be known
                return found.having(AAAA, held.v6 if found.v4 == held.v4 else None)
            found = found.having(rdtype, (yield from self._own_name(target, rdtype)))
        return found


def _by_glue(ours: Known, seen: tuple[bytes, ...], truncated: bool) -> tuple[Known, bool]:
    """What a message shows of one RRset, beside what is held of it: the addresses now, and whether that settles it."""
    if not seen:
        return ours, False
    if not truncated or not ours or seen == ours:
        return seen, True
    return (ours, False) if set(seen) <= set(ours) else (tuple(sorted({*ours, *seen})), False)


def literal_target(target: str) -> bytes | None:
    """Some registries write an address as the target: `10.0.0.1.`"""
    if not (target[-1:].isdigit() and target.count(".") == 3) and ":" not in target:
        return None
    try:
        return packed_address(target)
    except OSError:
        return None


def _decoded(target: str, base: str) -> bytes | None:
    """The address that a dashed target under the service's own name spells."""
    if target[0] not in HEX or not target.endswith("." + base) or target.count(".") != base.count(".") + 1:
        return None
    address = address_in_label(target)
    return None if address is None else packed_address(address)


def spells(target: str, base: str, rdtype: Rdtype) -> bool:
    """The target's name is made of an address of that type, under the service's own name."""
    address = _decoded(target, base)
    return address is not None and len(address) == SIZES[rdtype]
