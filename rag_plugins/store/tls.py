"""TLS to a server: what pymilvus is told of it, and why it did not come about."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

from rag_plugins.config.store import TlsConfig
from rag_plugins.errors import ConfigError, StoreError, StoreUnavailable
from rag_plugins.store.address import Address

__all__ = ["explained", "tls_arguments"]

_PATIENCE = 2.0
_HANGS_UP = 0.5
"""Seconds in which a server that wants another certificate, or any, does so."""

_OVERTIME = 0.05
"""The share of the deadline that a look at what went wrong may take once it is over."""

_PORTS = {"https": 443, "http": 19530, "tcp": 19530}
"""Where pymilvus looks when an address names no port."""

_TOLD: Mapping[int, str] = {
    10: "its certificate has expired: renew it",
    62: "its certificate is not for {name}: use the name that it is for, or set store.tls.server_name to it",
    64: "its certificate is not for {name}: use the name that it is for, or set store.tls.server_name to it",
}
"""By OpenSSL's X509_V_ERR codes."""

_UNTRUSTED = "its certificate is not trusted ({reason}): set store.tls.ca to that of whoever signed it"
_PLAIN = "it does not speak TLS: write http://, or put TLS in front of it"
_REFUSED = "it hangs up on this program: set store.tls.certificate and key to a pair that it trusts"


def tls_arguments(address: Address, tls: TlsConfig) -> dict[str, Any]:
    """Arguments of `MilvusClient`. Raises `ConfigError` for files that are none, and TLS without https."""
    if not address.uri.lower().startswith("https://"):
        if tls != TlsConfig():
            raise ConfigError(f"store.tls is set, but {address} is reached without TLS: write https://")
        return {}
    _context(tls)
    given = {"server_name": tls.server_name, "secure": True}
    if tls.certificate:
        pair = {"client_pem_path": str(tls.certificate), "client_key_path": str(tls.key)}
        return {**given, **pair, "ca_pem_path": str(tls.ca)}
    return {**given, "server_pem_path": str(tls.ca or "")}


@contextmanager
def explained(address: Address, tls: TlsConfig, timeout: float) -> Generator[None]:
    """Opening: raises `StoreError` where TLS is why nobody answers, of which pymilvus says nothing."""
    if tls.ca is not None:
        # At once: the client would try until the deadline. Without `ca` it has authorities of its own.
        _check(address, tls, min(timeout, _PATIENCE))
    try:
        yield
    except StoreUnavailable:
        _check(address, tls, min(timeout * _OVERTIME, _PATIENCE))
        raise


def _check(address: Address, tls: TlsConfig, patience: float) -> None:
    parts = urlsplit(address.uri)
    scheme = parts.scheme.lower()
    if address.path or scheme not in _PORTS or not parts.hostname:
        return
    told, place = "", (parts.hostname, parts.port or _PORTS[scheme])
    with suppress(OSError), socket.create_connection(place, patience) as plain:
        secure = scheme == "https"
        told = _secure_trouble(plain, tls, parts.hostname) if secure else _plain_trouble(plain)
    if told:
        raise StoreError(f"opening {address}: {told}")


def _plain_trouble(plain: socket.socket) -> str:
    with suppress(OSError), _unverified().wrap_socket(plain):
        return "it speaks TLS: write https://"
    return ""


def _secure_trouble(plain: socket.socket, tls: TlsConfig, host: str) -> str:
    name = tls.server_name or host
    try:
        secure = _context(tls).wrap_socket(plain, server_hostname=name)
    except ssl.SSLCertVerificationError as error:
        return _TOLD.get(error.verify_code, _UNTRUSTED).format(name=name, reason=error.verify_message)
    except ssl.SSLError as error:
        return _REFUSED if "ALERT" in (error.reason or "") else _PLAIN
    with secure:
        secure.settimeout(_HANGS_UP)
        try:
            # Servers speak first, and say only now, by hanging up, that they want a certificate.
            return "" if secure.recv(1) else _REFUSED
        except (ssl.SSLError, ConnectionError):
            return _REFUSED


def _context(tls: TlsConfig) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=tls.ca)
    except OSError as error:
        raise ConfigError(f"store.tls.ca: {tls.ca} is no file of certificates in PEM ({error})") from error
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # gRPC, which has to agree, is not as strict.
    if tls.certificate:
        try:
            context.load_cert_chain(tls.certificate, tls.key, password="")
        except OSError as error:
            raise ConfigError(
                f"store.tls: {tls.certificate} and {tls.key} are no certificate and its unencrypted key, "
                f"in PEM ({error})"
            ) from error
    context.set_alpn_protocols(["h2"])
    return context


def _unverified() -> ssl.SSLContext:
    """Nothing is sent over it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    return context
