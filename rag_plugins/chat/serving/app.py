"""The page and what it calls: questions, documents, images."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from functools import wraps
from importlib.resources import files

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.formparsers import MultiPartException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from rag_plugins.chat.answering import Chat
from rag_plugins.chat.messages import Evidence
from rag_plugins.chat.serving.guard import LOOPBACK, Guard
from rag_plugins.chat.serving.names import documents_of
from rag_plugins.chat.serving.payloads import failed, sent
from rag_plugins.chat.serving.requests import Question, parsed, to_filter
from rag_plugins.chat.serving.uploads import Uploads, safe_name
from rag_plugins.errors import BadInput, RagPluginsError
from rag_plugins.evidence.images import reading_size

__all__ = ["make_app"]

_logger = logging.getLogger(__name__)

_PAGE = files("rag_plugins.chat.serving") / "page"
_LARGEST_QUESTION = 2_000_000
_MOST_FILES = 100
_CHUNK = 1 << 20
_SOMETHING = "Something went wrong on the server: its log says what."

Handler = Callable[["_Server", Request], Awaitable[Response]]


def make_app(
    chat: Chat,
    name: str,
    *,
    upload: bool = True,
    hosts: Sequence[str] | None = LOOPBACK,
    token: str | None = None,
) -> Starlette:
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
    guard = Middleware(Guard, hosts=hosts, token=token)
    return Starlette(routes=routes, middleware=[guard], lifespan=life)


def _told(handler: Handler) -> Handler:
    """Errors as JSON that a person can read; what nobody foresaw goes to the log alone."""

    @wraps(handler)
    async def telling(server: _Server, request: Request) -> Response:
        try:
            return await handler(server, request)
        except (RagPluginsError, MultiPartException) as error:
            return JSONResponse({"error": str(error)}, 400)
        except Exception:
            _logger.exception("a request failed")
            return JSONResponse({"error": _SOMETHING}, 500)

    return telling


class _Server:
    """One collection's chat, and what its page was shown."""

    def __init__(self, chat: Chat, name: str, upload: bool) -> None:
        self._chat = chat
        self._name = name
        self._uploads = Uploads(chat.index) if upload else None
        self._images: set[str] = set()

    @_told
    async def page(self, request: Request) -> Response:
        return Response((_PAGE / "index.html").read_text("utf-8"), media_type="text/html")

    @_told
    async def about(self, request: Request) -> Response:
        return JSONResponse(await run_in_threadpool(self._about))

    @_told
    async def ask(self, request: Request) -> Response:
        question = parsed(await _body(request, _LARGEST_QUESTION))
        return StreamingResponse(self._events(question), media_type="text/event-stream")

    @_told
    async def documents(self, request: Request) -> Response:
        return JSONResponse(await run_in_threadpool(self._documents))

    @_told
    async def receive(self, request: Request) -> Response:
        return JSONResponse({"job": await self._received(request)}, 202)

    @_told
    async def delete(self, request: Request) -> Response:
        if self._uploads is None:
            raise BadInput("this chat changes no documents")
        await run_in_threadpool(self._delete, request.query_params.get("id", ""))
        return JSONResponse({})

    @_told
    async def job(self, request: Request) -> Response:
        if self._uploads is None:
            raise BadInput("this chat takes no documents")
        job = self._uploads.job(request.path_params["key"])
        return JSONResponse({"told": job.told, "finished": job.finished, "bad": job.bad})

    @_told
    async def image(self, request: Request) -> Response:
        asset = request.path_params["asset"]
        if asset not in self._images:  # Only what an answer has shown: the store may hold other tenants'.
            return JSONResponse({"error": "there is no such image"}, 404)
        data = await run_in_threadpool(lambda: reading_size(self._chat.index.assets.get(asset)))
        return (
            Response(data, media_type="image/webp") if data else JSONResponse({"error": "it is damaged"}, 404)
        )

    def close(self) -> None:
        if self._uploads:
            self._uploads.close()

    def _about(self) -> dict[str, object]:
        index, quotes = self._chat.index, self._chat.quotes
        keys = sorted(
            {key for passage in index.find(limit=200) for key in passage.metadata if key[:1] != "_"}
        )
        documents = len(documents_of(index))
        who = "answers are quoted from the documents" if quotes else "answers are written by a language model"
        return {
            "name": self._name,
            "answers": f"{documents} documents, {index.count()} passages; {who}"
            + (f"; tenant {index.tenant}" if index.tenant else ""),
            "lead": "Ask in your own words. Every answer shows the pages that it is from."
            if documents
            else "The collection is empty: add documents first.",
            "examples": list(self._chat.config.examples),
            "keys": keys,
            "upload": self._uploads is not None,
        }

    def _events(self, question: Question) -> Iterator[bytes]:
        try:
            named = (
                {document.key: document.doc_id for document in documents_of(self._chat.index)}
                if question.filter
                else {}
            )
            for event in self._chat.ask(
                question.question, question.messages, to_filter(question.filter, named)
            ):
                if isinstance(event, Evidence):
                    self._images |= {source.image for source in event.sources if source.image}
                yield sent(event)
        except RagPluginsError as error:
            yield failed(str(error))
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

    async def _received(self, request: Request) -> str:
        uploads, most = self._uploads, self._chat.config.upload_megabytes * _CHUNK
        if uploads is None:
            raise BadInput("this chat takes no documents")
        if int(request.headers.get("content-length") or most + 1) > most:
            raise BadInput(f"more than {most // _CHUNK} MB at once: send fewer or smaller files")
        folder, names = uploads.folder(), list[str]()
        async with request.form(max_files=_MOST_FILES, max_fields=0) as form:
            for file in form.getlist("files"):
                if isinstance(file, str):
                    raise BadInput("expected files")
                names.append(safe_name(file.filename))
                with open(folder / names[-1], "wb") as out:
                    while data := await file.read(_CHUNK):
                        await run_in_threadpool(out.write, data)
        if not names:
            raise BadInput("no file came: choose some")
        return uploads.start(folder, names)


async def _body(request: Request, most: int) -> bytes:
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > most:
            raise BadInput(f"the question and what went before have more than {most:,} bytes: begin anew")
    return body
