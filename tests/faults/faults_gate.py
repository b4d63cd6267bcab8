"""What stands before a real Milvus server, TLS and a check of tokens, with authorities made on the spot."""

import base64
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc

_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]


def _openssl(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, timeout=60)


class Authority:
    """One that signs certificates; `pem` is its own."""

    def __init__(self, folder, name):
        self._folder, self._name = folder, name
        self.pem, self._key = folder / f"{name}.pem", folder / f"{name}.key"
        _openssl("req", "-x509", *_KEY, "-subj", f"/CN={name}", "-keyout", self._key, "-out", self.pem)

    def sign(self, host, days=2):
        """A certificate for a host, and its key: files."""
        certificate, key, request = (
            self._folder / f"{self._name}-{host}-{days}.{kind}" for kind in ("pem", "key", "csr")
        )
        names = self._folder / f"{host}.names"
        names.write_text(f"subjectAltName=DNS:{host}\n")
        _openssl("req", *_KEY, "-subj", f"/CN={host}", "-keyout", key, "-out", request)
        signed = ("-CA", self.pem, "-CAkey", self._key, "-CAcreateserial", "-days", days, "-extfile", names)
        _openssl("x509", "-req", "-in", request, *signed, "-out", certificate)
        return certificate, key


@contextmanager
def gate(server, pair=None, clients_of=None, token=None):
    """A port of this machine whose calls go on to `server`, http://host:port; what came stands in the list.

    With `pair`, a certificate and its key, it speaks TLS; with `clients_of`, the PEM of an authority, only
    with programs whose certificate that signed. With `token` it refuses calls that bring another.
    """
    seen = []
    with ThreadPoolExecutor(8) as pool, grpc.insecure_channel(server.removeprefix("http://")) as behind:
        door = grpc.server(pool, handlers=[_Calls(behind, token, seen)])
        port = _open(door, pair, clients_of)
        door.start()
        try:
            yield port, seen
        finally:
            door.stop(None).wait()


def _open(door, pair, clients_of):
    if pair is None:
        return door.add_insecure_port("127.0.0.1:0")
    certificate, key = (file.read_bytes() for file in pair)
    known = clients_of and clients_of.read_bytes()
    credentials = grpc.ssl_server_credentials([(key, certificate)], known, clients_of is not None)
    return door.add_secure_port("127.0.0.1:0", credentials)


class _Calls(grpc.GenericRpcHandler):
    """Bytes in, bytes out, whatever the call."""

    def __init__(self, behind, token, seen):
        self._behind, self._seen = behind, seen
        self._wanted = token and base64.b64encode(token.encode()).decode()

    def service(self, call):
        brought = dict(call.invocation_metadata).get("authorization", "")
        self._seen.append((call.method, brought))

        def answer(request, context):
            if self._wanted and brought != self._wanted:
                context.abort(
                    grpc.StatusCode.UNAUTHENTICATED, "auth check failure, please check api key is correct"
                )
            left = context.time_remaining()  # Beyond all measure where the caller has set no deadline.
            try:
                return self._behind.unary_unary(call.method)(request, timeout=min(left or 60.0, 60.0))
            except grpc.RpcError as error:
                context.abort(error.code(), error.details())

        return grpc.unary_unary_rpc_method_handler(answer)
