"""Look inside: what int8 does from layer to layer, for the pictures of the report."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from runner.dataset.item import evenly_spaced
from runner.dataset.subset import Subset
from runner.errors import InternalError, ModelError
from runner.events import LOOK_INSIDE
from runner.layer_noise.along import LookedAt, NoiseAlong, noise_along
from runner.modes.context import Context
from runner.modes.scoring.noise_stage import NOISE, NoiseInputs
from runner.search.end_to_end import LossContributions
from runner.search.plan import Ranking

logger = logging.getLogger(__name__)

# A few items tell the same story as many. An item is run about ten times; of so many evaluated ones that is a few percent.
_ITEMS, _EVALUATED = 4, 40


def look_inside(looked_at: LookedAt, digest: str, items: Subset, job: Context) -> NoiseAlong | None:
    """Return the noise along a model; None where the job was stopped, or the model cannot be looked into.

    Args:
        looked_at: the model.
        digest: of its float graph.
        items: those evaluated, of which a few are looked at.
        job: runs models.
    """
    if job.meter.stopped is not None or not looked_at.form.layers:
        return None
    count = max(1, min(_ITEMS, len(items) // _EVALUATED))
    few = items.at(evenly_spaced(count, len(items)))
    inputs = NoiseInputs(
        digest,
        looked_at.form,
        looked_at.all_int8,
        few.content,
        tuple(looked_at.parts),
        tuple(looked_at.worst),
        looked_at.most,
    )

    def work_out() -> NoiseAlong | None:
        with job.clock.stage(LOOK_INSIDE, detail=f"{len(looked_at.model.layers)} layers on {count} items"):
            return NOISE.cached(job.store, inputs, lambda: noise_along(looked_at, few, job.engine))

    try:
        return job.meter.unless_interrupted(work_out)
    except (InternalError, ModelError) as error:
        # A picture less; the result does not hang on it.
        logger.warning("the report has no picture of the noise along the network: %s", error)
        return None


def worst_layers(contributions: LossContributions | None, ranking: Ranking | None) -> Sequence[str]:
    """Return the layers that were found to do most damage, the worst first; nothing where nobody looked."""
    if contributions is not None:
        return [name for group, value in contributions.worst_first if value > 0 for name in group.layers]
    return () if ranking is None else ranking.layers
