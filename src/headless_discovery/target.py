"""What the user wrote, and what to ask DNS for. Pure text work: nothing here does I/O."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple, NoReturn, TypeAlias

from .errors import TargetError
from .model import Peer, canonical_address, normal_name

Records: TypeAlias = Literal["addresses", "srv", "auto"]


class Server(NamedTuple):
    """A DNS server: an IP literal, for IPv6 perhaps with a zone id (`fe80::1%eth0`), and a port."""

    address: str
    port: int = 53

    def __str__(self) -> str:
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


@dataclass(frozen=True, slots=True)
class Question:
    """One name to watch. `prefix` stands before whatever name the search list makes of `name`."""

    name: str
    absolute: bool
    records: Records
    prefix: str = ""
    port: int | None = None
    server: Server | None = None

    def __str__(self) -> str:
        return f"{self.prefix}.{self.name}" if self.prefix else self.name


@dataclass(frozen=True, slots=True)
class Target:
    """All that one service stands for: names to watch and peers that are known without asking."""

    text: str
    questions: tuple[Question, ...]
    static: tuple[Peer, ...]


_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
# Port names: RFC 6335, 5.1 (letters, digits, hyphens, at least one letter); 15 octets there, 63 in DNS.
_PORT_NAME = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9]([A-Za-z0-9-]{0,60}[A-Za-z0-9])?")


def parse(
    target: str | Iterable[str],
    port: int | str | None = None,
    *,
    protocol: str = "tcp",
    nameservers: Iterable[object] | None = None,
    zone: str | None = None,
    zone_policy: str = "prefer",
) -> Target:
    """Read a target (a name, a literal, `dns://...`, or several). Raises `TargetError` naming the part at fault."""
    if isinstance(target, bytes) or not isinstance(target, str | Iterable):
        raise TargetError(f"the target must be a str or a list of them, not {type(target).__name__}")
    parts = target.split(",") if isinstance(target, str) else list(target)
    text = target if isinstance(target, str) else ",".join(map(str, parts))
    if not text.strip():
        raise TargetError("the target is empty: write a name such as 'headless-svc.moon.svc.cluster.local'")
    if protocol not in ("tcp", "udp", "sctp"):
        raise TargetError(f"protocol {protocol!r}: must be 'tcp', 'udp' or 'sctp'")
    scope = _zone_prefix(zone, zone_policy)
    questions: list[Question] = []
    static: list[Peer] = []
    for part in parts:
        if not isinstance(part, str):
            raise TargetError(f"{part!r} in the target is not a str")
        if not part.strip():
            raise TargetError(f"{text!r} has an empty part between commas")
        found = _one(part.strip(), _port(port), protocol, nameservers is not None, scope)
        if isinstance(found, Peer):
            static.append(found)
        else:
            questions.append(found)
    return Target(text.strip(), tuple(dict.fromkeys(questions)), tuple(static))


def _one(text: str, port: int | str | None, protocol: str, has_servers: bool, scope: str) -> Peer | Question:
    server, host = _authority(text)
    if server is not None and has_servers:
        raise TargetError(f"{text!r} names the DNS server {server}: leave it out, or leave out nameservers=")
    host, own_port = _split_port(host, text)
    if own_port is not None and port is not None and own_port != port:
        raise TargetError(f"{text!r} has port {own_port}, but port={port!r} was given too")
    port = own_port if own_port is not None else port

    address = _literal(host, text)
    if address is not None:
        if isinstance(port, str):
            raise TargetError(f"{text!r} is an address, which is not looked up: port={port!r} needs a name")
        return Peer(address, port)

    question = _question(text, host, port, protocol, scope, server)
    if len(str(question)) > 253:
        raise TargetError(f"{text!r}: the name to ask for, {question}, is longer than 253 octets (RFC 1035, 2.3.4)")
    return question


def _question(
    text: str, host: str, port: int | str | None, protocol: str, scope: str, server: Server | None
) -> Question:
    absolute = host.endswith(".")
    name = _name(host, text)
    labels = name.split(".")
    if labels[0].startswith("_"):
        if len(labels) < 3 or not labels[1].startswith("_"):
            raise TargetError(f"{text!r}: an SRV name is written _service._proto.name, such as _http._tcp.{name}")
        if port is not None:
            raise TargetError(f"{text!r} is an SRV name, which has its ports in DNS: leave out port {port!r}")
        prefix, base = ".".join(labels[:2]), ".".join(labels[2:])
        _no_zone(text, prefix, scope)
        return Question(base, absolute, "srv", prefix, server=server)
    if port == "auto":
        return Question(name, absolute, "auto", scope, server=server)
    if isinstance(port, str):
        prefix = f"_{port.lower()}._{protocol}"
        _no_zone(text, prefix, scope)
        return Question(name, absolute, "srv", prefix, server=server)
    return Question(name, absolute, "addresses", scope, port, server)


def _authority(text: str) -> tuple[Server | None, str]:
    """gRPC's spelling (gRPC name resolution, "dns:"): `dns:///name` and `dns://server/name`."""
    if "://" not in text:
        if text.startswith("dns:") and not text[4:].isdigit():
            raise TargetError(f"{text!r}: write dns:///name or dns://server/name")
        return None, text
    scheme, _, rest = text.partition("://")
    if scheme != "dns":
        raise TargetError(f"{text!r}: the scheme {scheme!r} is not known, only dns:///name and dns://server/name are")
    authority, slash, name = rest.partition("/")
    if not slash or not name:
        raise TargetError(f"{text!r} has no name: write dns:///name or dns://server/name")
    return (parse_server(authority) if authority else None), name


def _split_port(text: str, whole: str) -> tuple[str, int | None]:
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket:
            raise TargetError(f"{whole!r}: '[' without ']'")
        if ":" not in host:
            raise TargetError(f"{whole!r}: only an IPv6 address goes into brackets")
        if rest and not rest.startswith(":"):
            raise TargetError(f"{whole!r}: {rest!r} after the bracket is not a port")
        return host, _number(rest[1:], whole) if rest else None
    if text.count(":") > 1:  # an IPv6 literal without brackets has no port
        return text, None
    host, colon, digits = text.partition(":")
    return host, _number(digits, whole) if colon else None


def _number(digits: str, whole: str) -> int:
    number = digits.lstrip("0") if digits.isascii() and digits.isdigit() else ""
    if not 0 < len(number) <= 5 or int(number) > 65535:
        hint = f'; a port name goes into port="{digits}"' if _PORT_NAME.fullmatch(digits) else ""
        raise TargetError(f"{whole!r}: port {digits!r} is not a number from 1 to 65535{hint}")
    return int(number)


def _port(port: int | str | None) -> int | str | None:
    if port is None:
        return None
    if isinstance(port, bool) or not isinstance(port, int | str):
        raise TargetError(f"port={port!r}: must be a number, a port name, 'auto' or None")
    if isinstance(port, str):
        if port.isascii() and port.isdigit():
            return _number(port, port)
        if not _PORT_NAME.fullmatch(port):
            raise TargetError(f"port={port!r} is neither a number nor a port name (RFC 6335: letters, digits, hyphens)")
        return port
    if not 0 < port <= 65535:
        raise TargetError(f"port={port!r} is not from 1 to 65535")
    return port


def _literal(host: str, whole: str) -> str | None:
    if ":" in host or host.rstrip(".").rpartition(".")[2].isdigit():  # a top label of digits can only be an address
        try:
            return canonical_address(host)
        except ValueError:
            raise TargetError(f"{whole!r}: {host!r} is not a valid IP address") from None
    return None


def _name(host: str, whole: str) -> str:
    name = host.removesuffix(".")
    if not name:
        raise TargetError(f"{whole!r} has no name")
    if not name.isascii():
        import dns.exception
        import dns.name

        try:
            name = dns.name.from_text(name, None).to_text()  # IDNA
        except dns.exception.DNSException as error:
            raise TargetError(f"{whole!r}: {error}") from None
        if name.rpartition(".")[2].isdigit():  # written with digits of another script
            raise TargetError(f"{whole!r}: {host!r} is not a valid IP address")
    for label in name.split("."):
        if not label:
            raise TargetError(f"{whole!r}: the name {host!r} has an empty label")
        if len(label) > 63:
            raise TargetError(f"{whole!r}: the label {label!r} is longer than 63 octets (RFC 1035, 2.3.4)")
        if not _LABEL.fullmatch(label):
            raise TargetError(f"{whole!r}: {label!r} is not a DNS label (letters, digits, '-' inside, '_')")
    return normal_name(name)


def is_name(text: str) -> bool:
    """Labels of letters, digits, '-' inside and '_', with or without a final dot."""
    name = text.removesuffix(".")
    return 0 < len(name) <= 253 and all(map(_LABEL.fullmatch, name.split(".")))


def _zone_prefix(zone: str | None, policy: str) -> str:
    """CoreDNS zone-scoped names: `<zone>.<policy>._zone.<service>`, where the zone may have dots.

    A zone is a Kubernetes label value: up to 63 characters, the first and the last a letter or digit. CoreDNS compares
    without case.
    """
    if policy not in ("prefer", "pin"):
        raise TargetError(f"zone_policy={policy!r}: must be 'prefer' or 'pin'")
    if zone is None:
        return ""
    if not isinstance(zone, str) or len(zone) > 63 or not is_name(zone) or not (zone[0] + zone[-1]).isalnum():
        raise TargetError(f"zone={zone!r} is not the name of a topology zone, such as 'eu-west-1a'")
    return f"{zone.lower()}.{policy}._zone"


def _no_zone(text: str, srv_prefix: str, scope: str) -> None:
    """A named port has no zone-scoped name: CoreDNS takes all labels before the policy for the zone, so "pin" would
    find nobody, and "prefer", falling back, everybody at every port.
    """
    if scope:
        raise TargetError(
            f"{text!r}: zone= does not go with {srv_prefix}, because CoreDNS has zone-scoped names for whole services "
            'only: take the number of the port, or port="auto"'
        )


def parse_server(text: str) -> Server:
    """A DNS server as written: `10.96.0.10`, `127.0.0.1:5300`, `[::1]:53`, `::1`. Raises `TargetError`."""

    def wrong(why: str) -> NoReturn:
        raise TargetError(f"name server {text!r}: {why}")

    if not isinstance(text, str):
        wrong("must be a str such as '10.96.0.10' or '[::1]:53'")
    host, port = _split_port(text.strip(), f"name server {text}")
    host, percent, zone = host.partition("%")
    if percent and not (":" in host and zone and zone.isascii() and zone.isprintable() and " " not in zone):
        wrong("only an IPv6 address has a zone id, such as fe80::1%eth0")
    try:
        return Server(canonical_address(host) + percent + zone, 53 if port is None else port)
    except ValueError:
        wrong("must be an IP address, with or without a port")


def parse_servers(texts: Iterable[str] | None) -> tuple[Server, ...] | None:
    if texts is None:
        return None
    if isinstance(texts, str):
        texts = texts.split(",")
    servers = tuple(dict.fromkeys(parse_server(text) for text in texts))
    if not servers:
        raise TargetError("nameservers=[] leaves nobody to ask: leave it out to use resolv.conf")
    return servers
