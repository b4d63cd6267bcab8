"""Servers behind TLS and tokens, in earnest: who is let in, and what the others are told."""

import subprocess
import time

import pytest
from faults_gate import Authority, gate
from pydantic import SecretStr, ValidationError

from rag_plugins import Config, RagIndex
from rag_plugins.config import Bm25Leg, StoreConfig, TlsConfig
from rag_plugins.errors import ConfigError, StoreError, StoreUnavailable

TOKEN = "root:canary 7f3a@/%"


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ours"), "ours")


@pytest.fixture(scope="module")
def others(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("others"), "others")


@pytest.fixture(scope="module")
def pair(ours):
    return ours.sign("localhost")


@pytest.fixture(scope="module")
def behind_tls(milvus_server, pair):
    with gate(milvus_server, pair) as (port, _):
        yield port


@pytest.fixture(scope="module")
def for_known_clients(milvus_server, pair, ours):
    with gate(milvus_server, pair, ours.pem) as (port, _):
        yield port


def used(uri, collection, timeout=10.0, **store):
    """What is in a new collection after one passage was added and looked for."""
    config = Config(legs=(Bm25Leg(),), rerank=(), store=StoreConfig(timeout=timeout, **store))
    with RagIndex.open(uri, config=config, collection=collection) as index:
        index.add([index.passage("The red lamp.")])
        return [hit.passage.llm_text for hit in index.search("lamp")]


def refused(kind, words, uri, **store):
    start = time.monotonic()
    with pytest.raises(kind, match=words) as caught:
        used(uri, "nothing", **store)
    assert type(caught.value) is kind
    return time.monotonic() - start


def test_the_right_authority_and_name(behind_tls, ours, collection):
    assert used(f"https://localhost:{behind_tls}", collection, tls={"ca": ours.pem}) == ["The red lamp."]


def test_a_name_that_the_address_has_not(behind_tls, ours, collection):
    tls = TlsConfig(ca=ours.pem, server_name="localhost")
    assert used(f"https://127.0.0.1:{behind_tls}", collection, tls=tls) == ["The red lamp."]


def test_settings_are_read_from_a_file(behind_tls, ours, collection, tmp_path):
    settings = tmp_path / "a.toml"
    settings.write_text(
        f'rerank = []\n[[legs]]\nkind = "bm25"\n[store]\ntimeout = 9\n[store.tls]\nca = "{ours.pem}"\n'
    )
    uri = f"https://localhost:{behind_tls}"
    with RagIndex.open(uri, config=Config.from_toml(settings), collection=collection) as index:
        assert index.count() == 0


def test_another_authority(behind_tls, others):
    uri = f"https://localhost:{behind_tls}"
    took = refused(StoreError, r"not trusted .*store\.tls\.ca", uri, tls={"ca": others.pem})
    assert took < 5  # And not the deadline.
    refused(StoreError, r"not trusted .*store\.tls\.ca", uri, timeout=1)


def test_another_name(behind_tls, ours):
    for uri, name in ((f"https://127.0.0.1:{behind_tls}", ""), (f"https://localhost:{behind_tls}", "other")):
        tls = {"ca": ours.pem, "server_name": name}
        refused(StoreError, rf"is not for {name or '127.0.0.1'}: .*store\.tls\.server_name", uri, tls=tls)


def test_a_certificate_that_has_expired(milvus_server, ours):
    with gate(milvus_server, ours.sign("localhost", days=0)) as (port, _):
        refused(StoreError, "has expired", f"https://localhost:{port}", tls={"ca": ours.pem})


def test_plain_where_tls_is_spoken_and_the_other_way_round(behind_tls, milvus_server, ours):
    refused(StoreError, "speaks TLS: write https://", f"http://localhost:{behind_tls}", timeout=0.5)
    secure = milvus_server.replace("http://", "https://")
    refused(StoreError, "does not speak TLS: write http://", secure, tls={"ca": ours.pem})


def test_tls_that_the_address_does_not_ask_for_sends_nothing(milvus_server, ours):
    with gate(milvus_server) as (port, seen):
        uri = f"http://localhost:{port}"
        refused(ConfigError, "without TLS: write https://", uri, tls={"ca": ours.pem}, token=SecretStr(TOKEN))
        assert seen == []


def test_certificates_of_clients(for_known_clients, ours, others, collection):
    uri = f"https://localhost:{for_known_clients}"
    certificate, key = ours.sign("program")
    tls = {"ca": ours.pem, "certificate": certificate, "key": key}
    assert used(uri, collection, tls=tls) == ["The red lamp."]
    foreign = dict(zip(("certificate", "key"), others.sign("program"), strict=True))
    for given in ({"ca": ours.pem}, {"ca": ours.pem, **foreign}):
        refused(StoreError, r"hangs up on this program: set store\.tls\.certificate", uri, tls=given)


def test_files_that_are_none_are_named(behind_tls, ours, others, tmp_path):
    uri = f"https://localhost:{behind_tls}"
    certificate, key = ours.sign("program")
    _, foreign = others.sign("program")
    locked = tmp_path / "locked.key"
    command = ["openssl", "ec", "-in", key, "-out", locked, "-aes128", "-passout", "pass:x"]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    for ca in (tmp_path / "missing.pem", key):
        refused(ConfigError, rf"store\.tls\.ca: {ca} is no file of certificates", uri, tls={"ca": ca})
    for wrong in (foreign, certificate, tmp_path / "missing.key", locked):
        tls = {"ca": ours.pem, "certificate": certificate, "key": wrong}
        refused(ConfigError, f"{wrong} are no certificate and its unencrypted key", uri, tls=tls)


@pytest.mark.parametrize("given", [{"key": "k"}, {"certificate": "c", "key": "k"}, {"ca": "a", "key": "k"}])
def test_what_pymilvus_would_leave_out_silently_is_refused(given):
    with pytest.raises(ValidationError, match="given together"):
        TlsConfig(**given)


def test_a_token_comes_with_every_call_from_the_settings_or_the_address(milvus_server, collection):
    with gate(milvus_server, token=TOKEN) as (port, seen):
        assert used(f"http://localhost:{port}", collection, token=SecretStr(TOKEN)) == ["The red lamp."]
        escaped = "root:canary%207f3a%40%2F%25"
        assert used(f"http://{escaped}@localhost:{port}", collection) == ["The red lamp."]
    assert len({token for _, token in seen}) == 1 and len(seen) > 10


@pytest.mark.parametrize("token", [None, "root:canary"], ids=["none", "wrong"])
def test_another_token(milvus_server, token):
    with gate(milvus_server, token=TOKEN) as (port, _):
        uri = f"http://localhost:{port}"
        took = refused(StoreError, r"refuses it .*set store\.token", uri, token=token and SecretStr(token))
    assert took < 5


def test_where_nobody_is_it_is_unavailable_within_the_deadline(ours):
    for uri in ("http://127.0.0.1:1", "https://127.0.0.1:1"):
        tls = {"ca": ours.pem} if uri.startswith("https") else {}
        assert refused(StoreUnavailable, "no answer", uri, timeout=1, tls=tls) < 1.1 + 0.5


def test_settings_differ_connections_differ(behind_tls, ours, others, collection):
    """One that is open lets nobody else in."""
    uri = f"https://localhost:{behind_tls}"
    config = Config(legs=(Bm25Leg(),), rerank=(), store=StoreConfig(tls=TlsConfig(ca=ours.pem)))
    with RagIndex.open(uri, config=config, collection=collection):
        refused(StoreError, "not trusted", uri, tls={"ca": others.pem})
