"""How long to wait before a source is asked again: urllib3's ``Retry``, set up once for every source."""

from __future__ import annotations

from collections.abc import Collection

from urllib3.util.retry import RequestHistory, Retry

# A server may ask for more patience than this; then it is refused and said.
LONGEST_RETRY_AFTER_SECONDS = 600


def retries(attempts: int, first_delay: float, longest_delay: float, statuses: Collection[int] = frozenset()) -> Retry:
    """Waits of ``first_delay``, twice that, and so on, up to the longest; what ``Retry-After`` says goes before.

    Parameters
    ----------
    attempts
        Requests in all, the first included.
    first_delay, longest_delay
        Seconds.
    statuses
        Statuses of an answer that are worth another attempt.
    """
    # urllib3 asks again at once after a first failure; an attempt that has failed before makes that a wait.
    before = RequestHistory(None, None, None, None, None)
    return Retry(
        total=attempts - 1,
        backoff_factor=first_delay / 2.0,
        backoff_max=longest_delay,
        status_forcelist=statuses,
        allowed_methods=None,
        raise_on_status=False,
        history=(before,),
        retry_after_max=LONGEST_RETRY_AFTER_SECONDS,
    )
