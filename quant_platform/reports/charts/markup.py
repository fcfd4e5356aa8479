"""HTML that is escaped unless it was made here: the only door through which text enters a page."""

from __future__ import annotations

from html import escape

VOID_ELEMENTS = frozenset({"br", "hr", "meta", "line", "rect", "circle", "path", "polyline", "polygon"})


class Html(str):
    """A piece of finished markup; any other string is text and will be escaped."""

    __slots__ = ()


Content = str | None
Attribute = str | int | float | bool | None


def element(tag: str, *children: Content, **attributes: Attribute) -> Html:
    """One element with its children.

    Parameters
    ----------
    tag
        Name of the element.
    children
        `Html` goes in as it is, text is escaped, None is left out.
    attributes
        An underscore stands for a hyphen and a trailing one is dropped (``class_``). None and False leave the
        attribute out, True writes it without a value.

    Returns
    -------
    Html
        The markup; elements that have no content (`VOID_ELEMENTS`) are closed at once.

    Examples
    --------
    >>> element("td", "a < b", class_="left")
    '<td class="left">a &lt; b</td>'
    """
    opening = tag + "".join(_attribute(name, value) for name, value in attributes.items())
    if tag in VOID_ELEMENTS and not children:
        return Html(f"<{opening}/>")
    return Html(f"<{opening}>{join(*children)}</{tag}>")


def join(*children: Content) -> Html:
    """Children one after another; text is escaped, `Html` is not."""
    return Html("".join(child if isinstance(child, Html) else escape(child) for child in children if child is not None))


def _attribute(name: str, value: Attribute) -> str:
    if value is None or value is False:
        return ""
    # SVG has attributes with capitals (viewBox), so the name keeps its case.
    written = name.rstrip("_").replace("_", "-")
    return f" {written}" if value is True else f' {written}="{escape(str(value))}"'
