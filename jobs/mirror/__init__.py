"""Mirroring: a download chained straight into an upload, one by ``mirror``, many by ``MirrorJob``."""

from __future__ import annotations

from .delivery import Mirrored
from .job import MirrorJob
from .s3 import S3
from .settings import Delivery, MirrorSettings, SameBy
from .single import MirrorError, mirror
from .template import UrlTemplate

__all__ = [
    "S3",
    "Delivery",
    "MirrorError",
    "MirrorJob",
    "MirrorSettings",
    "Mirrored",
    "SameBy",
    "UrlTemplate",
    "mirror",
]
