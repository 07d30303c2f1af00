"""A store that speaks S3, with no library behind it: checks the signature of each request by its own arithmetic.

It keeps objects and uploads in parts as the service's documentation has them, as far as a mirror asks for it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable
from urllib.parse import parse_qsl, quote, unquote

from tests.support.raw_server import RawConnection, Request, response

__all__ = ["ACCESS_KEY", "ENVIRONMENT", "REGION", "Store"]

ACCESS_KEY = "AKIDEXAMPLE"
SECRET_KEY = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
REGION = "eu-west-1"

_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key>[^/]+)/(?P<day>\d{8})/(?P<region>[^/]+)/s3/aws4_request, "
    r"SignedHeaders=(?P<names>[a-z0-9;-]+), Signature=(?P<signature>[0-9a-f]{64})"
)


ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": ACCESS_KEY,
    "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
    "AWS_DEFAULT_REGION": REGION,
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    "AWS_EC2_METADATA_DISABLED": "true",
}
"""Variables with credentials for the store, and nothing of the machine's own."""


class Store:
    """For ``raw_server``.

    Args:
        refuse: May answer in its place; asked before the signature is looked at.

    Attributes:
        objects: Content by key, unescaped, with the bucket before it.
        uploads: Of unfinished ones, the parts by their numbers.
        asked: Method and target of each request, in order.
    """

    def __init__(self, refuse: Callable[[Request], bytes | None] = lambda _: None) -> None:
        self.objects: dict[str, bytes] = {}
        self.types: dict[str, str] = {}
        self.uploads: dict[str, dict[int, bytes]] = {}
        self.asked: list[str] = []
        self._begun = 0
        self._refuse = refuse

    async def script(self, conn: RawConnection) -> None:
        """For ``raw_server``."""
        async for asked in conn:
            self.asked.append(f"{asked.method} {asked.target}")
            await conn.send(self._refuse(asked) or self._answer(asked))

    def _answer(self, asked: Request) -> bytes:
        problem = _problem_of(asked)
        if problem:
            return _error(403, "SignatureDoesNotMatch", problem)
        path, _, raw_query = asked.target.partition("?")
        query = dict(parse_qsl(raw_query, keep_blank_values=True))
        key = unquote(path).lstrip("/")
        if "uploads" in query:
            self._begun += 1
            upload = f"upload {self._begun}/+"
            self.uploads[upload] = {}
            self.types[key] = asked.fields.get("Content-Type", "")
            return response(body=f"<R><UploadId>{upload}</UploadId></R>".encode())
        if "uploadId" in query:
            return self._on_upload(asked, key, query)
        return self._on_object(asked, key)

    def _on_object(self, asked: Request, key: str) -> bytes:
        there = self.objects.get(key)
        if asked.method == "HEAD":
            return response(404) if there is None else response(body=there)[: -len(there) or None]
        if there is not None and asked.fields.get("If-None-Match") == "*":
            return _error(412, "PreconditionFailed", "there is one")
        self.objects[key] = asked.body
        self.types[key] = asked.fields.get("Content-Type", "")
        return response(fields=[("ETag", f'"{hashlib.md5(asked.body, usedforsecurity=False).hexdigest()}"')])

    def _on_upload(self, asked: Request, key: str, query: dict[str, str]) -> bytes:
        parts = self.uploads.get(query["uploadId"])
        if parts is None:
            return _error(404, "NoSuchUpload", "it was aborted, or never begun")
        if asked.method == "DELETE":
            del self.uploads[query["uploadId"]]
            return response(204)
        if asked.method == "PUT":
            parts[int(query["partNumber"])] = asked.body
            return response(fields=[("ETag", f'"{query["partNumber"]}&{len(asked.body)}"')])
        told = re.findall(r"<PartNumber>(\d+)</PartNumber><ETag>([^<]*)</ETag>", asked.body.decode())
        kept = [(str(number), f'"{number}&amp;{len(content)}"') for number, content in sorted(parts.items())]
        if [(number, etag.replace("&quot;", '"')) for number, etag in told] != kept:
            return response(body=b"<Error><Code>InvalidPart</Code></Error>")
        if key in self.objects and asked.fields.get("If-None-Match") == "*":
            return _error(412, "PreconditionFailed", "there is one")
        self.objects[key] = b"".join(content for _, content in sorted(parts.items()))
        del self.uploads[query["uploadId"]]
        return response(body=b'<R xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><ETag>"x-2"</ETag></R>')


def _problem_of(asked: Request) -> str:
    """What is wrong with the signature of a request; "" when nothing is. Source: AWS Signature Version 4."""
    found = _AUTHORIZATION.fullmatch(asked.fields.get("Authorization", ""))
    if found is None:
        return "no signature"
    if (found["key"], found["region"]) != (ACCESS_KEY, REGION):
        return "another scope"
    sha256 = asked.fields.get("x-amz-content-sha256", "")
    if sha256 not in ("UNSIGNED-PAYLOAD", hashlib.sha256(asked.body).hexdigest()):
        return "the content has another hash"
    names = found["names"].split(";")
    must = {"host", *(name.lower() for name in asked.fields if name.lower().startswith("x-amz-"))}
    if not must <= set(names):
        return f"not signed: {sorted(must - set(names))}"
    path, _, query = asked.target.partition("?")
    pairs = sorted(parse_qsl(query, keep_blank_values=True))
    canonical = "\n".join(
        [
            asked.method,
            quote(unquote(path, errors="surrogateescape").encode(errors="surrogateescape"), safe="/-_.~"),
            "&".join(f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in pairs),
            *(f"{name}:{' '.join(asked.fields.get(name, '').split())}" for name in names),
            "",
            found["names"],
            sha256,
        ]
    )
    scope = f"{found['day']}/{REGION}/s3/aws4_request"
    subject = "\n".join(
        ["AWS4-HMAC-SHA256", asked.fields.get("x-amz-date", ""), scope, hashlib.sha256(canonical.encode()).hexdigest()]
    )
    key = f"AWS4{SECRET_KEY}".encode()
    for step in (found["day"], REGION, "s3", "aws4_request"):
        key = hmac.digest(key, step.encode(), "sha256")
    return "" if hmac.new(key, subject.encode(), "sha256").hexdigest() == found["signature"] else "another signature"


def _error(status: int, code: str, message: str) -> bytes:
    return response(status, f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode())
