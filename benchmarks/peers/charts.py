"""Bar charts as SVG, to stand in a page of the docs: they take its text colour, light or dark."""

from __future__ import annotations

from xml.sax.saxutils import escape

from benchmarks.peers.figures import Figures, shown
from benchmarks.peers.tools import OWN

WIDTH, LABEL, VALUE, BAR, GAP = 720, 160, 90, 18, 6  # pixels
OURS, THEIRS = "#2f9e63", "#8a8f98"  # seen on white and on black


def chart(title: str, figures: Figures, scenarios: dict[str, str], delay: int) -> str:
    """Return a chart of medians: a block of bars for each scenario, on a scale of its own."""
    parts, y = [], 30
    for scenario, heading in scenarios.items():
        group = figures.groups.get((scenario, delay))
        if not group:
            continue
        parts.append(f'<text x="0" y="{y + 12}" font-weight="600">{escape(heading)}</text>')
        y += 22
        longest = max(each.median for each in group)
        for each in sorted(group, key=lambda each: each.median):
            parts.append(_bar(each.peer, each.median, longest, y))
            y += BAR + GAP
        y += 12
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {WIDTH} {y}" '
        f'width="100%" font-family="sans-serif" font-size="13" fill="currentColor">\n'
        f"<title>{escape(title)}</title>\n"
        f'<text x="0" y="14" font-size="15" font-weight="600">{escape(title)}</text>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def _bar(peer: str, median: float, longest: float, y: int) -> str:
    width = max(1.0, (WIDTH - LABEL - VALUE) * median / longest)
    colour, weight = (OURS, "600") if peer == OWN else (THEIRS, "400")
    middle = y + BAR - 5
    return (
        f'<text x="{LABEL - 8}" y="{middle}" text-anchor="end" font-weight="{weight}">'
        f"{escape(peer)}</text>"
        f'<rect x="{LABEL}" y="{y}" width="{width:.1f}" height="{BAR}" rx="2" fill="{colour}"/>'
        f'<text x="{LABEL + width + 6:.1f}" y="{middle}">{shown(median)}</text>'
    )
