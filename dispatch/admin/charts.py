"""Charts as SVG in the page: no script, no file of others, colours by class, readable without being seen."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

WIDTH, HEIGHT = 600, 140  # of the drawing; the page stretches it
TICKS = 2  # lines across, beside the ground


@dataclass(frozen=True, slots=True)
class Series:
    """A line: its name, the class of its colour, and a value for each minute, None where nothing is known."""

    name: str
    colour: str
    values: Sequence[float | None]


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of a bar: its name, the class of its colour, its length."""

    name: str
    colour: str
    length: float


def lines(title: str, series: Sequence[Series], unit: str = "", top: float | None = None) -> SafeString:
    """Lines over time, all on one scale from 0; `top`: where it ends, the highest value if it is None."""
    known = [value for one in series for value in one.values if value is not None]
    if not known:
        return format_html(
            '<figure class="chart"><figcaption>{}</figcaption><p class="unknown">{}</p></figure>', *(title, "not known")
        )
    end = top or _round_up(max(known)) or 1.0
    ticks = [end * step / TICKS for step in range(1, TICKS + 1)]
    grid = format_html_join(
        "",
        '<line class="grid" x1="0" x2="{}" y1="{}" y2="{}"/>',
        ((WIDTH, _y(tick, end), _y(tick, end)) for tick in (0.0, *ticks)),
    )
    drawn = format_html_join(
        "",
        '<path class="line {}" d="{}"/>',
        ((one.colour, path) for one in series if (path := _path(one.values, end))),
    )
    legend = format_html_join(
        "", '<span class="key {}">{} {}</span>', ((one.colour, one.name, _last(one.values, unit)) for one in series)
    )
    scale = format_html_join("", "<span>{}{}</span>", ((_number(tick), unit) for tick in (*reversed(ticks), 0.0)))
    said = "; ".join(f"{one.name} {_last(one.values, unit)}" for one in series)
    return format_html(
        '<figure class="chart"><figcaption>{title} <span class="legend">{legend}</span></figcaption>'
        '<div class="plot"><svg viewBox="0 0 {width} {height}" preserveAspectRatio="none" role="img"'
        ' aria-label="{title}: {said}">{grid}{drawn}</svg>'
        '<div class="scale" aria-hidden="true">{scale}</div></div></figure>',
        title=title,
        legend=legend,
        width=WIDTH,
        height=HEIGHT,
        said=said,
        grid=grid,
        drawn=drawn,
        scale=scale,
    )


def bar(title: str, parts: Sequence[Part]) -> SafeString:
    """A bar of parts beside each other, in proportion; one that would not be seen is a hair wide all the same."""
    whole = sum(part.length for part in parts)
    if not whole:
        return SafeString("")
    rects, x = [], 0.0
    for part in parts:
        width = part.length / whole * WIDTH
        rects.append((part.colour, round(x, 2), max(round(width, 2), 2), part.name))
        x += width
    drawn = format_html_join("", '<rect class="{}" x="{}" y="0" width="{}" height="14"><title>{}</title></rect>', rects)
    said = ", ".join(part.name for part in parts)
    return format_html(
        '<svg class="bar" viewBox="0 0 {} 14" preserveAspectRatio="none" role="img" aria-label="{}: {}">{}</svg>',
        *(WIDTH, title, said, drawn),
    )


def _path(values: Sequence[float | None], end: float) -> str:
    """Through what is known; a gap where nothing is."""
    steps, pen = [], "M"
    for index, value in enumerate(values):
        if value is None:
            pen = "M"
            continue
        steps.append(f"{pen}{index / max(len(values) - 1, 1) * WIDTH:.1f} {_y(value, end)}")
        pen = "L"
    return "".join(steps)


def _y(value: float, end: float) -> float:
    return round(HEIGHT - 4 - min(value / end, 1.0) * (HEIGHT - 8), 1)


def _round_up(value: float) -> float:
    """To one, two or five of a power of ten, so that the scale reads well."""
    size = 1e-3
    while size < value:
        for factor in (1, 2, 5):
            if size * factor >= value:
                return size * factor
        size *= 10
    return size if value else 0.0


def _last(values: Sequence[float | None], unit: str) -> str:
    known = [value for value in values if value is not None]
    return f"{_number(known[-1])}{unit}" if known else "-"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:.2g}"
