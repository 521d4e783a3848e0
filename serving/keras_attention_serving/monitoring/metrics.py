"""Interface of the metrics of a server: a method for each event that is counted.

`Metrics` itself does nothing at almost no cost; it is the default everywhere. The names under which
events are recorded are in `prometheus.PrometheusMetrics`.
"""

from collections.abc import Callable


class Metrics:
    """Metrics that record nothing. Methods may be called from any thread and never raise."""

    def request(self, model: str, api: str, entrypoint: str, code: int, seconds: float) -> None:
        """Records the response to a request for an inference, OK or an error.

        Only Predict, Classify, Regress and ModelInfer count. Only the transports call this.

        Args:
            model: name of the model, as requested.
            api: `"Predict"`, `"Classify"`, `"Regress"` or `"ModelInfer"`; over REST in lower case,
                and `"infer"`.
            entrypoint: `"GRPC"` or `"REST"`.
            code: number of the status, 0 for OK (`ServingError.code`).
            seconds: from the arrival of the request to its response.
        """

    def runtime(self, model: str, api: str, seconds: float, signature: str = "") -> None:
        """Records a run for a request, including the wait for its batch.

        Args:
            model: name of the model.
            api: `"Predict"`, `"Classify"`, `"Regress"` or `"ModelInfer"`, whatever the transport.
            seconds: its duration.
            signature: name of the signature, if the request has one.
        """

    def examples(self, model: str, count: int) -> None:
        """Records the number of examples in a Classify, Regress or MultiInference request."""

    def batching_queued(self, thread_pool: str, seconds: float) -> None:
        """Records the seconds that a request was in the batching queue."""

    def batching_input(self, size: int) -> None:
        """Records the rows of a request that enters the batching queue."""

    def batching_run(self, model: str, size: int, padded_size: int) -> None:
        """Records a run of a batch.

        Args:
            model: name of the model.
            size: rows of the requests.
            padded_size: rows of the run, after rounding up to an allowed batch size.
        """

    def watch_queue(self, model: str, depth: Callable[[], int] | None) -> None:
        """Sets the function that counts the waiting requests of a model; None removes it."""

    def watch_models(self, loaded: Callable[[], list[tuple[str, int]]] | None) -> None:
        """Sets the function that returns name and version of all models in memory."""

    def load(self, path: str, ok: bool, seconds: float) -> None:
        """Records an attempt to load the SavedModel in a folder."""

    def warmup(self, path: str, code: int, seconds: float, records: int) -> None:
        """Records the warm-up of the model in a folder, or its failure.

        Args:
            path: folder of the version.
            code: number of the status, 0 for OK.
            seconds: its duration.
            records: number of requests that were read.
        """

    def total(self, name: str) -> int:
        """Sum of a counter over all its labels, by TensorFlow's name (`/tensorflow/serving/...`).

        0 if there is no such counter.
        """
        return 0

    def page(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return b""


NO_METRICS = Metrics()
