"""The corrected layers of plans: made for the layers that stay int8, from the first on that plan and all-int8 plan differ in.

The layers before it are those of the all-int8 plan, and of no other one. Bits of the float model depend on how much of it one
session holds, so to begin where another plan left off would give other integers than to begin anew.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace

from runner.correction.calibrated import Calibrated
from runner.correction.correct import correct, least_harmful_of
from runner.correction.options import Correction
from runner.dataset.subset import Subset
from runner.engine import Engine
from runner.record import QuantizedLayer, QuantizedLayers

Progress = Callable[[int], None]


class PlanCorrections:
    """Corrects the layers that plans leave int8.

    Args:
        start: every layer rounded to nearest, and where it comes from.
        items: calibration data.
        options: which corrections.
        engine: runs the model.
        independent: gives layers that do not depend on each other, to compare with; None where these do not either.
        remembered: gives the all-int8 layers, as corrections alone made them, from where they are kept, or has them made.
    """

    def __init__(
        self,
        start: Calibrated,
        items: Subset,
        options: Correction,
        engine: Engine,
        independent: Callable[[], QuantizedLayers] | None,
        remembered: Callable[[Callable[[], QuantizedLayers]], QuantizedLayers] = lambda make: make(),
    ) -> None:
        self._start, self._items, self._options, self._engine = start, items, options, engine
        self._independent, self._remembered = independent, remembered
        self._all_int8: QuantizedLayers | None = None

    def form(
        self,
        fallback: Collection[str] = (),
        *,
        float_tensors: bool = False,
        progress: Progress = lambda done: None,
    ) -> QuantizedLayers:
        """Return the layers of a plan: corrected, or with less done to them where that does the outputs less harm.

        Args:
            fallback: the layers that it leaves float.
            float_tensors: whether it leaves float what is rounded on its way into nodes that are no layers.
            progress: told the number of layers done.
        """
        start = replace(self._start, form=_left(self._start.form, fallback, float_tensors=float_tensors))
        if not fallback and not float_tensors:
            made = self._whole(progress)
        else:
            # What is rounded on its way into other nodes may come before any layer.
            finished = {} if float_tensors else self._finished(fallback)
            made = self._correct(start, progress, finished)
        forms = [made]
        if self._independent is not None:
            forms.append(_left(self._independent(), fallback, float_tensors=float_tensors))
        return least_harmful_of(start, forms, self._items, self._engine)

    def _whole(self, progress: Progress) -> QuantizedLayers:
        """Return the layers of the all-int8 plan, before they are compared with anything."""
        if self._all_int8 is None:
            self._all_int8 = self._remembered(lambda: self._correct(self._start, progress, {}))
        return self._all_int8

    def _correct(self, start: Calibrated, progress: Progress, finished: dict[str, QuantizedLayer]) -> QuantizedLayers:
        return correct(
            start, self._items, options=self._options, engine=self._engine, progress=progress, finished=finished
        )

    def _finished(self, fallback: Collection[str]) -> dict[str, QuantizedLayer]:
        """Return the layers before the first that is left float, or reads a tensor, and its range, with one that is."""
        layers = [layer for layer in self._start.model.layers if layer.name in self._start.form.layers]
        read = {layer.input for layer in layers if layer.name in fallback}
        whole = self._whole(lambda done: None).layers
        finished = {}
        for layer in layers:
            if layer.input in read:
                break
            finished[layer.name] = whole[layer.name]
        return finished


def _left(form: QuantizedLayers, fallback: Collection[str], *, float_tensors: bool) -> QuantizedLayers:
    layers = {name: layer for name, layer in form.layers.items() if name not in fallback}
    return QuantizedLayers(layers, {} if float_tensors else form.tensors)
