"""User names and passwords from a netrc file, for who trusts the environment.

Lives here: which file, and what it says of a host. Not here: whether it is asked (``session``, ``hops``).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from .auth import BasicAuth

__all__ = ["NetrcFile"]


class NetrcFile:
    """The file that *environment* names, or ``.netrc`` in the home folder; read when it is first asked.

    Args:
        environment: ``NETRC``, a path, and ``HOME``.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        named = environment.get("NETRC")
        home = environment.get("HOME")
        self._path = Path(named) if named else Path(home) / ".netrc" if home else None
        self._is_named = bool(named)
        self._hosts: Mapping[str, tuple[str, str, str]] | None = None

    def auth_for(self, host: str) -> BasicAuth | None:
        """The credentials for *host*, else those of the entry ``default``; None without.

        Raises:
            ValueError: The file is none of that format, or NETRC names one that cannot be read. No content is told.
        """
        hosts = self.load()
        entry = hosts.get(host) or hosts.get("default")
        return None if entry is None else BasicAuth(entry[0] or entry[1], entry[2] or "", "utf-8")

    def load(self) -> Mapping[str, tuple[str, str, str]]:
        """Read the file unless it was read, and return its entries.

        Raises:
            ValueError: See ``auth_for``.
        """
        if self._hosts is None:
            self._hosts = self._read()
        return self._hosts

    def _read(self) -> Mapping[str, tuple[str, str, str]]:
        from netrc import NetrcParseError, netrc

        if self._path is None:
            return {}
        try:
            return netrc(self._path).hosts
        except NetrcParseError as exc:
            # Its own message may hold the word that was not understood, which may be a password.
            raise ValueError(f"{self._path}, line {exc.lineno}: no netrc file; see netrc(5)") from None
        except UnicodeDecodeError:
            raise ValueError(f"{self._path}: no netrc file: it is not UTF-8") from None
        except OSError as exc:
            if self._is_named:
                raise ValueError(f"{self._path}, which NETRC names, cannot be read: {exc.strerror}") from exc
            return {}
