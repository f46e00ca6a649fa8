"""svg.py: lines over time as a small SVG file, for light and dark pages."""
from xml.sax.saxutils import escape

STYLE = """
  text { font: 12px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; fill: #52514e }
  .title { font-size: 13px; font-weight: 600; fill: #0b0b0b }
  .page { fill: #fcfcfb } .grid { stroke: #e4e3df } .axis { stroke: #a8a7a1 } .band { fill: #efeeea }
  .s1 { stroke: #2a78d6 } .f1 { fill: #2a78d6 } .s2 { stroke: #d9480f } .f2 { fill: #d9480f }
  .s3 { stroke: #87867f; stroke-dasharray: 4 3 } .f3 { fill: #6b6a64 }
  .line { fill: none; stroke-width: 2; stroke-linejoin: round } .area { stroke: none; opacity: .14 }
  @media (prefers-color-scheme: dark) {
    text { fill: #c3c2b7 } .title { fill: #fff } .page { fill: #1a1a19 } .grid { stroke: #34332f } .axis { stroke: #6b6a64 }
    .band { fill: #2a2926 } .s1 { stroke: #5aa2f5 } .f1 { fill: #5aa2f5 } .s2 { stroke: #ff9256 } .f2 { fill: #ff9256 }
    .s3 { stroke: #9b9a93 } .f3 { fill: #b5b4ac } .area { opacity: .2 }
  }
"""
WIDTH, LEFT, RIGHT, PLOT, GAP = 860, 52, 16, 120, 68


def nice(most):
    """Four round steps that reach that far."""
    size = 1
    while True:
        for step in (1, 2, 3, 4, 5, 6, 8, 10, 15):
            if 4 * step * size >= most:
                return 4 * step * size
        size *= 10


def steps(points):
    """Without those that are the same as the one before and the one after."""
    return [p for i, p in enumerate(points)
            if not 0 < i < len(points) - 1 or not points[i - 1][1] == p[1] == points[i + 1][1]]


class Picture:
    """Panels below each other over one axis of time, in seconds."""

    def __init__(self, title, seconds):
        self.title, self.seconds = title, seconds
        self.y, self.out = 14, []

    def x(self, t):
        return LEFT + t / self.seconds * (WIDTH - LEFT - RIGHT)

    def add(self, text):
        self.out.append(text)

    def text(self, x, y, text, cls="", anchor="start"):
        self.add(f'<text x="{x:.1f}" y="{y:.1f}" class="{cls}" text-anchor="{anchor}">{escape(text)}</text>')

    def panel(self, title, series):
        """series: (name, class 1 to 3, [(t, value)], stepped, filled). Named in the title's line, by colour and mark."""
        top, bottom = self.y + GAP - 22, self.y + GAP - 22 + PLOT
        most = nice(max([1] + [v for _, _, points, _, _ in series for _, v in points]))
        self.text(LEFT, top - 12, title, "title")
        at = WIDTH - RIGHT
        for name, cls, _, _, _ in reversed(series):
            self.text(at, top - 12, name, anchor="end")
            at -= int(6.4 * len(name)) + 8
            self.add(f'<line x1="{at - 18}" y1="{top - 16}" x2="{at}" y2="{top - 16}" class="line s{cls}"/>')
            at -= 38
        for k in range(5):
            y = bottom - k * PLOT / 4
            self.add(f'<line x1="{LEFT}" y1="{y}" x2="{WIDTH - RIGHT}" y2="{y}" class="{"grid" if k else "axis"}"/>')
            self.text(LEFT - 8, y + 4, f"{most * k // 4}", anchor="end")
        for _, cls, points, stepped, filled in series:
            d, last = [], None
            for t, v in steps(points) if stepped else points:
                x, y = self.x(t), bottom - v / most * PLOT
                if stepped and last is not None:
                    d.append(f"{x:.1f},{last:.1f}")
                d.append(f"{x:.1f},{y:.1f}")
                last = y
            if filled and d:
                ends = [p.split(",")[0] for p in (d[0], d[-1])]
                self.add(f'<polygon class="area f{cls}" points="{ends[0]},{bottom} {" ".join(d)} {ends[1]},{bottom}"/>')
            self.add(f'<polyline class="line s{cls}" points="{" ".join(d)}"/>')
        self.y = bottom

    def strip(self, title, spans):
        """spans: (from, to, text); a text that has no room is left out."""
        y = self.y + 14
        self.text(LEFT - 8, y + 14, title, anchor="end")
        for begin, end, text in spans:
            x, w = self.x(begin), max(1.0, self.x(end) - self.x(begin) - 2)
            self.add(f'<rect x="{x:.1f}" y="{y}" width="{w:.1f}" height="20" rx="3" class="band"><title>{escape(text)}</title></rect>')
            if w > 6.3 * len(text) + 2:
                self.text(x + w / 2, y + 14, text, anchor="middle")
        self.y = y + 20

    def text_of(self):
        bottom = self.y + 20
        for t in range(0, int(self.seconds) + 1, 10):
            self.text(self.x(t), bottom, f"{t} s", anchor="middle")
        self.text(LEFT, 22, self.title, "title")
        return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {bottom + 14}" width="{WIDTH}" '
                f'height="{bottom + 14}" role="img" aria-label="{escape(self.title)}">\n<style>{STYLE}</style>\n'
                f'<rect class="page" width="100%" height="100%" rx="6"/>\n' + "\n".join(self.out) + "\n</svg>\n")
