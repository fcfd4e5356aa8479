"""The orders that wait: put at the end, called back, done."""

from __future__ import annotations

import math

from quant_platform.contracts.compiled import compiled_part, inlined
from quant_platform.engine.layout import (
    CANCELLED,
    FROM_SIGNAL,
    FROM_WEIGHTS,
    ORDER_FLAGS,
    ORDER_FLOATS,
    ORDER_TIME,
    OVERFLOW,
    QUEUED,
    WAIT_ASSET,
    WAIT_DONE,
    WAIT_FEE_CHARGED,
    WAIT_FEE_RAW,
    WAIT_FLAGS,
    WAIT_KIND,
    WAIT_LOTS,
    WAIT_ORDER,
    WAIT_SIDE,
    WAIT_TIME,
    WAITING,
    Book,
    Floats,
    Integers,
)


@compiled_part
def enqueue(
    a: int, side: float, kind: int, lots: float, order: int, orders: Floats, places: Integers, book: Book
) -> int:
    """Put an order at the end of those that wait."""
    j = book.sizes[QUEUED]
    if j >= book.wait.shape[0]:
        book.sizes[OVERFLOW] = 1
        return -1
    book.sizes[QUEUED] = j + 1
    wait, names = book.wait[j], book.wait_places[j]
    names[WAIT_TIME], names[WAIT_FLAGS] = 0, 0
    stated = kind != FROM_WEIGHTS
    for column in range(ORDER_FLOATS):
        wait[column] = orders[order, column] if stated else math.nan
    if stated:
        names[WAIT_TIME], names[WAIT_FLAGS] = places[order, ORDER_TIME], places[order, ORDER_FLAGS]
    wait[WAIT_LOTS], wait[WAIT_FEE_RAW], wait[WAIT_FEE_CHARGED] = lots, 0.0, 0.0
    names[WAIT_ASSET], names[WAIT_SIDE], names[WAIT_KIND], names[WAIT_ORDER] = a, int(side), kind, order
    names[WAIT_DONE] = 0
    return int(j)


@compiled_part
def cancel(j: int, book: Book) -> None:
    """Call an order back that still waits."""
    if book.wait_places[j, WAIT_DONE] == 0:
        finish(j, CANCELLED, book)


@compiled_part
def finish(j: int, count: int, book: Book) -> None:
    """Take an order out and count why."""
    book.sizes[count] += 1
    done(j, book)


@inlined
def done(j: int, book: Book) -> None:
    """Take an order out of those that wait."""
    names = book.wait_places[j]
    names[WAIT_DONE] = 1
    if names[WAIT_KIND] == FROM_SIGNAL:
        book.places[names[WAIT_ASSET], WAITING] -= 1


@compiled_part
def waiting_side(a: int, book: Book) -> float:
    """Side of the latest entry that waits, zero for none; trades may have left entries of both sides waiting."""
    side = 0.0
    if book.places[a, WAITING] > 0:
        for j in range(book.sizes[QUEUED]):
            names = book.wait_places[j]
            if names[WAIT_ASSET] == a and names[WAIT_KIND] == FROM_SIGNAL and names[WAIT_DONE] == 0:
                side = float(names[WAIT_SIDE])
    return side


@compiled_part
def drop_entries(a: int, book: Book) -> None:
    """Call back the entries of an asset that still wait."""
    if book.places[a, WAITING] == 0:
        return
    for j in range(book.sizes[QUEUED]):
        if book.wait_places[j, WAIT_ASSET] == a and book.wait_places[j, WAIT_KIND] == FROM_SIGNAL:
            cancel(j, book)
