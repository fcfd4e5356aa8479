"""Labels beside points: each stands where nothing lies yet, or is left out (its tip and the table still have it)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from quant_platform.reports.charts.figures import Points
from quant_platform.reports.charts.markup import Html, element, join

LABEL_SIZE = 10.0
GAP = 7.0
NARROW = frozenset(".,:;|!'il ")
WIDE = frozenset("%@MWmw")


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels, y growing downwards."""

    left: float
    top: float
    right: float
    bottom: float

    def overlaps(self, other: Box) -> bool:
        """Whether the two share any area."""
        return (
            self.left < other.right and other.left < self.right and self.top < other.bottom and other.top < self.bottom
        )

    def inside(self, other: Box) -> bool:
        """Whether this one lies wholly in the other."""
        return (
            other.left <= self.left
            and self.right <= other.right
            and other.top <= self.top
            and self.bottom <= other.bottom
        )


def text_width(text: str, size: float) -> float:
    """Estimated width in pixels of a text in a common sans-serif face; there is no font to ask."""
    return sum(map(_letter_width, text)) * size


def _letter_width(letter: str) -> float:
    if letter in NARROW:
        return 0.32
    return 0.95 if letter in WIDE else 0.7 if letter.isupper() else 0.62


def place(
    mark: Points,
    pixel: Callable[[float | None, float | None], tuple[float, float] | None],
    taken: list[Box],
    area: Box,
) -> Html:
    """Labels of a mark: right, left, above or below each point, starred points first.

    Parameters
    ----------
    mark
        The points with their labels.
    pixel
        Where a point stands, None where it is not drawn.
    taken
        Boxes that may not be covered; the placed labels are added to it.
    area
        The plot; labels stay inside.
    """
    if not mark.labels:
        return Html("")
    placed = []
    for index in sorted(range(len(mark.labels)), key=lambda at: not _starred(mark.starred, at)):
        at = pixel(mark.x[index], mark.y[index])
        text = mark.labels[index]
        if at is None or not text:
            continue
        for box, anchor, x in _candidates(at, text_width(text, LABEL_SIZE)):
            if box.inside(area) and not any(box.overlaps(other) for other in taken):
                taken.append(box)
                y = f"{box.bottom - 2:.1f}"
                placed.append(element("text", text, x=f"{x:.1f}", y=y, class_="mark-label", text_anchor=anchor))
                break
    return join(*placed)


def _candidates(at: tuple[float, float], width: float) -> list[tuple[Box, str, float]]:
    x, y = at
    half = LABEL_SIZE / 2 + 1
    right = Box(x + GAP, y - half, x + GAP + width, y + half)
    left = Box(x - GAP - width, y - half, x - GAP, y + half)
    found = [(right, "start", x + GAP), (left, "end", x - GAP)]
    for top in (y - GAP - 2 * half, y + GAP):
        # Beside the whisker, which runs straight up and down from the point.
        found.append((Box(x + 3, top, x + 3 + width, top + 2 * half), "start", x + 3))
        found.append((Box(x - 3 - width, top, x - 3, top + 2 * half), "end", x - 3))
    return found


def _starred(starred: Sequence[bool], index: int) -> bool:
    return bool(starred) and starred[index]
