"""Mirrors into the WebDAV of nginx and of apache2: what lies at the destination is what lay at the source."""

from __future__ import annotations

import os
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from fetchd.client import BasicAuth
from fetchd.jobs.failures import FailureClass
from fetchd.jobs.mirror import Delivery, MirrorError, MirrorJob, MirrorSettings, mirror
from fetchd.jobs.settings import RunSettings
from tests.support.apache import Apache
from tests.support.nginx import Nginx
from tests.support.runs import Ran, files_below

pytestmark = [pytest.mark.usefixtures("no_leaked_fds"), pytest.mark.slow, pytest.mark.timeout(60)]


@pytest.fixture
def site(nginx: Nginx) -> dict[str, bytes]:
    """Files of many sizes, by their paths below ``mirrored``."""
    rng = random.Random(8)
    files = {f"{n % 3}/{n % 2}/{n}.bin": rng.randbytes(size) for n in range(20) for size in [n * n * 3000]}
    files |= {"0/empty": b"", "1/with blank.txt": b"blank"}
    for name, content in files.items():
        path = nginx.root / "mirrored" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    nginx.clear_access_log()
    return files


async def mirror_site(folder: Path, base: str, site: dict[str, bytes], to: str, **given: Any) -> Ran:
    """Mirror all of *site*, and hold the run to its account."""
    manifest = folder / "manifest.txt"
    manifest.write_text("".join(f"{base}/{name.replace(' ', '%20')}\n" for name in site))
    run = RunSettings(manifest=str(manifest), output=folder / "mirror", **given.pop("run", {}))
    ran = Ran()
    ran.summary = await MirrorJob(MirrorSettings(run=run, to=to, **given), ran.listen).execute()
    ran.check()
    return ran


@pytest.mark.parametrize("way", ["plain", "TLS", "unix"])
async def test_nginx_to_nginx(nginx: Nginx, site: dict[str, bytes], tmp_path: Path, way: str) -> None:
    """By each way to either side; again, and nobody is asked."""
    to = f"/dav/to-{way}/{{path}}"
    base, run, given = nginx.url("/mirrored"), dict[str, Any](), dict[str, Any]()
    if way == "TLS":
        base, to = nginx.tls_url("/mirrored"), nginx.tls_url(to)
        run, given = {"cacert": nginx.authority}, {"cacert": nginx.authority}
    elif way == "unix":
        base, to = nginx.unix_url("/mirrored"), nginx.unix_url(to)
        run, given = {"unix_socket": nginx.unix_path}, {"unix_socket": nginx.unix_path}
    else:
        to = nginx.url(to)
    ran = await mirror_site(tmp_path, base, site, to, run=run, **given)
    assert (ran.summary.done, ran.summary.bytes) == (len(site), sum(map(len, site.values())))
    assert files_below(nginx.root / f"to-{way}" / "mirrored") == site
    asked = Counter(access.method for access in nginx.access_log(2 * len(site)))
    assert asked == {"GET": len(site), "PUT": len(site)}
    again = await mirror_site(tmp_path, base, site, to, run=run, **given)
    assert again.summary.skip_reasons == {"done": len(site)}
    assert len(nginx.access_log()) == 2 * len(site)


@pytest.mark.parametrize("extra", ["straight", "checksum"])
async def test_nginx_to_apache(
    nginx: Nginx, apache: Apache, site: dict[str, bytes], tmp_path: Path, extra: str
) -> None:
    """Collections are made first; mod_dav has no way to make them by a PUT."""
    run = {"checksum": "sha256"} if extra == "checksum" else {}
    to = apache.url(f"/dav/{extra}/{{path}}")
    ran = await mirror_site(tmp_path, nginx.url("/mirrored"), site, to, delivery=Delivery(mkcol=True), run=run)
    assert ran.summary.done == len(site), ran.summary
    assert files_below(apache.dav / extra / "mirrored") == site


async def test_without_collections_the_destination_says_so(nginx: Nginx, apache: Apache, tmp_path: Path) -> None:
    """409 of apache2, which is final; nginx, without its full put path, calls it a fault of its own."""
    (nginx.root / "one").write_bytes(b"one")
    with pytest.raises(MirrorError, match="the destination: status 409") as caught:
        await mirror(nginx.url("/one"), apache.url("/dav/no/such/one"))
    assert caught.value.failure.failure_class is FailureClass.HTTP_4XX
    with pytest.raises(MirrorError, match="the destination: status 500"):
        await mirror(nginx.url("/one"), nginx.url("/col/no/such/one"), retries=0)
    await mirror(nginx.url("/one"), nginx.url("/col/now/there/one"), Delivery(mkcol=True))
    assert (nginx.root / "now/there/one").read_bytes() == b"one"


async def test_credentials_are_for_the_destination(nginx: Nginx, apache: Apache) -> None:
    """Without them it refuses before it has read anything large, and the refusal is what is told."""
    content = os.urandom(8_000_000)
    (nginx.root / "large").write_bytes(content)
    to = apache.url("/dav/private/large")
    with pytest.raises(MirrorError, match="status 401"):
        await mirror(nginx.url("/large"), to)
    await mirror(nginx.url("/large"), to, Delivery(auth=BasicAuth("me", "secret")))
    assert (apache.dav / "private" / "large").read_bytes() == content


async def test_what_is_there_is_left_alone(nginx: Nginx, apache: Apache) -> None:
    """``If-None-Match: *`` by apache2, which answers 412; the same length by HEAD at both."""
    (nginx.root / "one").write_bytes(b"one")
    done = await mirror(nginx.url("/one"), apache.url("/dav/one"), Delivery(if_absent=True))
    assert not done.skipped
    (nginx.root / "one").write_bytes(b"two")
    assert (await mirror(nginx.url("/one"), apache.url("/dav/one"), Delivery(if_absent=True))).skipped == "present"
    assert (await mirror(nginx.url("/one"), apache.url("/dav/one"), Delivery(skip_same="length"))).skipped == "same"
    assert (apache.dav / "one").read_bytes() == b"one"
    (nginx.root / "one").write_bytes(b"three")
    assert not (await mirror(nginx.url("/one"), apache.url("/dav/one"), Delivery(skip_same="length"))).skipped
    assert (apache.dav / "one").read_bytes() == b"three"
