"""One HTTP/1.1 answer as it comes in: its head, its body, where it ends (RFC 9112).

The parser is llhttp in its strict mode, one for each answer, so that nothing of one answer is left
when the next begins. What it lets pass that could be read in two ways is refused here.
"""

import asyncio

import httptools

from authfi.lib.egress import Kind, OutboundError

#: How long and how many the header fields of an answer may be, those behind its body included.
MAX_HEAD_BYTES = 32 * 1024
MAX_HEADERS = 128
_WITHOUT_BODY = frozenset({204, 304})
_BLANKS = b" \t"
_LOST = Kind.UNREACHABLE


class _RefusedError(Exception):
    """What came is more than the answer has, or not taken."""


class Answer:
    """What a server says to one request; `feed` it, take its head and body from it.

    Names of `headers` are in lower case, the values of repeated ones make one list (RFC 9110 5.3).
    `keeps_connection` is true once the answer has ended in the way that lets another request
    follow, and nothing came behind it. The methods that begin with `on_` are the parser's.
    """

    __slots__ = (
        "_chunks",
        "_ends_with_head",
        "_fields",
        "_head_bytes",
        "_is_interim",
        "_is_until_close",
        "_is_untouched",
        "_may_keep",
        "_parser",
        "_quiet_bytes",
        "_waiter",
        "error",
        "has_head",
        "headers",
        "held_bytes",
        "is_complete",
        "keeps_connection",
        "status",
    )

    def __init__(self, method: str) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.has_head = False
        self.is_complete = False
        self._is_untouched = True
        self.keeps_connection = False
        self.error: OutboundError | None = None
        self.held_bytes = 0
        self._chunks: list[bytes] = []
        self._waiter: asyncio.Future[None] | None = None
        self._ends_with_head = method == "HEAD"
        self._is_interim = self._is_until_close = self._may_keep = False
        self._fields = self._head_bytes = self._quiet_bytes = 0
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)

    # What has come, for who asked

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come."""
        return self.is_complete or self.error is not None

    @property
    def is_unanswered(self) -> bool:
        """Whether the connection was lost before a byte of the answer came."""
        return self._is_untouched and self.error is not None and self.error.kind is _LOST

    def take(self) -> bytes:
        """The part of the body that is here; empty where none is."""
        chunks, self._chunks, self.held_bytes = self._chunks, [], 0
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    async def more(self) -> None:
        """Wait until something has come, or nothing more will. For one caller at a time."""
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    # What comes, from the connection

    def feed(self, data: bytes) -> None:
        """Take in bytes; a breach of the protocol ends the answer with an error."""
        parser = self._parser
        if parser is None:
            return
        self._is_untouched = False
        self._quiet_bytes += len(data)
        try:
            parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.keeps_connection = False
            if not self.is_complete:
                self.fail(Kind.BAD_ANSWER, "The server's answer is not proper HTTP.")
        if self._quiet_bytes > MAX_HEAD_BYTES and not self.is_complete:
            self.fail(Kind.BAD_ANSWER, "The head of the server's answer is too large.")
        if self.is_complete:
            self._parser = None
        self.wake()

    def end(self) -> None:
        """The connection was closed: that ends an answer without a length, and cuts all others."""
        if self._is_until_close and not self.is_over:
            self.is_complete = True
        elif self._is_untouched:
            self.fail(_LOST, "The server cannot be reached.")
        else:
            self.fail(Kind.BAD_ANSWER, "The server's answer is cut off.")
        self._parser = None
        self.wake()

    def fail(self, kind: Kind, text: str) -> None:
        """The answer comes to nothing; what came before it failed stays."""
        if not self.is_over:
            self.error = OutboundError(kind, text)
        self._parser = None
        self.wake()

    def wake(self) -> None:
        """Let who waits look again."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # What the parser finds

    def on_message_begin(self) -> None:
        """A head begins: that of the answer, or of one more after an interim one."""
        if self.is_complete:
            raise _RefusedError

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header field, or one behind a chunked body, which tells nothing we use."""
        self._fields += 1
        self._head_bytes += len(name) + len(value)
        if self._head_bytes > MAX_HEAD_BYTES or self._fields > MAX_HEADERS:
            raise _RefusedError
        if self.has_head:
            return
        key, text = name.decode("latin-1").lower(), value.strip(_BLANKS).decode("latin-1")
        known = self.headers.get(key)
        self.headers[key] = text if known is None else f"{known}, {text}"

    def on_headers_complete(self) -> None:
        """The head is here. Raises for one whose body could be read in two ways."""
        parser = self._parser
        if parser is None:
            raise _RefusedError
        self.status = status = parser.get_status_code()
        version = parser.get_http_version()
        if status < 200 and status != 101:
            self._is_interim = True
            return
        coding = self.headers.get("transfer-encoding")
        is_chunked = coding is not None and coding.lower() == "chunked" and version == "1.1"
        is_strange = coding is not None and not is_chunked
        if version not in ("1.0", "1.1") or status == 101 or is_strange:
            raise _RefusedError
        self.has_head = True
        self._may_keep = parser.should_keep_alive()
        if self._ends_with_head:
            self.is_complete = True
        elif status not in _WITHOUT_BODY:
            self._is_until_close = not is_chunked and "content-length" not in self.headers

    def on_body(self, data: bytes) -> None:
        """A part of the body, without chunked framing."""
        if self.is_complete:
            raise _RefusedError
        self._quiet_bytes = 0
        self.held_bytes += len(data)
        self._chunks.append(data)

    def on_message_complete(self) -> None:
        """The end of the answer, or of an interim one, whose fields are not the answer's."""
        if self._is_interim:
            self._is_interim = False
            self.headers = {}
            return
        # An answer to HEAD looks to the parser as if it had a body: its connection is given up.
        self.keeps_connection = self._may_keep and not self.is_complete
        self.is_complete = True
