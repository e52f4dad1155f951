"""Keras layers for attention and forecasting, each usable alone, on any Keras backend."""

from tsattn.layers.adaptive_adjacency import AdaptiveAdjacency
from tsattn.layers.alignments import (
    Alignment,
    CoverageAlignment,
    HardmaxAlignment,
    LocalAlignment,
    MonotonicAlignment,
)
from tsattn.layers.attention import Attention
from tsattn.layers.attention_decoder import AttentionDecoder
from tsattn.layers.attention_pooling import AttentionPooling
from tsattn.layers.calibrated_quantiles import CalibratedQuantiles
from tsattn.layers.copy_attention import CopyAttention
from tsattn.layers.diffusion_convolution import DiffusionConvolution
from tsattn.layers.distribution_head import DistributionHead
from tsattn.layers.forecast_distribution import ForecastDistribution
from tsattn.layers.graph_attention import GraphAttention
from tsattn.layers.history_window import HistoryWindow
from tsattn.layers.instance_scaling import InstanceScaling
from tsattn.layers.multi_head_attention import MultiHeadAttention
from tsattn.layers.named_attention import BahdanauAttention, LuongAttention
from tsattn.layers.parallel_decoder import ParallelDecoder
from tsattn.layers.patching import Patching
from tsattn.layers.positional_encoding import PositionalEncoding
from tsattn.layers.scores import register_score
from tsattn.layers.sorted_quantiles import SortedQuantiles
from tsattn.layers.temporal_conv import TemporalConvBlock, receptive_field
from tsattn.layers.transformer_blocks import TransformerDecoderBlock, TransformerEncoderBlock

__all__ = [
    "AdaptiveAdjacency",
    "Alignment",
    "Attention",
    "AttentionDecoder",
    "AttentionPooling",
    "BahdanauAttention",
    "CalibratedQuantiles",
    "CopyAttention",
    "CoverageAlignment",
    "DiffusionConvolution",
    "DistributionHead",
    "ForecastDistribution",
    "GraphAttention",
    "HardmaxAlignment",
    "HistoryWindow",
    "InstanceScaling",
    "LocalAlignment",
    "LuongAttention",
    "MonotonicAlignment",
    "MultiHeadAttention",
    "ParallelDecoder",
    "Patching",
    "PositionalEncoding",
    "SortedQuantiles",
    "TemporalConvBlock",
    "TransformerDecoderBlock",
    "TransformerEncoderBlock",
    "receptive_field",
    "register_score",
]
