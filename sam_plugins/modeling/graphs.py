"""CUDA graphs: the kernels of a function recorded once for a form of arguments, then replayed.

A GPU answers one click faster than Python can name its hundred kernels one after the other.
"""

from __future__ import annotations

import threading
import warnings
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

Function = Callable[..., tuple[Tensor, ...]]


class Graphs:
    """The graphs of a model's functions, one for each form of their arguments.

    Parameters
    ----------
    most : int
        How many forms are kept, those of the latest calls; 0 records nothing.

    Notes
    -----
    A function must do the same steps for all values of a form: neither look at values nor bring
    tensors from the host. Weights that it reads may change, but not be replaced by others.
    Threads may share the graphs, which compute one after the other in the same memory, and hold on
    to it.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        # A form that was seen once has no graph yet: recording costs as much as several calls.
        self._recorded: OrderedDict[Hashable, Recording | None] = OrderedDict()
        self._place: Place | None = None
        self._lock = threading.Lock()

    def run(
        self, function: Function, *tensors: Tensor | None, **options: Hashable
    ) -> tuple[Tensor, ...]:
        """Call a function, from a form's second call on by its graph.

        Parameters
        ----------
        function : callable
            Takes the other arguments; its name is part of the form.
        *tensors : Tensor of any shape, or None
            On one device. Shape and dtype of each are part of the form.
        **options
            Part of the form.

        Returns
        -------
        tuple of Tensor
            What the function gives, in its shapes; the caller's own.

        Raises
        ------
        torch.OutOfMemoryError
            If there is no memory to compute or to record in. All graphs are given up then.

        Notes
        -----
        With gradients and on other devices than CUDA the function is just called; so it is from now
        on, with a warning, if it turns out that it cannot be recorded.
        """
        if not (self._most and can_record(tensors)):
            return function(*tensors, **options)
        form = (function.__name__, *map(_form, tensors), *sorted(options.items()))
        with self._lock:
            recording = self._recording(form, function, tensors, options)
            if recording is not None:
                return recording.replay(tensors)
        return function(*tensors, **options)

    def _recording(
        self,
        form: Hashable,
        function: Function,
        tensors: Sequence[Tensor | None],
        options: dict[str, Hashable],
    ) -> Recording | None:
        if form not in self._recorded:
            self._recorded[form] = None
            if len(self._recorded) > self._most:
                self._recorded.popitem(last=False)
            return None
        self._recorded.move_to_end(form)
        found = self._recorded[form]
        if found is None:
            try:
                self._place = self._place or Place.on(_device(tensors))
                found = Recording(function, tensors, options, self._place)
            except RuntimeError as error:
                self._give_up(error)
            else:
                self._recorded[form] = found
        return found

    def _give_up(self, error: RuntimeError) -> None:
        """Free what the graphs hold; without memory raise, for other reasons go on without them."""
        self._recorded.clear()
        # The end of an unfinished recording is an error of its own.
        for each in (error, error.__context__):
            if isinstance(each, torch.OutOfMemoryError):
                raise each
        self._most = 0
        warnings.warn(f"going on without CUDA graphs: {error}", RuntimeWarning, stacklevel=2)


@dataclass(frozen=True)
class Place:
    """Where graphs are recorded and compute, one at a time.

    Parameters
    ----------
    device : torch.device
        A CUDA device.
    memory : handle
        Of the memory that all graphs share.
    stream : torch.cuda.Stream
        On which they are recorded; libraries keep memory of their own for each stream.
    done : torch.cuda.Event
        The end of the last replay, on whichever stream.
    """

    device: torch.device
    memory: Any
    stream: torch.cuda.Stream
    done: torch.cuda.Event

    @classmethod
    def on(cls, device: torch.device) -> Place:
        """Make a place.

        Parameters
        ----------
        device : torch.device
            A CUDA device.

        Returns
        -------
        Place
        """
        with torch.cuda.device(device):
            return cls(
                device, torch.cuda.graph_pool_handle(), torch.cuda.Stream(), torch.cuda.Event()
            )


class Recording:
    """One graph with the tensors that it reads and writes.

    Parameters
    ----------
    function : callable
        See `Graphs.run`.
    tensors : sequence of Tensor of any shape, or None
        On the place's device.
    options : dict
        Keyword arguments.
    place : Place
        Where it is recorded.
    """

    def __init__(
        self,
        function: Function,
        tensors: Sequence[Tensor | None],
        options: dict[str, Hashable],
        place: Place,
    ) -> None:
        self._place = place
        with torch.inference_mode(False), torch.no_grad():
            self._inputs = [None if x is None else x.clone() for x in tensors]
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.device(place.device):
            place.stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(place.stream):
                # What libraries do at their first call on a stream cannot be recorded.
                function(*self._inputs, **options)
            torch.cuda.current_stream().wait_stream(place.stream)
            # Other threads may go on allocating memory meanwhile.
            with torch.cuda.graph(
                self._graph,
                pool=place.memory,
                stream=place.stream,
                capture_error_mode="thread_local",
            ):
                self._outputs = function(*self._inputs, **options)

    def replay(self, tensors: Sequence[Tensor | None]) -> tuple[Tensor, ...]:
        """Compute for other values.

        Parameters
        ----------
        tensors : sequence of Tensor or None
            Of the shapes and dtypes that were recorded.

        Returns
        -------
        tuple of Tensor
            Copies of what the graph has written, in the function's shapes.
        """
        with torch.cuda.device(self._place.device):
            stream = torch.cuda.current_stream()
            # A replay on another stream may still use the memory.
            stream.wait_event(self._place.done)
            for kept, given in zip(self._inputs, tensors, strict=True):
                if kept is not None and given is not None:
                    kept.copy_(given)
            self._graph.replay()
            outputs = tuple(x.clone() for x in self._outputs)
            self._place.done.record(stream)
        return outputs


def padded_count(count: int) -> int:
    """Size to which a batch is padded, so that there are few forms: the next power of two.

    Parameters
    ----------
    count : int
        1 or more.

    Returns
    -------
    int

    Examples
    --------
    >>> [padded_count(count) for count in (1, 2, 3, 8, 33, 64)]
    [1, 2, 4, 8, 64, 64]
    """
    return 1 << (count - 1).bit_length()


def can_record(tensors: Sequence[Tensor | None]) -> bool:
    """Tell whether a call with these arguments can be recorded now.

    Parameters
    ----------
    tensors : sequence of Tensor of any shape, or None
        All arguments that are tensors.

    Returns
    -------
    bool
        True on CUDA, without gradients, unless it is compiled or recorded by somebody else.
    """
    return (
        all(x is None or x.device.type == "cuda" for x in tensors)
        and any(x is not None for x in tensors)
        and not torch.is_grad_enabled()
        and not torch.compiler.is_compiling()
        and not torch.cuda.is_current_stream_capturing()
    )


def _form(x: Tensor | None) -> Hashable:
    return None if x is None else (tuple(x.shape), x.dtype)


def _device(tensors: Sequence[Tensor | None]) -> torch.device:
    return next(x.device for x in tensors if x is not None)
