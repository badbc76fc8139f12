"""The command line: ``sam-plugins``, one command a file, over the public names of the package.

Nothing here imports torch before a command needs it, so that ``--help`` answers at once.
"""
