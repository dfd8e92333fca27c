// Parses every level file of a folder with bsmap and prints the best rate: node bsmap_parse.mjs FOLDER REPEAT
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { createRequire } from 'node:module';

const [folder, repeat] = process.argv.slice(2);
const require = createRequire(new URL('../tests/node/package.json', import.meta.url));
const bsmap = await import(pathToFileURL(require.resolve('bsmap')).href);
const files = readdirSync(folder).map((name) => readFileSync(join(folder, name), 'utf8'));
const bytes = files.reduce((sum, text) => sum + Buffer.byteLength(text), 0);
const major = (data) => Number.parseInt(data.version ?? data._version ?? '2', 10);
let best = Infinity;
let read = 0;
for (let run = 0; run < Number(repeat); run++) {
  const began = performance.now();
  read = 0;
  for (const text of files) {
    try {
      const data = JSON.parse(text);
      bsmap.loadDifficulty(data, major(data), { schemaCheck: { enabled: false } });
      read++;
    } catch {
      // counted by what is missing from `read`
    }
  }
  best = Math.min(best, performance.now() - began);
}
console.log(JSON.stringify({ mb_per_s: bytes / best / 1e3, read, files: files.length }));
