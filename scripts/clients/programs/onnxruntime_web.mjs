// Runs jobs of onnxruntime_web.py with onnxruntime-web, in a browser and in Node alike.

function toBytes(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

function toText(bytes) {
  return btoa(Array.from(bytes, (value) => String.fromCharCode(value)).join(""));
}

function toTensor(ort, { type, shape, bytes }) {
  const content = toBytes(bytes);
  return new ort.Tensor(type, type === "float32" ? new Float32Array(content.buffer) : content, shape);
}

function toJson(tensor) {
  const { buffer, byteOffset, byteLength } = tensor.data;
  return { type: tensor.type, shape: tensor.dims, bytes: toText(new Uint8Array(buffer, byteOffset, byteLength)) };
}

// Answer jobs for ever. `library` is where onnxruntime-web is, `address` where the server of jobs is. The first job has no
// inputs: it loads the model.
export async function serve(library, address) {
  let ort, session;
  for (;;) {
    const job = await (await fetch(`${address}/job`)).json();
    let answer = {};
    try {
      if (!session) {
        ort = await import(library);
        ort.env.wasm.numThreads = 1;
        session = await ort.InferenceSession.create(await (await fetch(`${address}/model`)).arrayBuffer(), { executionProviders: ["wasm"] });
      }
      if (Object.keys(job).length) {
        const feeds = Object.fromEntries(Object.entries(job).map(([name, value]) => [name, toTensor(ort, value)]));
        const outputs = await session.run(feeds);
        answer = Object.fromEntries(Object.entries(outputs).map(([name, value]) => [name, toJson(value)]));
      }
    } catch (error) {
      answer = { error: String(error) };
    }
    await fetch(`${address}/answer`, { method: "POST", body: JSON.stringify(answer) });
  }
}
