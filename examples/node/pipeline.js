// A client of a Framewire pipeline, written from docs/protocol.md.

import grpc from "@grpc/grpc-js";
import loader from "@grpc/proto-loader";
import { fileURLToPath } from "node:url";

const PROTO = fileURLToPath(new URL("inference.proto", import.meta.url));
const { inference } = grpc.loadPackageDefinition(
  loader.loadSync(PROTO, { keepCase: true, longs: Number, defaults: true }),
);
// An answer is a few kilobytes; what is sent may be large.
const OPTIONS = { "grpc.max_send_message_length": -1 };

const READERS = {
  INT32: (view, at) => view.getInt32(4 * at, true),
  FP32: (view, at) => view.getFloat32(4 * at, true),
  INT64: (view, at) => Number(view.getBigInt64(8 * at, true)),
};
const SIZES = { INT32: 4, FP32: 4, INT64: 8 };

export class Pipeline {
  /**
   * @param {string} url HOST:PORT of the server's gRPC endpoint
   * @param {string} name of the pipeline
   */
  constructor(url, name) {
    this.name = name;
    // By version: a server is given new ones, with other labels, while clients are connected.
    this.labels = new Map();
    this.client = new inference.GRPCInferenceService(
      url,
      grpc.credentials.createInsecure(),
      OPTIONS,
    );
  }

  /** Read the labels of the version that the pipeline has. */
  async connect() {
    const { config } = await this.#call("ModelConfig", { name: this.name });
    const [version] = config.version_policy.specific.versions;
    this.labels.set(String(version), JSON.parse(config.parameters.labels.string_value));
    return this;
  }

  /**
   * Find objects in one image.
   *
   * @param {Buffer} image a JPEG, PNG, WebP or BMP file
   * @param {object} parameters such as {conf: 0.4}
   */
  async detect(image, parameters = {}) {
    const response = await this.#call("ModelInfer", request(this.name, "image", image, parameters));
    return this.#result(response);
  }

  /**
   * Find objects in the packets of a video stream; yields a result for each, in order.
   *
   * @param {Iterable<Buffer>|AsyncIterable<Buffer>} packets an access unit each
   * @param {string} codec h264, h265 or mjpeg
   * @param {string} stream a name that no other stream has
   */
  async *stream(packets, codec, stream) {
    const call = this.client.ModelStreamInfer();
    const sent = sendPackets(call, `${this.name}_stream`, packets, codec, stream);
    // Told at the end; without this an error in between would be one that nobody handles.
    sent.catch((error) => call.destroy(error));
    for await (const { error_message, infer_response } of call) {
      if (error_message) throw new Error(error_message);
      yield await this.#result(infer_response);
    }
    await sent;
  }

  close() {
    this.client.close();
  }

  #call(method, message) {
    return new Promise((resolve, reject) => {
      this.client[method](message, (error, response) =>
        error ? reject(new Error(error.details)) : resolve(response),
      );
    });
  }

  async #result(response) {
    const version = response.model_version;
    if (!this.labels.has(version)) await this.connect();
    // None where the server has changed to yet another version since.
    const labels = this.labels.get(version) ?? [];
    const tensors = readTensors(response);
    const detections = [];
    for (let row = 0; row < tensors.num_dets[0]; row++) {
      const index = tensors.det_classes[row];
      detections.push({
        label: labels[index] ?? String(index),
        class: index,
        score: tensors.det_scores[row],
        box: tensors.det_boxes.slice(4 * row, 4 * row + 4),
      });
    }
    const [width, height] = tensors.image_size;
    const result = { status: tensors.image_status[0], width, height, detections };
    if (tensors.frame_index) {
      result.frame = tensors.frame_index[0];
      result.timestamp = tensors.frame_timestamp[0];
    }
    return result;
  }
}

async function sendPackets(call, model, packets, codec, stream) {
  let number = 0;
  for await (const packet of packets) {
    const parameters = { sequence_id: stream, sequence_start: number === 0, timestamp: number };
    if (number === 0) parameters.codec = codec;
    call.write(request(model, "packet", packet, parameters));
    number += 1;
  }
  if (number > 0) {
    // An empty packet ends the stream and frees its decoder.
    const parameters = { sequence_id: stream, sequence_end: true };
    call.write(request(model, "packet", Buffer.alloc(0), parameters));
  }
  call.end();
}

function request(model, tensor, bytes, parameters) {
  const length = Buffer.alloc(4);
  length.writeUInt32LE(bytes.length);
  return {
    model_name: model,
    parameters: Object.fromEntries(
      Object.entries(parameters).map(([name, value]) => [name, wireParameter(value)]),
    ),
    inputs: [{ name: tensor, datatype: "BYTES", shape: [1, 1] }],
    raw_input_contents: [Buffer.concat([length, bytes])],
  };
}

function wireParameter(value) {
  if (typeof value === "boolean") return { bool_param: value };
  if (Number.isInteger(value)) return { int64_param: value };
  // Fractions as text: not every server knows double_param.
  return { string_param: String(value) };
}

function readTensors({ outputs, raw_output_contents: contents }) {
  return Object.fromEntries(
    outputs.map(({ name, datatype }, index) => {
      const bytes = contents[index];
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      const values = Array.from({ length: bytes.length / SIZES[datatype] }, (_, at) =>
        READERS[datatype](view, at),
      );
      return [name, values];
    }),
  );
}
