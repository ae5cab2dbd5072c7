"""A provider that needs no account: a real small model on the CPU of this machine.

`worker` runs llama.cpp's own server in a child process, `process` starts, watches and ends that process, `local` is the
provider in front of it, and `model` knows which file is served and where it lies.

Nothing is imported here: the child process starts in this package, and need not load the rest of the house.
"""
