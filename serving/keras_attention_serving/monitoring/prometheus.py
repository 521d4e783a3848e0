"""Metrics for Prometheus, under the names and labels of TensorFlow Serving, and some of our own.

TensorFlow's name of a metric is a path, and Prometheus reads it with colons for slashes:
`/tensorflow/serving/request_count` is `:tensorflow:serving:request_count`. What TensorFlow Serving
does not tell begins with `:keras_attention:serving:`.

prometheus_client keeps the numbers. The page is written here, because the library's writer adds
`_total` to the name of every counter, and a `_created` beside every metric, which TensorFlow
Serving does not have and existing dashboards do not ask for.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.core import GaugeMetricFamily, Metric

from keras_attention_serving.monitoring.metrics import Metrics
from keras_attention_serving.protocol import wire

MAX_SERIES = 10_000

_TFS = ":tensorflow:serving:"
_OWN = ":keras_attention:serving:"
_CODES = {
    value.number: value.name
    for value in wire.POOL.FindEnumTypeByName("tensorflow.error.Code").values
}
_Family = TypeVar("_Family", Counter, Histogram)


def _exponential(scale: float, growth: float, count: int) -> list[float]:
    bounds = [scale]
    while len(bounds) < count:
        bounds.append(bounds[-1] * growth)
    return bounds


_LATENCY = _exponential(10, 1.8, 33)  # microseconds, up to 25 minutes
_QUEUING = _exponential(100, 1.2, 52)  # microseconds, up to a second
_COUNTS = _exponential(1, 2, 15)


class PrometheusMetrics(Metrics):
    """Keeps the metrics of one server in a registry of its own.

    Attributes:
        registry: collectors that are added to it appear on the page as well.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._queues: dict[str, Callable[[], int]] = {}
        self._models: Callable[[], list[tuple[str, int]]] | None = None
        self._children: dict[tuple[Any, ...], Any] = {}

        def make(
            kind: type[_Family], name: str, text: str, labels: tuple[str, ...] = (), **extra: Any
        ) -> _Family:
            return kind(name, text, labels, registry=self.registry, **extra)

        self._requests = make(
            *(Counter, _TFS + "request_count", "Requests."), ("model_name", "status")
        )
        self._request_latency = make(
            *(Histogram, _TFS + "request_latency", "Microseconds from request to answer."),
            ("model_name", "API", "entrypoint"),
            buckets=_LATENCY,
        )
        self._runtime_latency = make(
            *(Histogram, _TFS + "runtime_latency", "Microseconds in the graph."),
            ("model_name", "API", "runtime"),
            buckets=_LATENCY,
        )
        self._example_counts = make(
            *(Histogram, _TFS + "request_example_counts", "tensorflow.Examples in a request."),
            ("model",),
            buckets=_COUNTS,
        )
        self._example_total = make(
            *(Counter, _TFS + "request_example_count_total", "tensorflow.Examples."), ("model",)
        )
        self._queuing_latency = make(
            *(Histogram, _TFS + "batching_session:queuing_latency", "Microseconds in the queue."),
            ("thread_pool_name",),
            buckets=_QUEUING,
        )
        self._padding = make(
            *(Histogram, _TFS + "batching_session:padding_size", "Rows added to fill a batch."),
            ("execution_batch_size",),
            buckets=_COUNTS,
        )
        self._input_size = make(
            *(Histogram, _TFS + "batching_session:input_batch_size", "Rows in a request."),
            buckets=_COUNTS,
        )
        self._processed_size = make(
            *(Histogram, _TFS + "batching_session:processed_batch_size", "Rows in a batch."),
            buckets=_COUNTS,
        )
        self._wrapped_runs = make(
            *(Counter, _TFS + "batching_session:wrapped_run_count", "Batches run.")
        )
        self._warmup_latency = make(
            *(Histogram, _TFS + "model_warmup_latency", "Microseconds of warming up."),
            ("model_path", "status"),
            buckets=_LATENCY,
        )
        self._warmup_records = make(
            *(Counter, _TFS + "model_warmup_records_read", "Warm-up requests."), ("model_path",)
        )
        self._load_attempts = make(
            *(Counter, ":tensorflow:cc:saved_model:load_attempt_count", "Models loaded or not."),
            ("model_path", "status"),
        )
        self._load_latency = make(
            *(Counter, ":tensorflow:cc:saved_model:load_latency", "Microseconds of loading."),
            ("model_path",),
        )
        self._signature_latency = make(
            *(Histogram, _OWN + "signature_latency", "Microseconds in the graph, by signature."),
            ("model_name", "API", "signature_name"),
            buckets=_LATENCY,
        )
        self._batch_size = make(
            *(Histogram, _OWN + "batch_size", "Rows that requests put into a batch."),
            ("model_name",),
            buckets=_COUNTS,
        )
        self.registry.register(_Watched(self._read))  # type: ignore[arg-type]
        ProcessCollector(registry=self.registry)  # memory, processor time, file handles

    def request(self, model: str, api: str, entrypoint: str, code: int, seconds: float) -> None:
        self._of(self._requests, model, _CODES.get(code, "UNKNOWN")).inc()
        if code == 0:
            self._of(self._request_latency, model, api, entrypoint).observe(seconds * 1e6)

    def runtime(self, model: str, api: str, seconds: float, signature: str = "") -> None:
        self._of(self._runtime_latency, model, api, "TF1").observe(seconds * 1e6)
        self._of(self._signature_latency, model, api, signature).observe(seconds * 1e6)

    def examples(self, model: str, count: int) -> None:
        self._of(self._example_counts, model).observe(count)
        self._of(self._example_total, model).inc(count)

    def batching_queued(self, thread_pool: str, seconds: float) -> None:
        self._of(self._queuing_latency, thread_pool).observe(seconds * 1e6)

    def batching_input(self, size: int) -> None:
        self._input_size.observe(size)

    def batching_run(self, model: str, size: int, padded_size: int) -> None:
        self._wrapped_runs.inc()
        self._processed_size.observe(padded_size)
        self._of(self._padding, str(padded_size)).observe(padded_size - size)
        self._of(self._batch_size, model).observe(size)

    def watch_queue(self, model: str, depth: Callable[[], int] | None) -> None:
        if depth is None:
            self._queues.pop(model, None)
        else:
            self._queues[model] = depth

    def watch_models(self, loaded: Callable[[], list[tuple[str, int]]] | None) -> None:
        self._models = loaded

    def load(self, path: str, ok: bool, seconds: float) -> None:
        self._of(self._load_attempts, path, "success" if ok else "fail").inc()
        if ok:
            self._of(self._load_latency, path).inc(int(seconds * 1e6))

    def warmup(self, path: str, code: int, seconds: float, records: int) -> None:
        self._of(self._warmup_latency, path, _CODES.get(code, "UNKNOWN")).observe(seconds * 1e6)
        self._of(self._warmup_records, path).inc(records)

    def total(self, name: str) -> int:
        family = name.replace("/", ":")
        return sum(
            int(sample.value)
            for metric in self.registry.collect()
            if metric.type == "counter"
            for sample in metric.samples
            if not sample.name.endswith("_created") and _name(metric, sample.name) == family
        )

    def page(self) -> bytes:
        return "".join(_lines(self.registry)).encode()

    def _of(self, family: _Family, *labels: str) -> _Family:
        """`family.labels(*labels)`, at a quarter of its cost, and no more than `MAX_SERIES`.

        Names of models come from requests: who asks for a new one every time must not fill the
        memory.
        """
        key = (family, *labels)
        child: _Family | None = self._children.get(key)
        if child is None:
            if len(self._children) >= MAX_SERIES:
                labels = ("(others)",) * len(labels)
            child = family.labels(*labels)
            if len(self._children) < MAX_SERIES:
                self._children[key] = child
        return child

    def _read(self) -> Iterator[Metric]:
        """What is looked up when somebody asks, and only then."""
        queues = GaugeMetricFamily(
            _OWN + "queue_depth", "Requests that wait for a batch.", labels=["model_name"]
        )
        for model, depth in sorted(self._queues.items()):
            queues.add_metric([model], depth())
        yield queues
        models = GaugeMetricFamily(
            _OWN + "models_in_memory", "Versions of a model in memory.", labels=["model_name"]
        )
        names = [name for name, _ in self._models()] if self._models else []
        for name in sorted(set(names)):
            models.add_metric([name], names.count(name))
        yield models


class _Watched:
    def __init__(self, collect: Callable[[], Iterator[Metric]]) -> None:
        self.collect = collect


def _lines(registry: CollectorRegistry) -> Iterator[str]:
    for metric in registry.collect():
        name = _name(metric, metric.name)
        yield f"# HELP {name} {_escaped(metric.documentation)}\n# TYPE {name} {metric.type}\n"
        for sample in metric.samples:
            if sample.name.endswith("_created"):
                continue
            labels = ",".join(
                f'{key}="{_bound(text) if key == "le" else _escaped(text, quotes=True)}"'
                for key, text in sample.labels.items()
            )
            yield f"{_name(metric, sample.name)}{{{labels}}} {_number(sample.value)}\n"


def _name(metric: Metric, name: str) -> str:
    """The name on the page: for our counters, without what prometheus_client adds to it."""
    if metric.type != "counter":
        return name
    if not metric.name.startswith(":"):
        return metric.name + "_total"
    return _NAMED_TOTAL.get(metric.name, metric.name)


# It takes a `_total` off the name of a counter, to put one on each of its samples.
_NAMED_TOTAL = {_TFS + "request_example_count": _TFS + "request_example_count_total"}


def _bound(text: str) -> str:
    return text if text == "+Inf" else f"{float(text):g}"


def _number(value: float) -> str:
    if math.isfinite(value):
        return str(int(value)) if value == int(value) else f"{value:.15g}"
    return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"


def _escaped(text: str, quotes: bool = False) -> str:
    text = text.replace("\\", "\\\\").replace("\n", "\\n")
    return text.replace('"', '\\"') if quotes else text
