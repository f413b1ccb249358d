"""docs/images/ring.svg: the worked example of docs/hashing.md, drawn from the ring itself."""

from __future__ import annotations

from collections.abc import Iterator
from math import cos, pi, sin
from pathlib import Path

from churn import COLOURS

from headless_discovery import Peer, PeerSet
from headless_discovery.balance import ConsistentHash
from headless_discovery.balance.hashing import key_hash

IMAGES = Path(__file__).resolve().parent.parent / "docs" / "images"
KEYS = ("user-1", "user-2")
WIDTH, HEIGHT, RADIUS = 700, 260, 100


def picture() -> str:
    web = PeerSet(Peer(f"10.0.0.{i + 1}", 8080, f"web-{i}") for i in range(3))
    picker = ConsistentHash(vnodes=2).build(web, None)
    entries = list(picker._ring.entries())
    title = "Six points of three peers on a ring, and where two keys go"
    body = [f'<circle cx="{WIDTH / 2}" cy="{HEIGHT / 2}" r="{RADIUS}" fill="none" stroke="#bbb" stroke-width="2"/>']
    body += _label(0, "0", -14, "#888")
    for (before, _), (point, owner) in zip([entries[-1], *entries[:-1]], entries, strict=True):
        colour = COLOURS[owner.ordinal or 0]
        body.append(_arc(before, point, colour))
        x, y = _at(point, RADIUS)
        body.append(f'<circle cx="{x}" cy="{y}" r="7" fill="{colour}"/>')
        body += _label(point, f"{owner.hostname}: {point}", 18, colour)
    for key in KEYS:
        h = key_hash(key)
        x, y = _at(h, RADIUS)
        body.append(f'<rect x="{x - 4}" y="{y - 4}" width="8" height="8" fill="#000"/>')
        body += _label(h, f"{key}: {h} → {picker.pick(key).hostname}", 18, "#000")
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}"'
        f' font-family="sans-serif" font-size="11" role="img" aria-label="{title}">'
    )
    background = f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>'
    return "\n".join([head, f"<title>{title}</title>", background, *body, "</svg>"]) + "\n"


def _at(place: int, radius: float) -> tuple[float, float]:
    """0 is at the top, and numbers grow clockwise."""
    angle = 2 * pi * place / 2**64
    return round(WIDTH / 2 + radius * sin(angle), 1), round(HEIGHT / 2 - radius * cos(angle), 1)


def _arc(start: int, end: int, colour: str) -> str:
    """The hashes that belong to the point at the end."""
    (x1, y1), (x2, y2) = _at(start, RADIUS), _at(end, RADIUS)
    large = int((end - start) % 2**64 > 2**63)
    path = f"M {x1} {y1} A {RADIUS} {RADIUS} 0 {large} 1 {x2} {y2}"
    return f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="5" stroke-opacity="0.45"/>'


def _label(place: int, text: str, away: int, colour: str) -> Iterator[str]:
    x, y = _at(place, RADIUS + away)
    anchor = "middle" if abs(x - WIDTH / 2) < 5 else "start" if x > WIDTH / 2 else "end"
    yield f'<text x="{x}" y="{y + 4}" text-anchor="{anchor}" fill="{colour}">{text}</text>'


def pictures() -> dict[str, str]:
    """File names and what is in them."""
    return {"ring.svg": picture()}


def draw() -> None:
    IMAGES.mkdir(parents=True, exist_ok=True)
    for name, text in pictures().items():
        (IMAGES / name).write_text(text)


if __name__ == "__main__":
    draw()
