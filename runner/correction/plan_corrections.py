"""The corrected layers of plans: made for the layers that stay int8, as far as another plan has not had the same ones."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace

from runner.correction.calibrated import Calibrated
from runner.correction.correct import correct, least_harmful_of
from runner.correction.options import Correction
from runner.dataset.subset import Subset
from runner.engine import Engine
from runner.record import QuantizedLayer, QuantizedLayers


class PlanCorrections:
    """Corrects the layers that plans leave int8.

    Args:
        start: every layer rounded to nearest, and where it comes from.
        items: calibration data.
        options: which corrections.
        engine: runs the model.
        independent: gives layers that do not depend on each other, to compare with; None where these do not either.
    """

    def __init__(
        self,
        start: Calibrated,
        items: Subset,
        options: Correction,
        engine: Engine,
        independent: Callable[[], QuantizedLayers] | None,
    ) -> None:
        self._start, self._items, self._options, self._engine = start, items, options, engine
        self._independent = independent
        # What corrections made of plans, before it was compared with anything, by what falls back.
        self._made: dict[tuple[frozenset[str], bool], QuantizedLayers] = {}

    def form(
        self,
        fallback: Collection[str] = (),
        *,
        float_tensors: bool = False,
        progress: Callable[[int], None] = lambda done: None,
    ) -> QuantizedLayers:
        """Return the layers of a plan: corrected, or with less done to them where that does the outputs less harm.

        Args:
            fallback: the layers that it leaves float.
            float_tensors: whether it leaves float what is rounded on its way into nodes that are no layers.
            progress: told the number of layers done.
        """
        rounded = _left(self._start.form, fallback, float_tensors=float_tensors)
        start = replace(self._start, form=rounded)
        dropped = frozenset(fallback)
        made = correct(
            start,
            self._items,
            options=self._options,
            engine=self._engine,
            progress=progress,
            finished=self._finished(dropped, float_tensors=float_tensors),
        )
        self._made[dropped, float_tensors] = made
        forms = [made]
        if self._independent is not None:
            forms.append(_left(self._independent(), fallback, float_tensors=float_tensors))
        return least_harmful_of(start, forms, self._items, self._engine)

    def _finished(self, dropped: frozenset[str], *, float_tensors: bool) -> dict[str, QuantizedLayer]:
        """Return the longest beginning of the layers that some plan has had in the same form."""
        best: dict[str, QuantizedLayer] = {}
        for (others, also_float), form in self._made.items():
            if also_float != float_tensors:
                continue
            same = self._same(dropped ^ others)
            finished = {name: form.layers[name] for name in same if name not in dropped}
            if len(finished) > len(best):
                best = finished
        return best

    def _same(self, differing: Collection[str]) -> list[str]:
        """Return the layers before the first that is treated differently, or shares a tensor with one that is."""
        layers = [layer for layer in self._start.model.layers if layer.name in self._start.form.layers]
        read = {layer.input for layer in layers if layer.name in differing}
        names = []
        for layer in layers:
            if layer.input in read:
                break
            names.append(layer.name)
        return names


def _left(form: QuantizedLayers, fallback: Collection[str], *, float_tensors: bool) -> QuantizedLayers:
    layers = {name: layer for name, layer in form.layers.items() if name not in fallback}
    return QuantizedLayers(layers, {} if float_tensors else form.tensors)
