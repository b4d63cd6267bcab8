"""Servers of language models on this machine, in the protocols of OpenAI, Ollama and Anthropic.

What the real clients send is answered in full: `server.pieces` are streamed, one a packet. With
`server.held` the stream stays open after the first piece until `server.go` is set; `server.left` is set
once a client has gone away before the end. `server.status` refuses every request, `server.breaks` hangs up
after the first piece. `server.requests` has the bodies, `server.keys` the keys.
"""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KEY = "sk-canary-51c9"


def _openai(pieces):
    yield {"role": "assistant", "content": ""}, None
    for piece in pieces:
        yield {"content": piece}, None
    yield {}, "stop"


def _openai_events(pieces):
    frame = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "stub"}
    for delta, reason in _openai(pieces):
        yield _sse({**frame, "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]})
    yield b"data: [DONE]\n\n"


def _openai_whole(pieces):
    message = {"role": "assistant", "content": "".join(pieces)}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    frame = {"id": "c1", "object": "chat.completion", "created": 1, "model": "stub"}
    return {**frame, "choices": [choice], "usage": usage}


def _ollama_events(pieces):
    frame = {"model": "stub", "created_at": "2026-01-01T00:00:00Z"}
    for piece in pieces:
        line = {**frame, "message": {"role": "assistant", "content": piece}, "done": False}
        yield json.dumps(line).encode() + b"\n"
    last = {**frame, "message": {"role": "assistant", "content": ""}, "done": True, "done_reason": "stop"}
    counts = {"total_duration": 1, "eval_count": 1, "prompt_eval_count": 1, "eval_duration": 1}
    yield json.dumps({**last, **counts}).encode() + b"\n"


def _anthropic_events(pieces):
    usage = {"input_tokens": 1, "output_tokens": 1}
    message = {"id": "m1", "type": "message", "role": "assistant", "model": "stub", "content": []}
    message |= {"stop_reason": None, "stop_sequence": None, "usage": usage}
    yield _named({"type": "message_start", "message": message})
    block = {"type": "text", "text": ""}
    yield _named({"type": "content_block_start", "index": 0, "content_block": block})
    for piece in pieces:
        delta = {"type": "text_delta", "text": piece}
        yield _named({"type": "content_block_delta", "index": 0, "delta": delta})
    yield _named({"type": "content_block_stop", "index": 0})
    end = {"stop_reason": "end_turn", "stop_sequence": None}
    yield _named({"type": "message_delta", "delta": end, "usage": {"output_tokens": 2}})
    yield _named({"type": "message_stop"})


def _sse(data):
    return b"data: " + json.dumps(data).encode() + b"\n\n"


def _named(data):
    return b"event: " + data["type"].encode() + b"\n" + _sse(data)


_STREAMS = {
    "/v1/chat/completions": (_openai_events, "text/event-stream"),
    "/api/chat": (_ollama_events, "application/x-ndjson"),
    "/v1/messages": (_anthropic_events, "text/event-stream"),
}
_UNKEYED = ("/api/chat", "/api/show")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        key = self.headers["x-api-key"] or (self.headers["Authorization"] or "").removeprefix("Bearer ")
        server = self.server
        if self.path == "/api/show":
            return self._whole(200, {"model_info": {"stub.context_length": 4096}})
        server.requests.append(body)
        server.keys.append(key)
        if self.path not in _STREAMS:
            return self._whole(404, {"error": {"message": f"no {self.path}"}})
        if server.key is not None and self.path not in _UNKEYED and key != server.key:
            return self._whole(401, {"error": {"message": f"Incorrect API key provided: {key}"}})
        if server.status:
            return self._whole(server.status, {"error": {"message": f"it failed with the key {key}"}})
        if self.path == "/v1/chat/completions" and not body.get("stream"):
            return self._whole(200, _openai_whole(server.pieces))
        return self._stream(*_STREAMS[self.path])

    def _stream(self, events, kind):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Transfer-Encoding", "chunked")
        self.send_header("Connection", "close")
        self.end_headers()
        try:
            for event in events(self.server.pieces):
                self._chunk(event)
                if self.server.pieces[0].encode() in event:
                    self._between()
            self._chunk(b"")
        except OSError:
            self.server.left.set()
            self.close_connection = True

    def _between(self):
        if self.server.breaks:
            raise OSError
        while self.server.held and not self.server.go.wait(0.02):
            if not self._listens():
                raise OSError

    def _listens(self):
        """A client that has gone away leaves an end to be read."""
        self.connection.setblocking(False)
        try:
            return bool(self.connection.recv(1))
        except BlockingIOError:
            return True
        finally:
            self.connection.setblocking(True)

    def _chunk(self, data):
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()

    def _whole(self, status, content):
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        """Say nothing."""


@contextmanager
def chat_stub(*pieces):
    """A server on a free port, until the end; `url` has no path."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    server.pieces = list(pieces) or ["38 Nm", " [1]", "."]
    server.key, server.status, server.breaks, server.held = KEY, 0, False, False
    server.go, server.left = threading.Event(), threading.Event()
    server.requests, server.keys = [], []
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.go.set()
        server.shutdown()
        server.server_close()
        thread.join()
