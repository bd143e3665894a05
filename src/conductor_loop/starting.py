"""What every entry point imports first: until all is imported, the garbage collector waits.

What an import makes stays for as long as the function; the collector went through it thirty times meanwhile.
"""

import gc

gc.disable()


def over() -> None:
    """Say that all is imported. What is there by now is not looked at again; what comes from now on is."""
    gc.freeze()
    gc.enable()
