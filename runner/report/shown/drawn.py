"""An item that changed, drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from runner.figure import Exhibit, Marked, Part, Picture
from runner.report.changed_items import ChangedItem
from runner.report.flips import EFFECTS
from runner.report.shown.photo import jpeg, png
from runner.wording import say


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """A picture and what it shows; ``photo`` where it is one, so that it may be kept with loss."""

    image: Image.Image
    shows: str
    photo: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """An item as it is shown: pictures side by side, and lines of text, in which names and texts may be of any script."""

    item: ChangedItem
    pictures: Sequence[Shown] = ()
    lines: Sequence[Sequence[Part]] = ()

    def exhibit(self) -> Exhibit:
        """Return it for the page."""
        item = self.item
        title = (
            f"{item.name}  ",
            Marked(say("{effect}, cost {cost:.4g}", effect=EFFECTS[item.effect], cost=item.cost), item.effect),
        )
        pictures = [
            Picture(jpeg=jpeg(shown.image), shows=shown.shows)
            if shown.photo
            else Picture(png=png(shown.image), shows=shown.shows)
            for shown in self.pictures
        ]
        return Exhibit(title, pictures, self.lines)
