"""Pictures of what each strategy does on the same churn: docs/images/churn-keys.svg and churn-turns.svg."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pods import pod

from headless_discovery import PeerSet
from headless_discovery.balance import (
    ConsistentHash,
    JumpHash,
    LeastLoaded,
    Maglev,
    Random,
    Rendezvous,
    RingHash,
    RoundRobin,
    Strategy,
    acquire,
)

IMAGES = Path(__file__).resolve().parent.parent / "docs" / "images"

# Okabe and Ito's colours, told apart by all eyes.
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00")
STEPS: Mapping[str, Mapping[int, int]] = {  # ordinals, and how often each has restarted
    "5 pods": {0: 0, 1: 0, 2: 0, 3: 0, 4: 0},
    "web-2 leaves": {0: 0, 1: 0, 3: 0, 4: 0},
    "and is back at a new address": {0: 0, 1: 0, 2: 1, 3: 0, 4: 0},
    "scaled to 6": {0: 0, 1: 0, 2: 1, 3: 0, 4: 0, 5: 0},
    "scaled to 4": {0: 0, 1: 0, 2: 1, 3: 0},
}
HASHING: Mapping[str, Strategy] = {
    "ConsistentHash": ConsistentHash(),
    "Rendezvous": Rendezvous(),
    "JumpHash": JumpHash(),
    "Maglev": Maglev(),
    "RingHash": RingHash(100, 200),
}
TURNS: Mapping[str, Strategy] = {
    "RoundRobin": RoundRobin(seed=1),
    "Random": Random(seed=1),
    "LeastLoaded": LeastLoaded(seed=1),
}
CELLS = 120
LEFT, WIDTH, HEIGHT = 190, 5, 13

Row = Sequence[int]


def keys_through(strategy: Strategy) -> Iterator[Row]:
    """For each step, who has each key; the keys stand in the order of their first pods."""
    picker = None
    order: list[str] = []
    for ordinals in STEPS.values():
        picker = strategy.build(PeerSet(pod(o, restarts) for o, restarts in ordinals.items()), picker)
        owner = {key: picker.pick(key).ordinal or 0 for key in (f"user-{number}" for number in range(CELLS))}
        order = order or sorted(owner, key=lambda key: owner[key])
        yield [owner[key] for key in order]


def turns_through(strategy: Strategy) -> Iterator[Row]:
    """For each step, one pick after the other. web-1 is slow: it works on its requests four times as long."""
    picker = None
    for ordinals in STEPS.values():
        picker = strategy.build(PeerSet(pod(o, restarts) for o, restarts in ordinals.items()), picker)
        busy: list[tuple[int, object]] = []
        row = []
        for now in range(CELLS):
            for until, lease in busy:
                if until <= now:
                    lease.release()  # type: ignore[attr-defined]
            busy = [(until, lease) for until, lease in busy if until > now]
            lease = acquire(picker)
            row.append(lease.peer.ordinal or 0)
            busy.append((now + (16 if lease.peer.ordinal == 1 else 4), lease))
        for _, lease in busy:
            lease.release()  # type: ignore[attr-defined]
        yield row


def picture(title: str, groups: Mapping[str, Sequence[Row]], *, mark: bool) -> str:
    """Rows of coloured cells. `mark`: what moved between pods that were there before and after has a black line."""
    body: list[str] = []
    y = 24
    for ordinal, colour in enumerate(COLOURS):
        x = LEFT + 70 * ordinal
        body.append(f'<rect x="{x}" y="10" width="10" height="10" fill="{colour}"/>')
        body.append(f'<text x="{x + 14}" y="19">web-{ordinal}</text>')
    for name, rows in groups.items():
        y += 22
        body.append(f'<text x="8" y="{y}" font-weight="bold">{name}</text>')
        y += 5
        previous: tuple[Row, Mapping[int, int]] | None = None
        for (step, ordinals), row in zip(STEPS.items(), rows, strict=True):
            body.append(f'<text x="{LEFT - 6}" y="{y + 10}" text-anchor="end">{step}</text>')
            body += _cells(row, y)
            if mark and previous is not None:
                stayed = previous[1].keys() & ordinals.keys()
                for place, (old, new) in enumerate(zip(previous[0], row, strict=True)):
                    if old != new and old in stayed and new in stayed:
                        body.append(
                            f'<rect x="{LEFT + WIDTH * place + 1}" y="{y - 3}" width="3" height="7" fill="#000"/>'
                        )
            previous = row, ordinals
            y += HEIGHT + 2
    width, height = LEFT + WIDTH * CELLS + 12, y + 8
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
        f' font-family="sans-serif" font-size="11" role="img" aria-label="{title}">'
    )
    background = f'<rect width="{width}" height="{height}" fill="#fff"/>'
    return "\n".join([head, f"<title>{title}</title>", background, *body, "</svg>"]) + "\n"


def _cells(row: Row, y: int) -> Iterator[str]:
    """One rectangle for neighbours of one colour."""
    start = 0
    for place in range(1, len(row) + 1):
        if place == len(row) or row[place] != row[start]:
            x, width = LEFT + WIDTH * start, WIDTH * (place - start)
            yield f'<rect x="{x}" y="{y}" width="{width}" height="{HEIGHT}" fill="{COLOURS[row[start]]}"/>'
            start = place


def pictures() -> dict[str, str]:
    """File names and what is in them."""
    hashing = {name: list(keys_through(strategy)) for name, strategy in HASHING.items()}
    turns = {name: list(turns_through(strategy)) for name, strategy in TURNS.items()}
    return {
        "churn-keys.svg": picture(f"{CELLS} keys and their pods, by strategy", hashing, mark=True),
        "churn-turns.svg": picture(f"{CELLS} picks one after the other, by strategy", turns, mark=False),
    }


def draw() -> None:
    IMAGES.mkdir(parents=True, exist_ok=True)
    for name, text in pictures().items():
        (IMAGES / name).write_text(text)


if __name__ == "__main__":
    draw()
