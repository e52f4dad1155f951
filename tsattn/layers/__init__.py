"""Keras layers for attention and time-series forecasting, on any Keras backend."""

from tsattn.layers.alignments import Alignment, CoverageAlignment, HardmaxAlignment, LocalAlignment, MonotonicAlignment
from tsattn.layers.attention import Attention
from tsattn.layers.attention_decoder import AttentionDecoder
from tsattn.layers.attention_pooling import AttentionPooling, CopyAttention
from tsattn.layers.attention_scores import register_score
from tsattn.layers.classical_attention import BahdanauAttention, LuongAttention
from tsattn.layers.convolutions import AdaptiveAdjacency, DiffusionConvolution, TemporalConvBlock, receptive_field
from tsattn.layers.forecast_combination import ForecastCombination, SmoothingCombination, ZeroShotForecast
from tsattn.layers.graph import GraphAttention
from tsattn.layers.linear_attention import LinearAttention
from tsattn.layers.multi_head_attention import MultiHeadAttention
from tsattn.layers.output_layers import CalibratedQuantiles, DistributionHead, ForecastDistribution, SortedQuantiles
from tsattn.layers.pretrained_network import PretrainedForecast
from tsattn.layers.recurrent_decoder import ParallelDecoder
from tsattn.layers.scaling import InstanceScaling
from tsattn.layers.sequences import HistoryWindow, Patching, PositionalEncoding, bucket_batches
from tsattn.layers.transformer import TransformerDecoderBlock, TransformerEncoderBlock

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
    "ForecastCombination",
    "ForecastDistribution",
    "GraphAttention",
    "HardmaxAlignment",
    "HistoryWindow",
    "InstanceScaling",
    "LinearAttention",
    "LocalAlignment",
    "LuongAttention",
    "MonotonicAlignment",
    "MultiHeadAttention",
    "ParallelDecoder",
    "Patching",
    "PositionalEncoding",
    "PretrainedForecast",
    "SmoothingCombination",
    "SortedQuantiles",
    "TemporalConvBlock",
    "TransformerDecoderBlock",
    "TransformerEncoderBlock",
    "ZeroShotForecast",
    "bucket_batches",
    "receptive_field",
    "register_score",
]
