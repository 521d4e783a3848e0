"""The metrics, read back with the parser of prometheus_client."""

import pytest
from prometheus_client import Counter
from prometheus_client.parser import text_string_to_metric_families

from keras_attention_serving.monitoring import metrics, prometheus


@pytest.fixture
def recorder():
    return prometheus.PrometheusMetrics()


def samples(recorder):
    """Values by name and labels, read with the library's parser (which calls counters _total)."""
    return {
        (sample.name.removesuffix("_total"), *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(recorder.page().decode())
        for sample in family.samples
    }


def lines(recorder, name):
    return [line for line in recorder.page().decode().splitlines() if line.startswith(name)]


def test_a_request(recorder):
    recorder.request("m", "Predict", "GRPC", 0, 0.000123)
    assert lines(recorder, ":tensorflow:serving:request_count") == [
        ':tensorflow:serving:request_count{model_name="m",status="OK"} 1'
    ]
    page = lines(recorder, ":tensorflow:serving:request_latency")
    labels = 'model_name="m",API="Predict",entrypoint="GRPC"'
    assert page[:2] == [
        f':tensorflow:serving:request_latency_bucket{{{labels},le="10"}} 0',
        f':tensorflow:serving:request_latency_bucket{{{labels},le="18"}} 0',
    ]
    assert page[5] == f':tensorflow:serving:request_latency_bucket{{{labels},le="188.957"}} 1'
    assert page[-4:] == [
        f':tensorflow:serving:request_latency_bucket{{{labels},le="1.47476e+09"}} 1',
        f':tensorflow:serving:request_latency_bucket{{{labels},le="+Inf"}} 1',
        f":tensorflow:serving:request_latency_count{{{labels}}} 1",
        f":tensorflow:serving:request_latency_sum{{{labels}}} 123",
    ]
    assert len(page) == 33 + 3


def test_a_failed_request_has_no_latency(recorder):
    recorder.request("m", "predict", "REST", 5, 0.1)
    recorder.request("m", "predict", "REST", 14, 0.1)
    assert lines(recorder, ":tensorflow:serving:request_count") == [
        ':tensorflow:serving:request_count{model_name="m",status="NOT_FOUND"} 1',
        ':tensorflow:serving:request_count{model_name="m",status="UNAVAILABLE"} 1',
    ]
    assert not lines(recorder, ":tensorflow:serving:request_latency")


def test_types_are_told(recorder):
    page = recorder.page().decode()
    for name, kind in {
        ":tensorflow:serving:request_count": "counter",
        ":tensorflow:serving:request_example_count_total": "counter",
        ":tensorflow:serving:request_latency": "histogram",
        ":tensorflow:serving:runtime_latency": "histogram",
        ":tensorflow:serving:model_warmup_latency": "histogram",
        ":tensorflow:serving:batching_session:queuing_latency": "histogram",
        ":tensorflow:serving:batching_session:wrapped_run_count": "counter",
        ":tensorflow:cc:saved_model:load_attempt_count": "counter",
        ":keras_attention:serving:queue_depth": "gauge",
        "process_cpu_seconds_total": "counter",
    }.items():
        assert f"# TYPE {name} {kind}\n" in page
    assert "_created" not in page


def test_the_rest(recorder):
    recorder.runtime("m", "Predict", 0.002, "serving_default")
    recorder.examples("m", 7)
    recorder.batching_queued("pool", 0.003)
    recorder.batching_input(3)
    recorder.batching_run("m", 5, 8)
    recorder.load("/models/m/2", True, 0.5)
    recorder.load("/models/m/3", False, 0.5)
    recorder.warmup("/models/m/2", 0, 0.011, 13)
    seen = samples(recorder)
    tfs, own, cc = (
        ":tensorflow:serving:",
        ":keras_attention:serving:",
        ":tensorflow:cc:saved_model:",
    )
    model, api = ("model_name", "m"), ("API", "Predict")
    expected = {
        (tfs + "runtime_latency_sum", api, model, ("runtime", "TF1")): 2000,
        (own + "signature_latency_sum", api, model, ("signature_name", "serving_default")): 2000,
        (tfs + "request_example_counts_sum", ("model", "m")): 7,
        (tfs + "request_example_count", ("model", "m")): 7,
        (tfs + "batching_session:queuing_latency_sum", ("thread_pool_name", "pool")): 3000,
        (tfs + "batching_session:input_batch_size_sum",): 3,
        (tfs + "batching_session:processed_batch_size_sum",): 8,
        (tfs + "batching_session:padding_size_sum", ("execution_batch_size", "8")): 3,
        (tfs + "batching_session:wrapped_run_count",): 1,
        (own + "batch_size_sum", model): 5,
        (cc + "load_attempt_count", ("model_path", "/models/m/2"), ("status", "success")): 1,
        (cc + "load_attempt_count", ("model_path", "/models/m/3"), ("status", "fail")): 1,
        (cc + "load_latency", ("model_path", "/models/m/2")): 500_000,
        (tfs + "model_warmup_latency_sum", ("model_path", "/models/m/2"), ("status", "OK")): 11_000,
        (tfs + "model_warmup_records_read", ("model_path", "/models/m/2")): 13,
    }
    assert {name: seen.get(name) for name in expected} == expected


def test_what_is_looked_up_when_somebody_asks(recorder):
    waiting, loaded = [2], [("a", 1), ("a", 2), ("b", 7)]
    recorder.watch_queue("a", lambda: waiting[0])
    recorder.watch_models(lambda: loaded)
    depth = (":keras_attention:serving:queue_depth", ("model_name", "a"))
    in_memory = ":keras_attention:serving:models_in_memory"
    assert samples(recorder)[depth] == 2
    assert samples(recorder)[in_memory, ("model_name", "a")] == 2
    waiting[0] = 3
    loaded.remove(("a", 1))
    assert samples(recorder)[depth] == 3
    assert samples(recorder)[in_memory, ("model_name", "a")] == 1
    assert samples(recorder)[in_memory, ("model_name", "b")] == 1
    recorder.watch_queue("a", None)
    recorder.watch_models(None)
    assert not [key for key in samples(recorder) if key[0] in (depth[0], in_memory)]


def test_names_of_models_are_escaped(recorder):
    name = 'a"b\\c\nd'
    recorder.request(name, "Predict", "GRPC", 0, 0.1)
    key = (":tensorflow:serving:request_count", ("model_name", name), ("status", "OK"))
    assert samples(recorder)[key] == 1


def test_names_that_clients_invent_do_not_fill_the_memory(recorder, monkeypatch):
    monkeypatch.setattr(prometheus, "MAX_SERIES", 7)
    for i in range(11):
        recorder.request(f"m{i}", "Predict", "GRPC", 5, 0.1)
    counts = lines(recorder, ":tensorflow:serving:request_count")
    assert len(counts) == 8
    assert counts[-1].endswith('{model_name="(others)",status="(others)"} 4')


def test_totals_by_tensorflows_names(recorder):
    recorder.request("a", "Predict", "GRPC", 0, 0.1)
    recorder.request("b", "Predict", "GRPC", 5, 0.1)
    recorder.examples("a", 3)
    assert recorder.total("/tensorflow/serving/request_count") == 2
    assert recorder.total("/tensorflow/serving/request_example_count_total") == 3
    assert recorder.total("/tensorflow/serving/request_latency") == 0
    assert recorder.total("/nothing") == 0


def test_collectors_of_others(recorder):
    Counter("sold", "Things sold.", registry=recorder.registry).inc(5)
    assert lines(recorder, "sold") == ["sold_total{} 5"]


def test_the_default_takes_note_of_nothing():
    nothing = metrics.NO_METRICS
    nothing.request("m", "Predict", "GRPC", 0, 0.1)
    nothing.runtime("m", "Predict", 0.1)
    nothing.examples("m", 1)
    nothing.batching_queued("pool", 0.1)
    nothing.batching_input(1)
    nothing.batching_run("m", 1, 2)
    nothing.watch_queue("m", lambda: 1)
    nothing.watch_models(lambda: [])
    nothing.load("/models/m/1", True, 0.1)
    nothing.warmup("/models/m/1", 0, 0.1, 3)
    assert nothing.total("/tensorflow/serving/request_count") == 0


def test_the_recorder_has_every_method():
    events = {name for name in vars(metrics.Metrics) if not name.startswith("_")}
    assert events <= set(vars(prometheus.PrometheusMetrics))
