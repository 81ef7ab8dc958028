"""What cannot be read from the source of Sentence Transformers: bounds, families of functions, traps, an order.

A loss that is missing here still appears: it only has no bounds and no caveats.
"""

from __future__ import annotations

from workbench.catalog.loss_info import Shape

TINY = 1e-6

# By parameter, or by loss and parameter where one loss differs. Bounds are inclusive.
BOUNDS: dict[str, tuple[float | None, float | None]] = {
    "scale": (TINY, None),
    "temperature": (TINY, None),
    "student_temperature": (TINY, None),
    "teacher_temperature": (TINY, None),
    "kl_temperature": (0, None),
    "margin": (0, None),
    "GISTEmbedLoss.margin": (-2, 2),
    "CachedGISTEmbedLoss.margin": (-2, 2),
    "triplet_margin": (0, None),
    "positive_margin": (-1, 1),
    "negative_margin": (-1, 1),
    "mini_batch_size": (1, None),
    "mini_batch_num_tokens": (1, None),
    "hardness_strength": (0, None),
    "matryoshka_dims": (1, None),
    "matryoshka_weights": (0, None),
    "n_dims_per_step": (-1, None),
    "n_layers_per_step": (-1, None),
    "last_layer_weight": (0, None),
    "prior_layers_weight": (0, None),
    "kl_div_weight": (0, None),
    "mean_weight": (0, None),
    "second_moment_weight": (0, None),
    "num_labels": (1, None),
    "projection_dim": (1, None),
    "embedding_dimension": (1, None),
}

# A function parameter accepts the family that its default belongs to.
FAMILIES: tuple[tuple[str, ...], ...] = (
    ("cos_sim", "dot_score", "euclidean_sim", "manhattan_sim"),
    ("pairwise_cos_sim", "pairwise_dot_score", "pairwise_euclidean_sim", "pairwise_manhattan_sim", "pairwise_angle_sim"),
    ("MSELoss", "L1Loss", "SmoothL1Loss", "HuberLoss"),
    ("Identity", "ReLU", "Sigmoid", "Tanh"),
    ("CrossEntropyLoss", "MultiMarginLoss"),
)

# Taken from the model where they are not given.
FROM_MODEL = ("embedding_dimension",)

# In-batch negatives that the documentation does not tie to a sampler.
IN_BATCH = ("ContrastiveTensionLossInBatchNegatives",)

# Shapes that run and are meant, but are missing from the table in the documentation.
MORE_SHAPES: dict[str, tuple[Shape, ...]] = {
    "ContrastiveTensionLoss": (Shape(2, 2, "binary", "(input_A, input_B) pairs"),),
}

# A word of the entry to cite, where the class chooses between several.
CITES = {"MultipleNegativesSymmetricRankingLoss": "günther2024"}

# Back-propagation from a hook does not survive running one layer after another.
NO_CACHED_INSIDE = ("AdaptiveLayerLoss", "Matryoshka2dLoss")

_RANKING = (
    "A label column is ignored: rows with a low score are pulled together like all others.",
    "Every text column after the second is a hard negative, whatever it holds.",
)
_STATIC = "Not for models on a StaticEmbedding."
_BATCH_TRIPLET = (
    "Text columns after the first are ignored.",
    "Labels must be whole numbers: labels with a fraction give no gradient.",
    "A batch of one class gives no gradient, so batches have to be grouped by label.",
)
_MARGIN = "The default margin of 5 can never be met by unit vectors, whose distances end at 2; try 0.2 to 0.5."
_TWO_COLUMNS = "Text columns after the second are ignored."
_BINARY = "Labels other than 0 and 1 are accepted but give a wrong or no gradient."

CAVEATS: dict[str, tuple[str, ...]] = {
    "MultipleNegativesRankingLoss": _RANKING,
    "CachedMultipleNegativesRankingLoss": (*_RANKING, _STATIC),
    "MultipleNegativesSymmetricRankingLoss": ("A label column is ignored.",),
    "CachedMultipleNegativesSymmetricRankingLoss": ("A label column is ignored.", _STATIC),
    "GISTEmbedLoss": ("The guide model runs on every batch as well.", "At most one negative column."),
    "CachedGISTEmbedLoss": ("The guide model runs on every batch as well.", _STATIC),
    "MegaBatchMarginLoss": ("Needs batches of about 500 rows to find hard negatives.", _STATIC),
    "TripletLoss": (_MARGIN,),
    "BatchAllTripletLoss": (*_BATCH_TRIPLET, _MARGIN),
    "BatchHardTripletLoss": (*_BATCH_TRIPLET, _MARGIN),
    "BatchSemiHardTripletLoss": (*_BATCH_TRIPLET, _MARGIN),
    "BatchHardSoftMarginTripletLoss": _BATCH_TRIPLET,
    "CoSENTLoss": (_TWO_COLUMNS, "Equal labels throughout a batch give no gradient."),
    "CosineSimilarityLoss": (_TWO_COLUMNS, "Labels outside -1 to 1 cannot be reached: divide scores of 0 to 5 by 5."),
    "ContrastiveLoss": (_BINARY,),
    "OnlineContrastiveLoss": (_TWO_COLUMNS, _BINARY, "The loss is a sum, so it grows with the batch."),
    "SoftmaxLoss": ("Its classifier is trained with the model but not saved with it.",),
    "MarginMSELoss": ("With unit vectors only margins from -2 to 2 can be reached.",),
    "EmbedDistillLoss": ("The teacher's vectors need the model's dimension, or projection_dim.",),
    "MSELoss": ("The teacher's vectors need the model's dimension, or projection_dim.",),
    "DenoisingAutoEncoderLoss": (
        "The first text column must be a damaged copy of the second.",
        "The decoder about doubles the memory.",
        _STATIC,
    ),
    "ContrastiveTensionLoss": ("Some pairs must be two times the same text.", "Trains a second copy of the model."),
    "ContrastiveTensionLossInBatchNegatives": ("Trains a second copy of the model.", "Text columns after the first are ignored."),
    "GlobalOrthogonalRegularizationLoss": ("Only spreads vectors apart; meant to be added to another loss.",),
    "MatryoshkaLoss": ("The loss is a sum over the dimensions, so it is about that many times the inner loss.",),
    "Matryoshka2dLoss": ("Needs a Transformer model.", "Does not wrap losses that cache gradients."),
    "AdaptiveLayerLoss": ("Needs a Transformer model.", "Does not wrap losses that cache gradients."),
}

# Best first, among the losses that fit the same table.
RECOMMENDED: tuple[str, ...] = (
    "MultipleNegativesRankingLoss",
    "CachedMultipleNegativesRankingLoss",
    "CoSENTLoss",
    "OnlineContrastiveLoss",
    "MarginMSELoss",
    "DistillKLDivLoss",
    "MSELoss",
    "EmbedDistillLoss",
    "BatchAllTripletLoss",
    "BatchHardSoftMarginTripletLoss",
    "BatchHardTripletLoss",
    "BatchSemiHardTripletLoss",
    "GISTEmbedLoss",
    "CachedGISTEmbedLoss",
    "TripletLoss",
    "AnglELoss",
    "CosineSimilarityLoss",
    "ContrastiveLoss",
    "SoftmaxLoss",
    "MegaBatchMarginLoss",
    "ContrastiveTensionLossInBatchNegatives",
    "DenoisingAutoEncoderLoss",
    "ContrastiveTensionLoss",
    "MatryoshkaLoss",
    "AdaptiveLayerLoss",
    "Matryoshka2dLoss",
    "GlobalOrthogonalRegularizationLoss",
)
