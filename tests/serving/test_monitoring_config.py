from pathlib import Path

import pytest

from keras_attention_serving import errors
from keras_attention_serving.settings import monitoring_config

OURS = Path(__file__).parents[2] / "serving" / "tf_serving" / "monitoring.config"


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("", None),
        ("prometheus_config {}", None),
        ('prometheus_config { path: "/m" }', None),
        ("prometheus_config { enable: true }", "/monitoring/prometheus/metrics"),
        ('prometheus_config { enable: true path: "/m" }', "/m"),
        ("prometheus_config: { enable: true, path: '/m' } # so", "/m"),
    ],
)
def test_the_path(tmp_path, text, path):
    file = tmp_path / "monitoring.config"
    file.write_text(text)
    assert monitoring_config.metrics_path(str(file)) == path


def test_our_file_for_tensorflow_serving():
    assert monitoring_config.metrics_path(str(OURS)) == "/monitoring/prometheus/metrics"


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(errors.NotFound):
        monitoring_config.metrics_path(str(tmp_path / "none"))
    (tmp_path / "other").write_text("nothing { of: 'the sort' }")
    with pytest.raises(errors.InvalidArgument, match="Invalid protobuf file: '.*other'"):
        monitoring_config.metrics_path(str(tmp_path / "other"))
