"""One peer of each kind, and the documents that they are trained on."""

from pydoc_data.topics import topics

from gqvae.evaluation.peers import HuggingFacePeer
from gqvae.evaluation.unigram import UnigramTokenizer

STORY = (
    "Once upon a time there was a little girl named Lily. She loved to play in the garden, and the garden "
    "loved her too. One day she found a red ball. “It’s mine!” said the café’s dog. 日本語 too.\n"
)
DOCUMENTS = [STORY, STORY.upper(), STORY * 3 + "the end", topics["import"], topics["numeric-types"]]
SPECS = {
    "bpe": "bpe:400",
    "unigram": "unigram:500",
    "wordpiece": "wordpiece:700",
    "sentence-bpe": "sentence-bpe:400",
    "superbpe": "superbpe:400:300",
    "bytes": "bytes:257",
}
"""One of each kind."""
Peer = HuggingFacePeer | UnigramTokenizer


def tokens(peer: Peer) -> list[bytes]:
    return [peer.decode_bytes([id_]) for id_ in range(peer.vocab_size)]
