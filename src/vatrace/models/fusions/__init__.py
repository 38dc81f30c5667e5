"""How the modalities are joined: all fusions by name, to be compared on equal terms."""

from vatrace.models.fusions.base import Fusion
from vatrace.models.fusions.cross_attention import CrossAttention, RecursiveCrossAttention
from vatrace.models.fusions.jca import JCA
from vatrace.models.fusions.lstm import LSTM
from vatrace.models.fusions.per_step import Concat, Gated, LeaderFollower
from vatrace.models.fusions.rcma import RCMA, RJCMA
from vatrace.models.fusions.transformer import Transformer

FUSIONS: dict[str, type[Fusion]] = {
    "recursive_cross_attention": RecursiveCrossAttention,
    "rcma": RCMA,
    "rjcma": RJCMA,
    "concat": Concat,
    "lstm": LSTM,
    "cross_attention": CrossAttention,
    "jca": JCA,
    "leader_follower": LeaderFollower,
    "transformer": Transformer,
    "gated": Gated,
}
"""Each is made with the channels by modality, a dropout share, and options of its own."""

__all__ = ["FUSIONS", "Fusion"]
