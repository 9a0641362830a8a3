"""What is said over the wire, and how it is put into Flower's records. Nothing else crosses it.

    query.roll_call   RollCall          -> SiteCard           who is there
    query.prepare     PrepareTask       -> SiteLedger         CT to cases; what was left out, and the class counts
    train             TrainTask + w     -> TrainReply + w     one round of local training
    evaluate          EvaluateTask + w  -> EvaluateReply      statistics of the scores on one split

A site is known by the name on its card. The node id that Flower gives it is the address of a message, never a name.

In a leave-one-site-out run each of the server's messages also names its fold; what the fold asks of a site, the site
works out from its own copy of the run's configuration.

A message is one ``ConfigRecord`` ("message") with its kind, the protocol's version and its scalars; a mapping is a
``ConfigRecord`` of its own, named after its field; weights and statistics are ``ArrayRecord``s. Every value that comes
in is checked against the type and the bounds that its field declares here: neither side trusts the other.
"""

from __future__ import annotations

from fedlung.names import SiteName
from fedlung.protocol.codec import PROTOCOL_VERSION, decode, encode
from fedlung.protocol.failures import failure_of, failure_text
from fedlung.protocol.folds import fold_of, with_fold
from fedlung.protocol.messages import (
    EVALUATE,
    PREPARE,
    ROLL_CALL,
    START_LOSS,
    TRAIN,
    VALIDATION_LOSS,
    EvaluateReply,
    EvaluateTask,
    PrepareTask,
    RollCall,
    Said,
    SiteCard,
    SiteLedger,
    SplitCounts,
    TrainReply,
    TrainTask,
)
from fedlung.protocol.weights import (
    MOST_MEMBERS,
    State,
    decode_correction,
    decode_members,
    decode_state,
    decode_weights,
    encode_state,
    num_bytes,
    take_weights,
    with_members,
    written,
)
from fedlung.protocol.words import DETECTION, Undetected

__all__ = [
    "DETECTION",
    "EVALUATE",
    "MOST_MEMBERS",
    "PREPARE",
    "PROTOCOL_VERSION",
    "ROLL_CALL",
    "START_LOSS",
    "TRAIN",
    "VALIDATION_LOSS",
    "EvaluateReply",
    "EvaluateTask",
    "PrepareTask",
    "RollCall",
    "Said",
    "SiteCard",
    "SiteLedger",
    "SiteName",
    "SplitCounts",
    "State",
    "TrainReply",
    "TrainTask",
    "Undetected",
    "decode",
    "decode_correction",
    "decode_members",
    "decode_state",
    "decode_weights",
    "encode",
    "encode_state",
    "failure_of",
    "failure_text",
    "fold_of",
    "num_bytes",
    "take_weights",
    "with_fold",
    "with_members",
    "written",
]
