"""A `whittle serve-stdio` process: one JSON line for each request, one for each answer."""

from __future__ import annotations

import json
import subprocess

PROTOCOL = 1


class WhittleError(RuntimeError):
    """What the server said of a request, or that it ended."""


class Server:
    """Starts the program and asks it, one request at a time.

    `hello` is what it says of itself: version, model, hash of the weights, SPECs in their canonical form, backend,
    `max_length` in tokens, `end_of_text`.
    """

    def __init__(self, program: str, arguments: list[str]):
        command = [program, "serve-stdio", *arguments]
        try:
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        except OSError as e:
            raise WhittleError(f"{program} did not start ({e}); build it, and name it with program=PATH") from e
        self._number = 0
        said = self._read()
        self.hello = said.get("hello")
        if self.hello is None or self.hello.get("protocol") != PROTOCOL:
            self.close()
            raise WhittleError(f"{program} speaks another protocol than {PROTOCOL}: {said}")

    def ask(self, method: str, **parameters):
        self._number += 1
        line = json.dumps(dict(id=self._number, method=method, **parameters))
        try:
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()
        except OSError as e:
            raise WhittleError(f"the server has ended ({e})") from e
        answer = self._read()
        if answer.get("id") != self._number or "result" not in answer:
            raise WhittleError(answer.get("error", f"an answer to something else: {answer}"))
        return answer["result"]

    def _read(self) -> dict:
        line = self._process.stdout.readline()
        if not line.endswith(b"\n"):
            code = self._process.wait()
            raise WhittleError(f"the server has ended (exit code {code}); its reason stands on standard error")
        return json.loads(line)

    def close(self):
        """Ends the server."""
        for pipe in (self._process.stdin, self._process.stdout):
            pipe.close()
        self._process.wait()
