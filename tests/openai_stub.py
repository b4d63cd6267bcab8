"""An embeddings service as OpenAI's, on this machine: what the real clients send is answered in full.

`POST /v1/embeddings` takes a text, texts, token ids or lists of these, `dimensions`, and `encoding_format`
"float" or "base64". A text's vector is made of its words, the same ones always; numbers fall off, so that a
prefix of a vector says most of what the whole one does, as text-embedding-3-large's prefixes do.
"""

import base64
import hashlib
import json
import threading
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np

from rag_plugins import Config, Funnel, RagIndex
from rag_plugins.config import DenseLeg

KEY = "sk-test"
DIMS = {"text-embedding-3-large": 3072, "text-embedding-3-small": 1536}


@cache
def _word(word):
    seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8])
    falling = np.arange(1, 3073) ** -0.6
    return np.random.default_rng(seed).standard_normal(3072) * falling


def embedding(text, width):
    """A unit vector of `width` numbers: a prefix of the whole one, scaled."""
    prefix = np.sum([_word(word) for word in text.lower().split()], axis=0)[:width]
    return (prefix / np.linalg.norm(prefix)).astype(np.float32)


class _Refused(Exception):
    """A request that the service does not answer: status, what it says."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize, disable_nagle_algorithm = -1, True  # Else clients wait 40 ms for the second packet.

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        try:
            self._answer(200, self._embeddings(json.loads(body)))
        except _Refused as refusal:
            status, message = refusal.args
            self._answer(status, {"error": {"message": message, "type": "invalid_request_error"}})

    def _embeddings(self, asked):
        if self.path != "/v1/embeddings":
            raise _Refused(404, f"no {self.path}")
        if self.headers["Authorization"] != f"Bearer {KEY}":
            raise _Refused(401, "Incorrect API key provided")
        model = asked["model"]
        width = asked.get("dimensions", DIMS.get(model, 0))
        if model not in DIMS or not 1 <= width <= DIMS[model]:
            raise _Refused(400, f"no {width} dimensions of {model}")
        texts = [_text(each) for each in _inputs(asked["input"])]
        self.server.requests.append({**asked, "texts": texts})
        encoded = _FORMATS[asked.get("encoding_format", "float")]
        data = [
            {"object": "embedding", "index": n, "embedding": encoded(embedding(text, width))}
            for n, text in enumerate(texts)
        ]
        tokens = sum(len(text.split()) for text in texts)
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return {"object": "list", "model": model, "data": data, "usage": usage}

    def _answer(self, status, content):
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        """Say nothing."""


_FORMATS = {
    "float": lambda vector: vector.tolist(),
    "base64": lambda vector: base64.b64encode(vector.astype("<f4").tobytes()).decode(),
}


def _inputs(given):
    """One text and one list of token ids are inputs too."""
    alone = isinstance(given, str) or isinstance(given[0], int)
    return [given] if alone else given


def _text(given):
    """Token ids are bytes here, as of a tokenizer without merges."""
    text = given if isinstance(given, str) else bytes(given).decode()
    if not text.strip():
        raise _Refused(400, "input cannot be an empty string")
    return text


@contextmanager
def openai_stub():
    """The service on a free port, until the end: its `url`, and the `requests` that it answered."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    server.requests = []
    server.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


WORDS = [a + b + c for a in ("ba", "de", "fi", "go", "ku") for b in "lmnr" for c in ("ta", "se", "vi", "po")]


def texts(count, start=0):
    """Texts of eight of eighty words, always the same ones."""
    chosen = (np.random.default_rng(n).choice(WORDS, 8) for n in range(start, start + count))
    return [" ".join(words) for words in chosen]


MODEL = "text-embedding-3-large"
FUNNEL = Funnel([(256, 40), (1024, 20), (3072,)])
PASSAGES = texts(600)
QUERIES = texts(20, start=10**6)


def opened(path, encoder, funnel=FUNNEL):
    """An index of this one dense leg, without reranking."""
    config = Config(legs=(DenseLeg(model=MODEL, funnel=funnel),), rerank=())
    return RagIndex.open(path, config=config, encoders={"dense": encoder})


def filled(path, encoder):
    """The same with `PASSAGES` in it."""
    index = opened(path, encoder)
    index.add([index.passage(text, caller_id=text) for text in PASSAGES])
    return index


def ranking(index, query, k=10, **how):
    """What the dense leg finds: ids and scores."""
    return index.run(query, k, depth=k, **how).rankings["dense"]


def check_funnel(index):
    """That the funnel finds what the exact search does, which is what the vectors themselves say."""
    assert index.store.prefixes("dense").funnel == FUNNEL
    whole = np.array([embedding(text, 3072) for text in PASSAGES])
    found = 0
    for query in QUERIES:
        exact, fast = dict(ranking(index, query, exact=True)), dict(ranking(index, query))
        expected = np.sort(whole @ embedding(query, 3072))[::-1][:10]
        np.testing.assert_allclose([*exact.values()], expected, atol=1e-5)
        both = [id for id in fast if id in exact]
        np.testing.assert_allclose([fast[id] for id in both], [exact[id] for id in both], atol=1e-5)
        found += len(both)
    assert found >= 0.99 * 10 * len(QUERIES)


def check_prefixes(index):
    """That a funnel of the first prefix alone ranks by that prefix: searches do go through it."""
    short = np.array([embedding(text, 256) for text in PASSAGES])
    differs = 0
    for query in QUERIES:
        ranked = ranking(index, query)
        expected = np.sort(short @ embedding(query, 256))[::-1][:10]
        np.testing.assert_allclose([score for _, score in ranked], expected, atol=1e-5)
        differs += [id for id, _ in ranked] != [id for id, _ in ranking(index, query, exact=True)]
    assert differs > len(QUERIES) / 2
