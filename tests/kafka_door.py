"""What a Kafka broker asks of who comes in, before a broker that asks nothing: TLS, client certificates, SASL."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import os
import ssl
import struct
import threading
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from certificates import Authority
from kafka_and_rabbitmq import Kafka, free_port

_API_HANDSHAKE, _API_AUTHENTICATE = 17, 36
_HASHES = {"SCRAM-SHA-256": "sha256", "SCRAM-SHA-512": "sha512"}
_REFUSED = 58  # SASL_AUTHENTICATION_FAILED


class Door:
    """At one port. mechanism: the only one, "" for none; behind: the broker's port."""

    def __init__(
        self,
        port: int,
        behind: int,
        mechanism: str = "",
        password: str = "",
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.port, self.behind, self.mechanism, self.password, self.tls = (
            port,
            behind,
            mechanism,
            password,
            tls,
        )
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        opening = asyncio.start_server(self._serve, "127.0.0.1", port, ssl=tls)
        self._server = asyncio.run_coroutine_threadsafe(opening, self._loop).result()

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self) -> None:
        self._server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for each in tasks:
            each.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, forth = await asyncio.open_connection("127.0.0.1", self.behind)
        try:
            if self.mechanism and not await self._let_in(reader, writer, back, forth):
                return
            await asyncio.gather(self._pass(reader, forth), self._pass(back, writer))
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            for each in (writer, forth):
                with contextlib.suppress(Exception):
                    each.close()

    @staticmethod
    async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
        finally:
            writer.close()

    async def _let_in(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, back: asyncio.StreamReader,
        forth: asyncio.StreamWriter,
    ) -> bool:  # fmt: skip
        """Until there was a SASL exchange; what else is asked for goes to the broker, if it is the API's versions."""
        if self.mechanism in _HASHES:
            steps = self._scram(_HASHES[self.mechanism])
        else:
            steps = self._plain() if self.mechanism == "PLAIN" else self._iam()
        next(steps)
        while True:
            frame = await reader.readexactly(struct.unpack(">i", await reader.readexactly(4))[0])
            api, version, correlation, client = struct.unpack_from(">hhih", frame)
            body = frame[10 + max(0, client) :]
            if api == _API_HANDSHAKE:
                asked = body[2:].decode()
                error = 0 if asked == self.mechanism else 33
                names = struct.pack(">ih", 1, len(self.mechanism)) + self.mechanism.encode()
                self._send(writer, correlation, struct.pack(">h", error) + names)
            elif api == _API_AUTHENTICATE:
                token, ended = steps.send(body[4:])
                error = 0 if token is not None else _REFUSED
                token = token or b""
                lifetime = struct.pack(">q", 0) if version else b""
                self._send(writer, correlation, struct.pack(">hhi", error, -1, len(token)) + token + lifetime)
                if ended:
                    await writer.drain()
                    return not error
            elif api == 18:
                forth.write(struct.pack(">i", len(frame)) + frame)
                size = await back.readexactly(4)
                writer.write(size + await back.readexactly(struct.unpack(">i", size)[0]))
            else:
                return False

    @staticmethod
    def _send(writer: asyncio.StreamWriter, correlation: int, body: bytes) -> None:
        writer.write(struct.pack(">ii", len(body) + 4, correlation) + body)

    # Exchanges: take tokens, and yield the next one, None if it is refused; and is it the last one?

    def _plain(self):  # type: ignore[no-untyped-def]
        token = yield
        yield (b"" if token.split(b"\0")[2] == self.password.encode() else None), True

    def _iam(self):  # type: ignore[no-untyped-def]
        """MSK's token, signed with the password."""
        bearer = (yield).decode().removeprefix("n,,\x01auth=Bearer ").rstrip("\x01")
        url = base64.urlsafe_b64decode(bearer + "=" * (-len(bearer) % 4)).decode()
        yield (b"" if signed_with(url, self.password) else None), True

    def _scram(self, name: str):  # type: ignore[no-untyped-def]
        """RFC 5802."""
        first = (yield).decode().removeprefix("n,,")
        salt, nonce = os.urandom(16), first.partition("r=")[2] + "server"
        challenge = f"r={nonce},s={base64.b64encode(salt).decode()},i=4096"
        final = (yield challenge.encode(), False).decode()
        bare, _, proof = final.partition(",p=")
        salted = hashlib.pbkdf2_hmac(name, self.password.encode(), salt, 4096)
        key = hmac.digest(salted, b"Client Key", name)
        signed = ",".join((first, challenge, bare)).encode()
        signature = hmac.digest(hashlib.new(name, key).digest(), signed, name)
        expected = bytes(a ^ b for a, b in zip(key, signature, strict=True))
        server = hmac.digest(hmac.digest(salted, b"Server Key", name), signed, name)
        right = base64.b64decode(proof) == expected
        yield (b"v=" + base64.b64encode(server) if right else None), True


def signed_with(url: str, secret: str) -> bool:
    """Is this a signature of Version 4, of a GET of a host, by who has that secret?"""
    parts = urlsplit(url)
    pairs = [pair.partition("=")[::2] for pair in parts.query.split("&")]
    given = dict(pairs)
    signed = sorted(pair for pair in pairs if pair[0] not in ("X-Amz-Signature", "User-Agent"))
    query = "&".join(f"{name}={value}" for name, value in signed)
    request = f"GET\n/\n{query}\nhost:{parts.netloc}\n\nhost\n{hashlib.sha256().hexdigest()}"
    _, *scope = unquote(given["X-Amz-Credential"]).split("/")
    digest = hashlib.sha256(request.encode()).hexdigest()
    text = f"AWS4-HMAC-SHA256\n{given['X-Amz-Date']}\n{'/'.join(scope)}\n{digest}"
    key = b"AWS4" + secret.encode()
    for part in (*scope, text):
        key = hmac.digest(key, part.encode(), "sha256")
    return key.hex() == given["X-Amz-Signature"] and scope[1:] == [
        "us-east-1",
        "kafka-cluster",
        "aws4_request",
    ]


class Behind:
    """Brokers, each with a door."""

    def __init__(self, folder: Path, authority: Authority) -> None:
        self.folder, self.authority = folder, authority
        self.open: list[Any] = []

    def door(
        self, mechanism: str = "", tls: bool = False, mutual: bool = False, password: str = "right"
    ) -> str:
        """Its bootstrap server."""
        context = None
        if tls:
            certificate, key = self.authority.sign("broker")
            paths = [self.folder / name for name in ("certificate", "key", "authority")]
            for path, text in zip(paths, (certificate, key, self.authority.certificate), strict=True):
                path.write_text(text)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(paths[0], paths[1])
            if mutual:
                context.load_verify_locations(paths[2])
                context.verify_mode = ssl.CERT_REQUIRED
        port = free_port()
        kafka = Kafka(advertised=port)
        self.open.append(kafka)
        kafka.start()
        self.open.append(Door(port, kafka.port, mechanism, password, context))
        return f"127.0.0.1:{port}"

    def close(self) -> None:
        for each in reversed(self.open):
            each.close()


def fill(servers: str, **access: Any) -> None:
    """One record in its topic."""
    kafka = Kafka()
    kafka.servers = servers
    kafka.create("topic", **access)
    kafka.put("topic", "1", **access)
    kafka.close()
