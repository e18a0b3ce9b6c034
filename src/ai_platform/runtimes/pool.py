"""The pool of loaded models: each is loaded once, however many ask at the same time."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Loaded = TypeVar("Loaded")


class Pool(Generic[Key, Loaded]):
    """Models in memory by key; beyond `capacity` the one unused for longest leaves. Thread-safe.

    Args:
        load: makes the model of a key; what it raises reaches every caller that waited for it, and is not kept.
        capacity: most models held.
    """

    def __init__(self, load: Callable[[Key], Loaded], capacity: int = 64) -> None:
        self._load = load
        self._capacity = capacity
        self._held: OrderedDict[Key, Loaded] = OrderedDict()
        self._loading: dict[Key, threading.Lock] = {}
        self._lock = threading.Lock()

    def peek(self, key: Key) -> Loaded | None:
        """The model, if it is in memory."""
        with self._lock:
            loaded = self._held.get(key)
            if loaded is not None:
                self._held.move_to_end(key)
            return loaded

    def get(self, key: Key) -> Loaded:
        """The model, loaded by this call if nobody has it yet.

        Raises:
            Exception: what `load` raised.
        """
        loaded = self.peek(key)
        if loaded is not None:
            return loaded
        with self._lock:
            turn = self._loading.setdefault(key, threading.Lock())
        try:
            with turn:
                loaded = self.peek(key)
                if loaded is None:
                    loaded = self._load(key)
                    self._keep(key, loaded)
                return loaded
        finally:
            with self._lock:
                self._loading.pop(key, None)

    def _keep(self, key: Key, loaded: Loaded) -> None:
        with self._lock:
            self._held[key] = loaded
            while len(self._held) > self._capacity:
                self._held.popitem(last=False)
