"""The version, written once: the package's metadata is built from here. A leaf.

Asking the installed metadata for it (``importlib.metadata``) imports the mail parser: 19 of the 78 ms of an import.
"""

__version__ = "0.1.0"
