"""Every bound the client keeps, each with where it comes from. A leaf: it imports nothing of the package.

Limits are counted over the whole of what they bound, never per piece that happens to arrive.
"""

from typing import Final

# Response head, interim responses included, and the trailer section. Precedents: curl 300 KB, http.client 64 KiB a
# line, hyper 400 KB, aiohttp 8 KiB a field. Content-Security-Policy fields of 30 KB are seen in the wild.
MAX_HEAD_BYTES: Final = 65_536
# Precedents: http.client 100 fields, aiohttp 128, curl 5000.
MAX_FIELDS: Final = 512
# Octets of chunked framing (sizes, extensions, trailers) that a body may cost: this much, plus a share of the content.
# A one-octet chunk costs 5 octets of framing, so 16 for each octet of content leaves room for honest extensions.
MAX_CHUNKED_OVERHEAD_BYTES: Final = 65_536
MAX_CHUNKED_OVERHEAD_RATIO: Final = 16

# One recv(). CPython allocates this much for each call and gives the rest back. A body that fills it is read in the
# larger size, and so is the next response of that connection, until one is below the smaller size.
RECV_BYTES: Final = 65_536
LARGE_RECV_BYTES: Final = 262_144

# Flow control between the socket and a reader that is behind (precedent: aiohttp 512/256 KiB).
HIGH_WATER_BYTES: Final = 524_288
LOW_WATER_BYTES: Final = 262_144

# Decoded octets made in one step, and steps in one turn of the loop (4 MiB take about 10 ms to inflate).
DECODE_STEP_BYTES: Final = 262_144
DECODE_STEPS_PER_TURN: Final = 16
# A step that gives no more than this counts as several: in a stack it may have read through 3,000 gzip members of next
# to nothing, which takes 6 ms, so that sixteen in a turn were a stall of 100 ms.
LITTLE_STEP_BYTES: Final = 32_768
LITTLE_STEP_COST: Final = 4

# A JSON document of more characters than this is parsed in steps; one of so many takes 10 to 30 ms. A step of so many
# takes about 1 ms, and the loop goes on after steps for so many seconds.
LARGE_JSON_CHARS: Final = 1_048_576
JSON_STEP_CHARS: Final = 65_536
JSON_TURN_S: Final = 0.005

# Content of a redirection that is read to keep the connection; more than this, and closing is cheaper.
MAX_DRAIN_BYTES: Final = 65_536

# Redirections that are followed (RFC 9110 section 15.4); 300 needs a choice, 304 and 305 are none.
REDIRECT_STATUSES: Final = frozenset((301, 302, 303, 307, 308))

# A request body up to this size travels in the same send() as its head.
COALESCE_BYTES: Final = 131_072
# Seconds for which a request with Expect: 100-continue waits for the 100 before it sends its content: curl's habit.
CONTINUE_S: Final = 1.0
# One TLS write, held until it is accepted: OpenSSL wants the same octets offered again.
TLS_WRITE_BYTES: Final = 65_536
# One read of a file that is uploaded.
FILE_READ_BYTES: Final = 262_144
# One sendfile(2), after which a worker looks whether it is to end: what a disk reads in a few ms.
SENDFILE_STEP_BYTES: Final = 1_048_576

# One step of a compressor, by a worker thread: zlib takes 2 ms for it.
COMPRESS_STEP_BYTES: Final = 65_536

# What is left of a body is moved to disk in the loop up to this size; above, by a worker thread, because one write
# under dirty-page throttling was seen to take 28 ms.
INLINE_SAVE_BYTES: Final = 1_048_576
# One batch of a worker, in octets and in seconds: the hop costs about 60 us, 1 % of the time 16 MiB take; the time
# bounds how long a deadline or a cancellation waits for it.
SAVE_BATCH_BYTES: Final = 16_777_216
SAVE_BATCH_S: Final = 0.05
# A worker whose socket runs dry waits this many milliseconds for more before it gives its thread back.
SAVE_POLL_MS: Final = 2
# Buffer of the copying way to disk, and the size asked of a pipe for splice(2).
SAVE_BUFFER_BYTES: Final = 262_144
PIPE_BYTES: Final = 262_144

# The pipe between two sockets: 1 MiB is what a user without privileges may ask for. After so many octets in a turn
# that never had to wait, others get theirs.
RELAY_PIPE_BYTES: Final = 1_048_576
RELAY_TURN_BYTES: Final = 4_194_304
