// Ask a server about photos, with nothing but Node 18 or newer: node client.mjs http://127.0.0.1:8080 cat.jpg …
import { readFile } from "node:fs/promises";

// Probabilities by class, for the bytes of an image file; waits its turn where the server is busy.
export async function ask(server, data, patience = 60_000) {
  const end = Date.now() + patience;
  for (;;) {
    const answer = await fetch(new URL("predictions/googlenet", `${server.replace(/\/$/, "")}/`), {
      method: "POST", body: data, headers: { "content-type": "application/octet-stream" },
    });
    const found = await answer.json();
    if (answer.ok) return found;
    if (![429, 503].includes(answer.status) || Date.now() > end) throw new Error(`${found.code}: ${found.error}`);
    await new Promise((resolve) => setTimeout(resolve, 1000 * Number(answer.headers.get("retry-after") ?? 1)));
  }
}

const [server, ...paths] = process.argv.slice(2);
for (const path of paths) {
  const [[label, share]] = Object.entries(await ask(server, await readFile(path)));
  console.log(`${path}: ${label} ${(100 * share).toFixed(1)}%`);
}
