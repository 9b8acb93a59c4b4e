"""A small program that searches a folder: `python -S -P -m actors.scan`, for where there is no ripgrep.

It needs the standard library only, so that it starts in a few milliseconds, and runs in a process of its
own: it holds up no other work, and a regular expression that never ends can be killed.
"""
