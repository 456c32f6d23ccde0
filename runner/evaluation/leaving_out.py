"""A quantized model run with some of its layers in float: what these do not reach is run once for all such runs of an item.

The model is cut into blocks (``graph/blocks``), each a session of its own, and one more for each group of layers that is left
in float in it. Before an item's first group all blocks run in int8, and go on from block to block as the groups do: what the
next blocks read is kept, nothing else. A group's run begins at its first block, and goes through the blocks that something
changes for. Of the other tensors that these read, those that are made later are kept from the first look at the item on.

Bits of what is float depend on how much of a model one session holds; so plans are compared as the same blocks give them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runner.convert.quantized_blocks import QuantizedBlock, quantized_blocks
from runner.engine import Engine
from runner.graph.constants import constant
from runner.graph.layers import LayeredModel
from runner.record import QuantizedLayers
from runner.session import Feeds, Profile, Session, input_specs

Tensors = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class _Step:
    """A block as it is run.

    Attributes:
        reads, gives: names of tensors.
        session: all its layers in int8.
        without: sessions with layers in float, by groups that have layers in it.
    """

    reads: tuple[str, ...]
    gives: tuple[str, ...]
    session: Session
    without: Mapping[int, Session]

    def run(self, *tensors: Mapping[str, NDArray[Any]], group: int | None = None) -> Tensors:
        """Return what the block gives; the first mapping that has a tensor gives it."""
        feeds = {name: next(known[name] for known in tensors if name in known) for name in self.reads}
        session = self.session if group is None else self.without.get(group, self.session)
        return dict(zip(self.gives, session.run(feeds, self.gives), strict=True))


class LeavingOut:
    """A quantized model, any of some groups of layers of which can be run in float.

    Args:
        model: the prepared float model at opset 13 or later.
        form: its layers, which do not depend on each other, and tensors.
        groups: of these layers, none empty.
        engine: makes sessions.
        profile: of the sessions.

    Attributes:
        inputs: what ``run`` takes.
        number_names: of the outputs that are tensors of numbers or truth values.
    """

    def __init__(
        self,
        model: LayeredModel,
        form: QuantizedLayers,
        groups: Sequence[Sequence[str]],
        *,
        engine: Engine,
        profile: Profile,
    ) -> None:
        # Memory that each block kept for itself would be as much as all tensors of the model, and in no core's cache.
        profile = replace(profile, own_memory=False)

        def step(quantized: QuantizedBlock) -> _Step:
            block = quantized.block
            inside = {number: set(group) & set(block.layers) for number, group in enumerate(groups)}
            without = {
                number: engine.session(quantized.model(layers), profile) for number, layers in inside.items() if layers
            }
            return _Step(block.reads, block.gives, engine.session(quantized.model(), profile), without)

        self.inputs = input_specs(model.graph)
        self._steps = [step(block) for block in quantized_blocks(model, form)]
        outputs = model.graph.graph.outputs
        known = {value.name or "": constant(value) for value in outputs}
        self._constants: Tensors = {name: np.asarray(array) for name, array in known.items() if array is not None}
        made = {name for each in self._steps for name in each.session.number_names}
        made |= {spec.name for spec in self.inputs if spec.dtype.kind in "biuf"} | self._constants.keys()
        self.number_names: Sequence[str] = tuple(value.name or "" for value in outputs if value.name in made)
        self._last = {name: place for place, each in enumerate(self._steps) for name in each.reads}
        self._last.update(dict.fromkeys(self.number_names, len(self._steps)))
        self._changed = [self._reached(number) for number in range(len(groups))]
        self._aside = set().union(*map(self._made_later, self._changed))

    def run(self, feeds: Feeds, outputs: Sequence[str] | None = None) -> list[NDArray[Any]]:
        """Return the outputs (all, or the named ones) in order, every layer in int8."""
        whole = self._whole(feeds)
        return [whole[name] for name in outputs or self.number_names]

    def each(self, feeds: Feeds) -> Iterator[tuple[int | None, list[NDArray[Any]]]]:
        """Yield the outputs in ``number_names`` of one item with every layer in int8, and with each group of layers in float.

        Args:
            feeds: the item, by input.

        Yields:
            None and the first; then the number of a group and its own, in the order in which they come in the graph.
        """
        whole = self._whole(feeds)
        yield None, [whole[name] for name in self.number_names]
        live = {**self._constants, **feeds}
        last = max((reached[0] for reached in self._changed), default=-1)
        for place, step in enumerate(self._steps[: last + 1]):
            for number, reached in enumerate(self._changed):
                if reached[0] == place:
                    made = self._without(number, live, whole)
                    yield number, [made[name] if name in made else whole[name] for name in self.number_names]
            if place < last:
                live.update(step.run(live))
                self._drop(live, place)

    def stop(self) -> None:
        """Have runs under way in other threads end soon, with an error, and later ones at once."""
        for step in self._steps:
            for session in (step.session, *step.without.values()):
                session.stop()

    def _whole(self, feeds: Feeds) -> Tensors:
        """Return the outputs with every layer in int8, and what is kept aside."""
        live = {**self._constants, **feeds}
        kept: Tensors = {name: live[name] for name in self.number_names if name in live}
        for place, step in enumerate(self._steps):
            made = step.run(live)
            live.update(made)
            kept.update((name, made[name]) for name in made if name in self._aside or name in self.number_names)
            self._drop(live, place)
        return kept

    def _without(self, number: int, live: Tensors, whole: Tensors) -> Tensors:
        """Return what a group in float changes of the outputs.

        Args:
            number: of the group.
            live: what is known before its first block.
            whole: outputs, and what is kept aside.
        """
        made: Tensors = {}
        for place in self._changed[number]:
            made.update(self._steps[place].run(made, live, whole, group=number))
            self._drop(made, place)
        return made

    def _drop(self, tensors: Tensors, place: int) -> None:
        """Forget what nothing reads after a block."""
        for name in [name for name in tensors if self._last.get(name, -1) <= place]:
            del tensors[name]

    def _reached(self, number: int) -> list[int]:
        """Return the places of the blocks that a group changes something for, in order."""
        changed, places = set[str](), list[int]()
        for place, step in enumerate(self._steps):
            if number in step.without or changed.intersection(step.reads):
                places.append(place)
                changed.update(step.gives)
        return places

    def _made_later(self, reached: Sequence[int]) -> set[str]:
        """Return the tensors that some blocks read, that are made behind the first of them, and by none of them."""
        places = range(reached[0], len(self._steps))
        made = {name for place in places if place not in reached for name in self._steps[place].gives}
        return {name for place in reached for name in self._steps[place].reads if name in made}
