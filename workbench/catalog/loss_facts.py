"""What cannot be read from the source of Sentence Transformers: bounds, families of functions, traps, an order.

A loss that is missing here still appears: it only has no bounds and no caveats.
"""

from __future__ import annotations

from workbench.catalog.loss_info import Shape

# Inclusive bounds by parameter, or by loss and parameter where one loss differs.
_FROM = {
    1e-6: "scale temperature student_temperature teacher_temperature",
    0: "margin triplet_margin kl_temperature hardness_strength matryoshka_weights last_layer_weight "
    "prior_layers_weight kl_div_weight mean_weight second_moment_weight",
    1: "mini_batch_size mini_batch_num_tokens matryoshka_dims num_labels projection_dim embedding_dimension",
    -1: "n_dims_per_step n_layers_per_step",
}
BOUNDS: dict[str, tuple[float | None, float | None]] = {
    **{name: (low, None) for low, names in _FROM.items() for name in names.split()},
    "positive_margin": (-1, 1),
    "negative_margin": (-1, 1),
    "GISTEmbedLoss.margin": (-2, 2),
    "CachedGISTEmbedLoss.margin": (-2, 2),
}

# A function parameter accepts the family that its default belongs to.
FAMILIES: tuple[tuple[str, ...], ...] = (
    ("cos_sim", "dot_score", "euclidean_sim", "manhattan_sim"),
    tuple(f"pairwise_{name}" for name in ("cos_sim", "dot_score", "euclidean_sim", "manhattan_sim", "angle_sim")),
    ("MSELoss", "L1Loss", "SmoothL1Loss", "HuberLoss"),
    ("Identity", "ReLU", "Sigmoid", "Tanh"),
    ("CrossEntropyLoss", "MultiMarginLoss"),
)

# Taken from the model where they are not given.
FROM_MODEL = ("embedding_dimension",)

# In-batch negatives that the documentation does not tie to a sampler.
IN_BATCH = ("ContrastiveTensionLossInBatchNegatives",)

# Tables that run and are meant, but are missing from the documentation.
MORE_SHAPES: dict[str, tuple[Shape, ...]] = {
    "ContrastiveTensionLoss": (Shape(2, 2, "binary", "(input_A, input_B) pairs"),),
}

# A word of the entry to cite, where the class chooses between several.
CITES = {"MultipleNegativesSymmetricRankingLoss": "günther2024"}

# Gradients from a hook do not survive running one layer after another.
NO_CACHED_INSIDE = ("AdaptiveLayerLoss", "Matryoshka2dLoss")

_NO_LABEL = "A label column is ignored: rows with a low score are pulled together like all others."
_HARD = "Every text column after the second is a hard negative, whatever it holds."
_STATIC = "Not for models on a StaticEmbedding."
_GUIDE = "The guide model runs on every batch as well."
_FIRST_ONLY = "Text columns after the first are ignored."
_FIRST_TWO = "Text columns after the second are ignored."
_CLASSES = (
    _FIRST_ONLY,
    "Labels must be whole numbers: others give no gradient.",
    "A batch of one class gives no gradient, so batches have to be grouped by label.",
)
_MARGIN = "The default margin of 5 can never be met by unit vectors, whose distances end at 2; try 0.2 to 0.5."
_BINARY = "Labels other than 0 and 1 are accepted but give a wrong gradient or none."
_TEACHER = "The teacher's vectors need the dimension of the model, or set projection_dim to theirs."
_COPY = "Trains a second copy of the model."
_LAYERS = ("Needs a Transformer model.", "Does not wrap losses that cache gradients.")

CAVEATS: dict[str, tuple[str, ...]] = {
    "MultipleNegativesRankingLoss": (_NO_LABEL, _HARD),
    "CachedMultipleNegativesRankingLoss": (_NO_LABEL, _HARD, _STATIC),
    "MultipleNegativesSymmetricRankingLoss": (_NO_LABEL,),
    "CachedMultipleNegativesSymmetricRankingLoss": (_NO_LABEL, _STATIC),
    "GISTEmbedLoss": (_GUIDE, "At most one column of negatives."),
    "CachedGISTEmbedLoss": (_GUIDE, _STATIC),
    "MegaBatchMarginLoss": ("Needs batches of about 500 rows to find hard negatives.", _STATIC),
    "TripletLoss": (_MARGIN,),
    "BatchAllTripletLoss": (*_CLASSES, _MARGIN),
    "BatchHardTripletLoss": (*_CLASSES, _MARGIN),
    "BatchSemiHardTripletLoss": (*_CLASSES, _MARGIN),
    "BatchHardSoftMarginTripletLoss": _CLASSES,
    "CoSENTLoss": (_FIRST_TWO, "Equal labels throughout a batch give no gradient."),
    "CosineSimilarityLoss": (_FIRST_TWO, "Labels outside -1 to 1 cannot be reached: divide scores of 0 to 5 by 5."),
    "ContrastiveLoss": (_BINARY,),
    "OnlineContrastiveLoss": (_FIRST_TWO, _BINARY, "The loss is a sum, so it grows with the batch."),
    "SoftmaxLoss": ("Its classifier is trained with the model but not saved with it.",),
    "MarginMSELoss": ("With unit vectors only margins from -2 to 2 can be reached.",),
    "EmbedDistillLoss": (_TEACHER,),
    "MSELoss": (_TEACHER,),
    "DenoisingAutoEncoderLoss": (
        "The first text column must be a damaged copy of the second.",
        "The decoder about doubles the memory.",
        _STATIC,
    ),
    "ContrastiveTensionLoss": ("Some pairs must be the same text twice.", _COPY),
    "ContrastiveTensionLossInBatchNegatives": (_FIRST_ONLY, _COPY),
    "GlobalOrthogonalRegularizationLoss": ("Only spreads vectors apart: meant to be added to another loss.",),
    "MatryoshkaLoss": ("The loss is a sum over the dimensions, so about so many times the inner loss.",),
    "Matryoshka2dLoss": _LAYERS,
    "AdaptiveLayerLoss": _LAYERS,
}

# Best first, among the losses that fit the same table; losses that are not listed come before the wrappers.
RECOMMENDED = """
    MultipleNegativesRankingLoss CachedMultipleNegativesRankingLoss OnlineContrastiveLoss CoSENTLoss MarginMSELoss
    DistillKLDivLoss MSELoss EmbedDistillLoss BatchAllTripletLoss BatchHardSoftMarginTripletLoss BatchHardTripletLoss
    BatchSemiHardTripletLoss GISTEmbedLoss CachedGISTEmbedLoss TripletLoss AnglELoss CosineSimilarityLoss
    ContrastiveLoss SoftmaxLoss MegaBatchMarginLoss ContrastiveTensionLossInBatchNegatives DenoisingAutoEncoderLoss
    ContrastiveTensionLoss
""".split()
LAST = ["MatryoshkaLoss", "AdaptiveLayerLoss", "Matryoshka2dLoss", "GlobalOrthogonalRegularizationLoss"]
