// A client with @grpc/grpc-js and nothing of this repository but the folder of --write_protos.
//
//     node predict.js FOLDER ADDRESS
"use strict";

const assert = require("node:assert/strict");
const { promisify } = require("node:util");
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const [, , folder, address] = process.argv;
const { tensorflow, inference } = grpc.loadPackageDefinition(
  loader.loadSync(
    [
      "tensorflow_serving/apis/prediction_service.proto",
      "tensorflow_serving/apis/model_service.proto",
      "open_inference.proto",
    ],
    { includeDirs: [folder], longs: String, enums: String },
  ),
);
const insecure = grpc.credentials.createInsecure();
const options = { "grpc.max_receive_message_length": -1 };

// Every method of a service as a promise, with a deadline.
function client(Service, more = {}) {
  const stub = new Service(address, insecure, { ...options, ...more });
  return (method, request) =>
    promisify(stub[method].bind(stub))(request, { deadline: Date.now() + 30000 });
}

function floats(rows) {
  const shape = { dim: [{ size: rows.length }, { size: 3 }] };
  return { dtype: "DT_FLOAT", tensorShape: shape, floatVal: rows.flat() };
}

async function main() {
  const predictions = client(tensorflow.serving.PredictionService);
  const models = client(tensorflow.serving.ModelService);
  const predict = (inputs, signatureName = "serving_default") =>
    predictions("Predict", { modelSpec: { name: "model", signatureName }, inputs });

  const { outputs, modelSpec } = await predict({ x: floats([[1, 2, 3], [5, 7, 11]]) });
  assert.deepEqual(outputs.y.floatVal, [2, 4, 6, 10, 14, 22]);
  assert.equal(modelSpec.version.value, "3");

  const text = { dtype: "DT_STRING", tensorShape: { dim: [{ size: 2 }] } };
  text.stringVal = [Buffer.from("grün"), Buffer.from([0, 255, 0])];
  const upper = await predict({ text }, "upper");
  assert.equal(String(upper.outputs.upper.stringVal[0]), "GRÜN");
  assert.deepEqual(upper.outputs.text.stringVal, text.stringVal);

  // As bytes, and more of them than a frame or a window of HTTP/2 has.
  const many = new Float32Array(3 << 19).fill(1.5);
  const large = { dtype: "DT_FLOAT", tensorShape: { dim: [{ size: 1 << 19 }, { size: 3 }] } };
  large.tensorContent = Buffer.from(many.buffer);
  const doubled = await predict({ x: large });
  assert.equal(doubled.outputs.y.floatVal.length, many.length);
  assert.equal(doubled.outputs.y.floatVal[many.length - 1], 3);

  // On one connection: more than it may have at a time, of which some wait in the client.
  const answers = await Promise.all(
    Array.from({ length: 500 }, (_, i) => predict({ x: floats([[i, 0, 0]]) })),
  );
  answers.forEach((answer, i) => assert.equal(answer.outputs.y.floatVal[0], 2 * i));

  const zipped = client(tensorflow.serving.PredictionService, {
    "grpc.default_compression_algorithm": 2, // gzip
  });
  const spec = { name: "model", signatureName: "serving_default" };
  const same = await zipped("Predict", { modelSpec: spec, inputs: { x: floats([[1, 2, 3]]) } });
  assert.deepEqual(same.outputs.y.floatVal, [2, 4, 6]);

  const metadata = await predictions("GetModelMetadata", {
    modelSpec: { name: "model" },
    metadataField: ["signature_def"],
  });
  const any = metadata.metadata.signature_def;
  assert.match(any["@type"] ?? any.type_url, /tensorflow\.serving\.SignatureDefMap$/);

  const status = await models("GetModelStatus", { modelSpec: { name: "model" } });
  assert.deepEqual(status.modelVersionStatus.map((one) => [one.version, one.state]), [
    ["3", "AVAILABLE"],
  ]);

  await assert.rejects(models("GetModelStatus", { modelSpec: { name: "none" } }), {
    code: grpc.status.NOT_FOUND,
    details: "Could not find any versions of model none",
  });

  const open = client(inference.GRPCInferenceService);
  assert.equal((await open("ModelReady", { name: "model" })).ready, true);
  const inferred = await open("ModelInfer", {
    modelName: "model",
    inputs: [{ name: "x", datatype: "FP32", shape: [1, 3], contents: { fp32Contents: [1, 2, 3] } }],
  });
  assert.deepEqual(inferred.outputs[0].contents.fp32Contents, [2, 4, 6]);
}

main().then(
  () => process.exit(0),
  (error) => {
    console.error(error);
    process.exit(1);
  },
);
