"""Synthetic time series: seeded generators of many kinds, on which the pretrained network was trained.

Every generator is a function of a random generator, the number of series, their length and their season lengths, and
returns an array `(count, length)`. `generate` mixes them in equal parts. Nothing here imports Keras or TensorFlow.
"""

from tsattn.synthetic.generators import GENERATORS
from tsattn.synthetic.mixture import generate

__all__ = ["GENERATORS", "generate"]
