"""A headless Chromium to look at pages with, spoken to over its debugging port."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_SECONDS = 120


class Browser:
    """One tab."""

    def __init__(self, address: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._address, self._last = address, 0

    async def _connect(self) -> None:
        self._session = aiohttp.ClientSession()
        async with self._session.get(f"{self._address}/json/list") as answer:
            tabs = [tab for tab in await answer.json() if tab["type"] == "page"]
        self._socket = await self._session.ws_connect(tabs[0]["webSocketDebuggerUrl"], max_msg_size=0)

    async def _call(self, method: str, wanted: str = "", **parameters: Any) -> Any:
        """Send a command; wait for its answer, and for an event where one is `wanted`."""
        self._last += 1
        await self._socket.send_json({"id": self._last, "method": method, "params": parameters})
        result, seen = None, not wanted
        while result is None or not seen:
            message = await self._socket.receive_json(timeout=_SECONDS)
            seen = seen or message.get("method") == wanted
            if message.get("id") == self._last:
                assert "error" not in message, message
                result = message["result"]
        return result

    def call(self, method: str, wanted: str = "", **parameters: Any) -> Any:
        return self._loop.run_until_complete(self._call(method, wanted, **parameters))

    def start(self) -> None:
        self._loop.run_until_complete(self._connect())
        self.call("Page.enable")

    def stop(self) -> None:
        self._loop.run_until_complete(self._session.close())
        self._loop.close()

    def open(self, address: str, width: int = 1280) -> None:
        """Load a page at a width in pixels."""
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        self.call("Page.navigate", "Page.loadEventFired", url=address)

    def value(self, expression: str) -> Any:
        """What JavaScript says of the page."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")


@contextmanager
def headless_browser(folder: Path) -> Iterator[Browser]:
    """Start Chromium with a profile in a folder; a test that needs it is skipped where there is none."""
    program = next((found for name in _NAMES if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip("no Chromium is installed here")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--remote-debugging-port=0"]
    process = subprocess.Popen(
        [program, *flags, f"--user-data-dir={folder}", "about:blank"], stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stderr is not None
        lines = (re.search(r"listening on ws://([^/]+)/", line) for line in process.stderr)
        browser = Browser(f"http://{next(found for found in lines if found)[1]}")
        browser.start()
        try:
            yield browser
        finally:
            browser.stop()
    finally:
        process.terminate()
        process.communicate()
