"""``fetchd.crawler``: the command line (``cli``) and what it shows (``progress``). Stands on ``fetchd.jobs``."""
