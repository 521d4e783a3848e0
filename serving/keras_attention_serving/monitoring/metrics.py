"""What a server reports about itself: the events that are worth counting, one method each.

`Metrics` does nothing and costs next to nothing: the default of everything that reports. What is
recorded, and under which names, is in `prometheus.PrometheusMetrics`.
"""

from collections.abc import Callable


class Metrics:
    """Takes note of nothing. Every method may be called from any thread and never raises."""

    def request(self, model: str, api: str, entrypoint: str, code: int, seconds: float) -> None:
        """A request for an inference has been answered, well or with an error.

        Only Predict, Classify, Regress and ModelInfer count; the transports call this, nobody else.

        Args:
            model: name of the model, as requested.
            api: `"Predict"`, `"Classify"`, `"Regress"` or `"ModelInfer"`; over REST in lower case,
                and `"infer"`.
            entrypoint: `"GRPC"` or `"REST"`.
            code: number of the status, 0 for OK (`ServingError.code`).
            seconds: from the arrival of the request to its answer.
        """

    def runtime(self, model: str, api: str, seconds: float, signature: str = "") -> None:
        """A graph has run for a request, the wait for its batch included.

        Args:
            model: name of the model.
            api: `"Predict"`, `"Classify"`, `"Regress"` or `"ModelInfer"`, however the request came.
            seconds: how long it took.
            signature: the signature that was used, if one was.
        """

    def examples(self, model: str, count: int) -> None:
        """A Classify, Regress or MultiInference request held so many examples."""

    def batching_queued(self, thread_pool: str, seconds: float) -> None:
        """A request has left the batching queue after so many seconds."""

    def batching_input(self, size: int) -> None:
        """A request with so many rows has entered the batching queue."""

    def batching_run(self, model: str, size: int, padded_size: int) -> None:
        """A batch has run.

        Args:
            model: name of the model.
            size: rows that requests asked for.
            padded_size: rows that were run, after rounding up to an allowed batch size.
        """

    def watch_queue(self, model: str, depth: Callable[[], int] | None) -> None:
        """From now on `depth()` tells how many requests of a model wait; None: no longer."""

    def watch_models(self, loaded: Callable[[], list[tuple[str, int]]] | None) -> None:
        """From now on `loaded()` tells name and version of all models that are in memory."""

    def load(self, path: str, ok: bool, seconds: float) -> None:
        """The SavedModel in a folder has been loaded, or not."""

    def warmup(self, path: str, code: int, seconds: float, records: int) -> None:
        """The warm-up requests in a folder have been answered, or one has failed.

        Args:
            path: folder of the version.
            code: number of the status, 0 for OK.
            seconds: how long it took.
            records: how many were read.
        """

    def total(self, name: str) -> int:
        """A counter over all its labels, by TensorFlow's name (`/tensorflow/serving/...`).

        0 if there is no such counter.
        """
        return 0

    def page(self) -> bytes:
        """All of it, in Prometheus' text format."""
        return b""


NO_METRICS = Metrics()
