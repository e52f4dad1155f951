"""Headless Chromium, controlled through a pipe with the DevTools protocol, without a driver or package."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Self

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")

_LAUNCH = (
    "import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4); os.execv(sys.argv[3], sys.argv[3:])"
)
"""Chromium reads from descriptor 3 and writes to 4."""


def find() -> str | None:
    """Return the path of Chromium, or None."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Page:
    """One tab in a separate Chromium process."""

    def __init__(self, program: str) -> None:
        self._profile = tempfile.mkdtemp(prefix="tsattn-chromium-")
        # High numbers, so that neither is 3 or 4 already.
        ours, theirs = os.pipe(), os.pipe()
        reading, writing = (fcntl.fcntl(end, fcntl.F_DUPFD, 20) for end in (ours[0], theirs[1]))
        arguments = [
            *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"),
            *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--lang=en-GB"),
            *(f"--user-data-dir={self._profile}", "--remote-debugging-pipe", "about:blank"),
        ]
        self._process = subprocess.Popen(
            [sys.executable, "-c", _LAUNCH, str(reading), str(writing), program, *arguments],
            pass_fds=(reading, writing),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for end in (ours[0], theirs[1], reading, writing):
            os.close(end)
        self._to, self._from = ours[1], theirs[0]
        self._rest, self._count, self._session = b"", 0, None
        self.events: list[dict[str, Any]] = []
        """Received events, such as console messages."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "DOM", "Network"):
            self.call(f"{domain}.enable")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._to)
        os.close(self._from)
        self._process.terminate()
        self._process.wait(60)
        shutil.rmtree(self._profile, ignore_errors=True)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol and return its result."""
        self._count += 1
        message = {"id": self._count, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while (received := self._next()).get("id") != self._count:
            self.events.append(received)
        if "error" in received:
            raise RuntimeError(f"{method}: {received['error']}")
        result: dict[str, Any] = received["result"]
        return result

    def _next(self, seconds: float = 60.0) -> dict[str, Any]:
        end = time.monotonic() + seconds
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._from], [], [], max(end - time.monotonic(), 0))
            read = os.read(self._from, 1 << 16) if ready else b""
            if not read:
                raise RuntimeError("Chromium does not answer")
            self._rest += read
        message, _, self._rest = self._rest.partition(b"\0")
        parsed: dict[str, Any] = json.loads(message)
        return parsed

    def run(self, script: str) -> Any:
        """Return the value of an expression; promises are awaited."""
        result = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in result:
            raise RuntimeError(f"{script}: {result['exceptionDetails']}")
        return result["result"].get("value")

    def wait(self, condition: str, seconds: int = 60) -> Any:
        """Wait until an expression is true, and return its value."""
        return self.run(
            f"""new Promise((done, failed) => {{
                const end = performance.now() + {1000 * seconds};
                const look = () => {{
                    const value = {condition};
                    if (value) done(value);
                    else if (performance.now() > end) failed(new Error("timed out: " + document.body.innerText));
                    else setTimeout(look, 20);
                }};
                look();
            }})"""
        )

    def until(self, event: str, **values: Any) -> None:
        """Wait until an event with the given parameters has been received."""
        waiting = list(self.events)
        while True:
            for message in waiting:
                if message.get("method") == event and values.items() <= message["params"].items():
                    return
            self.events.append(self._next())
            waiting = self.events[-1:]

    def open(self, address: str) -> None:
        """Open a URL and wait until it is loaded."""
        self.call("Page.navigate", url=address)
        self.wait(f"location.href === {json.dumps(address)} && document.readyState === 'complete'")

    def type(self, id: str, text: str) -> None:
        """Paste a text into an element."""
        self.run(f"document.getElementById({json.dumps(id)}).focus()")
        self.call("Input.insertText", text=text)

    def click(self, id: str) -> None:
        """Press a button."""
        self.run(f"document.getElementById({json.dumps(id)}).click()")

    def upload(self, id: str, path: Path) -> None:
        """Choose a file."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=f"#{id}")["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(path)])

    def look(self, width: int, height: int, *, dark: bool = False, phone: bool = False) -> None:
        """Set the size of the window and its colours."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def screenshot(self, path: Path) -> None:
        """Write the whole page as PNG."""
        data = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)["data"]
        path.write_bytes(base64.b64decode(data))
