"""The page and what it calls: questions, documents, images."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import asynccontextmanager
from functools import lru_cache
from importlib.resources import files

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from rag_plugins.chat.answering import Chat
from rag_plugins.chat.messages import Evidence
from rag_plugins.chat.serving.bodies import Answer, limited
from rag_plugins.chat.serving.guard import LOOPBACK, Guard
from rag_plugins.chat.serving.names import documents_of, without_paths
from rag_plugins.chat.serving.payloads import failed, sent
from rag_plugins.chat.serving.requests import Question, parsed, to_filter
from rag_plugins.chat.serving.uploads import Uploads
from rag_plugins.errors import BadInput, RagPluginsError
from rag_plugins.evidence.images import reading_size

__all__ = ["make_app"]

_logger = logging.getLogger(__name__)

_PAGE = files("rag_plugins.chat.serving") / "page"
_LARGEST_QUESTION = 2_000_000
_MOST_FILES = 100
_MEGABYTE = 1 << 20
_LOOKED_AT = 200
"""Passages whose metadata say which keys there are to filter by."""

_KEPT = 100
"""Page images, some 50 KB each, that are not made anew when they are looked at again."""

_SOMETHING = "Something went wrong on the server: its log says what."


def make_app(
    chat: Chat,
    name: str,
    *,
    upload: bool = True,
    hosts: Sequence[str] | None = LOOPBACK,
    token: str | None = None,
) -> Guard:
    """The app over a chat; `name` is what the page calls the collection. See `Guard` for hosts and token."""
    server = _Server(chat, name, upload)

    @asynccontextmanager
    async def life(_: Starlette) -> AsyncGenerator[None]:
        yield
        await run_in_threadpool(server.close)

    routes = [
        Route("/", server.page),
        Route("/api/about", server.about),
        Route("/api/ask", server.ask, methods=["POST"]),
        Route("/api/documents", server.documents, methods=["GET"]),
        Route("/api/documents", server.receive, methods=["POST"]),
        Route("/api/documents", server.delete, methods=["DELETE"]),
        Route("/api/jobs/{key}", server.job),
        Route("/api/image/{asset}", server.image),
        Mount("/static", StaticFiles(directory=str(_PAGE))),
    ]
    handlers = {
        RagPluginsError: _refused,
        HTTPException: _refused,
        ClientDisconnect: _gone,
        Exception: _failed,
    }
    # Around all of it: the answer to what nobody foresaw has its headers too.
    return Guard(Starlette(routes=routes, lifespan=life, exception_handlers=handlers), hosts, token)


async def _refused(_: Request, error: Exception) -> Response:
    if isinstance(error, HTTPException):
        return JSONResponse({"error": error.detail}, error.status_code, error.headers)
    return JSONResponse({"error": without_paths(str(error))}, 400)


async def _gone(_: Request, error: Exception) -> Response:
    return Response(status_code=400)  # Nobody is there to read it.


async def _failed(_: Request, error: Exception) -> Response:
    return JSONResponse({"error": _SOMETHING}, 500)  # The server puts the error into its log.


class _Server:
    """One collection's chat, and what its page was shown."""

    def __init__(self, chat: Chat, name: str, upload: bool) -> None:
        self._chat = chat
        self._name = name
        self._uploads = Uploads(chat.index) if upload else None
        self._images: set[str] = set()
        self._picture = lru_cache(_KEPT)(self._made)

    async def page(self, request: Request) -> Response:
        return Response((_PAGE / "index.html").read_text("utf-8"), media_type="text/html")

    async def about(self, request: Request) -> Response:
        return JSONResponse(await run_in_threadpool(self._about))

    async def ask(self, request: Request) -> Response:
        told = f"the question and what went before have more than {_LARGEST_QUESTION:,} bytes: begin anew"
        question = parsed(await limited(request, _LARGEST_QUESTION, told).body())
        return Answer(self._events(question))

    async def documents(self, request: Request) -> Response:
        return JSONResponse(await run_in_threadpool(self._documents))

    async def receive(self, request: Request) -> Response:
        uploads, megabytes = self._writable(), self._chat.config.upload_megabytes
        told = f"more than {megabytes} MB at once: send fewer or smaller files"
        batch = await run_in_threadpool(uploads.batch)
        try:
            request = limited(request, megabytes * _MEGABYTE, told)
            async with request.form(max_files=_MOST_FILES, max_fields=0) as form:
                for file in form.getlist("files"):
                    if isinstance(file, UploadFile):
                        await run_in_threadpool(batch.put, file.filename, file.file)
            return JSONResponse({"job": uploads.start(batch)}, 202)
        except BaseException:
            batch.drop()
            raise

    async def delete(self, request: Request) -> Response:
        self._writable()
        await run_in_threadpool(self._delete, request.query_params.get("id", ""))
        return JSONResponse({})

    async def job(self, request: Request) -> Response:
        job = self._writable().job(request.path_params["key"])
        return JSONResponse({"told": job.told, "finished": job.finished, "bad": job.bad})

    async def image(self, request: Request) -> Response:
        asset = request.path_params["asset"]
        if asset not in self._images:  # Only what an answer has shown: the store may hold other tenants'.
            raise HTTPException(404, "there is no such image")
        data = await run_in_threadpool(self._picture, asset)
        if data is None:
            raise HTTPException(404, "the image is damaged")
        return Response(data, media_type="image/webp")

    def close(self) -> None:
        if self._uploads:
            self._uploads.close()

    def _made(self, asset: str) -> bytes | None:
        return reading_size(self._chat.index.assets.get(asset))

    def _writable(self) -> Uploads:
        if self._uploads is None:
            raise BadInput("this chat takes no documents and deletes none")
        return self._uploads

    def _about(self) -> dict[str, object]:
        index, quotes = self._chat.index, self._chat.quotes
        looked_at = index.find(limit=_LOOKED_AT)
        documents = len(documents_of(index))
        who = "answers are quoted from the documents" if quotes else "answers are written by a language model"
        what = f"{documents} documents, {index.count()} passages; {who}"
        full = "Ask in your own words. Every answer shows the pages that it is from."
        return {
            "name": self._name,
            "answers": what + (f"; tenant {index.tenant}" if index.tenant else ""),
            "lead": full if documents else "The collection is empty: add documents first.",
            "examples": list(self._chat.config.examples),
            "keys": sorted({key for passage in looked_at for key in passage.metadata if key[:1] != "_"}),
            "upload": self._uploads is not None,
            "megabytes": self._chat.config.upload_megabytes,
        }

    def _events(self, question: Question) -> Generator[bytes]:
        try:
            filter = to_filter(question.filter, self._ids() if question.filter else {})
            for event in self._chat.ask(question.question, question.messages, filter):
                if isinstance(event, Evidence):
                    self._images |= {source.image for source in event.sources if source.image}
                yield sent(event)
        except RagPluginsError as error:
            yield failed(without_paths(str(error)))
        except Exception:
            _logger.exception("an answer failed")
            yield failed(_SOMETHING)

    def _ids(self) -> dict[str, str]:
        return {document.key: document.doc_id for document in documents_of(self._chat.index)}

    def _documents(self) -> dict[str, object]:
        found = [
            {"id": document.key, "name": document.name, "passages": document.passages}
            for document in documents_of(self._chat.index)
        ]
        return {"documents": found, "deletable": self._uploads is not None}

    def _delete(self, key: str) -> None:
        ids = self._ids()
        if key not in ids:
            raise BadInput("there is no such document any more")
        self._chat.index.delete(ids[key])
