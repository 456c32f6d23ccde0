"""How the parts of our pictures look: on a page that gives the colours, and in a file of their own."""

from __future__ import annotations

# Blue and yellow, and shapes and dashes beside colours: who takes red for green still tells marks apart.
STYLE = """\
.chart { display: block; width: 100%; max-width: 860px; height: auto; margin: 2px 0 10px; font-size: 12.5px; }
.chart text { fill: var(--ink); }
.chart .soft { fill: var(--soft); }
.chart polyline, .chart path { fill: none; }
.chart .grid { stroke: var(--line); }
.chart .axis { stroke: var(--soft); }
.chart .leader { stroke: var(--soft); stroke-width: .7; }
.chart .hit { fill: var(--ink); opacity: 0; }
.chart .mark:hover .hit { opacity: .09; }
.chart .bar { fill: var(--blue); }
.chart .bar.float, .chart .dot.open { fill: var(--paper, #fff); stroke: var(--blue); stroke-width: 1.4; }
.chart .float-mark { fill: var(--yellow); }
.chart .dot { fill: var(--blue); }
.chart .stem { stroke: var(--blue); stroke-width: 1.1; opacity: .55; }
.chart .path { stroke: var(--line); stroke-width: 1.5; }
.chart .noise { stroke-width: 2.2; stroke-linejoin: round; }
.chart .noise.both { stroke: var(--ink); }
.chart .noise.weights { stroke: var(--blue); stroke-width: 1.8; stroke-dasharray: 7 3; }
.chart .noise.activations { stroke: var(--yellow); stroke-width: 1.8; stroke-dasharray: 2 2.5; }
.chart .noise.own { fill: var(--soft); opacity: .75; }
.chart .noise-point { fill: var(--ink); }
.chart .noise-point.weights { fill: var(--blue); }
.chart .noise-point.activations { fill: var(--yellow); }
.chart.small { max-width: 470px; margin: 0; }
.chart .filled { fill: var(--blue); fill-opacity: .3; stroke: var(--blue); stroke-width: 1.2; }
.chart .beyond { fill: var(--red); opacity: .09; }
.chart .clip { stroke: var(--red); stroke-width: 1.3; }
.chart .clip-name { fill: var(--red); }
.pictures:has(.chart) { flex-wrap: wrap; } figure:has(.chart) { flex: 1 1 min(100%, 400px); }
.chart .front { stroke: var(--blue); stroke-width: 1.5; }
.chart .refused { stroke: var(--red); stroke-width: 2.4; }
.chart .refused.open { stroke-width: 1.1; }
.chart .ring { fill: none; stroke: var(--green); stroke-width: 2; }
.chart .target { stroke: var(--green); stroke-width: 1.4; stroke-dasharray: 6 4; }
.chart .target-name, .chart .chosen-name { fill: var(--green); }
.chart .halo { paint-order: stroke; stroke: var(--paper, #fff); stroke-width: 3.5px; stroke-linejoin: round; }
@media (max-width: 640px) { .chart:not(.small) { font-size: 21px; } .chart .wide { display: none; } }
"""

# The page has these too, so that a picture on it follows what it says.
_ALONE = """\
svg { --ink: #1d2433; --soft: #5c6678; --line: #dfe3ea; --blue: #1f5fa8; --red: #b3261e; --green: #1b7a45; --yellow: #946200; \
--paper: #fff; background: var(--paper); font-family: system-ui, "Segoe UI", "PingFang SC", "Microsoft YaHei", \
"Noto Sans CJK SC", sans-serif; }
@media (prefers-color-scheme: dark) { svg { --ink: #e4e8ef; --soft: #a0a9b8; --line: #3a4252; --blue: #7fb3ee; --red: #f08a82; \
--green: #62cf91; --yellow: #d9b64f; --paper: #1d232d; } }
"""


def standing_alone(svg: str) -> str:
    """Return a picture as a file of its own, which has its colours with it."""
    head, separator, rest = svg.partition(">")
    return f"{head}{separator}<style>\n{_ALONE}{STYLE}</style>{rest}\n"
