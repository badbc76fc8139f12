"""Tests that are run again in a process of their own, where other things hold."""

import os
import subprocess
import sys


def assert_tests_pass(*arguments, **environment):
    """Run Python, which is to run tests; give what they printed.

    Parameters
    ----------
    arguments : str
        Of Python: a program or a module, and the tests.
    environment : str
        What is added to this process's.
    """
    done = subprocess.run(
        [sys.executable, *arguments],
        env=dict(os.environ, **environment),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
    return done.stdout
