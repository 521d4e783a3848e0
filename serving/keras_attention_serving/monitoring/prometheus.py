"""Metrics for Prometheus, under the names and labels of TensorFlow Serving, and some of our own.

TensorFlow's name of a metric is a path, which Prometheus has with colons in place of slashes:
`/tensorflow/serving/request_count` is `:tensorflow:serving:request_count`. Metrics that TensorFlow
Serving does not have begin with `:keras_attention:serving:`.

A metric is a row of `_ROWS`, and a method of `PrometheusMetrics` that records it.

prometheus_client keeps the numbers. The page is written here, because the library's writer adds
`_total` to the name of every counter and a `_created` to every metric, which TensorFlow Serving
does not have and existing dashboards do not expect.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

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


def _exponential(scale: float, growth: float, count: int) -> list[float]:
    bounds = [scale]
    while len(bounds) < count:
        bounds.append(bounds[-1] * growth)
    return bounds


_LATENCY = _exponential(10, 1.8, 33)  # microseconds, up to 25 minutes
_QUEUING = _exponential(100, 1.2, 52)  # microseconds, up to a second
_COUNTS = _exponential(1, 2, 15)


class _Row(NamedTuple):
    kind: type[Counter] | type[Histogram]
    prefix: str
    name: str
    labels: str  # names, separated by spaces
    help: str
    buckets: Sequence[float] = ()


_BATCHING = _TFS + "batching_session:"
_SAVED_MODEL = ":tensorflow:cc:saved_model:"
_ROWS = (
    _Row(Counter, _TFS, "request_count", "model_name status", "Requests."),
    _Row(
        Histogram,
        _TFS,
        "request_latency",
        "model_name API entrypoint",
        "Microseconds from request to answer.",
        _LATENCY,
    ),
    _Row(
        Histogram,
        _TFS,
        "runtime_latency",
        "model_name API runtime",
        "Microseconds in the graph.",
        _LATENCY,
    ),
    _Row(
        Histogram,
        _TFS,
        "request_example_counts",
        "model",
        "tensorflow.Examples in a request.",
        _COUNTS,
    ),
    _Row(Counter, _TFS, "request_example_count_total", "model", "tensorflow.Examples."),
    _Row(
        Histogram,
        _BATCHING,
        "queuing_latency",
        "thread_pool_name",
        "Microseconds in the queue.",
        _QUEUING,
    ),
    _Row(
        Histogram,
        _BATCHING,
        "padding_size",
        "execution_batch_size",
        "Rows added to fill a batch.",
        _COUNTS,
    ),
    _Row(Histogram, _BATCHING, "input_batch_size", "", "Rows in a request.", _COUNTS),
    _Row(Histogram, _BATCHING, "processed_batch_size", "", "Rows in a batch.", _COUNTS),
    _Row(Counter, _BATCHING, "wrapped_run_count", "", "Batches run."),
    _Row(
        Histogram,
        _TFS,
        "model_warmup_latency",
        "model_path status",
        "Microseconds of warming up.",
        _LATENCY,
    ),
    _Row(Counter, _TFS, "model_warmup_records_read", "model_path", "Warm-up requests."),
    _Row(Counter, _SAVED_MODEL, "load_attempt_count", "model_path status", "Models loaded or not."),
    _Row(Counter, _SAVED_MODEL, "load_latency", "model_path", "Microseconds of loading."),
    _Row(
        Histogram,
        _OWN,
        "signature_latency",
        "model_name API signature_name",
        "Microseconds in the graph, by signature.",
        _LATENCY,
    ),
    _Row(
        Histogram, _OWN, "batch_size", "model_name", "Rows that requests put into a batch.", _COUNTS
    ),
)


class PrometheusMetrics(Metrics):
    """Metrics of one server in a registry of its own.

    Attributes:
        registry: collectors that are added to it appear on the page as well.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._queues: dict[str, Callable[[], int]] = {}
        self._models: Callable[[], list[tuple[str, int]]] | None = None
        self._children: dict[tuple[str, ...], Any] = {}
        self._families: dict[str, Any] = {}
        for row in _ROWS:
            options: dict[str, Any] = {"buckets": row.buckets} if row.buckets else {}
            self._families[row.name] = row.kind(
                row.prefix + row.name,
                row.help,
                row.labels.split(),
                registry=self.registry,
                **options,
            )
        self.registry.register(_Collector(self._read))  # type: ignore[arg-type]
        ProcessCollector(registry=self.registry)  # memory, processor time, file handles

    def request(self, model: str, api: str, entrypoint: str, code: int, seconds: float) -> None:
        self._of("request_count", model, _CODES.get(code, "UNKNOWN")).inc()
        if code == 0:
            self._of("request_latency", model, api, entrypoint).observe(seconds * 1e6)

    def runtime(self, model: str, api: str, seconds: float, signature: str = "") -> None:
        self._of("runtime_latency", model, api, "TF1").observe(seconds * 1e6)
        self._of("signature_latency", model, api, signature).observe(seconds * 1e6)

    def examples(self, model: str, count: int) -> None:
        self._of("request_example_counts", model).observe(count)
        self._of("request_example_count_total", model).inc(count)

    def batching_queued(self, thread_pool: str, seconds: float) -> None:
        self._of("queuing_latency", thread_pool).observe(seconds * 1e6)

    def batching_input(self, size: int) -> None:
        self._families["input_batch_size"].observe(size)

    def batching_run(self, model: str, size: int, padded_size: int) -> None:
        self._families["wrapped_run_count"].inc()
        self._families["processed_batch_size"].observe(padded_size)
        self._of("padding_size", str(padded_size)).observe(padded_size - size)
        self._of("batch_size", model).observe(size)

    def watch_queue(self, model: str, depth: Callable[[], int] | None) -> None:
        if depth is None:
            self._queues.pop(model, None)
        else:
            self._queues[model] = depth

    def watch_models(self, loaded: Callable[[], list[tuple[str, int]]] | None) -> None:
        self._models = loaded

    def load(self, path: str, ok: bool, seconds: float) -> None:
        self._of("load_attempt_count", path, "success" if ok else "fail").inc()
        if ok:
            self._of("load_latency", path).inc(int(seconds * 1e6))

    def warmup(self, path: str, code: int, seconds: float, records: int) -> None:
        status = _CODES.get(code, "UNKNOWN")
        self._of("model_warmup_latency", path, status).observe(seconds * 1e6)
        self._of("model_warmup_records_read", path).inc(records)

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

    def _of(self, name: str, *labels: str) -> Any:
        """The metric with these labels, at a quarter of the cost of `family.labels(*labels)`.

        There are at most `MAX_SERIES`, because the names of models come from requests: a client
        that asks for a new one every time must not fill the memory.
        """
        key = (name, *labels)
        child = self._children.get(key)
        if child is None:
            if len(self._children) >= MAX_SERIES:
                labels = ("(others)",) * len(labels)
            child = self._families[name].labels(*labels)
            if len(self._children) < MAX_SERIES:
                self._children[key] = child
        return child

    def _read(self) -> Iterator[Metric]:
        """Metrics that are computed for each page."""
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


class _Collector:
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
    """The name on the page: for our counters, without the suffix that prometheus_client adds."""
    if metric.type != "counter":
        return name
    if not metric.name.startswith(":"):
        return metric.name + "_total"
    return _NAMED_TOTAL.get(metric.name, metric.name)


# prometheus_client removes `_total` from the name of a counter and adds it to its samples.
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
