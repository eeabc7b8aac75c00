"""What holds for all tests."""

import signal

# a shell that starts tests in the background lets them ignore Ctrl-C, and so would every program that they start
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
