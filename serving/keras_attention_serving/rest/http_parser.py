"""Parser of HTTP requests: that of httptools, for a server of HTTP/1.1 alone."""

from typing import Any

import httptools


class HttpParser(httptools.HttpRequestParser):  # type: ignore[misc]
    """A parser that ignores offers of other protocols, as RFC 9110, section 7.8, allows.

    After the headers of a request that offers one (`Upgrade: h2c`, as curl, Java and Ktor do),
    httptools stops, because what follows would be the other protocol. Here the request is parsed
    once more without the offer, and its body with it. During the first time, `should_upgrade` is
    true in the callbacks.

    Args:
        protocol: gets the callbacks. It has the `parser`, which is replaced, and the results of the
            callbacks: `scope`, `url` and `headers`.
    """

    def __init__(self, protocol: Any) -> None:
        super().__init__(protocol)
        self._protocol = protocol

    def feed_data(self, data: Any) -> None:
        """Parses a piece of data; raises `httptools.HttpParserError` if it is malformed."""
        try:
            super().feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            if self.get_method() == b"CONNECT":  # httptools takes this for an offer as well
                raise httptools.HttpParserError("No method of this server.") from None
            (position,) = upgrade.args
            self._protocol.parser = HttpParser(self._protocol)
            self._protocol.parser.feed_data(self._head() + data[position:])

    def _head(self) -> bytes:
        headers = [
            name + b": " + value + b"\r\n"
            for name, value in self._protocol.headers
            if name != b"upgrade"
        ]
        line = self.get_method(), self._protocol.url, b"HTTP/" + self.get_http_version().encode()
        return b" ".join(line) + b"\r\n" + b"".join(headers) + b"\r\n"
