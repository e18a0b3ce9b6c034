"""The pool of loaded models: each is loaded once, however many ask at the same time; what nobody names leaves first."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Loaded = TypeVar("Loaded")


class Pool(Generic[Key, Loaded]):
    """Models in memory by key, bounded in bytes. Thread-safe.

    Args:
        load: makes the model of a key; what it raises reaches every caller that waited for it, and is not kept.
        size: bytes of a loaded model.
        capacity: bytes of all models; beyond it those that were unused for longest leave, but never a named one.
        let_go: told of each model that leaves; must return at once.
    """

    def __init__(
        self,
        load: Callable[[Key], Loaded],
        size: Callable[[Loaded], int],
        capacity: int,
        let_go: Callable[[Key], None] = lambda _key: None,
    ) -> None:
        self._load = load
        self._size = size
        self._capacity = capacity
        self._let_go = let_go
        self._held: OrderedDict[Key, Loaded] = OrderedDict()
        self._named: frozenset[Key] = frozenset()
        self._loading: dict[Key, threading.Lock] = {}
        self._lock = threading.Lock()

    def peek(self, key: Key) -> Loaded | None:
        """The model, if it is in memory."""
        with self._lock:
            loaded = self._held.get(key)
            if loaded is not None:
                self._held.move_to_end(key)
            return loaded

    def get(self, key: Key, load: Callable[[], Loaded] | None = None) -> Loaded:
        """The model, loaded by this call if nobody has it yet.

        Args:
            key: the model's key.
            load: makes the model, in place of the pool's own way.

        Raises:
            Exception: what loading raised.
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
                    loaded = self._load(key) if load is None else load()
                    self._keep(key, loaded)
                return loaded
        finally:
            with self._lock:
                self._loading.pop(key, None)

    def name(self, keys: frozenset[Key]) -> None:
        """Say which models must stay, because something names them; all others may leave."""
        with self._lock:
            self._named = keys
            self._evict()

    def drop(self, key: Key) -> None:
        """Let a model go, if it is in memory; whoever predicts with it now holds it until the answer."""
        with self._lock:
            if self._held.pop(key, None) is not None:
                self._let_go(key)

    def keys(self) -> list[Key]:
        """Which models are in memory, the one unused for longest first."""
        with self._lock:
            return list(self._held)

    @property
    def bytes_held(self) -> int:
        """Bytes of all models in memory."""
        with self._lock:
            return self._bytes()

    def _keep(self, key: Key, loaded: Loaded) -> None:
        with self._lock:
            self._held[key] = loaded
            self._evict(but=key)

    def _evict(self, but: Key | None = None) -> None:
        surplus = self._bytes() - self._capacity
        for key in [key for key in self._held if key not in self._named and key != but]:
            if surplus <= 0:
                return
            surplus -= self._size(self._held.pop(key))
            self._let_go(key)

    def _bytes(self) -> int:
        return sum(self._size(loaded) for loaded in self._held.values())
