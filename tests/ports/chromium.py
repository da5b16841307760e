"""A headless Chromium, driven through two pipes: no other program is needed."""

import base64
import json
import os
import select
import shutil
import subprocess
import time

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic"),
    *("--no-first-run", "--disable-background-networking", "--disable-sync"),
    *("--disable-component-update", "--remote-debugging-pipe"),
)


class Browser:
    """A page of a browser: what is said to it, and what it complained about."""

    def __init__(self, folder):
        to_browser, self.into = os.pipe()
        self.out, from_browser = os.pipe()
        words = [CHROMIUM, *FLAGS, f"--user-data-dir={folder}", "about:blank"]
        # the browser reads from 3 and writes to 4
        low, high = os.dup(to_browser), os.dup(from_browser)

        def wire():
            os.dup2(low, 103)
            os.dup2(high, 104)
            os.dup2(103, 3)
            os.dup2(104, 4)

        self.process = subprocess.Popen(
            words, preexec_fn=wire, close_fds=False, stderr=subprocess.DEVNULL
        )
        for end in (to_browser, from_browser, low, high):
            os.close(end)
        self.number, self.rest, self.events, self.session = 0, b"", [], None
        targets = self.call("Target.getTargets")["targetInfos"]
        [page] = [each["targetId"] for each in targets if each["type"] == "page"]
        attached = self.call("Target.attachToTarget", targetId=page, flatten=True)
        self.session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        follow = {"autoAttach": True, "waitForDebuggerOnStart": True, "flatten": True}
        self.call("Target.setAutoAttach", **follow)

    def call(self, method, **parameters):
        """Ask, and wait for the answer; what happens meanwhile is kept."""
        number = self.send(method, parameters, self.session)
        end = time.monotonic() + 60
        while (said := self.read(end)).get("id") != number:
            self.events.append(said)
            if said.get("method") == "Target.attachedToTarget":
                for step in ("Network.enable", "Runtime.runIfWaitingForDebugger"):
                    self.send(step, {}, said["params"]["sessionId"])
        assert "error" not in said, said["error"]
        return said["result"]

    def send(self, method, parameters, session):
        """Say something to the browser, or to a page or worker; its number."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        message |= {"sessionId": session} if session else {}
        os.write(self.into, json.dumps(message).encode() + b"\0")
        return self.number

    def read(self, end):
        """The next message."""
        while b"\0" not in self.rest:
            ready, _, _ = select.select([self.out], [], [], end - time.monotonic())
            assert ready, "the browser says nothing"
            self.rest += os.read(self.out, 1 << 20)
        said, _, self.rest = self.rest.partition(b"\0")
        return json.loads(said)

    def run(self, script):
        """The value of an expression of JavaScript in the page, when it is there."""
        done = self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in done, done["exceptionDetails"]
        return done["result"].get("value")

    def wait(self, script, seconds=30):
        """Wait until an expression is true."""
        end = time.monotonic() + seconds
        while not self.run(f"Boolean({script})"):
            assert time.monotonic() < end, f"never: {script}"
            time.sleep(0.02)

    def open(self, address):
        self.call("Page.navigate", url=address)
        self.wait("document.readyState === 'complete'")

    def size(self, width, height=900, dark=False):
        self.call(
            "Emulation.setDeviceMetricsOverride",
            **{"width": width, "height": height, "mobile": width < 500},
            deviceScaleFactor=1,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def press(self, key, code=0, text=""):
        for kind in ("keyDown", "keyUp"):
            self.call(
                "Input.dispatchKeyEvent",
                type=kind,
                key=key,
                code=key,
                windowsVirtualKeyCode=code,
                **({"text": text} if text and kind == "keyDown" else {}),
            )

    def picture(self, path, whole=False):
        found = self.call(
            "Page.captureScreenshot", format="png", captureBeyondViewport=whole
        )
        path.write_bytes(base64.b64decode(found["data"]))

    def complaints(self):
        """Errors of the console, and exceptions that nobody caught."""
        self.run("0")
        return [
            event["params"]
            for event in self.events
            if event.get("method") == "Runtime.exceptionThrown"
            or (
                event.get("method") == "Log.entryAdded"
                and event["params"]["entry"]["level"] in ("error", "warning")
            )
            or (
                event.get("method") == "Runtime.consoleAPICalled"
                and event["params"]["type"] in ("error", "warning")
            )
        ]

    def requests(self):
        """The addresses that were asked for."""
        self.run("0")
        return [
            event["params"]["request"]["url"]
            for event in self.events
            if event.get("method") == "Network.requestWillBeSent"
        ]

    def close(self):
        self.session = None
        self.call("Browser.close")
        self.process.wait(20)
        os.close(self.into)
        os.close(self.out)
