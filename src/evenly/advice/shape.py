"""What advice looks at: the size and kind of a data set and of the model, as plain numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from evenly.features.images import becomes_vectors
from evenly.imbalance import imbalance_ratio, tiers
from evenly.params.models import MODELS, ModelName, default_model
from evenly.params.project import Params
from evenly.samples import Modality, SampleTable


@dataclass(frozen=True)
class DataShape:
    """What a data set is like, as far as it matters for the choice of a technique.

    Attributes
    ----------
    modality, model
        Of the data set, and what will be trained on it.
    counts
        Training rows by class.
    held_out
        Validation rows of the class that has the fewest of them.
    dimensions
        Columns of a table once its categories are one-hot; None for texts and images.
    nominal_share
        Share of a table's features that are categories or booleans, 0..1.
    ultra_minorities, minorities
        Classes of these tiers.
    smallest_group
        Training rows of the smallest combination of class and spurious attribute; None without an attribute.
    encoded
        Whether images are vectors of a pretrained encoder.
    """

    modality: Modality
    model: ModelName
    counts: Mapping[str, int]
    held_out: int
    dimensions: int | None = None
    nominal_share: float = 0.0
    ultra_minorities: tuple[str, ...] = ()
    minorities: tuple[str, ...] = ()
    smallest_group: int | None = None
    encoded: bool = False

    @property
    def rows(self) -> int:
        """Training rows."""
        return sum(self.counts.values())

    @property
    def smallest(self) -> int:
        """Training rows of the smallest class."""
        return min(self.counts.values())

    @property
    def largest(self) -> int:
        """Training rows of the largest class."""
        return max(self.counts.values())

    @property
    def ratio(self) -> float:
        """Rows of the largest class over those of the smallest."""
        return imbalance_ratio(self.counts)

    @property
    def network(self) -> bool:
        """Whether the model is trained in epochs."""
        return MODELS[self.model].is_network

    @property
    def strong(self) -> bool:
        """Whether the studies of resampling call the model strong: it gains little or nothing by it."""
        return MODELS[self.model].strong

    def below(self, rows: int) -> list[str]:
        """Classes that are to grow and have fewer training rows than this."""
        return [name for name, count in self.counts.items() if count < min(rows, self.largest)]


def data_shape(train: SampleTable, validation: SampleTable, params: Params) -> DataShape:
    """Say what a data set is like, as its training and validation rows, the model and the tiers have it."""
    modality = train.modality
    by_tier = tiers(train.counts, params.tiers)
    features = train.schema.features
    widths = [
        min(len(f.categories), params.features.table.max_categories) if f.kind == "category" else 1
        for f in features
    ]
    nominal = sum(f.kind in ("category", "boolean") for f in features)
    groups = Counter(
        pair for pair in zip(train.labels, train.column("attribute"), strict=True) if pair[1] is not None
    )
    encoded = modality == "image" and becomes_vectors(train.images, params.features.image)
    return DataShape(
        modality=modality,
        model=default_model(modality, len(train), encoded) if params.model == "auto" else params.model,
        counts=train.counts,
        held_out=min(validation.counts.values()),
        dimensions=sum(widths) if modality == "table" else None,
        nominal_share=nominal / len(features) if features else 0.0,
        ultra_minorities=tuple(name for name, tier in by_tier.items() if tier == "ultra_minority"),
        minorities=tuple(name for name, tier in by_tier.items() if tier == "minority"),
        smallest_group=min(groups.values()) if groups else None,
        encoded=encoded,
    )
