"""The command ``fetchd``. The only place that prints, reads the environment or ends the process.

raw options (app.py)  ->  validated settings (options.py, pure)  ->  run (run_command.py, get_command.py, ...)
"""

from .app import main

__all__ = ["main"]
