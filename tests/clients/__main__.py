"""Clients in other languages against the embedded server: `make test-clients`.

Each is a program beside this file, which is given addresses and ends with another status than 0 if
an answer is not as it should be. Needs node, curl and java; its argument is the folder of Node's
modules.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import tensorflow as tf

from keras_attention_serving.server import Server

HERE = Path(__file__).parent


class Model(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([None, 3], tf.float32, "x")])
    def double(self, x):
        return {"y": 2 * x}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "text")])
    def upper(self, text):
        return {"upper": tf.strings.upper(text, encoding="utf-8"), "text": tf.identity(text)}


def main():
    modules, failed = os.path.abspath(sys.argv[1]), []
    with tempfile.TemporaryDirectory() as folder:
        model = Model()
        signatures = {"serving_default": model.double, "upper": model.upper}
        tf.saved_model.save(model, f"{folder}/model/3", signatures=signatures)
        protos = f"{folder}/protos"
        command = [sys.executable, "-m", "keras_attention_serving", f"--write_protos={protos}"]
        subprocess.run(command, check=True)
        models = {"model": f"{folder}/model"}
        with Server(models, port=0, rest_port=0, host="127.0.0.1") as server:
            address, url = f"127.0.0.1:{server.port}", f"http://127.0.0.1:{server.rest_port}"
            for client in (
                ["node", HERE / "predict.js", protos, address],
                ["sh", HERE / "predict.sh", url],
                ["java", HERE / "Predict.java", url],
            ):
                environment = {**os.environ, "NODE_PATH": modules}
                done = subprocess.run(client, env=environment, timeout=300, check=False)
                print(f"{client[1].name}: {'failed' if done.returncode else 'passed'}", flush=True)
                failed += [client[1]] * bool(done.returncode)
    return len(failed)


if __name__ == "__main__":
    sys.exit(main())
