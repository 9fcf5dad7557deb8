// node detect.js [--url HOST:PORT] [--model NAME] [--conf SCORE] IMAGE...
// node detect.js --stream h264|h265|mjpeg [...] PACKET...    a file for each access unit
//
// Prints a line of JSON for each file.

import { readFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import { Pipeline } from "./pipeline.js";

const { values: options, positionals: files } = parseArgs({
  allowPositionals: true,
  options: {
    url: { type: "string", default: "127.0.0.1:8001" },
    model: { type: "string", default: "codes" },
    conf: { type: "string" },
    stream: { type: "string" },
  },
});

async function* contents() {
  for (const file of files) yield await readFile(file);
}

async function main() {
  const pipeline = await new Pipeline(options.url, options.model).connect();
  try {
    if (options.stream) {
      let number = 0;
      const name = `node-${process.pid}-${Date.now()}`;
      for await (const result of pipeline.stream(contents(), options.stream, name)) {
        // The last answer is that to the empty packet which ended the stream.
        if (number === files.length && result.frame < 0) break;
        console.log(JSON.stringify({ file: files[number] ?? null, ...result }));
        number += 1;
      }
    } else {
      const parameters = options.conf === undefined ? {} : { conf: options.conf };
      for (const file of files) {
        const result = await pipeline.detect(await readFile(file), parameters);
        console.log(JSON.stringify({ file, ...result }));
      }
    }
  } finally {
    pipeline.close();
  }
}

main().catch((error) => {
  console.error(`detect.js: ${error.message}`);
  process.exitCode = 1;
});
